// The firmware library as the remote side, on shared memory that a hostile Linux writes: between the steps, while the
// library reads, and with pin interrupts in between. One program a dialect (-DHUB_...).
//
// What has to hold whatever lies in the memory: no access outside of it (its regions are heap blocks of exactly their
// size), the port is called with sound arguments and in the right context only, critical sections nest, an output changes
// only for a request of a bound driver, and every call ends after a bounded number of accesses.
#include <string.h>

#include "../../../../examples/sensor-hub/lib/metux_gpio.h"
#include "../../../../examples/sensor-hub/lib/remoteproc_vdev.h"
#include "../../../../examples/sensor-hub/lib/rpmsg_gpio.h"
#include "../../../../examples/sensor-hub/lib/trace.h"
#include "../../../../examples/sensor-hub/lib/virtio_gpio_device.h"
#include "../common/input.h"
#include "changing_memory.h"

#define MAX_LINES 24u
#define NAMES "ALPHA\0BRAVO\0\0CHARLIE"
#define CONFIG_BYTES 64u
#define TABLE_ADDRESS 0x10000000u
#define TRACE_BYTES 64u
#define VRING_ALIGNMENT 16u
#define HEADER_BYTES 16u

#define ACCESSES_A_DESCRIPTOR 48u
#define ACCESSES_A_LINE 256u
#define ACCESSES_AT_LEAST 1024u

#if defined HUB_SRTM || defined HUB_RPMSG_IO || defined HUB_RPMSG_GPIO || defined HUB_KIND0
#define HUB_RPMSG
#endif

struct fake_line {
  uint8_t level;
  uint8_t direction;
  unsigned edges;
  bool refuses;
};

// Where the harness puts what a sound driver would write.
struct driver_queue {
  uint32_t num;
  uint32_t descriptors;  // offsets in the shared memory
  uint32_t available;
  uint32_t used;
  uint16_t next_descriptor;
  uint16_t available_index;
};

enum entry { ENTRY_NONE, ENTRY_SERVICE, ENTRY_INTERRUPT };

static struct {
  uint8_t *memory;
  uint32_t memory_bytes;
  uint32_t base;  // device address of the first byte
  struct hub_resource_table *table;
  uint32_t table_bytes;
  struct hub_port port;
  struct hub_device device;
  struct remoteproc_vdev vdev;
  struct trace trace;
  char *trace_text;
  struct fake_line lines[MAX_LINES];
  uint16_t ngpio;
  struct driver_queue queues[2];
  uint32_t buffers;  // offset of what is behind the rings
  uint32_t next_buffer;
  uint64_t clock_ns;
  unsigned critical;
  enum entry entry;
  unsigned output_changes;
  uint64_t nested;  // accesses of the interrupts in the middle of a call: not the call's own
#ifdef HUB_RPMSG
  struct rpmsg_gpio rpmsg;
  struct rpmsg_gpio_line *rpmsg_lines;
#elif defined HUB_METUX
  struct metux_gpio metux;
  struct metux_gpio_line *metux_lines;
#else
  struct virtio_gpio_device virtio;
  struct virtio_gpio_line *virtio_lines;
  char *names;
#endif
} hub;

// ---- the port ----

static void *port_translate(void *context, uint64_t address, uint32_t size_bytes) {
  (void)context;
  if (address >= hub.base && address - hub.base <= hub.memory_bytes &&
      size_bytes <= hub.memory_bytes - (address - hub.base)) {
    return hub.memory + (address - hub.base);
  }
  // The table is shared memory as any other.
  if (address >= TABLE_ADDRESS && address - TABLE_ADDRESS <= hub.table_bytes &&
      size_bytes <= hub.table_bytes - (address - TABLE_ADDRESS)) {
    return (uint8_t *)hub.table + (address - TABLE_ADDRESS);
  }
  return NULL;
}

static void port_ring_doorbell(void *context, uint32_t notify_id) {
  (void)context;
  (void)notify_id;  // the driver chose it
  MUST(hub.critical > 0);
}

