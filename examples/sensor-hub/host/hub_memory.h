/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that the host port shares with the driver: what lies where, and the way into it. */
#ifndef SENSOR_HUB_HOST_HUB_MEMORY_H
#define SENSOR_HUB_HOST_HUB_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "../lib/resource_table.h"
#include "host_dialect.h"

#define HUB_MEMORY_MIN_BYTES 65536u

struct hub_memory {
    uint8_t *bytes;
    uint32_t size_bytes;
    uint32_t device_address; /* of the first byte */
    volatile struct hub_resource_table *table;
};

/* Maps all of the descriptor; on failure prints why and returns false. */
bool hub_memory_map(struct hub_memory *memory, int fd, uint32_t device_address);
/* The largest vring 1 for which there is room with --vrings=fixed. */
#define HUB_MEMORY_FIXED_NUM1 256u
/* Room for the vdev's config space behind the table. */
#define HUB_MEMORY_CONFIG_BYTES (0x400u - sizeof(struct hub_resource_table))

/* Fills the table but for its version: 0 until hub_memory_publish. */
void hub_memory_fill(struct hub_memory *memory, const struct dialect_vdev *vdev, bool fixed_vrings);
void hub_memory_publish(struct hub_memory *memory);
/* hub_port.translate, with a struct hub_memory as its context. */
void *hub_memory_translate(const struct hub_memory *memory, uint64_t address, uint32_t size_bytes);
volatile char *hub_memory_trace(const struct hub_memory *memory, uint32_t *size_bytes);

#endif
