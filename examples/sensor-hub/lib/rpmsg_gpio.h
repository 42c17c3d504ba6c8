/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPIO in messages of an rpmsg channel. The dialects differ in their bytes (struct rpmsg_gpio_dialect, a file each); the lines'
 * rules are the same and stand here.
 *
 * A notification masks the line's interrupt until the driver sets its type again. What happens meanwhile:
 *  - an edge is remembered and told at the unmasking, as virtio-gpio's latch does; or, with RPMSG_GPIO_LOSES_MASKED_EDGES, it
 *    is lost, as in firmware that switches the pin's interrupt off;
 *  - a level type is looked at when it is unmasked.
 * Without a receive buffer a notification waits; it is one for each line, so nothing grows.
 *
 * Interrupt types are virtio-gpio's here, directions are the port's; a dialect translates. A change of type without NONE in
 * between is taken. An interrupt on an output, and an output with an interrupt, are refused.
 */
#ifndef SENSOR_HUB_RPMSG_GPIO_H
#define SENSOR_HUB_RPMSG_GPIO_H

#include "rpmsg_device.h"
#include "virtio_gpio.h"

/* Lines of a port in the dialects that address port and pin: line = 8 x port + pin. */
#define RPMSG_GPIO_PORT_LINES 8u
/* Longest message of any dialect, in either direction. */
#define RPMSG_GPIO_MAX_BYTES 16u

/* Options, a set of bits. */
#define RPMSG_GPIO_LOSES_MASKED_EDGES 1u
#define RPMSG_GPIO_NO_GET_DIRECTION 2u     /* SRTM: the older firmware, which answers "unsupported" */
#define RPMSG_GPIO_VIRTIO_DIRECTIONS 4u    /* rpmsg-io: GET_DIRECTION answers 1 out, 2 in; else 0 out, 1 in */

enum rpmsg_gpio_result {
    RPMSG_GPIO_OK,
    RPMSG_GPIO_FAILED,      /* the hardware refuses */
    RPMSG_GPIO_PARAMETER,   /* no such line, value or state */
    RPMSG_GPIO_UNSUPPORTED, /* no such command */
};

/* State of a line: 4 bytes. The caller gives ngpio of them. */
struct rpmsg_gpio_line {
    uint8_t direction;
    uint8_t irq_type;
    uint8_t held_level; /* for when the line becomes an output */
    uint8_t flags;
};

struct rpmsg_gpio;

struct rpmsg_gpio_dialect {
    const char *channel;
    uint16_t max_lines;
    /* Serves a message of size_bytes, of which RPMSG_GPIO_MAX_BYTES at most are there; false: it makes no sense. */
    bool (*serve)(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes);
    /* `trigger`: of level types the type, else 1 or 2 for the edge. Gives the size. */
    uint16_t (*notification)(uint8_t *into, uint16_t line, uint8_t trigger);
};

extern const struct rpmsg_gpio_dialect rpmsg_gpio_srtm;  /* NXP SRTM, channel rpmsg-io-channel */
extern const struct rpmsg_gpio_dialect rpmsg_gpio_io;    /* upstream v9 to v13, 6 bytes, channel rpmsg-io */
extern const struct rpmsg_gpio_dialect rpmsg_gpio_v14;   /* upstream v14, channel rpmsg-io-0 */
extern const struct rpmsg_gpio_dialect rpmsg_gpio_kind0; /* its neighbour: replies of kind 0, same channel */

struct rpmsg_gpio {
    struct rpmsg_device rpmsg;
    const struct rpmsg_gpio_dialect *dialect;
    struct rpmsg_gpio_line *lines;
    uint16_t ngpio;
    uint16_t next_owed; /* where to look first: all lines get their turn */
    uint8_t options;
    struct hub_counters counters;
};

/* `state` is a struct rpmsg_gpio. */
extern const struct hub_device_type rpmsg_gpio_type;

/* `lines` are zeroed here; ngpio is at most dialect->max_lines. */
void rpmsg_gpio_init(struct rpmsg_gpio *device, const struct hub_port *port, const struct rpmsg_gpio_dialect *dialect,
                     struct rpmsg_gpio_line *lines, uint16_t ngpio, uint8_t options);

/* ---- for the dialects: what messages ask for; main loop ---- */

enum rpmsg_gpio_result rpmsg_gpio_set_direction(struct rpmsg_gpio *device, uint16_t line, uint32_t direction);
enum rpmsg_gpio_result rpmsg_gpio_set_level(struct rpmsg_gpio *device, uint16_t line, uint32_t level);
/* Sets and unmasks. */
enum rpmsg_gpio_result rpmsg_gpio_set_interrupt(struct rpmsg_gpio *device, uint16_t line, uint32_t irq_type);
/* Line of a port and pin; false: there is none. */
bool rpmsg_gpio_line_at(const struct rpmsg_gpio *device, uint8_t port, uint8_t pin, uint16_t *line);

#define RPMSG_GPIO_NO_LEVEL RPMSG_GPIO_MAX_BYTES
/* Answers; with level_at < size_bytes the line's level is put there, read at the same moment as it is sent. */
void rpmsg_gpio_answer(struct rpmsg_gpio *device, uint8_t *bytes, uint16_t size_bytes, enum rpmsg_gpio_result result,
                       uint16_t line, uint16_t level_at);

#endif