static struct fake_line *line_at(uint16_t line) {
  MUST(line < hub.ngpio);
  return &hub.lines[line];
}

static uint8_t port_read_level(void *context, uint16_t line) {
  (void)context;
  MUST(hub.critical > 0);
  return line_at(line)->level;
}

static void output_changes(void) {
  MUST(hub.entry == ENTRY_SERVICE);
  MUST(hub.vdev.state != REMOTEPROC_VDEV_IDLE);
  hub.output_changes++;
}

static bool port_write_level(void *context, uint16_t line, uint8_t level) {
  (void)context;
  struct fake_line *fake = line_at(line);
  MUST(level <= 1);
  MUST(fake->direction == VIRTIO_GPIO_DIRECTION_OUT);
  if (fake->refuses) return false;
  output_changes();
  fake->level = level;
  return true;
}

static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
  (void)context;
  struct fake_line *fake = line_at(line);
  MUST(direction <= VIRTIO_GPIO_DIRECTION_IN && level <= 1);
  if (fake->refuses) return false;
  output_changes();
  fake->direction = direction;
  if (direction == VIRTIO_GPIO_DIRECTION_OUT) fake->level = level;
  return true;
}

static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
  (void)context;
  struct fake_line *fake = line_at(line);
  MUST(hub.critical > 0);
  MUST((edges & ~(PORT_EDGE_RISING | PORT_EDGE_FALLING)) == 0);
  if (fake->refuses && edges != 0) return false;
  fake->edges = edges;
  return true;
}

static uint32_t port_enter_critical(void *context) {
  (void)context;
  return hub.critical++;
}

static void port_leave_critical(void *context, uint32_t state) {
  (void)context;
  hub.critical--;
  MUST(hub.critical == state);
}

static uint64_t port_clock_ns(void *context) {
  (void)context;
  return hub.clock_ns++;
}

// ---- entries of the library, each with a bound ----

static uint64_t accesses(void) { return changing.loads + changing.stores; }

// Each descriptor of the queues a handful of times, each line, each byte of the longest answer.
static void must_be_bounded(uint64_t done) {
  const uint64_t descriptors = hub.queues[0].num + hub.queues[1].num;
  MUST(done <= ACCESSES_A_DESCRIPTOR * descriptors + ACCESSES_A_LINE * (uint64_t)hub.ngpio + ACCESSES_AT_LEAST);
  MUST(hub.critical == 0);
}

static void raise_interrupt(uint16_t line, uint8_t level) {
  const enum entry outer = hub.entry;
  hub.lines[line].level = level;
  hub.entry = ENTRY_INTERRUPT;
  const uint64_t before = accesses();
  hub_line_changed(&hub.device, line, level);
  hub_flush_events(&hub.device);
  must_be_bounded(accesses() - before);
  hub.nested += accesses() - before;
  hub.entry = outer;
}

// In the middle of a load of the main loop.
static bool interrupt_now(uint16_t line, uint8_t level) {
  if (hub.critical > 0 || hub.entry != ENTRY_SERVICE || line >= hub.ngpio ||
      hub.lines[line].direction == VIRTIO_GPIO_DIRECTION_OUT) {
    return false;
  }
  raise_interrupt(line, level);
  return true;
}

static bool service(void) {
  struct hub_counters before, after;
  hub.device.type->read_counters(hub.device.state, &before);
  hub.entry = ENTRY_SERVICE;
  hub.output_changes = 0;
  hub.nested = 0;
  const uint64_t start = accesses();
  const bool more = remoteproc_vdev_service(&hub.vdev);
  must_be_bounded(accesses() - start - hub.nested);
  hub.entry = ENTRY_NONE;
  hub.device.type->read_counters(hub.device.state, &after);
  MUST(hub.output_changes <= (uint32_t)(after.requests - before.requests));
  return more;
}

// ---- what a driver writes ----

static void put_bytes(uint32_t offset, const void *bytes, uint32_t size) {
  if (offset < hub.memory_bytes) {
    memcpy(hub.memory + offset, bytes, size < hub.memory_bytes - offset ? size : hub.memory_bytes - offset);
  }
}

