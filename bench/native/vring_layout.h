/* Split virtqueue layout and feature bits (virtio 1.2, sections 2.7 and 6). Little-endian hosts only, as the ABI is. */
#ifndef BENCH_VRING_LAYOUT_H
#define BENCH_VRING_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the rings are little-endian");

enum { VRING_DESC_NEXT = 1, VRING_DESC_WRITE = 2, VRING_DESC_INDIRECT = 4 };
enum { VRING_AVAIL_NO_INTERRUPT = 1, VRING_USED_NO_NOTIFY = 1 };

#define FEATURE_GPIO_IRQ (1ull << 0)
#define FEATURE_INDIRECT (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_PROTOCOL (1ull << 30)
#define FEATURE_VERSION_1 (1ull << 32)

struct vring_desc {
  uint64_t addr;
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};

struct vring_used_elem {
  uint32_t id;
  uint32_t len;
};

/* `ring` is followed by used_event. */
struct vring_avail {
  uint16_t flags;
  uint16_t idx;
  uint16_t ring[];
};

/* `ring` is followed by avail_event. */
struct vring_used {
  uint16_t flags;
  uint16_t idx;
  struct vring_used_elem ring[];
};

static inline uint16_t *vring_used_event(struct vring_avail *avail, uint16_t size) { return &avail->ring[size]; }

static inline uint16_t *vring_avail_event(struct vring_used *used, uint16_t size) {
  return (uint16_t *)(void *)&used->ring[size];
}

/* With EVENT_IDX: does going from `before` to `now` pass the index that the other side asked to be told of? */
static inline bool vring_need_event(uint16_t event, uint16_t now, uint16_t before) {
  return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

/* Both sides write these words; the other side is another process. */
#define ring_load(pointer) __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
#define ring_store(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)
#define ring_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

#endif
