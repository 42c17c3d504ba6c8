/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory as SET_MEM_TABLE describes it. */
#ifndef SENSOR_HUB_VHOST_USER_GUEST_MEMORY_H
#define SENSOR_HUB_VHOST_USER_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_MAX_REGIONS 8

struct guest_region {
    uint64_t guest_address;
    uint64_t size_bytes;
    uint64_t user_address; /* in the front-end */
    uint8_t *mapping;
    size_t mapping_bytes;
    uint8_t *bytes; /* of guest_address */
};

struct guest_memory {
    struct guest_region regions[GUEST_MAX_REGIONS];
    unsigned count;
};

/* Adds a region; the descriptor stays the caller's. False: it cannot be mapped, or the file is shorter. */
bool guest_memory_add(struct guest_memory *memory, int fd, uint64_t guest_address, uint64_t size_bytes,
                      uint64_t user_address, uint64_t mmap_offset);
void guest_memory_clear(struct guest_memory *memory);
/* NULL when not all of it lies in one region. */
void *guest_memory_translate(const struct guest_memory *memory, uint64_t address, uint32_t size_bytes);
/* The guest-physical address of an address in the front-end; false: in no region. */
bool guest_memory_of_user(const struct guest_memory *memory, uint64_t user_address, uint64_t *guest_address);

#endif