static void put16(uint32_t offset, uint16_t value) {
  const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
  put_bytes(offset, bytes, sizeof bytes);
}

static void put32(uint32_t offset, uint32_t value) {
  put16(offset, (uint16_t)value);
  put16(offset + 2, (uint16_t)(value >> 16));
}

static void put_descriptor(const struct driver_queue *queue, uint16_t index, uint64_t address, uint32_t size,
                           uint16_t flags, uint16_t next) {
  const uint32_t at = queue->descriptors + VRING_DESCRIPTOR_BYTES * (index % queue->num);
  put32(at, (uint32_t)address);
  put32(at + 4, (uint32_t)(address >> 32));
  put32(at + 8, size);
  put16(at + 12, flags);
  put16(at + 14, next);
}

static void post(struct driver_queue *queue, uint16_t head) {
  put16(queue->available + 4 + 2 * (queue->available_index % queue->num), head);
  put16(queue->available + 2, ++queue->available_index);
}

static uint32_t allocate(uint32_t size) {
  if (hub.buffers + hub.next_buffer + size > hub.memory_bytes) hub.next_buffer = 0;
  const uint32_t offset = hub.buffers + hub.next_buffer;
  hub.next_buffer += size;
  return offset;
}

// A chain with `readable` bytes in pieces and then `writable` ones.
static void post_chain(struct driver_queue *queue, const uint8_t *bytes, uint32_t readable, uint32_t writable,
                       uint32_t piece) {
  const uint16_t head = (uint16_t)(queue->next_descriptor % queue->num);
  const uint32_t offset = allocate(readable + writable);
  put_bytes(offset, bytes, readable);
  uint32_t done = 0;
  do {
    const bool reads = done < readable;
    uint32_t size = reads ? readable - done : writable - (done - readable);
    if (reads && piece > 0 && piece < size) size = piece;
    const bool last = done + size == readable + writable;
    const uint16_t index = (uint16_t)(queue->next_descriptor++ % queue->num);
    put_descriptor(queue, index, hub.base + offset + done, size,
                   (uint16_t)((reads ? 0 : VRING_FLAG_WRITE) | (last ? 0 : VRING_FLAG_NEXT)),
                   (uint16_t)(queue->next_descriptor % queue->num));
    done += size;
  } while (done < readable + writable);
  post(queue, head);
}

