/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>

bool guest_memory_add(struct guest_memory *memory, int fd, uint64_t guest_address, uint64_t size_bytes,
                      uint64_t user_address, uint64_t mmap_offset) {
    struct stat status;
    const uint64_t end = mmap_offset + size_bytes;
    if (memory->count == GUEST_MAX_REGIONS || size_bytes == 0 || end < size_bytes || end > SIZE_MAX ||
        guest_address + size_bytes < size_bytes || user_address + size_bytes < size_bytes ||
        fstat(fd, &status) != 0 || (uint64_t)status.st_size < end) {
        return false;
    }
    /* From the file's start, as the offset need not be a multiple of a page. */
    void *mapping = mmap(NULL, (size_t)end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        return false;
    }
    memory->regions[memory->count++] = (struct guest_region){
        .guest_address = guest_address,
        .size_bytes = size_bytes,
        .user_address = user_address,
        .mapping = mapping,
        .mapping_bytes = (size_t)end,
        .bytes = (uint8_t *)mapping + mmap_offset,
    };
    return true;
}

void guest_memory_clear(struct guest_memory *memory) {
    for (unsigned i = 0; i < memory->count; i++) {
        munmap(memory->regions[i].mapping, memory->regions[i].mapping_bytes);
    }
    memory->count = 0;
}

void *guest_memory_translate(const struct guest_memory *memory, uint64_t address, uint32_t size_bytes) {
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *region = &memory->regions[i];
        const uint64_t offset = address - region->guest_address;
        if (address >= region->guest_address && offset <= region->size_bytes &&
            size_bytes <= region->size_bytes - offset) {
            return region->bytes + offset;
        }
    }
    return NULL;
}

bool guest_memory_of_user(const struct guest_memory *memory, uint64_t user_address, uint64_t *guest_address) {
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *region = &memory->regions[i];
        if (user_address >= region->user_address && user_address - region->user_address < region->size_bytes) {
            *guest_address = region->guest_address + (user_address - region->user_address);
            return true;
        }
    }
    return false;
}
