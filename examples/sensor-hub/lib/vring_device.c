/* SPDX-License-Identifier: Apache-2.0 */
#include "vring_device.h"

#include <stddef.h>

/* Offsets in the rings; see the layout in vring_device.h. */
#define RING_FLAGS 0u
#define RING_INDEX 2u
#define RING_ENTRIES 4u
#define USED_ENTRY_BYTES 8u

struct descriptor {
    uint64_t address;
    uint32_t size_bytes;
    uint16_t flags;
    uint16_t next;
};

/* Shared memory may be device memory: single aligned accesses of their own width, never a block copy. */
static uint16_t load16(const volatile uint8_t *at) {
    return *(const volatile uint16_t *)(const volatile void *)at;
}

static uint32_t load32(const volatile uint8_t *at) {
    return *(const volatile uint32_t *)(const volatile void *)at;
}

static void store16(volatile uint8_t *at, uint16_t value) {
    *(volatile uint16_t *)(volatile void *)at = value;
}

static void store32(volatile uint8_t *at, uint32_t value) {
    *(volatile uint32_t *)(volatile void *)at = value;
}

static uint32_t available_bytes(uint16_t num) {
    return RING_ENTRIES + 2u * num + 2u;
}

static uint32_t used_bytes_of(uint16_t num) {
    return RING_ENTRIES + USED_ENTRY_BYTES * num + 2u;
}

/* A constant where EVENT_IDX is left out, so that its code goes too. */
static bool uses_event_idx(const struct vring_device *ring) {
    return VRING_EVENT_IDX && ring->event_idx;
}

static bool aligned(uint64_t address, const void *pointer, unsigned alignment) {
    return address % alignment == 0 && (uintptr_t)pointer % alignment == 0;
}

bool vring_attach(struct vring_device *ring, const struct hub_port *port, const struct vring_place *place,
                  bool event_idx) {
    vring_detach(ring);
    if (place->num == 0 || place->num > 32768u || (place->num & (place->num - 1u)) != 0) {
        return false;
    }
    void *descriptors = port->translate(port->context, place->descriptors, VRING_DESCRIPTOR_BYTES * place->num);
    void *available = port->translate(port->context, place->available, available_bytes(place->num));
    void *used = port->translate(port->context, place->used, used_bytes_of(place->num));
    /* virtio 1.x 2.7: 16, 2 and 4; 4 is enough for the table here, it is read in 32-bit pieces. */
    if (descriptors == NULL || available == NULL || used == NULL ||
        !aligned(place->descriptors, descriptors, 4) || !aligned(place->available, available, 2) ||
        !aligned(place->used, used, 4)) {
        return false;
    }
    ring->port = port;
    ring->descriptors = descriptors;
    ring->available = available;
    ring->used = used;
    ring->num = place->num;
    ring->next_available = place->next_available;
    ring->next_used = place->next_used;
    ring->published_used = place->next_used;
    ring->notified_used = place->next_used;
    ring->notify_id = place->notify_id;
    ring->event_idx = event_idx;
    vring_allow(ring);
    return true;
}

void vring_detach(struct vring_device *ring) {
    ring->descriptors = NULL;
    ring->available = NULL;
    ring->used = NULL;
    ring->num = 0;
    ring->broken = false;
}

bool vring_attached(const struct vring_device *ring) {
    return ring->descriptors != NULL;
}

/* The caller has checked that index < num. */
static struct descriptor load_descriptor(const struct vring_device *ring, uint16_t index) {
    const volatile uint8_t *at = ring->descriptors + VRING_DESCRIPTOR_BYTES * index;
    struct descriptor copy = {
        .address = load32(at) | (uint64_t)load32(at + 4) << 32,
        .size_bytes = load32(at + 8),
        .flags = load16(at + 12),
        .next = load16(at + 14),
    };
    return copy;
}

/* The bytes of one descriptor, or NULL; an empty one needs no memory and is no fault. */
static volatile uint8_t *bytes_of(const struct vring_device *ring, const struct descriptor *part) {
    static uint8_t nothing;
    if (part->size_bytes == 0) {
        return &nothing;
    }
    return ring->port->translate(ring->port->context, part->address, part->size_bytes);
}

