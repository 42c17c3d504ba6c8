/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated wires of the host port: levels, directions, LOOP_OUT wired to LOOP_IN. */
#ifndef SENSOR_HUB_HOST_LINES_H
#define SENSOR_HUB_HOST_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "../lib/hub_device.h"
#include "../lib/virtio_gpio.h"

#define LINE_NAME_BYTES 20

struct line {
    char name[LINE_NAME_BYTES]; /* "" when unnamed */
    uint8_t direction;
    uint8_t driven;   /* the level that the firmware drives when direction is out */
    uint8_t external; /* the level that the world outside drives otherwise */
    uint8_t level;    /* on the wire */
    uint8_t reported; /* what the interrupt logic saw last */
    unsigned edges;   /* that interrupt */
};

struct lines {
    struct line *line;
    uint16_t count;
    const struct hub_device *device;
    bool interrupts_held; /* the firmware hangs: edges stay pending */
    void (*changed)(void *context, uint16_t line, uint8_t level); /* a watcher of the wires; may be NULL */
    void *changed_context;
    char *names; /* the names block of virtio-gpio and metux */
    uint32_t names_bytes;
};

/* The example's 16 lines, fewer or more (called EXT_n). False: out of memory. */
bool lines_init(struct lines *lines, uint16_t count, const struct hub_device *device);
void lines_free(struct lines *lines);

/* Line by its name or index; -1: none. */
int lines_find(const struct lines *lines, const char *name);

/* What drives a wire that the world outside cannot drive: a line's index, or -1 when it can. */
int lines_driver_of(const struct lines *lines, uint16_t line);
/* Drives a wire from outside. The caller flushes events. */
void lines_drive(struct lines *lines, uint16_t line, uint8_t level);

void lines_set_direction(struct lines *lines, uint16_t line, uint8_t direction, uint8_t level);
void lines_write(struct lines *lines, uint16_t line, uint8_t level);

/* All lines as at the start of the firmware: directions none. Levels from outside stay. */
void lines_idle(struct lines *lines);

/* Edges that came while interrupts were held are reported when that ends. The caller flushes events. */
void lines_hold_interrupts(struct lines *lines, bool held);

#endif