#ifdef HUB_RPMSG
#define REQUEST_QUEUE MESSAGE_FROM_DRIVER_QUEUE
#define BUFFER_QUEUE MESSAGE_TO_DRIVER_QUEUE
#define MAX_BODY 24u
#define GET_LEVEL 0
static void post_message(struct input *input) {
  uint8_t bytes[HEADER_BYTES + MAX_BODY] = {0};
  const uint8_t shape = take8(input);
  const uint32_t body = shape % (MAX_BODY + 1);
  bytes[0] = take8(input);
  bytes[4] = (shape & 0x80) != 0 ? take8(input) : RPMSG_LOCAL_ADDRESS;
  bytes[12] = (uint8_t)((shape & 0x40) != 0 ? take8(input) : body);
  for (uint32_t i = 0; i < body; i++) bytes[HEADER_BYTES + i] = take8(input);
  post_chain(&hub.queues[REQUEST_QUEUE], bytes, HEADER_BYTES + body, 0, (shape & 0x20) != 0 ? take8(input) : 0);
}
#elif defined HUB_METUX
#define REQUEST_QUEUE MESSAGE_FROM_DRIVER_QUEUE
#define BUFFER_QUEUE MESSAGE_TO_DRIVER_QUEUE
#define GET_LEVEL METUX_GPIO_GET_LEVEL
static void post_message(struct input *input) {
  uint8_t bytes[METUX_GPIO_MESSAGE_BYTES + 4] = {0};
  const uint8_t shape = take8(input);
  const uint32_t size = (shape & 0x80) != 0 ? shape % (sizeof bytes + 1) : METUX_GPIO_MESSAGE_BYTES;
  bytes[0] = take8(input);
  bytes[1] = (shape & 1) != 0 ? take8(input) : 0;
  bytes[2] = take8(input);
  bytes[3] = (shape & 2) != 0 ? take8(input) : 0;
  bytes[4] = take8(input);
  bytes[7] = (shape & 4) != 0 ? take8(input) : 0;
  post_chain(&hub.queues[REQUEST_QUEUE], bytes, size, 0, (shape & 0x20) != 0 ? take8(input) : 0);
}
#else
#define REQUEST_QUEUE VIRTIO_GPIO_REQUEST_QUEUE
#define BUFFER_QUEUE VIRTIO_GPIO_EVENT_QUEUE
#define GET_LEVEL VIRTIO_GPIO_GET_VALUE
static void post_message(struct input *input) {
  uint8_t bytes[VIRTIO_GPIO_REQUEST_BYTES + 4] = {0};
  const uint8_t shape = take8(input);
  const uint32_t size = (shape & 0x80) != 0 ? shape % (sizeof bytes + 1) : VIRTIO_GPIO_REQUEST_BYTES;
  bytes[0] = take8(input);
  bytes[1] = (shape & 1) != 0 ? take8(input) : 0;
  bytes[2] = take8(input);
  bytes[3] = (shape & 2) != 0 ? take8(input) : 0;
  bytes[4] = take8(input);
  bytes[7] = (shape & 4) != 0 ? take8(input) : 0;
  const uint32_t room = (shape & 0x40) != 0 ? take8(input) : VIRTIO_GPIO_RESPONSE_BYTES;
  post_chain(&hub.queues[REQUEST_QUEUE], bytes, size, room, (shape & 0x20) != 0 ? take8(input) : 0);
}
#endif

// A buffer into which the device may write; of plain virtio-gpio one that names a line.
static void post_buffer(struct input *input) {
  const uint8_t shape = take8(input);
  const uint8_t line[2] = {take8(input), 0};
  const uint32_t writable = (shape & 0x40) != 0 ? take8(input) : HEADER_BYTES + RPMSG_MAX_SENT_BYTES;
  for (unsigned count = 1 + shape % 8; count > 0; count--) {
    post_chain(&hub.queues[BUFFER_QUEUE], line, (shape & 0x80) != 0 ? sizeof line : 0, writable, shape >> 4 & 3);
  }
}

// Addresses at the edges of what there is.
static uint64_t take_address(struct input *input) {
  const uint8_t kind = take8(input);
  const int16_t by = (int16_t)take16(input);
  switch (kind % 6) {
    case 0:
      return hub.base + (uint64_t)(int64_t)by;
    case 1:
      return hub.base + (uint64_t)hub.memory_bytes + (uint64_t)(int64_t)by;
    case 2:
      return TABLE_ADDRESS + (uint64_t)(int64_t)by;
    case 3:
      return (uint64_t)(int64_t)by;
    case 4:
      return hub.base + (uint64_t)((uint16_t)by % hub.memory_bytes);
    default:
      return take64(input);
  }
}

static uint32_t offered_features(void) {
#ifdef HUB_RPMSG
  return rpmsg_features();
#elif defined HUB_METUX
  return metux_gpio_features();
#else
  return virtio_gpio_features();
#endif
}

static uint32_t take_features(struct input *input) {
  const uint8_t bits = take8(input);
  uint32_t features = (bits & 1) != 0 ? 1u << VRING_F_EVENT_IDX_BIT : 0;
  features |= (bits & 2) == 0 ? 1u : 0u;  // F_IRQ, F_NS
#ifdef HUB_METUX
  features &= ~1u;
#endif
#if !defined HUB_RPMSG && !defined HUB_METUX
  features |= (bits & 4) != 0 ? 1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT : 0;
#endif
  return (bits & 0xC0) == 0xC0 ? take32(input) : features;
}