/* Returns VRING_FAULT_KINDS when the chain is sound, and in any case how far it looked. */
static enum vring_fault measure(const struct vring_device *ring, uint16_t head, uint16_t max_parts,
                                struct vring_chain *chain) {
    uint64_t readable = 0;
    uint64_t writable = 0;
    bool seen_writable = false;
    uint16_t index = head;
    chain->head = head;
    chain->first_writable = head;
    for (chain->parts = 0; chain->parts < max_parts;) {
        const struct descriptor part = load_descriptor(ring, index);
        chain->parts++;
        if ((part.flags & VRING_FLAG_INDIRECT) != 0) {
            return VRING_FAULT_INDIRECT;
        }
        if ((part.flags & VRING_FLAG_WRITE) != 0) {
            if (!seen_writable) {
                chain->first_writable = index;
            }
            seen_writable = true;
            writable += part.size_bytes;
        } else if (seen_writable) {
            return VRING_FAULT_ORDER;
        } else {
            readable += part.size_bytes;
        }
        if (bytes_of(ring, &part) == NULL) {
            return VRING_FAULT_ADDRESS;
        }
        if (readable + writable > UINT32_MAX) {
            return VRING_FAULT_LENGTH;
        }
        if ((part.flags & VRING_FLAG_NEXT) == 0) {
            chain->readable_bytes = (uint32_t)readable;
            chain->writable_bytes = (uint32_t)writable;
            return VRING_FAULT_KINDS;
        }
        if (part.next >= ring->num) {
            return VRING_FAULT_NEXT;
        }
        index = part.next;
    }
    return VRING_FAULT_LOOP;
}

/* How many chains wait; a jump of more than the queue can hold breaks it. */
static uint16_t waiting(struct vring_device *ring) {
    if (ring->descriptors == NULL || ring->broken) {
        return 0;
    }
    const uint16_t count = (uint16_t)(load16(ring->available + RING_INDEX) - ring->next_available);
    if (count > ring->num) {
        ring->broken = true;
        return 0;
    }
    return count;
}

void vring_allow(struct vring_device *ring) {
    ring->allowance = ring->num;
}

static void spend(struct vring_device *ring, uint16_t descriptors) {
    ring->allowance = descriptors < ring->allowance ? (uint16_t)(ring->allowance - descriptors) : 0;
}

bool vring_pop(struct vring_device *ring, struct vring_chain *chain) {
    /* Looked at once a call: malformed chains posted without end must not keep us here. */
    for (uint16_t left = waiting(ring); left > 0 && ring->allowance > 0; left--) {
        PORT_MEMORY_BARRIER(); /* the index before the entry and the descriptors that it announces */
        const uint16_t slot = ring->next_available & (uint16_t)(ring->num - 1u);
        const uint16_t head = load16(ring->available + RING_ENTRIES + 2u * slot);
        ring->next_available++;
        if (head >= ring->num) {
            /* There is no chain to give back, and a driver that gets a foreign id breaks its queue. */
            ring->faults[VRING_FAULT_HEAD]++;
            spend(ring, 1);
            continue;
        }
        const enum vring_fault fault = measure(ring, head, ring->num, chain);
        if (fault == VRING_FAULT_KINDS) {
            ring->chains++;
            /* Its first descriptor is free: however many sound buffers are needed, there is always another one. */
            spend(ring, (uint16_t)(chain->parts - 1u));
            return true;
        }
        spend(ring, chain->parts);
        ring->faults[fault]++;
        vring_complete(ring, head, 0);
    }
    return false;
}

void vring_refuse(struct vring_device *ring, const struct vring_chain *chain) {
    ring->faults[VRING_FAULT_SHAPE]++;
    spend(ring, 1);
    vring_complete(ring, chain->head, 0);
}

bool vring_reopen(struct vring_device *ring, uint16_t head, uint16_t parts, struct vring_chain *chain) {
    return ring->descriptors != NULL && head < ring->num &&
           measure(ring, head, parts < ring->num ? parts : ring->num, chain) == VRING_FAULT_KINDS;
}

