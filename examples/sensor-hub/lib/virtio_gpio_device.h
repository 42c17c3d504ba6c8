/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-gpio device (virtio 1.2, 5.18) with the event stream extension: the dialect that the sensor
 * hub speaks unless told otherwise.
 *
 * Choices where the specification is silent:
 *  - a type change of SET_IRQ_TYPE that does not go through NONE: ERR; the same type again: OK;
 *  - SET_DIRECTION(out) on a line whose interrupt is enabled: ERR;
 *  - a request that is not exactly 8 bytes: ERR; a response buffer that is too small: ERR in as much of
 *    it as there is; none at all: used length 0;
 *  - with the event stream, RISING and FALLING make records of these edges only, LEVEL_HIGH and
 *    LEVEL_LOW records of the edges to that level.
 *
 * The event stream (feature bit 16): each edge of a line with an interrupt type takes the next eventq
 * buffer and the next `seq` (from 0 at DRIVER_OK on). Without a buffer, the newest edge of each line is
 * kept and sent later, oldest first, with flag bit 0 and its own seq and time; so a gap in seq counts
 * exactly the edges that were dropped.
 *
 * Order, which a driver may build on: the answer to GET_VALUE is in the used ring before the record of
 * any edge that came after the level was read.
 */
#ifndef SENSOR_HUB_VIRTIO_GPIO_DEVICE_H
#define SENSOR_HUB_VIRTIO_GPIO_DEVICE_H

#include "hub_device.h"
#include "virtio_gpio.h"

/* State of a line: 16 bytes. The caller gives ngpio of them. */
struct virtio_gpio_line {
    uint8_t direction;
    uint8_t irq_type;
    uint8_t held_level; /* of the last SET_VALUE, used when the line becomes an output */
    uint8_t flags;
    union {
        struct {
            uint16_t event_head; /* plain: the eventq buffer that waits for an interrupt */
            uint16_t event_parts;
        };
        uint32_t kept_seq; /* stream: the newest edge, for which there was no buffer */
    };
    uint64_t kept_timestamp_ns;
};

struct virtio_gpio_counters {
    uint32_t requests;
    uint32_t refused; /* of them, answered ERR */
    uint32_t events;  /* plain: buffers returned VALID; stream: records sent */
    uint32_t dropped; /* stream: edges that no record will tell of */
};

struct virtio_gpio_device {
    const struct hub_port *port;
    struct virtio_gpio_line *lines;
    const char *names; /* one NUL-terminated string a line; NULL: no names */
    uint32_t names_bytes;
    uint16_t ngpio;
    uint16_t kept_records;
    uint32_t features;
    uint32_t next_seq;
    struct vring_device request_queue;
    struct vring_device event_queue;
    struct virtio_gpio_counters counters;
};

/* `state` is a struct virtio_gpio_device. */
extern const struct hub_device_type virtio_gpio_type;

/* `lines` are zeroed here; `names` must stay. */
void virtio_gpio_init(struct virtio_gpio_device *device, const struct hub_port *port,
                      struct virtio_gpio_line *lines, uint16_t ngpio, const char *names, uint32_t names_bytes);

/* Feature bits 0 to 31 that the device can offer. */
uint32_t virtio_gpio_features(void);
void virtio_gpio_read_config(const struct virtio_gpio_device *device, struct virtio_gpio_config *config);

/* Takes the driver's choice; false when it holds a bit that is not in `offered`. Before the queues. */
bool virtio_gpio_negotiate(struct virtio_gpio_device *device, uint32_t features, uint32_t offered);
/* Queue VIRTIO_GPIO_REQUEST_QUEUE or VIRTIO_GPIO_EVENT_QUEUE; false when the place is unusable. */
bool virtio_gpio_attach_queue(struct virtio_gpio_device *device, unsigned queue, const struct vring_place *place);
/* Device reset: queues, features and interrupt types are forgotten; directions and levels stay. */
void virtio_gpio_reset(struct virtio_gpio_device *device);

/*
 * Serves both queues, at most one queue's worth of requests; true when there is more to do: call again.
 * Main loop only; after a kick, after attach, and as long as it returns true.
 */
bool virtio_gpio_service(struct virtio_gpio_device *device);
/* A queue's indices have become impossible: it is silent until the device is reset. */
bool virtio_gpio_broken(const struct virtio_gpio_device *device);

/* An edge of an input to `level`. From a pin interrupt or the main loop; then virtio_gpio_flush_events. */
void virtio_gpio_line_changed(struct virtio_gpio_device *device, uint16_t line, uint8_t level);
/* Shows the driver the events of this batch, with at most one doorbell. */
void virtio_gpio_flush_events(struct virtio_gpio_device *device);

#endif