// As Linux does it: rings cleared, their places told, status last.
static void bind(uint32_t features) {
  hub.table->vdev.gfeatures = features;
  for (unsigned i = 0; i < 2; i++) {
    struct driver_queue *queue = &hub.queues[i];
    hub.table->vdev.vrings[i].da = hub.base + queue->descriptors;
    queue->next_descriptor = 0;
    queue->available_index = 0;
    memset(hub.memory + queue->descriptors, 0, VRING_BYTES(queue->num, VRING_ALIGNMENT));
  }
  hub.table->vdev.status = VDEV_STATUS_ACKNOWLEDGE | VDEV_STATUS_DRIVER | VDEV_STATUS_DRIVER_OK;
  (void)service();
}

// ---- an input ----

static void place_rings(void) {
  uint32_t at = 0;
  for (unsigned i = 0; i < 2; i++) {
    struct driver_queue *queue = &hub.queues[i];
    queue->descriptors = at;
    queue->available = at + VRING_DESCRIPTOR_BYTES * queue->num;
    queue->used = at + VRING_USED_OFFSET(queue->num, VRING_ALIGNMENT);
    at += (VRING_BYTES(queue->num, VRING_ALIGNMENT) + VRING_ALIGNMENT - 1) / VRING_ALIGNMENT * VRING_ALIGNMENT;
  }
  hub.buffers = at;
}

static void open_device(uint8_t options) {
#ifdef HUB_RPMSG
  static const struct rpmsg_gpio_dialect *const dialect =
#ifdef HUB_SRTM
      &rpmsg_gpio_srtm;
#elif defined HUB_RPMSG_IO
      &rpmsg_gpio_io;
#elif defined HUB_RPMSG_GPIO
      &rpmsg_gpio_v14;
#else
      &rpmsg_gpio_kind0;
#endif
  MUST(hub.ngpio <= dialect->max_lines);
  hub.rpmsg_lines = malloc(hub.ngpio * sizeof *hub.rpmsg_lines);
  rpmsg_gpio_init(&hub.rpmsg, &hub.port, dialect, hub.rpmsg_lines, hub.ngpio, options & 7);
  hub.device = (struct hub_device){&rpmsg_gpio_type, &hub.rpmsg};
#elif defined HUB_METUX
  hub.metux_lines = malloc(hub.ngpio * sizeof *hub.metux_lines);
  metux_gpio_init(&hub.metux, &hub.port, hub.metux_lines, hub.ngpio,
                  (options & 1) != 0 ? METUX_GPIO_REPLY_2020 : METUX_GPIO_REPLY);
  hub.device = (struct hub_device){&metux_gpio_type, &hub.metux};
#else
  hub.virtio_lines = malloc(hub.ngpio * sizeof *hub.virtio_lines);
  hub.names = malloc(sizeof NAMES);
  memcpy(hub.names, NAMES, sizeof NAMES);
  virtio_gpio_init(&hub.virtio, &hub.port, hub.virtio_lines, hub.ngpio, (options & 1) != 0 ? NULL : hub.names,
                   sizeof NAMES);
  hub.device = (struct hub_device){&virtio_gpio_type, &hub.virtio};
#endif
}

static void close_device(void) {
#ifdef HUB_RPMSG
  free(hub.rpmsg_lines);
#elif defined HUB_METUX
  free(hub.metux_lines);
#else
  free(hub.virtio_lines);
  free(hub.names);
#endif
}

static void fill_table(void) {
  const struct hub_resource_table table = HUB_RESOURCE_TABLE(
      RESOURCE_TABLE_VERSION, 41, offered_features(), CONFIG_BYTES, hub.base, hub.memory_bytes, TABLE_ADDRESS, 64,
      RESOURCE_ADDRESS_ANY, hub.queues[0].num, RESOURCE_ADDRESS_ANY, hub.queues[1].num, VRING_ALIGNMENT);
  memcpy(hub.table, &table, sizeof table);
}

