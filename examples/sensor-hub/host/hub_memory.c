/* SPDX-License-Identifier: Apache-2.0 */
#include "hub_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../lib/port.h"

/* 0x0000 table, 0x0400 trace, 0x1000 vrings (--vrings=fixed), 0x4000 buffers; or all from 0x1000 on. */
#define TRACE_OFFSET 0x400u
#define TRACE_BYTES 0xC00u
#define VRINGS_OFFSET 0x1000u
#define BUFFERS_OFFSET 0x4000u
#define MAX_NUM0 64u
#define VRING_ALIGN 64u
#define VRING1_OFFSET (VRINGS_OFFSET + 0x800u)
_Static_assert(sizeof(struct hub_resource_table) + HUB_MEMORY_CONFIG_BYTES <= TRACE_OFFSET, "the table fits");
_Static_assert(VRING_BYTES(MAX_NUM0, VRING_ALIGN) <= 0x800u, "vring 0 fits");
_Static_assert(VRING1_OFFSET + VRING_BYTES(HUB_MEMORY_FIXED_NUM1, VRING_ALIGN) <= BUFFERS_OFFSET, "vring 1 fits");

bool hub_memory_map(struct hub_memory *memory, int fd, uint32_t device_address) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        fprintf(stderr, "sensor-hub: memory descriptor %d: %s\n", fd, strerror(errno));
        return false;
    }
    if (status.st_size < (off_t)HUB_MEMORY_MIN_BYTES ||
        (uint64_t)status.st_size > UINT64_C(0x100000000) - device_address) {
        fprintf(stderr, "sensor-hub: memory of %lld bytes at 0x%08x: need at least %u bytes below 4 GiB\n",
                (long long)status.st_size, device_address, HUB_MEMORY_MIN_BYTES);
        return false;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        fprintf(stderr, "sensor-hub: cannot map memory descriptor %d: %s\n", fd, strerror(errno));
        return false;
    }
    memory->bytes = bytes;
    /* 4 GiB at address 0: the last byte is of no use to anybody. */
    memory->size_bytes = status.st_size > UINT32_MAX ? UINT32_MAX : (uint32_t)status.st_size;
    memory->device_address = device_address;
    memory->table = bytes;
    return true;
}

void hub_memory_fill(struct hub_memory *memory, const struct dialect_vdev *vdev, bool fixed_vrings) {
    const uint32_t base = memory->device_address;
    const uint32_t buffers = fixed_vrings ? BUFFERS_OFFSET : VRINGS_OFFSET;
    const struct hub_resource_table table = HUB_RESOURCE_TABLE(
        0, vdev->id, vdev->features, vdev->config_bytes, base + buffers, memory->size_bytes - buffers,
        base + TRACE_OFFSET, TRACE_BYTES, fixed_vrings ? base + VRINGS_OFFSET : RESOURCE_ADDRESS_ANY, vdev->num[0],
        fixed_vrings ? base + VRING1_OFFSET : RESOURCE_ADDRESS_ANY, vdev->num[1], VRING_ALIGN);
    memory->table->ver = 0;
    PORT_MEMORY_BARRIER(); /* no reader takes the old contents for valid while they change */
    memcpy(memory->bytes + sizeof table.ver, (const uint8_t *)&table + sizeof table.ver,
           sizeof table - sizeof table.ver);
    memcpy(memory->bytes + sizeof table, vdev->config, vdev->config_bytes);
}

void hub_memory_publish(struct hub_memory *memory) {
    PORT_MEMORY_BARRIER();
    memory->table->ver = RESOURCE_TABLE_VERSION;
}

void *hub_memory_translate(const struct hub_memory *memory, uint64_t address, uint32_t size_bytes) {
    if (address < memory->device_address) {
        return NULL;
    }
    const uint64_t offset = address - memory->device_address;
    if (offset > memory->size_bytes || size_bytes > memory->size_bytes - offset) {
        return NULL;
    }
    return memory->bytes + offset;
}

volatile char *hub_memory_trace(const struct hub_memory *memory, uint32_t *size_bytes) {
    *size_bytes = TRACE_BYTES;
    return (volatile char *)memory->bytes + TRACE_OFFSET;
}
