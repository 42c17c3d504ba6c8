#include "front_end.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "measure.h"
#include "options.h"
#include "vhost_message.h"

/* Anything but 0, so that a device that takes guest addresses for offsets is found out. */
static const uint64_t GUEST_BASE = 0x40000000;

static int connect_within(const char *path, uint64_t timeout_ms) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("--socket-path=%s: longer than a socket path may be", path);
  strcpy(address.sun_path, path);
  uint64_t give_up_ns = now_ns() + timeout_ms * 1000000u;
  for (;;) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = errno;
    close(fd);
    if ((error != ENOENT && error != ECONNREFUSED) || now_ns() > give_up_ns)
      fail("connect to %s: %s", path, strerror(error));
    usleep(20000);
  }
}

/* Sends a request whose payload is `bytes` long and waits for the acknowledgement when one was negotiated. */
static void set(struct front_end *front_end, struct vhost_message *message, uint32_t request, uint32_t bytes, int fd) {
  message->request = request;
  message->flags = VHOST_FLAG_VERSION | (front_end->reply_ack ? VHOST_FLAG_NEED_REPLY : 0u);
  message->size = bytes;
  vhost_send(front_end->socket_fd, message, fd);
  if (!front_end->reply_ack) return;
  struct vhost_message reply;
  int fds[VHOST_MOST_FDS], fd_count;
  if (!vhost_receive(front_end->socket_fd, &reply, fds, &fd_count)) fail("request %u: connection closed", request);
  if (reply.request != request || !(reply.flags & VHOST_FLAG_REPLY) || reply.size != 8 || reply.payload.number != 0)
    fail("request %u was refused (reply to %u, %u bytes, %llu)", request, reply.request, reply.size,
         (unsigned long long)reply.payload.number);
}

static void set_number(struct front_end *front_end, uint32_t request, uint64_t number, int fd) {
  struct vhost_message message = {.payload.number = number};
  set(front_end, &message, request, sizeof number, fd);
}

static void set_state(struct front_end *front_end, uint32_t request, uint32_t index, uint32_t number) {
  struct vhost_message message = {.payload.state = {index, number}};
  set(front_end, &message, request, sizeof message.payload.state, -1);
}

/* Sends a request that has an answer of its own; the answer replaces it. */
static void ask(struct front_end *front_end, struct vhost_message *message, uint32_t request, uint32_t bytes) {
  int fds[VHOST_MOST_FDS], fd_count;
  message->request = request;
  message->flags = VHOST_FLAG_VERSION;
  message->size = bytes;
  vhost_send(front_end->socket_fd, message, -1);
  if (!vhost_receive(front_end->socket_fd, message, fds, &fd_count)) fail("request %u: connection closed", request);
  if (message->request != request || !(message->flags & VHOST_FLAG_REPLY))
    fail("request %u was answered by %u with flags %#x", request, message->request, message->flags);
}

static uint64_t ask_number(struct front_end *front_end, uint32_t request) {
  struct vhost_message message = {0};
  ask(front_end, &message, request, 0);
  if (message.size != 8) fail("request %u was answered with %u bytes, not 8", request, message.size);
  return message.payload.number;
}

static void negotiate(struct front_end *front_end, bool event_idx, bool indirect) {
  struct vhost_message owner = {0};
  set(front_end, &owner, VHOST_SET_OWNER, 0, -1);
  uint64_t wanted = FEATURE_VERSION_1 | FEATURE_GPIO_IRQ | FEATURE_PROTOCOL | (event_idx ? FEATURE_EVENT_IDX : 0) |
                    (indirect ? FEATURE_INDIRECT : 0);
  uint64_t offered = ask_number(front_end, VHOST_GET_FEATURES);
  if ((offered & wanted) != wanted)
    fail("the device offers features %#llx, needed are %#llx", (unsigned long long)offered, (unsigned long long)wanted);
  uint64_t protocol = ask_number(front_end, VHOST_GET_PROTOCOL_FEATURES);
  if (!(protocol & PROTOCOL_CONFIG)) fail("the device offers no CONFIG (%#llx)", (unsigned long long)protocol);
  protocol &= PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG;
  set_number(front_end, VHOST_SET_PROTOCOL_FEATURES, protocol, -1);
  front_end->reply_ack = protocol & PROTOCOL_REPLY_ACK;
  if ((protocol & PROTOCOL_MQ) && ask_number(front_end, VHOST_GET_QUEUE_NUM) < 2) fail("the device has no eventq");
  front_end->features = wanted;
  set_number(front_end, VHOST_SET_FEATURES, wanted, -1);

  struct vhost_message config = {.payload.config = {.offset = 0, .size = sizeof(struct gpio_config)}};
  ask(front_end, &config, VHOST_GET_CONFIG, VHOST_CONFIG_HEADER_BYTES + sizeof(struct gpio_config));
  if (config.size != VHOST_CONFIG_HEADER_BYTES + sizeof(struct gpio_config))
    fail("GET_CONFIG was answered with %u bytes", config.size);
  struct gpio_config gpio;
  memcpy(&gpio, config.payload.config.bytes, sizeof gpio);
  front_end->line_count = gpio.line_count;
}