static void open_hub(struct input *input) {
  static const uint16_t nums[] = {1, 2, 4, 8, 16, 64};
  memset(&hub, 0, sizeof hub);
  changing_reset();
  const uint8_t shape = take8(input);
  hub.ngpio = (uint16_t)(1 + take8(input) % MAX_LINES);
  hub.queues[0].num = nums[shape % 6];
  hub.queues[1].num = nums[(shape >> 3) % 6];
  place_rings();
  hub.memory_bytes = hub.buffers + 256 + take8(input);
  hub.memory = calloc(1, hub.memory_bytes);
  // Also where the end of the 32-bit addresses is, and where addresses and pointers are aligned differently.
  hub.base = (shape & 0x40) != 0 ? (uint32_t)(0u - hub.memory_bytes) & ~63u : 0x20000000u;
  hub.table_bytes = sizeof *hub.table + CONFIG_BYTES;
  hub.table = calloc(1, hub.table_bytes);
  fill_table();
  hub.port = (struct hub_port){
      .translate = port_translate,
      .ring_doorbell = port_ring_doorbell,
      .read_level = port_read_level,
      .write_level = port_write_level,
      .set_direction = port_set_direction,
      .enable_edges = port_enable_edges,
      .enter_critical = port_enter_critical,
      .leave_critical = port_leave_critical,
      .clock_ns = port_clock_ns,
  };
  hub.trace_text = malloc(TRACE_BYTES);
  trace_init(&hub.trace, hub.trace_text, TRACE_BYTES);
  open_device(take8(input));
  remoteproc_vdev_init(&hub.vdev, &hub.table->vdev, &hub.port, &hub.device);
  changing.regions[0] = (struct changing_region){hub.memory, hub.memory_bytes};
  changing.regions[1] = (struct changing_region){(uint8_t *)hub.table, hub.table_bytes};
  changing.interrupt = interrupt_now;
  changing.active = true;
}

static void close_hub(void) {
  changing.active = false;
  close_device();
  free(hub.trace_text);
  free(hub.table);
  free(hub.memory);
}

static void edge(struct input *input) {
  const uint16_t line = (uint16_t)take_below(input, hub.ngpio + 1u);
  const uint8_t level = take8(input) & 1;
  if (line == hub.ngpio) {
    hub_line_changed(&hub.device, 0xFFFF, level);  // no such line: no harm
  } else if (hub.lines[line].direction != VIRTIO_GPIO_DIRECTION_OUT) {
    raise_interrupt(line, level);
  }
}

static void plan(struct input *input) {
  const uint8_t kind = take8(input);
  struct plan next = {.kind = kind % 3, .loads = take_below(input, 4) == 0 ? take16(input) % 1024 : take8(input)};
  next.offset = next.kind == PLAN_INTERRUPT ? take_below(input, hub.ngpio) : take16(input) % hub.memory_bytes;
  next.value = next.kind == PLAN_INTERRUPT ? kind >> 7 : take32(input);
  next.bytes = (uint8_t)(1u << (kind >> 4 & 3));
  if (next.bytes > 4) next.bytes = 4;
  changing_plan(next);
}

static void write_raw(struct input *input, uint8_t *into, uint32_t room) {
  const uint32_t offset = take16(input) % room;
  for (uint32_t count = 1 + take8(input) % 16, i = 0; i < count; i++) {
    const uint8_t byte = take8(input);
    if (offset + i < room) into[offset + i] = byte;
  }
}

// Chains that share all descriptors of the table: as much work as a driver can ask for in one go.
static void flood(struct input *input, struct driver_queue *queue) {
  const uint8_t shape = take8(input);
  const uint16_t flags = VRING_FLAG_NEXT | ((shape & 2) != 0 ? VRING_FLAG_WRITE : 0);
  for (uint16_t i = 0; i < queue->num; i++) {
    const bool last = i + 1u == queue->num && (shape & 1) == 0;  // else a loop
    put_descriptor(queue, i, hub.base + hub.buffers, (shape & 4) != 0 ? 1 : 0,
                   last ? flags & (uint16_t)~VRING_FLAG_NEXT : flags, (uint16_t)((i + 1u) % queue->num));
  }
  for (uint32_t i = 0; i < queue->num; i++) post(queue, 0);
}

