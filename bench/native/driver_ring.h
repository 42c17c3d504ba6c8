/* The driver's side of one split virtqueue whose chains are all pairs: a readable and a writable descriptor. */
#ifndef BENCH_DRIVER_RING_H
#define BENCH_DRIVER_RING_H

#include <stddef.h>

#include "vring_layout.h"

struct driver_ring {
  struct vring_desc *desc;
  struct vring_avail *avail;
  struct vring_used *used;
  uint16_t size;
  uint16_t added;     /* next avail index, not yet published */
  uint16_t published; /* avail index that the device sees */
  uint16_t reaped;    /* next used index to look at */
  bool event_idx;
  int kick_fd;
  int call_fd;
  uint64_t kicks; /* notifications sent */
  uint64_t calls; /* notifications waited for */
};

/* Bytes that a ring of `size` descriptors takes, rounded up to pages. */
size_t driver_ring_bytes(uint16_t size);

/* Places a ring in zeroed memory and makes its two eventfds. */
void driver_ring_open(struct driver_ring *ring, void *memory, uint16_t size, bool event_idx);
void driver_ring_close(struct driver_ring *ring);

/* Describes pair `pair` (descriptors 2 x pair and 2 x pair + 1) once; its buffers never move. */
void driver_ring_describe(struct driver_ring *ring, uint16_t pair, uint64_t readable, uint32_t readable_bytes,
                          uint64_t writable, uint32_t writable_bytes);

static inline void driver_ring_add(struct driver_ring *ring, uint16_t pair) {
  ring->avail->ring[ring->added & (ring->size - 1)] = (uint16_t)(pair * 2);
  ring->added++;
}

/* Shows the added pairs to the device, and kicks it when it wants to be. */
void driver_ring_publish(struct driver_ring *ring);

/* Takes one used element; false when there is none. Ends the program when it names no pair of ours. */
bool driver_ring_reap(struct driver_ring *ring, uint16_t *pair, uint32_t *length);

/* Asks for a call at the next used element; true when one is there already (then no call may come). */
bool driver_ring_enable_calls(struct driver_ring *ring);
void driver_ring_disable_calls(struct driver_ring *ring);

/*
 * Blocks until the device calls. false when the watchdog found that nothing came for its time. A call descriptor is
 * made blocking again if the device made it non-blocking: a read is then one system call, as it is in the floor.
 */
bool driver_ring_wait(struct driver_ring *ring);

/* Starts the interval timer behind driver_ring_wait; `seconds` without a call is taken as a lost one. */
void driver_ring_watchdog(unsigned seconds);

#endif
