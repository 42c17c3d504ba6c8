#include "device_ring.h"

#include <unistd.h>

#include "options.h"

void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t bytes, bool user) {
  uint64_t offset = address - (user ? memory->user_address : memory->guest_address);
  return offset < memory->bytes && bytes <= memory->bytes - offset ? memory->at + offset : NULL;
}

bool device_ring_pop(struct device_ring *ring, struct device_chain *chain, uint32_t readable_bytes,
                     uint32_t writable_bytes) {
  if (ring_load(&ring->avail->idx) == ring->popped) return false;
  uint16_t head = ring->avail->ring[ring->popped & (ring->size - 1)];
  if (head >= ring->size) fail("descriptor %u is out of range", head);
  struct vring_desc first = ring->desc[head];
  if (!(first.flags & VRING_DESC_NEXT) || first.next >= ring->size) fail("descriptor %u heads no pair", head);
  struct vring_desc second = ring->desc[first.next];
  if (first.len < readable_bytes || second.len < writable_bytes || !(second.flags & VRING_DESC_WRITE))
    fail("descriptor %u: %u readable and %u writable bytes", head, first.len, second.len);
  chain->head = head;
  chain->readable = guest_memory_at(ring->memory, first.addr, readable_bytes, false);
  chain->writable = guest_memory_at(ring->memory, second.addr, writable_bytes, false);
  if (!chain->readable || !chain->writable) fail("descriptor %u lies outside memory", head);
  ring->popped++;
  return true;
}

void device_ring_publish(struct device_ring *ring) {
  uint16_t before = ring->published;
  if (before == ring->pushed) return;
  ring_store(&ring->used->idx, ring->pushed);
  ring->published = ring->pushed;
  ring_fence();
  bool wanted = ring->event_idx
                    ? vring_need_event(ring_load(vring_used_event(ring->avail, ring->size)), ring->published, before)
                    : !(ring_load(&ring->avail->flags) & VRING_AVAIL_NO_INTERRUPT);
  uint64_t one = 1;
  if (wanted && write(ring->call_fd, &one, sizeof one) != sizeof one) fail("call failed");
}

void device_ring_disable_kicks(struct device_ring *ring) {
  if (!ring->event_idx) ring_store(&ring->used->flags, VRING_USED_NO_NOTIFY);
}

bool device_ring_enable_kicks(struct device_ring *ring) {
  if (ring->event_idx)
    ring_store(vring_avail_event(ring->used, ring->size), ring->popped);
  else
    ring_store(&ring->used->flags, 0);
  ring_fence();
  return ring_load(&ring->avail->idx) != ring->popped;
}