/*
 * Runs over one side of a chain of at most `parts` descriptors from the descriptor `index` on and copies between it and
 * local memory. The driver may have changed the chain since it was measured, so everything is checked again.
 */
static uint32_t copy(const struct vring_device *ring, uint16_t index, uint16_t parts, uint16_t side, uint32_t offset,
                     uint8_t *into, const uint8_t *from, uint32_t size_bytes) {
    uint32_t done = 0;
    for (uint16_t left = parts; done < size_bytes && left > 0; left--) {
        const struct descriptor part = load_descriptor(ring, index);
        volatile uint8_t *bytes = bytes_of(ring, &part);
        if ((part.flags & VRING_FLAG_WRITE) != side || bytes == NULL) {
            break;
        }
        if (offset >= part.size_bytes) {
            offset -= part.size_bytes;
        } else {
            /* Bytes, as a chain may be cut anywhere. */
            for (; offset < part.size_bytes && done < size_bytes; offset++, done++) {
                if (into != NULL) {
                    into[done] = bytes[offset];
                } else {
                    bytes[offset] = from == NULL ? 0 : from[done];
                }
            }
            offset = 0;
        }
        if ((part.flags & VRING_FLAG_NEXT) == 0 || part.next >= ring->num) {
            break;
        }
        index = part.next;
    }
    return done;
}

uint32_t vring_read(struct vring_device *ring, const struct vring_chain *chain, void *into, uint32_t size_bytes) {
    return copy(ring, chain->head, chain->parts, 0, 0, into, NULL, size_bytes);
}

uint32_t vring_write(struct vring_device *ring, const struct vring_chain *chain, uint32_t offset,
                     const void *from, uint32_t size_bytes) {
    if (chain->writable_bytes == 0) {
        return 0;
    }
    return copy(ring, chain->first_writable, chain->parts, VRING_FLAG_WRITE, offset, NULL, from, size_bytes);
}

void vring_complete(struct vring_device *ring, uint16_t head, uint32_t used_bytes) {
    const uint16_t slot = ring->next_used & (uint16_t)(ring->num - 1u);
    volatile uint8_t *entry = ring->used + RING_ENTRIES + USED_ENTRY_BYTES * slot;
    store32(entry, head);
    store32(entry + 4, used_bytes);
    ring->next_used++;
}

void vring_publish(struct vring_device *ring) {
    if (ring->published_used == ring->next_used || ring->descriptors == NULL) {
        return;
    }
    PORT_MEMORY_BARRIER(); /* buffers and entries before the index that shows them */
    store16(ring->used + RING_INDEX, ring->next_used);
    ring->published_used = ring->next_used;
}

bool vring_wants_doorbell(struct vring_device *ring) {
    if (ring->descriptors == NULL || ring->notified_used == ring->published_used) {
        return false;
    }
    /* Store-load: either we see that the driver wants to be told, or it sees the new index. */
    PORT_MEMORY_BARRIER();
    const uint16_t before = ring->notified_used;
    ring->notified_used = ring->published_used;
    if (uses_event_idx(ring)) {
        const uint16_t event = load16(ring->available + RING_ENTRIES + 2u * ring->num);
        return (uint16_t)(ring->published_used - event - 1u) < (uint16_t)(ring->published_used - before);
    }
    return (load16(ring->available + RING_FLAGS) & VRING_AVAIL_NO_INTERRUPT) == 0;
}

bool vring_arm(struct vring_device *ring) {
    if (ring->descriptors == NULL || ring->broken) {
        return false;
    }
    if (uses_event_idx(ring)) {
        store16(ring->used + RING_ENTRIES + USED_ENTRY_BYTES * ring->num, ring->next_available);
    } else {
        store16(ring->used + RING_FLAGS, 0);
    }
    PORT_MEMORY_BARRIER(); /* store-load, as in vring_wants_doorbell */
    return waiting(ring) > 0;
}

void vring_disarm(struct vring_device *ring) {
    /* With EVENT_IDX an avail_event that is left behind does it by itself. */
    if (ring->descriptors != NULL && !uses_event_idx(ring)) {
        store16(ring->used + RING_FLAGS, VRING_USED_NO_NOTIFY);
    }
}
