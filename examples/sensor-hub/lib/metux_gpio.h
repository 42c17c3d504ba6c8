/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device side of "metux" virtio-gpio, the protocol of the out-of-tree driver of 2020 and 2021: vdev 41 with a config
 * space of 64 bytes and the lines' names; queue 0 to the driver, queue 1 from it; messages of 8 bytes.
 *
 *   le16 type; le16 line; le32 value        a reply has `type | reply bits`
 *
 * Choices where the protocol is silent:
 *  - LEVEL is sent for every line that is not an output, requested or not (there is no release, and no subscription), for
 *    each edge while there are receive buffers; without one the newest level of each line is kept;
 *  - errors are Linux' numbers: EINVAL for a line or a value out of range, EPERM for SET_LEVEL on an input, EIO where
 *    the hardware refuses, ENOSYS for an unknown type;
 *  - a message with a reply bit, or of less than 8 bytes, or a LEVEL from the driver: counted, not answered;
 *  - a line that was never given a direction is an input.
 */
#ifndef SENSOR_HUB_METUX_GPIO_H
#define SENSOR_HUB_METUX_GPIO_H

#include "message_queues.h"

#define METUX_GPIO_DEVICE_ID 41u
#define METUX_GPIO_VERSION 1u
#define METUX_GPIO_CONFIG_BYTES 64u
#define METUX_GPIO_MESSAGE_BYTES 8u

#define METUX_GPIO_REQUEST 0x0001u
#define METUX_GPIO_DIRECTION_INPUT 0x0002u
#define METUX_GPIO_DIRECTION_OUTPUT 0x0003u
#define METUX_GPIO_GET_DIRECTION 0x0004u
#define METUX_GPIO_GET_LEVEL 0x0005u
#define METUX_GPIO_SET_LEVEL 0x0006u
#define METUX_GPIO_LEVEL 0x0011u
/* Reply bits: of the drivers from June 2021 on, and of those before. */
#define METUX_GPIO_REPLY 0x8000u
#define METUX_GPIO_REPLY_2020 0xF000u

/* GET_DIRECTION's answers. */
#define METUX_GPIO_OUT 0u
#define METUX_GPIO_IN 1u

/* Config space; the names block follows. */
struct metux_gpio_config {
    uint8_t version;
    uint8_t reserved1;
    uint16_t num_gpios;
    uint32_t names_size;
    uint8_t reserved2[24];
    char name[32];
};
_Static_assert(sizeof(struct metux_gpio_config) == METUX_GPIO_CONFIG_BYTES, "the config space has no padding");

/* State of a line: 2 bytes. The caller gives ngpio of them. */
struct metux_gpio_line {
    uint8_t direction; /* as the port's */
    uint8_t flags;
};

struct metux_gpio {
    struct message_queues queues;
    struct metux_gpio_line *lines;
    uint16_t ngpio;
    uint16_t reply_bits;
    uint16_t next_owed; /* where to look first: all lines get their turn */
    bool event_idx;
    bool listening; /* the inputs' edges are on */
    struct hub_counters counters;
};

extern const struct hub_device_type metux_gpio_type;

/* `lines` are zeroed here. reply_bits: METUX_GPIO_REPLY or METUX_GPIO_REPLY_2020. */
void metux_gpio_init(struct metux_gpio *device, const struct hub_port *port, struct metux_gpio_line *lines,
                     uint16_t ngpio, uint16_t reply_bits);
/* Feature bits 0 to 31 that the device can offer. */
uint32_t metux_gpio_features(void);

#endif
