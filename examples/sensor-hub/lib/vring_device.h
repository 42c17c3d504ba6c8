/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device side of a split virtqueue (virtio 1.x, 2.7), over memory that somebody else also writes.
 *
 *   descriptor table  num x { le64 addr; le32 len; le16 flags; le16 next }
 *   available ring    le16 flags; le16 idx; le16 ring[num]; le16 used_event
 *   used ring         le16 flags; le16 idx; { le32 id; le32 len }[num]; le16 avail_event
 *
 * Nothing in the ring is trusted: a field is read once, the copy is checked, the copy is used. A chain
 * is walked anew for each access rather than remembered, so that it takes no memory and may be as long
 * as the queue; each walk checks each descriptor again, and ends where the first one did. A malformed chain is
 * completed with used length 0 and counted. An available index that runs ahead by more than the queue's size cannot be trusted at
 * all: the queue is `broken` and stays silent until it is attached again.
 *
 * Chains may share descriptors, as long as the table all of them, which a sound driver's never do. What that costs is
 * bounded by an allowance of descriptors, a table's worth for each call from outside; see vring_allow.
 */
#ifndef SENSOR_HUB_VRING_DEVICE_H
#define SENSOR_HUB_VRING_DEVICE_H

#include "port.h"

/* 0 leaves out VIRTIO_F_EVENT_IDX: a little less code, more doorbells. */
#ifndef VRING_EVENT_IDX
#define VRING_EVENT_IDX 1
#endif
#define VRING_F_EVENT_IDX_BIT 29u

#define VRING_DESCRIPTOR_BYTES 16u
#define VRING_FLAG_NEXT 1u
#define VRING_FLAG_WRITE 2u
#define VRING_FLAG_INDIRECT 4u
#define VRING_AVAIL_NO_INTERRUPT 1u
#define VRING_USED_NO_NOTIFY 1u

/* Why a chain was refused: the index into vring_device.faults. */
enum vring_fault {
    VRING_FAULT_HEAD,     /* first descriptor outside the table (nothing to complete: skipped) */
    VRING_FAULT_NEXT,     /* a later one outside the table */
    VRING_FAULT_LOOP,     /* more descriptors than the table has */
    VRING_FAULT_INDIRECT, /* an indirect table, which was not offered */
    VRING_FAULT_ORDER,    /* a readable part after a writable one */
    VRING_FAULT_ADDRESS,  /* not all of it in the shared memory */
    VRING_FAULT_LENGTH,   /* 4 GiB or more in one chain */
    VRING_FAULT_SHAPE,    /* sound as a chain, no use to the device on top (counted by it) */
    VRING_FAULT_KINDS
};

/* Where a queue lies, in the driver's addresses, and where it stands (0 and 0 for a new one). */
struct vring_place {
    uint16_t num; /* a power of two, 1 to 32768 */
    uint64_t descriptors;
    uint64_t available;
    uint64_t used;
    uint16_t next_available;
    uint16_t next_used;
    uint32_t notify_id;
};

struct vring_device {
    const struct hub_port *port;
    volatile uint8_t *descriptors; /* NULL: not attached */
    volatile uint8_t *available;
    volatile uint8_t *used;
    uint32_t notify_id;
    uint16_t num;
    uint16_t next_available;
    uint16_t next_used;      /* next one to fill */
    uint16_t published_used; /* what the driver may see */
    uint16_t notified_used;  /* what it has been told of */
    bool event_idx;
    bool broken;
    uint16_t allowance;      /* left for vring_pop */
    uint32_t chains; /* taken and sound */
    uint32_t faults[VRING_FAULT_KINDS];
};

struct vring_chain {
    uint16_t head;
    uint16_t first_writable; /* its descriptor; meaningless when writable_bytes is 0 */
    uint16_t parts;          /* descriptors */
    uint32_t readable_bytes;
    uint32_t writable_bytes;
};

/* False when num is no power of two, a part is not aligned, or a part is not in the shared memory. */
bool vring_attach(struct vring_device *ring, const struct hub_port *port, const struct vring_place *place,
                  bool event_idx);
/* Forgets the queue; counters stay. */
void vring_detach(struct vring_device *ring);
bool vring_attached(const struct vring_device *ring);

/*
 * Lets vring_pop look at a table's worth of descriptors more than one a sound chain. At the start of each call from
 * outside: main loop's service, pin interrupt. What is left over when that is used up is `more` to do.
 */
void vring_allow(struct vring_device *ring);
/* Takes the next sound chain; malformed ones before it are completed and counted. False: none, or not in this call. */
bool vring_pop(struct vring_device *ring, struct vring_chain *chain);
/* Completes a chain that is sound but of no use, and counts it. */
void vring_refuse(struct vring_device *ring, const struct vring_chain *chain);
/*
 * Measures the chain of so many descriptors, at a head that vring_pop gave earlier, once more. False: it is malformed
 * or longer now.
 */
bool vring_reopen(struct vring_device *ring, uint16_t head, uint16_t parts, struct vring_chain *chain);
/* Copies up to size_bytes from the start of the readable part; returns how many there were. */
uint32_t vring_read(struct vring_device *ring, const struct vring_chain *chain, void *into, uint32_t size_bytes);
/* Copies size_bytes to an offset in the writable part (from NULL: zeroes); returns how many fitted. */
uint32_t vring_write(struct vring_device *ring, const struct vring_chain *chain, uint32_t offset,
                     const void *from, uint32_t size_bytes);
/* Puts the chain into the used ring, unseen by the driver until vring_publish. */
void vring_complete(struct vring_device *ring, uint16_t head, uint32_t used_bytes);
/* Shows the driver all that was completed. */
void vring_publish(struct vring_device *ring);
/* Whether what was published since the last call is to be followed by a doorbell. */
bool vring_wants_doorbell(struct vring_device *ring);

/* Asks the driver for kicks; true when a chain came before it could have known: look again. */
bool vring_arm(struct vring_device *ring);
/* Tells it that kicks would be wasted. */
void vring_disarm(struct vring_device *ring);

#endif
