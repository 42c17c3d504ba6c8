/* SPDX-License-Identifier: Apache-2.0 */
#include "driver_queue.h"

#include <stdlib.h>
#include <string.h>

void memory_open(struct shared_memory *memory, uint32_t size_bytes) {
    *memory = (struct shared_memory){.bytes = calloc(1, size_bytes), .size_bytes = size_bytes};
    if (memory->bytes == NULL) {
        abort();
    }
}

void memory_close(struct shared_memory *memory) {
    free(memory->bytes);
    memory->bytes = NULL;
}

uint32_t memory_allocate(struct shared_memory *memory, uint32_t size_bytes, uint32_t alignment) {
    const uint32_t at = (memory->allocated + alignment - 1) / alignment * alignment;
    if (at + size_bytes > memory->size_bytes) {
        abort(); /* the test is wrong, not the device */
    }
    memory->allocated = at + size_bytes;
    return MEMORY_BASE + at;
}

uint8_t *memory_at(const struct shared_memory *memory, uint64_t address) {
    return memory->bytes + (address - MEMORY_BASE);
}

static void put16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at) {
    return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint8_t *available_of(const struct driver_queue *queue) {
    return memory_at(queue->memory, queue->place.available);
}

static uint8_t *used_of(const struct driver_queue *queue) {
    return memory_at(queue->memory, queue->place.used);
}

void queue_open(struct driver_queue *queue, struct shared_memory *memory, uint16_t num, uint32_t notify_id,
                uint16_t start_index) {
    memset(queue, 0, sizeof *queue);
    queue->memory = memory;
    queue->num = num;
    queue->available_index = start_index;
    queue->used_index = start_index;
    queue->place = (struct vring_place){
        .num = num,
        .descriptors = memory_allocate(memory, 16u * num, 16),
        .available = memory_allocate(memory, 6u + 2u * num, 2),
        .used = memory_allocate(memory, 6u + 8u * num, 4),
        .next_available = start_index,
        .next_used = start_index,
        .notify_id = notify_id,
    };
    put16(available_of(queue) + 2, start_index);
    put16(used_of(queue) + 2, start_index);
}

uint16_t queue_free(const struct driver_queue *queue) {
    uint16_t count = 0;
    for (uint16_t i = 0; i < queue->num; i++) {
        count += !queue->busy[i];
    }
    return count;
}

static uint16_t claim(struct driver_queue *queue) {
    for (uint16_t i = 0; i < queue->num; i++) {
        if (!queue->busy[i]) {
            queue->busy[i] = true;
            return i;
        }
    }
    abort();
}

uint16_t queue_add(struct driver_queue *queue, const struct part *parts, unsigned count) {
    uint16_t head = 0;
    uint16_t next = 0;
    for (unsigned i = count; i-- > 0;) {
        const uint16_t index = claim(queue);
        const uint16_t flags =
            (uint16_t)((parts[i].writable ? VRING_FLAG_WRITE : 0u) | (i + 1 < count ? VRING_FLAG_NEXT : 0u));
        queue_set_descriptor(queue, index, parts[i].address, parts[i].size_bytes, flags, next);
        next = head = index;
    }
    queue_post(queue, head);
    return head;
}

void queue_post(struct driver_queue *queue, uint16_t head) {
    put16(available_of(queue) + 4 + 2 * (queue->available_index % queue->num), head);
    queue_set_available_index(queue, (uint16_t)(queue->available_index + 1));
}

bool queue_take(struct driver_queue *queue, struct used_entry *entry) {
    if (queue_used_index(queue) == queue->used_index) {
        return false;
    }
    const uint8_t *at = used_of(queue) + 4 + 8 * (queue->used_index % queue->num);
    entry->id = get32(at);
    entry->length = get32(at + 4);
    queue->used_index++;
    for (uint32_t index = entry->id; index < queue->num && queue->busy[index];) {
        const uint8_t *descriptor = memory_at(queue->memory, queue->place.descriptors) + 16 * index;
        queue->busy[index] = false;
        if ((get16(descriptor + 12) & VRING_FLAG_NEXT) == 0) {
            break;
        }
        index = get16(descriptor + 14);
    }
    return true;
}

void queue_set_descriptor(const struct driver_queue *queue, uint16_t index, uint64_t address, uint32_t size_bytes,
                          uint16_t flags, uint16_t next) {
    uint8_t *at = memory_at(queue->memory, queue->place.descriptors) + 16 * index;
    for (unsigned i = 0; i < 8; i++) {
        at[i] = (uint8_t)(address >> (8 * i));
    }
    put16(at + 8, (uint16_t)size_bytes);
    put16(at + 10, (uint16_t)(size_bytes >> 16));
    put16(at + 12, flags);
    put16(at + 14, next);
}

void queue_set_available_index(struct driver_queue *queue, uint16_t index) {
    queue->available_index = index;
    put16(available_of(queue) + 2, index);
}

void queue_set_available_flags(const struct driver_queue *queue, uint16_t flags) {
    put16(available_of(queue), flags);
}

void queue_set_used_event(const struct driver_queue *queue, uint16_t event) {
    put16(available_of(queue) + 4 + 2 * queue->num, event);
}

uint16_t queue_available_event(const struct driver_queue *queue) {
    return get16(used_of(queue) + 4 + 8 * queue->num);
}

uint16_t queue_used_flags(const struct driver_queue *queue) {
    return get16(used_of(queue));
}

uint16_t queue_used_index(const struct driver_queue *queue) {
    return get16(used_of(queue) + 2);
}

uint32_t random_next(uint64_t *state) {
    /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

uint32_t random_below(uint64_t *state, uint32_t limit) {
    return (uint32_t)((uint64_t)random_next(state) * limit >> 32);
}
