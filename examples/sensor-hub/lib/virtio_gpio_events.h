/* SPDX-License-Identifier: Apache-2.0 */
/* What virtio_gpio_device.c (requests) needs of virtio_gpio_events.c (the eventq). Not for ports. */
#ifndef SENSOR_HUB_VIRTIO_GPIO_EVENTS_H
#define SENSOR_HUB_VIRTIO_GPIO_EVENTS_H

#include "virtio_gpio_device.h"

/* virtio_gpio_line.flags */
#define LINE_LATCHED 1u    /* plain: an edge came while the interrupt was masked */
#define LINE_QUEUED 2u     /* plain: event_head holds a buffer, the interrupt is unmasked */
#define LINE_KEPT 4u       /* stream: kept_seq and kept_timestamp_ns hold an edge */
#define LINE_KEPT_HIGH 8u  /* stream: the level of that edge */

static inline bool virtio_gpio_has(const struct virtio_gpio_device *device, unsigned feature_bit) {
    return (device->features >> feature_bit & 1u) != 0;
}

/* The edges that an interrupt type asks the port for; false for an unknown type. */
bool virtio_gpio_edges_of(uint32_t irq_type, unsigned *edges);
/* The line's interrupt is off: gives its eventq buffer back as INVALID, forgets latch and kept edge. */
void virtio_gpio_discard_events(struct virtio_gpio_device *device, uint16_t line);
/* Takes what the driver put into the eventq; true when there is more. */
bool virtio_gpio_service_events(struct virtio_gpio_device *device);

#endif
