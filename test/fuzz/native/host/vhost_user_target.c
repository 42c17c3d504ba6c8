// The hub's vhost-user back-end: whole messages of any content, with descriptors, and a guest's memory with rings of any
// content. Memory is not shrunk: the back-end is a test's tool and says that it trusts the front-end for that.
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../../examples/sensor-hub/host/lines.h"
#include "../../../../examples/sensor-hub/vhost-user/back_end.h"
#include "../common/input.h"
#include "host_harness.h"

#define LINES 16
#define MEMORY_BYTES 32768u
#define FRONT_DESCRIPTORS 4  // two memories, two eventfds

static struct {
  struct lines lines;
  struct host_dialect dialect;
  struct hub_port port;
  struct dialect_vdev vdev;
  struct back_end back_end;
  int front;
} hub;
static int descriptors[FRONT_DESCRIPTORS];
static uint8_t *memories[2];

static void *port_translate(void *context, uint64_t address, uint32_t size) {
  (void)context;
  return guest_memory_translate(&hub.back_end.memory, address, size);
}
static void port_ring_doorbell(void *context, uint32_t id) {
  (void)context;
  back_end_call(&hub.back_end, id);
}
static uint8_t port_read_level(void *context, uint16_t line) {
  (void)context;
  return hub.lines.line[line].level;
}
static bool port_write_level(void *context, uint16_t line, uint8_t level) {
  (void)context;
  lines_write(&hub.lines, line, level);
  return true;
}
static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
  (void)context;
  lines_set_direction(&hub.lines, line, direction, level);
  return true;
}
static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
  (void)context;
  hub.lines.line[line].edges = edges;
  return true;
}
static uint32_t port_enter_critical(void *context) {
  (void)context;
  return 0;
}
static void port_leave_critical(void *context, uint32_t state) { (void)context, (void)state; }
static uint64_t port_clock_ns(void *context) {
  (void)context;
  return quiet_now_ns++;
}

static void make_descriptors(void) {
  for (unsigned i = 0; i < 2; i++) {
    descriptors[i] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    MUST(ftruncate(descriptors[i], MEMORY_BYTES) == 0);
    memories[i] = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[i], 0);
    MUST(memories[i] != MAP_FAILED);
    descriptors[2 + i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
}

static void connect_front(void) {
  int ends[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  if (hub.front >= 0) close(hub.front);
  hub.front = ends[0];
  back_end_connect(&hub.back_end, ends[1]);
}

// Whole, or the end of the connection behind a part of it: the back-end waits for the rest.
static void send_message(const uint8_t *bytes, size_t size, unsigned fd_count, uint8_t which, bool cut) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * 12)];
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > 0) {
    int fds[12];
    for (unsigned i = 0; i < fd_count; i++) fds[i] = descriptors[(which >> (2 * (i % 4))) % FRONT_DESCRIPTORS];
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
  }
  if (sendmsg(hub.front, &message, MSG_NOSIGNAL) != (ssize_t)size || cut) shutdown(hub.front, SHUT_WR);
  if (!back_end_serve_message(&hub.back_end)) connect_front();
  uint8_t replies[1024];
  while (recv(hub.front, replies, sizeof replies, MSG_DONTWAIT) > 0) {
  }
}

struct message {
  uint32_t request;
  uint32_t flags;
  uint32_t size;
  uint8_t payload[600];
};

static void any_message(struct input *input) {
  struct message message = {.request = take8(input) % 28u};
  const uint8_t shape = take8(input);
  message.flags = (shape & 1) != 0 ? 9 : 1;
  message.size = (shape & 2) != 0 ? take16(input) % 600u : take8(input) % 64u;
  for (uint32_t i = 0; i < message.size && i < 80; i++) message.payload[i] = take8(input);
  const uint32_t there = message.size;
  if ((shape & 0xF0) == 0xF0) message.size = take32(input);
  const uint8_t fds = take8(input);
  send_message((const uint8_t *)&message, 12 + there, (shape >> 2) % 4u == 3 ? fds % 13u : (shape >> 2) % 4u, fds,
               message.size != there);
}

static void send_numbers(uint32_t request, const uint64_t *numbers, unsigned count, unsigned fds, uint8_t which) {
  struct message message = {.request = request, .flags = 9, .size = 8 * count};
  memcpy(message.payload, numbers, 8 * count);
  send_message((const uint8_t *)&message, 12 + message.size, fds, which, false);
}