static void step(struct input *input) {
  const uint8_t operation = take8(input);
  struct driver_queue *queue = &hub.queues[operation >> 7];
  switch (operation % 21) {
    case 0:
      bind(take_features(input));
      break;
    case 1:
    case 2:
      for (unsigned turns = 1 + take8(input) % 4; turns > 0 && service(); turns--) {
      }
      break;
    case 3:
    case 4:
      post_message(input);
      break;
    case 5:
      post_message(input);
      (void)service();
      break;
    case 6:
      post_buffer(input);
      break;
    case 7:
    case 8:
      edge(input);
      break;
    case 9:
      write_raw(input, hub.memory, hub.memory_bytes);
      break;
    case 10:
      write_raw(input, (uint8_t *)hub.table, hub.table_bytes);
      break;
    case 11:
      hub.table->vdev.status = take8(input);
      (void)service();
      break;
    case 12:
      hub.lines[take_below(input, hub.ngpio)].refuses = (operation & 0x80) != 0;
      break;
    case 13:
    case 14:
      plan(input);
      break;
    case 15:
      changing.noise_state = take16(input);
      changing.noise_one_in = take8(input);
      break;
    case 16: {
      const uint64_t address = take_address(input);
      const uint32_t size = take8(input) % 4 == 0 ? take32(input) : take8(input);
      const uint16_t flags = take8(input) & 7;
      put_descriptor(queue, take8(input), address, size, flags, take8(input));
      break;
    }
    case 17: {
      const uint8_t field = take8(input);
      const uint16_t value = take16(input);
      if (field % 4 == 0) put16(queue->available, value);                          // flags
      if (field % 4 == 1) put16(queue->available + 2, value);                      // index
      if (field % 4 == 2) put16(queue->available + 4 + 2 * queue->num, value);     // used_event
      if (field % 4 == 3) put16(queue->available + 4 + 2 * (value % queue->num), take16(input));
      break;
    }
    case 18:
      post(queue, take_below(input, queue->num + 2));
      break;
    case 19:
      flood(input, queue);
      break;
    default:
#ifdef HUB_RPMSG
      rpmsg_set_present(&hub.rpmsg.rpmsg, (operation & 0x80) != 0);
#endif
      hub.clock_ns += take32(input);
      trace_line(&hub.trace, (operation & 0x80) != 0 ? "a line" : "a line that is longer than the whole of the trace "
                                                                   "buffer has room for, all of its sixty-four bytes");
      break;
  }
}

static uint16_t used_index(const struct driver_queue *queue) {
  return (uint16_t)(hub.memory[queue->used + 2] | hub.memory[queue->used + 3] << 8);
}

// A sound driver that comes after the hostile one is served as if nothing had been.
static void serve_sound_driver(void) {
  static const uint8_t get_level[] = {0, GET_LEVEL};
  struct input request = {.bytes = get_level, .size = sizeof get_level};
  struct input one_buffer = {.size = 0};
  changing.plan_count = 0;
  changing.noise_state = 0;
  fill_table();
  hub.table->vdev.status = 0;
  MUST(!service() && hub.vdev.state == REMOTEPROC_VDEV_IDLE);
  bind(0);
  MUST(hub.vdev.state == REMOTEPROC_VDEV_BOUND);
  hub.next_buffer = 0;
  if (hub.queues[REQUEST_QUEUE].num < 2) return;  // a request takes two descriptors
  if (REQUEST_QUEUE != 0) post_buffer(&one_buffer);
  post_message(&request);
  for (unsigned turns = 0; service(); turns++) MUST(turns < 8);
  MUST(used_index(&hub.queues[REQUEST_QUEUE]) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {.bytes = bytes, .size = size};
  open_hub(&input);
  bind(take_features(&input));
  while (input_left(&input)) step(&input);
  serve_sound_driver();
  close_hub();
  return 0;
}
