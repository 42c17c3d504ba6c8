/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a split ring, written apart from the device side that it tests. */
#ifndef FIRMWARE_TEST_DRIVER_QUEUE_H
#define FIRMWARE_TEST_DRIVER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "../../examples/sensor-hub/lib/vring_device.h"

#define MEMORY_BASE 0x20000000u

/* The shared memory: exactly its size on the heap, so that the address sanitizer guards its ends. */
struct shared_memory {
    uint8_t *bytes;
    uint32_t size_bytes;
    uint32_t allocated;
};

void memory_open(struct shared_memory *memory, uint32_t size_bytes);
void memory_close(struct shared_memory *memory);
/* Device address of a fresh piece. */
uint32_t memory_allocate(struct shared_memory *memory, uint32_t size_bytes, uint32_t alignment);
uint8_t *memory_at(const struct shared_memory *memory, uint64_t address);

struct part {
    uint64_t address;
    uint32_t size_bytes;
    bool writable;
};

struct driver_queue {
    struct shared_memory *memory;
    struct vring_place place;
    uint16_t num;
    uint16_t available_index;
    uint16_t used_index;
    bool busy[1024];
};

struct used_entry {
    uint32_t id;
    uint32_t length;
};

void queue_open(struct driver_queue *queue, struct shared_memory *memory, uint16_t num, uint32_t notify_id,
                uint16_t start_index);
uint16_t queue_free(const struct driver_queue *queue);
/* Posts a chain; returns its head. */
uint16_t queue_add(struct driver_queue *queue, const struct part *parts, unsigned count);
/* Posts a head as it is. */
void queue_post(struct driver_queue *queue, uint16_t head);
bool queue_take(struct driver_queue *queue, struct used_entry *entry);

void queue_set_descriptor(const struct driver_queue *queue, uint16_t index, uint64_t address, uint32_t size_bytes,
                          uint16_t flags, uint16_t next);
void queue_set_available_index(struct driver_queue *queue, uint16_t index);
void queue_set_available_flags(const struct driver_queue *queue, uint16_t flags);
void queue_set_used_event(const struct driver_queue *queue, uint16_t event);
uint16_t queue_available_event(const struct driver_queue *queue);
uint16_t queue_used_flags(const struct driver_queue *queue);
uint16_t queue_used_index(const struct driver_queue *queue);

/* A small generator with a fixed seed: a failure shows again. */
uint32_t random_next(uint64_t *state);
uint32_t random_below(uint64_t *state, uint32_t limit);

#endif
