/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The remote side of rpmsg (Linux virtio_rpmsg_bus) with one channel, on a vdev of id 7: announces the channel at the
 * first doorbell after DRIVER_OK, takes messages to its address, sends answers and notifications to whoever wrote last.
 *
 *   header        le32 src; le32 dst; le32 reserved; le16 len; le16 flags; then len bytes
 *   announcement  char name[32]; le32 addr; le32 flags (0 create, 1 destroy), to address 53
 *
 * Linux owns the buffers of both queues. How many there are says the resource table; how large they are says each
 * descriptor: nothing is sent beyond it, nothing read beyond it.
 */
#ifndef SENSOR_HUB_RPMSG_DEVICE_H
#define SENSOR_HUB_RPMSG_DEVICE_H

#include "message_queues.h"

#define RPMSG_DEVICE_ID 7u
#define RPMSG_F_NS_BIT 0u
#define RPMSG_NAME_SERVICE_ADDRESS 53u
#define RPMSG_HEADER_BYTES 16u
#define RPMSG_NAME_BYTES 32u
#define RPMSG_ANNOUNCEMENT_BYTES 40u
#define RPMSG_DESTROYED 1u
/* Of the channel's endpoint here. */
#define RPMSG_LOCAL_ADDRESS 30u
/* Longest message that is sent; a receive buffer has room for the announcement at least. */
#define RPMSG_MAX_SENT_BYTES RPMSG_ANNOUNCEMENT_BYTES

struct rpmsg_device {
    struct message_queues queues;
    const char *channel; /* at most 31 characters */
    uint32_t remote_address;
    uint32_t malformed; /* messages that were dropped: cut short, too long for their buffer, to another address */
    bool event_idx;
    bool name_service;
    bool present;   /* the channel is to be there */
    bool announced; /* and the driver knows */
    bool announcing; /* what it does not know waits for a buffer: counted in queues.owed */
};

void rpmsg_init(struct rpmsg_device *device, const struct hub_port *port, const char *channel);
uint32_t rpmsg_features(void);
/* As in struct hub_device_type. */
unsigned rpmsg_negotiate(struct rpmsg_device *device, uint32_t features, uint32_t offered);
bool rpmsg_attach_queue(struct rpmsg_device *device, unsigned queue, const struct vring_place *place);
/* With pin interrupts kept out. */
void rpmsg_reset(struct rpmsg_device *device);

/* Lets the channel go and come back; takes effect with the next service. */
void rpmsg_set_present(struct rpmsg_device *device, bool present);

/* ---- main loop ---- */

/* Tells the name service what it does not know yet, as soon as there is a buffer. At the start of each service. */
void rpmsg_announce(struct rpmsg_device *device);
/*
 * The message that message_queues_begin took: copies up to `room` bytes of its payload and gives its whole size.
 * False: it is not for the channel, or malformed (counted).
 */
bool rpmsg_read(struct rpmsg_device *device, uint8_t *into, uint16_t room, uint16_t *size_bytes);

/* ---- either context, between enter_critical and leave_critical; at most RPMSG_MAX_SENT_BYTES ---- */

void rpmsg_answer(struct rpmsg_device *device, const uint8_t *bytes, uint16_t size_bytes);
/* False: there is no buffer now. */
bool rpmsg_notify(struct rpmsg_device *device, const uint8_t *bytes, uint16_t size_bytes);

#endif
