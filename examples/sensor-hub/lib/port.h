/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything the library needs from the hardware that it runs on. A port fills one `struct hub_port`
 * (it can be const, in flash) and gives it to the device's init function. The library has no other way out:
 * it calls no libc function, allocates nothing and knows no register.
 *
 * Contexts: the library runs in two, the main loop (remoteproc_vdev_service) and pin interrupts
 * (hub_line_changed, hub_flush_events). What both touch, it touches between
 * enter_critical and leave_critical. A port without interrupts gives two empty functions.
 */
#ifndef SENSOR_HUB_PORT_H
#define SENSOR_HUB_PORT_H

#include <stdbool.h>
#include <stdint.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the rings are little-endian, and so must be the core that runs this library"
#endif

/*
 * Orders every access before it against every access after it, as another core that shares the memory
 * sees them. The default becomes `dmb` on Arm. Define it (-DPORT_MEMORY_BARRIER=...) where the
 * interconnect needs more, e.g. `dsb` plus a read-back.
 */
#ifndef PORT_MEMORY_BARRIER
#include <stdatomic.h>
#define PORT_MEMORY_BARRIER() atomic_thread_fence(memory_order_seq_cst)
#endif

/* Edges that a port is asked to report; a set of bits. */
#define PORT_EDGE_RISING 1u
#define PORT_EDGE_FALLING 2u

struct hub_port {
    void *context; /* handed to every function */

    /*
     * The pointer through which this core reaches sizeBytes bytes at an address as the driver wrote it
     * (a device address on remoteproc, a guest-physical one on vhost-user), or NULL when not all of
     * them lie in the memory shared with the driver. This is the only check between a hostile ring and
     * the core's other memory: it has to be exact, also where address + size wraps around.
     */
    void *(*translate)(void *context, uint64_t address, uint32_t size_bytes);

    /*
     * Tells the driver "look at the vring (or vdev) with this notifyid". Called between enter_critical
     * and leave_critical, from either context; must not wait for the driver.
     */
    void (*ring_doorbell)(void *context, uint32_t notify_id);

    /* The level on the wire now, 0 or 1, of inputs and outputs. Called between enter and leave_critical. */
    uint8_t (*read_level)(void *context, uint16_t line);

    /* Drives an output. False: the hardware refuses (answered with ERR). */
    bool (*write_level)(void *context, uint16_t line, uint8_t level);

    /*
     * Direction 0 none, 1 out, 2 in. For out: `level` is on the wire from the first moment on. None is
     * the line's safe idle state. False: this line cannot (answered with ERR).
     */
    bool (*set_direction)(void *context, uint16_t line, uint8_t direction, uint8_t level);

    /*
     * From now on call hub_line_changed() for at least these edges (more do no harm, the library
     * filters); 0 switches the line's interrupt off. False: the line cannot interrupt (ERR). Called
     * between enter_critical and leave_critical.
     */
    bool (*enable_edges)(void *context, uint16_t line, unsigned edges);

    /* Keeps pin interrupts out; nests: what enter returns is given to the leave that belongs to it. */
    uint32_t (*enter_critical)(void *context);
    void (*leave_critical)(void *context, uint32_t state);

    /* A monotonic clock in nanoseconds; its start does not matter, its resolution is the event's. */
    uint64_t (*clock_ns)(void *context);
};

#endif
