/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a vdev's two queues, whatever it speaks there. A dialect offers one constant struct of
 * these functions; an image that names one of them leaves the code of the others to the linker's garbage.
 */
#ifndef SENSOR_HUB_HUB_DEVICE_H
#define SENSOR_HUB_HUB_DEVICE_H

#include "port.h"
#include "vring_device.h"

struct hub_counters {
    uint32_t requests;
    uint32_t refused;   /* of them, answered with an error */
    uint32_t events;    /* told to the driver */
    uint32_t dropped;   /* edges that nothing will tell of */
    uint32_t malformed; /* chains and messages that made no sense */
};

/* `state` is the dialect's own struct; contexts are those of port.h. */
struct hub_device_type {
    /*
     * Takes the driver's choice of features; gives how many of the queues it uses. 0: it holds a bit that is
     * not in `offered`, or none that the device can work with.
     */
    unsigned (*negotiate)(void *state, uint32_t features, uint32_t offered);
    bool (*attach_queue)(void *state, unsigned queue, const struct vring_place *place);
    /* Forgets queues, features and interrupts; directions and levels stay. */
    void (*reset)(void *state);
    /* Serves the queues, a bounded time; true: there is more to do. Main loop only. */
    bool (*service)(void *state);
    /* A queue's indices have become impossible: silent until the reset. */
    bool (*broken)(const void *state);
    /* An edge of an input to `level`; then flush_events. From either context. */
    void (*line_changed)(void *state, uint16_t line, uint8_t level);
    void (*flush_events)(void *state);
    void (*read_counters)(const void *state, struct hub_counters *counters);
};

struct hub_device {
    const struct hub_device_type *type;
    void *state;
};

static inline void hub_line_changed(const struct hub_device *device, uint16_t line, uint8_t level) {
    device->type->line_changed(device->state, line, level);
}

static inline void hub_flush_events(const struct hub_device *device) {
    device->type->flush_events(device->state);
}

#endif