static void share_memory(struct front_end *front_end, uint16_t queue_size, bool event_idx) {
  size_t ring_bytes = driver_ring_bytes(queue_size);
  size_t request_bytes = sizeof(struct request_slot) * front_end->slot_count;
  size_t event_bytes = sizeof(struct event_slot) * front_end->slot_count;
  front_end->memory_bytes = (2 * ring_bytes + request_bytes + event_bytes + 4095) / 4096 * 4096;
  front_end->memory_fd = memfd_create("loadgen-guest", MFD_CLOEXEC);
  if (front_end->memory_fd < 0 || ftruncate(front_end->memory_fd, (off_t)front_end->memory_bytes))
    fail("guest memory: %s", strerror(errno));
  front_end->memory = mmap(NULL, front_end->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                           front_end->memory_fd, 0);
  if (front_end->memory == MAP_FAILED) fail("map guest memory: %s", strerror(errno));
  for (int i = 0; i < 2; i++)
    driver_ring_open(&front_end->rings[i], front_end->memory + (size_t)i * ring_bytes, queue_size, event_idx);
  front_end->requests = (void *)(front_end->memory + 2 * ring_bytes);
  front_end->events = (void *)(front_end->memory + 2 * ring_bytes + request_bytes);
  uint64_t requests_at = GUEST_BASE + 2 * ring_bytes, events_at = requests_at + request_bytes;
  for (uint16_t i = 0; i < front_end->slot_count; i++) {
    uint64_t request = requests_at + i * sizeof(struct request_slot), event = events_at + i * sizeof(struct event_slot);
    driver_ring_describe(&front_end->rings[REQUEST_RING], i, request, sizeof(struct gpio_request),
                         request + offsetof(struct request_slot, response), sizeof(struct gpio_response));
    driver_ring_describe(&front_end->rings[EVENT_RING], i, event, sizeof(uint16_t),
                         event + offsetof(struct event_slot, status), sizeof(uint8_t));
  }
  struct vhost_message table = {
      .payload.memory = {.region_count = 1,
                         .regions = {{GUEST_BASE, front_end->memory_bytes, (uintptr_t)front_end->memory, 0}}}};
  set(front_end, &table, VHOST_SET_MEM_TABLE, offsetof(struct vhost_memory, regions) + sizeof(struct vhost_region),
      front_end->memory_fd);
}

static void start_ring(struct front_end *front_end, uint32_t index) {
  struct driver_ring *ring = &front_end->rings[index];
  set_state(front_end, VHOST_SET_VRING_NUM, index, ring->size);
  set_state(front_end, VHOST_SET_VRING_BASE, index, 0);
  struct vhost_message address = {.payload.address = {.index = index,
                                                      .descriptors = (uintptr_t)ring->desc,
                                                      .used = (uintptr_t)ring->used,
                                                      .available = (uintptr_t)ring->avail}};
  set(front_end, &address, VHOST_SET_VRING_ADDR, sizeof address.payload.address, -1);
  set_number(front_end, VHOST_SET_VRING_CALL, index, ring->call_fd);
  set_number(front_end, VHOST_SET_VRING_KICK, index, ring->kick_fd);
  set_state(front_end, VHOST_SET_VRING_ENABLE, index, 1);
}

void front_end_open(struct front_end *front_end, const struct front_end_options *options) {
  memset(front_end, 0, sizeof *front_end);
  front_end->slot_count = options->queue_size / 2;
  front_end->socket_fd = connect_within(options->socket_path, options->connect_timeout_ms);
  negotiate(front_end, options->event_idx, options->indirect);
  share_memory(front_end, options->queue_size, options->event_idx);
  for (uint32_t i = 0; i < 2; i++) start_ring(front_end, i);
}

void front_end_close(struct front_end *front_end) {
  for (uint32_t i = 2; i-- > 0;) {
    set_state(front_end, VHOST_SET_VRING_ENABLE, i, 0);
    struct vhost_message base = {.payload.state = {i, 0}};
    ask(front_end, &base, VHOST_GET_VRING_BASE, sizeof base.payload.state);
    if ((uint16_t)base.payload.state.number != front_end->rings[i].published)
      fail("ring %u stopped at %u of %u available", i, base.payload.state.number, front_end->rings[i].published);
  }
  close(front_end->socket_fd);
  for (int i = 0; i < 2; i++) driver_ring_close(&front_end->rings[i]);
  munmap(front_end->memory, front_end->memory_bytes);
  close(front_end->memory_fd);
}

struct gpio_response front_end_request(struct front_end *front_end, uint16_t type, uint16_t line, uint32_t value) {
  struct driver_ring *ring = &front_end->rings[REQUEST_RING];
  uint16_t slot;
  uint32_t length;
  front_end_fill(front_end, 0, type, line, value);
  driver_ring_enable_calls(ring);
  driver_ring_add(ring, 0);
  driver_ring_publish(ring);
  /* Wait first: a call that is still to come would be taken for the next request's. */
  do {
    if (!driver_ring_wait(ring)) fail("request type %u on line %u was not answered by a call", type, line);
  } while (!driver_ring_reap(ring, &slot, &length));
  if (slot != 0 || length != sizeof(struct gpio_response))
    fail("request type %u on line %u: used length %u, not 2", type, line, length);
  return front_end->requests[0].response;
}

uint8_t front_end_expect_ok(struct front_end *front_end, uint16_t type, uint16_t line, uint32_t value) {
  struct gpio_response response = front_end_request(front_end, type, line, value);
  if (response.status != GPIO_OK)
    fail("request type %u on line %u with value %u: status %u", type, line, value, response.status);
  return response.value;
}
