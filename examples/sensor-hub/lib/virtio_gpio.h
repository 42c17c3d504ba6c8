/* SPDX-License-Identifier: Apache-2.0 */
/* The words of virtio-gpio on the wire (virtio 1.2, 5.18), and of the event stream extension. */
#ifndef SENSOR_HUB_VIRTIO_GPIO_H
#define SENSOR_HUB_VIRTIO_GPIO_H

#include <stdint.h>

#define VIRTIO_GPIO_DEVICE_ID 41u
#define VIRTIO_GPIO_REQUEST_QUEUE 0u
#define VIRTIO_GPIO_EVENT_QUEUE 1u

#define VIRTIO_GPIO_F_IRQ_BIT 0u
/* Ours: eventq buffers are event records, bound to no line. */
#define VIRTIO_GPIO_F_EVENT_STREAM_BIT 16u

/* Request: le16 type; le16 gpio; le32 value. */
#define VIRTIO_GPIO_REQUEST_BYTES 8u
#define VIRTIO_GPIO_GET_LINE_NAMES 1u
#define VIRTIO_GPIO_GET_DIRECTION 2u
#define VIRTIO_GPIO_SET_DIRECTION 3u
#define VIRTIO_GPIO_GET_VALUE 4u
#define VIRTIO_GPIO_SET_VALUE 5u
#define VIRTIO_GPIO_SET_IRQ_TYPE 6u

/* Response: u8 status; u8 value (of names: u8 value[gpio_names_size]). */
#define VIRTIO_GPIO_RESPONSE_BYTES 2u
#define VIRTIO_GPIO_OK 0u
#define VIRTIO_GPIO_ERR 1u

#define VIRTIO_GPIO_DIRECTION_NONE 0u
#define VIRTIO_GPIO_DIRECTION_OUT 1u
#define VIRTIO_GPIO_DIRECTION_IN 2u

#define VIRTIO_GPIO_IRQ_NONE 0u
#define VIRTIO_GPIO_IRQ_RISING 1u
#define VIRTIO_GPIO_IRQ_FALLING 2u
#define VIRTIO_GPIO_IRQ_BOTH 3u
#define VIRTIO_GPIO_IRQ_LEVEL_HIGH 4u
#define VIRTIO_GPIO_IRQ_LEVEL_LOW 8u

/* eventq: le16 gpio from the driver, u8 status from the device. */
#define VIRTIO_GPIO_EVENT_REQUEST_BYTES 2u
#define VIRTIO_GPIO_EVENT_RESPONSE_BYTES 1u
#define VIRTIO_GPIO_EVENT_INVALID 0u
#define VIRTIO_GPIO_EVENT_VALID 1u

/* Event stream record: le16 line; u8 level; u8 flags; le32 seq; le64 timestampNs. */
#define VIRTIO_GPIO_RECORD_BYTES 16u
#define VIRTIO_GPIO_RECORD_DROPPED 1u /* flag: earlier records were dropped */

/* Config space: le16 ngpio; u8 padding[2]; le32 gpio_names_size. */
#define VIRTIO_GPIO_CONFIG_BYTES 8u
struct virtio_gpio_config {
    uint16_t ngpio;
    uint8_t padding[2];
    uint32_t gpio_names_size;
};

#endif
