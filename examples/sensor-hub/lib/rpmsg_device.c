/* SPDX-License-Identifier: Apache-2.0 */
#include "rpmsg_device.h"

void rpmsg_init(struct rpmsg_device *device, const struct hub_port *port, const char *channel) {
    *device = (struct rpmsg_device){.channel = channel, .present = true};
    message_queues_init(&device->queues, port, RPMSG_HEADER_BYTES + RPMSG_MAX_SENT_BYTES);
}

uint32_t rpmsg_features(void) {
    return 1u << RPMSG_F_NS_BIT | (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT;
}

unsigned rpmsg_negotiate(struct rpmsg_device *device, uint32_t features, uint32_t offered) {
    device->event_idx = (features >> VRING_F_EVENT_IDX_BIT & 1u) != 0;
    device->name_service = (features >> RPMSG_F_NS_BIT & 1u) != 0;
    return (features & ~(offered & rpmsg_features())) != 0 ? 0 : 2;
}

bool rpmsg_attach_queue(struct rpmsg_device *device, unsigned queue, const struct vring_place *place) {
    return message_queues_attach(&device->queues, queue, place, device->event_idx);
}

void rpmsg_reset(struct rpmsg_device *device) {
    message_queues_reset(&device->queues);
    device->announced = false;
    device->announcing = false;
    device->remote_address = 0;
}

void rpmsg_set_present(struct rpmsg_device *device, bool present) {
    device->present = present;
}

static void put32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Header and payload in one piece; gives its size. */
static uint32_t frame(uint8_t *into, uint32_t to, const uint8_t *bytes, uint16_t size_bytes) {
    const uint16_t fitting = size_bytes < RPMSG_MAX_SENT_BYTES ? size_bytes : RPMSG_MAX_SENT_BYTES;
    put32(into, RPMSG_LOCAL_ADDRESS);
    put32(into + 4, to);
    put32(into + 8, 0);
    put32(into + 12, fitting); /* flags 0 */
    for (uint16_t i = 0; i < fitting; i++) {
        into[RPMSG_HEADER_BYTES + i] = bytes[i];
    }
    return RPMSG_HEADER_BYTES + (uint32_t)fitting;
}

void rpmsg_announce(struct rpmsg_device *device) {
    const struct hub_port *port = device->queues.port;
    const bool due = device->name_service && device->announced != device->present;
    if (!due && !device->announcing) {
        return;
    }
    uint8_t announcement[RPMSG_ANNOUNCEMENT_BYTES] = {0};
    for (unsigned i = 0; i + 1 < RPMSG_NAME_BYTES && device->channel[i] != '\0'; i++) {
        announcement[i] = (uint8_t)device->channel[i];
    }
    put32(announcement + RPMSG_NAME_BYTES, RPMSG_LOCAL_ADDRESS);
    put32(announcement + RPMSG_NAME_BYTES + 4, device->present ? 0 : RPMSG_DESTROYED);
    uint8_t framed[RPMSG_HEADER_BYTES + RPMSG_MAX_SENT_BYTES];
    const uint32_t framed_bytes = frame(framed, RPMSG_NAME_SERVICE_ADDRESS, announcement, sizeof announcement);
    const uint32_t state = port->enter_critical(port->context);
    device->queues.answered_last = device->queues.answered_last || due; /* the channel before what it carries */
    const bool waits = due && !message_queues_notify(&device->queues, framed, framed_bytes);
    if (!waits) {
        device->announced = device->present;
    }
    if (waits && !device->announcing) {
        device->queues.owed++;
    } else if (!waits && device->announcing) {
        device->queues.owed--;
    }
    device->announcing = waits;
    port->leave_critical(port->context, state);
}

bool rpmsg_read(struct rpmsg_device *device, uint8_t *into, uint16_t room, uint16_t *size_bytes) {
    uint8_t bytes[RPMSG_HEADER_BYTES + RPMSG_MAX_SENT_BYTES];
    const uint32_t there = device->queues.message.readable_bytes;
    const uint32_t wanted = RPMSG_HEADER_BYTES + (room < RPMSG_MAX_SENT_BYTES ? room : RPMSG_MAX_SENT_BYTES);
    const uint32_t got = message_queues_read(&device->queues, bytes, wanted);
    if (there < RPMSG_HEADER_BYTES || got < RPMSG_HEADER_BYTES) {
        device->malformed++;
        return false;
    }
    const uint16_t length = (uint16_t)(get32(bytes + 12) & 0xFFFFu);
    const uint32_t copied = length < wanted - RPMSG_HEADER_BYTES ? length : wanted - RPMSG_HEADER_BYTES;
    if (length > there - RPMSG_HEADER_BYTES || got < RPMSG_HEADER_BYTES + copied ||
        get32(bytes + 4) != RPMSG_LOCAL_ADDRESS || !device->present) {
        device->malformed++;
        return false;
    }
    for (uint32_t i = 0; i < copied; i++) {
        into[i] = bytes[RPMSG_HEADER_BYTES + i];
    }
    *size_bytes = length;
    /* Where answers go, and later notifications: a driver that closed and opened its endpoint has another one. */
    const struct hub_port *port = device->queues.port;
    const uint32_t state = port->enter_critical(port->context);
    device->remote_address = get32(bytes);
    port->leave_critical(port->context, state);
    return true;
}

void rpmsg_answer(struct rpmsg_device *device, const uint8_t *bytes, uint16_t size_bytes) {
    uint8_t framed[RPMSG_HEADER_BYTES + RPMSG_MAX_SENT_BYTES];
    message_queues_answer(&device->queues, framed, frame(framed, device->remote_address, bytes, size_bytes));
}

bool rpmsg_notify(struct rpmsg_device *device, const uint8_t *bytes, uint16_t size_bytes) {
    uint8_t framed[RPMSG_HEADER_BYTES + RPMSG_MAX_SENT_BYTES];
    return message_queues_notify(&device->queues, framed,
                                 frame(framed, device->remote_address, bytes, size_bytes));
}
