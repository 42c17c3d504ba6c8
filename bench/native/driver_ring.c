#include "driver_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "measure.h"
#include "options.h"

static uint64_t patience_ns = 5000000000u;

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static size_t avail_offset(uint16_t size) { return sizeof(struct vring_desc) * size; }

static size_t used_offset(uint16_t size) {
  return round_up(avail_offset(size) + sizeof(struct vring_avail) + 2u * size + 2u, 4096);
}

size_t driver_ring_bytes(uint16_t size) {
  return round_up(used_offset(size) + sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size + 2u, 4096);
}

void driver_ring_open(struct driver_ring *ring, void *memory, uint16_t size, bool event_idx) {
  char *base = memory;
  memset(ring, 0, sizeof *ring);
  ring->desc = (void *)base;
  ring->avail = (void *)(base + avail_offset(size));
  ring->used = (void *)(base + used_offset(size));
  ring->size = size;
  ring->event_idx = event_idx;
  ring->kick_fd = eventfd(0, EFD_CLOEXEC);
  ring->call_fd = eventfd(0, EFD_CLOEXEC);
  if (ring->kick_fd < 0 || ring->call_fd < 0) fail("eventfd: %s", strerror(errno));
}

void driver_ring_close(struct driver_ring *ring) {
  close(ring->kick_fd);
  close(ring->call_fd);
}

void driver_ring_describe(struct driver_ring *ring, uint16_t pair, uint64_t readable, uint32_t readable_bytes,
                          uint64_t writable, uint32_t writable_bytes) {
  uint16_t head = (uint16_t)(pair * 2);
  ring->desc[head] = (struct vring_desc){readable, readable_bytes, VRING_DESC_NEXT, (uint16_t)(head + 1)};
  ring->desc[head + 1] = (struct vring_desc){writable, writable_bytes, VRING_DESC_WRITE, 0};
}

void driver_ring_publish(struct driver_ring *ring) {
  uint16_t before = ring->published;
  if (before == ring->added) return;
  ring_store(&ring->avail->idx, ring->added);
  ring->published = ring->added;
  /* Publish, then look whether the device sleeps; it does the reverse. */
  ring_fence();
  bool wanted = ring->event_idx
                    ? vring_need_event(ring_load(vring_avail_event(ring->used, ring->size)), ring->published, before)
                    : !(ring_load(&ring->used->flags) & VRING_USED_NO_NOTIFY);
  if (!wanted) return;
  uint64_t one = 1;
  if (write(ring->kick_fd, &one, sizeof one) != sizeof one) fail("kick: %s", strerror(errno));
  ring->kicks++;
}

bool driver_ring_reap(struct driver_ring *ring, uint16_t *pair, uint32_t *length) {
  uint16_t idx = ring_load(&ring->used->idx);
  if (idx == ring->reaped) return false;
  if ((uint16_t)(idx - ring->reaped) > (uint16_t)(ring->added - ring->reaped))
    fail("used index %u is ahead of what was made available (%u)", idx, ring->added);
  struct vring_used_elem elem = ring->used->ring[ring->reaped & (ring->size - 1)];
  ring->reaped++;
  if (elem.id >= ring->size || elem.id % 2) fail("used element names descriptor %u, which heads no chain", elem.id);
  *pair = (uint16_t)(elem.id / 2);
  *length = elem.len;
  return true;
}

bool driver_ring_enable_calls(struct driver_ring *ring) {
  if (ring->event_idx)
    ring_store(vring_used_event(ring->avail, ring->size), ring->reaped);
  else
    ring_store(&ring->avail->flags, 0);
  ring_fence();
  return ring_load(&ring->used->idx) != ring->reaped;
}

void driver_ring_disable_calls(struct driver_ring *ring) {
  /* With EVENT_IDX an event index that was passed stays quiet by itself for the next 65535 elements. */
  if (!ring->event_idx) ring_store(&ring->avail->flags, VRING_AVAIL_NO_INTERRUPT);
}

bool driver_ring_wait(struct driver_ring *ring) {
  uint64_t count, give_up_ns = 0;
  ring->calls++;
  for (;;) {
    if (read(ring->call_fd, &count, sizeof count) == sizeof count) return true;
    if (errno == EAGAIN) {
      int flags = fcntl(ring->call_fd, F_GETFL);
      if (flags < 0 || fcntl(ring->call_fd, F_SETFL, flags & ~O_NONBLOCK)) fail("fcntl: %s", strerror(errno));
      continue;
    }
    if (errno != EINTR) fail("wait for a call: %s", strerror(errno));
    if (!give_up_ns) give_up_ns = now_ns() + patience_ns;
    if (now_ns() > give_up_ns) return false;
  }
}

static void interrupt_read(int signal_number) { (void)signal_number; }

void driver_ring_watchdog(unsigned seconds) {
  patience_ns = seconds * 1000000000ull;
  struct sigaction action = {.sa_handler = interrupt_read}; /* no SA_RESTART: a blocked read returns EINTR */
  struct itimerval each_second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
  if (sigaction(SIGALRM, &action, NULL) || setitimer(ITIMER_REAL, &each_second, NULL))
    fail("watchdog: %s", strerror(errno));
}
