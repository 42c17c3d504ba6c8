/* The device's side of one split virtqueue, for chains of one readable and one writable descriptor. */
#ifndef BENCH_DEVICE_RING_H
#define BENCH_DEVICE_RING_H

#include <stddef.h>

#include "vring_layout.h"

/* The guest's memory: one region. */
struct guest_memory {
  char *at;
  uint64_t guest_address;
  uint64_t user_address;
  uint64_t bytes;
};

struct device_ring {
  const struct guest_memory *memory;
  struct vring_desc *desc;
  struct vring_avail *avail;
  struct vring_used *used;
  uint16_t size;
  uint16_t popped;    /* next avail index to look at */
  uint16_t pushed;    /* next used index, not yet published */
  uint16_t published; /* used index that the driver sees */
  bool event_idx;
  bool enabled;
  int kick_fd;
  int call_fd;
};

struct device_chain {
  uint16_t head;
  const void *readable;
  void *writable;
};

/* Where `bytes` bytes at a guest address or (user) a front-end address lie; NULL when they are not in the region. */
void *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t bytes, bool user);

/* Takes a chain with at least the given sizes; false when there is none. Ends the program on a malformed one. */
bool device_ring_pop(struct device_ring *ring, struct device_chain *chain, uint32_t readable_bytes,
                     uint32_t writable_bytes);

static inline void device_ring_push(struct device_ring *ring, uint16_t head, uint32_t length) {
  ring->used->ring[ring->pushed & (ring->size - 1)] = (struct vring_used_elem){head, length};
  ring->pushed++;
}

/* Shows what was pushed to the driver, with one call when it wants one. */
void device_ring_publish(struct device_ring *ring);

void device_ring_disable_kicks(struct device_ring *ring);

/* Asks for kicks; true when something became available meanwhile. */
bool device_ring_enable_kicks(struct device_ring *ring);

#endif