// What a guest does until both of its queues run; `odd` is a place where it errs.
static void set_up(struct input *input) {
  const uint16_t odd = take16(input);
  const uint64_t base = 0x100000000u;
  const uint64_t user = 0x7F0000000000u;
  const uint64_t offset = (odd & 1) != 0 ? take16(input) : 0;
  const uint64_t num = (odd & 2) != 0 ? take16(input) : 16;
  const uint64_t features = hub.vdev.features & ((odd & 4) != 0 ? take32(input) : UINT32_MAX);
  send_numbers(2, (uint64_t[]){features | UINT64_C(1) << 32 | UINT64_C(1) << 30}, 1, 0, 0);
  send_numbers(5, (uint64_t[]){2, base, MEMORY_BYTES - offset, user, offset, base + MEMORY_BYTES, MEMORY_BYTES,
                               user + MEMORY_BYTES, 0},
               9, 2, 0x04);
  for (uint64_t queue = 0; queue < 2; queue++) {
    const uint64_t at = user + 4096 * queue + ((odd & 8) != 0 ? take8(input) : 0);
    send_numbers(8, (uint64_t[]){queue | num << 32}, 1, 0, 0);
    send_numbers(10, (uint64_t[]){queue | (uint64_t)(odd & 16) << 32}, 1, 0, 0);
    send_numbers(9, (uint64_t[]){queue, at, at + 2048, at + 1024, 0}, 5, 0, 0);
    send_numbers(12, (uint64_t[]){queue}, 1, 1, 2);
    send_numbers(13, (uint64_t[]){queue}, 1, 1, 3);
    send_numbers(18, (uint64_t[]){queue | UINT64_C(1) << 32}, 1, 0, 0);
  }
}

static void step(struct input *input) {
  const uint8_t operation = take8(input);
  switch (operation % 8) {
    case 0:
      any_message(input);
      break;
    case 1:
      set_up(input);
      break;
    case 2:
      connect_front();
      break;
    case 3:
    case 4: {
      uint32_t at = take16(input) % (operation >= 128 ? 8192u : 1024u);
      for (unsigned count = 1 + take8(input) % 32; count > 0 && at < MEMORY_BYTES; count--) {
        memories[0][at++] = take8(input);
      }
      break;
    }
    case 5: {
      const uint16_t line = (uint16_t)take_below(input, LINES);
      if (lines_driver_of(&hub.lines, line) < 0) lines_drive(&hub.lines, line, operation >> 7);
      hub_flush_events(&hub.dialect.device);
      break;
    }
    default:
      for (unsigned turns = 0; turns < 4 && hub.dialect.device.type->service(hub.dialect.device.state); turns++) {
      }
      break;
  }
}

static uint64_t open_descriptors(void) {
  uint64_t set = 0;
  for (int fd = 0; fd < 64; fd++) set |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
  return set;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const char *const dialects[] = {"virtio-gpio", "srtm", "rpmsg-io", "metux"};
  struct input input = {.bytes = bytes, .size = size};
  struct dialect_options options = DIALECT_DEFAULT;
  quiet_open();
  if (memories[0] == NULL) make_descriptors();
  memset(memories[0], 0, 8192);
  memset(&hub, 0, sizeof hub);
  hub.front = -1;
  MUST(dialect_select(&options, dialects[take8(&input) % 4]));
  options.plain = options.kind == DIALECT_VIRTIO_GPIO;
  hub.port = (struct hub_port){.translate = port_translate,
                               .ring_doorbell = port_ring_doorbell,
                               .read_level = port_read_level,
                               .write_level = port_write_level,
                               .set_direction = port_set_direction,
                               .enable_edges = port_enable_edges,
                               .enter_critical = port_enter_critical,
                               .leave_critical = port_leave_critical,
                               .clock_ns = port_clock_ns};
  MUST(lines_init(&hub.lines, LINES, &hub.dialect.device));
  MUST(dialect_open(&hub.dialect, &options, &hub.port, LINES, hub.lines.names, hub.lines.names_bytes));
  dialect_describe(&options, &hub.dialect, LINES, hub.lines.names, hub.lines.names_bytes, sizeof hub.vdev.config,
                   &hub.vdev);
  back_end_init(&hub.back_end, &hub.dialect, &hub.vdev);
  const uint64_t open_before = open_descriptors();
  connect_front();
  while (input_left(&input)) step(&input);
  back_end_disconnect(&hub.back_end);
  close(hub.front);
  MUST(open_descriptors() == open_before);
  dialect_close(&hub.dialect);
  lines_free(&hub.lines);
  return 0;
}
