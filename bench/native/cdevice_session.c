/* One vhost-user connection: negotiation on the socket, and a thread that serves the rings while both are enabled. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cdevice.h"
#include "options.h"

struct session {
  struct cdevice *device;
  int socket_fd;
  int stop_fd;
  bool running;
  pthread_t thread;
};

/* Edge-triggered, so that a wake-up is one system call: the kick counters are never read. */
static void watch(int epoll_fd, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void *serve(void *argument) {
  struct session *session = argument;
  struct device_ring *rings = session->device->rings;
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll_fd, session->stop_fd);
  for (int i = 0; i < 2; i++) watch(epoll_fd, rings[i].kick_fd);
  for (;;) {
    for (int i = 0; i < 2; i++) device_ring_disable_kicks(&rings[i]);
    while (cdevice_serve(session->device)) continue;
    bool pending = device_ring_enable_kicks(&rings[0]);
    pending |= device_ring_enable_kicks(&rings[1]);
    if (pending) continue;
    struct epoll_event event;
    int ready = epoll_wait(epoll_fd, &event, 1, -1);
    if (ready < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    if (ready > 0 && event.data.fd == session->stop_fd) break;
  }
  close(epoll_fd);
  return NULL;
}

static void stop(struct session *session) {
  uint64_t one = 1;
  if (!session->running) return;
  if (write(session->stop_fd, &one, sizeof one) != sizeof one) fail("stop: %s", strerror(errno));
  pthread_join(session->thread, NULL);
  if (read(session->stop_fd, &one, sizeof one) != sizeof one) fail("stop: %s", strerror(errno));
  session->running = false;
}

static void start(struct session *session) {
  for (int i = 0; i < 2; i++) {
    const struct device_ring *ring = &session->device->rings[i];
    if (!ring->enabled || ring->kick_fd < 0 || ring->call_fd < 0 || !ring->desc) return;
  }
  int error = pthread_create(&session->thread, NULL, serve, session);
  if (error) fail("pthread_create: %s", strerror(error));
  session->running = true;
}

static struct device_ring *ring_of(struct session *session, uint64_t index) {
  if (index > 1) fail("ring %llu: there are two", (unsigned long long)index);
  return &session->device->rings[index];
}

static void map_memory(struct cdevice *device, const struct vhost_memory *table, int fd) {
  const struct vhost_region *region = &table->regions[0];
  if (table->region_count != 1 || fd < 0) fail("%u memory regions: this program takes one", table->region_count);
  void *at = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)region->offset);
  if (at == MAP_FAILED) fail("map guest memory: %s", strerror(errno));
  device->memory = (struct guest_memory){at, region->guest_address, region->user_address, region->bytes};
  close(fd);
}

static void place_ring(struct device_ring *ring, const struct vhost_vring_address *address) {
  uint64_t size = ring->size;
  ring->desc = guest_memory_at(ring->memory, address->descriptors, 16 * size, true);
  ring->avail = guest_memory_at(ring->memory, address->available, 6 + 2 * size, true);
  ring->used = guest_memory_at(ring->memory, address->used, 6 + 8 * size, true);
  if (!ring->size || !ring->desc || !ring->avail || !ring->used) fail("a ring lies outside memory");
  ring->pushed = ring->published = ring->used->idx;
}

static void get_config(const struct cdevice *device, struct vhost_config *config) {
  struct gpio_config gpio = {.line_count = device->line_count};
  if (config->offset > sizeof gpio || config->size > sizeof gpio - config->offset) fail("GET_CONFIG out of range");
  memcpy(config->bytes, (const char *)&gpio + config->offset, config->size);
}

/* Carries out a request; true when `message` holds an answer of its own. */
static bool carry_out(struct session *session, struct vhost_message *message, int fd) {
  struct device_ring *ring;
  switch (message->request) {
    case VHOST_GET_FEATURES:
      message->payload.number = FEATURE_GPIO_IRQ | FEATURE_EVENT_IDX | FEATURE_PROTOCOL | FEATURE_VERSION_1;
      break;
    case VHOST_GET_PROTOCOL_FEATURES:
      message->payload.number = PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG;
      break;
    case VHOST_GET_QUEUE_NUM:
      message->payload.number = 2;
      break;
    case VHOST_GET_CONFIG:
      get_config(session->device, &message->payload.config);
      return true;
    case VHOST_GET_VRING_BASE:
      stop(session);
      message->payload.state.number = ring_of(session, message->payload.state.index)->popped;
      return true;
    case VHOST_SET_FEATURES:
      for (int i = 0; i < 2; i++) session->device->rings[i].event_idx = message->payload.number & FEATURE_EVENT_IDX;
      return false;
    case VHOST_SET_MEM_TABLE:
      map_memory(session->device, &message->payload.memory, fd);
      return false;
    case VHOST_SET_VRING_NUM:
      ring_of(session, message->payload.state.index)->size = (uint16_t)message->payload.state.number;
      return false;
    case VHOST_SET_VRING_BASE:
      ring_of(session, message->payload.state.index)->popped = (uint16_t)message->payload.state.number;
      return false;
    case VHOST_SET_VRING_ADDR:
      place_ring(ring_of(session, message->payload.address.index), &message->payload.address);
      return false;
    case VHOST_SET_VRING_KICK:
      ring_of(session, message->payload.number & 0xff)->kick_fd = fd;
      return false;
    case VHOST_SET_VRING_CALL:
      ring_of(session, message->payload.number & 0xff)->call_fd = fd;
      return false;
    case VHOST_SET_VRING_ENABLE:
      ring = ring_of(session, message->payload.state.index);
      ring->enabled = message->payload.state.number;
      if (!ring->enabled) stop(session);
      else if (!session->running) start(session);
      return false;
    case VHOST_SET_OWNER:
    case VHOST_SET_PROTOCOL_FEATURES:
      return false;
    default:
      fail("request %u is unknown", message->request);
  }
  message->size = sizeof message->payload.number;
  return true;
}

void cdevice_session(struct cdevice *device, int socket_fd) {
  struct session session = {.device = device, .socket_fd = socket_fd, .stop_fd = eventfd(0, EFD_CLOEXEC)};
  struct vhost_message message;
  int fds[VHOST_MOST_FDS], fd_count;
  cdevice_reset(device);
  for (int i = 0; i < 2; i++)
    device->rings[i] = (struct device_ring){.memory = &device->memory, .kick_fd = -1, .call_fd = -1};
  while (vhost_receive(socket_fd, &message, fds, &fd_count)) {
    bool acknowledge = message.flags & VHOST_FLAG_NEED_REPLY;
    bool answered = carry_out(&session, &message, fd_count ? fds[0] : -1);
    if (!answered && !acknowledge) continue;
    if (!answered) {
      message.payload.number = 0;
      message.size = sizeof message.payload.number;
    }
    message.flags = VHOST_FLAG_VERSION | VHOST_FLAG_REPLY;
    vhost_send(socket_fd, &message, -1);
  }
  stop(&session);
  for (int i = 0; i < 2; i++) {
    if (device->rings[i].kick_fd >= 0) close(device->rings[i].kick_fd);
    if (device->rings[i].call_fd >= 0) close(device->rings[i].call_fd);
  }
  if (device->memory.at) munmap(device->memory.at, device->memory.bytes);
  device->memory = (struct guest_memory){0};
  close(session.stop_fd);
}
