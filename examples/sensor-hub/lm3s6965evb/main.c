/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor hub on an LM3S6965 (QEMU: lm3s6965evb): the port, and a loop that sleeps. */
#include <stddef.h>

#include "../lib/remoteproc_vdev.h"
#include "../lib/trace.h"
#include "board.h"
#include "dialect.h"
#include "pins.h"
#include "registers.h"
#include "shared_memory.h"

/* The driver's rings and buffers lie in this window; the table before it and our data behind it do not. */
static void *port_translate(void *context, uint64_t address, uint32_t size_bytes) {
    (void)context;
    if (address < SHARED_VRING0 || address > SHARED_END || size_bytes > SHARED_END - (uint32_t)address) {
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

static void port_ring_doorbell(void *context, uint32_t notify_id) {
    (void)context;
    doorbell_ring((uint8_t)notify_id);
}

static uint8_t port_read_level(void *context, uint16_t line) {
    (void)context;
    return pins_read(line);
}

static bool port_write_level(void *context, uint16_t line, uint8_t level) {
    (void)context;
    pins_write(line, level);
    return true;
}

static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
    (void)context;
    pins_set_direction(line, direction, level);
    return true;
}

static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
    (void)context;
    pins_enable_edges(line, edges != 0);
    return true;
}

static uint32_t port_enter_critical(void *context) {
    (void)context;
    return interrupts_disable();
}

static void port_leave_critical(void *context, uint32_t state) {
    (void)context;
    interrupts_restore(state);
}

static uint64_t port_clock_ns(void *context) {
    (void)context;
    return board_clock_ns();
}

static const struct hub_port port = {
    .translate = port_translate,
    .ring_doorbell = port_ring_doorbell,
    .read_level = port_read_level,
    .write_level = port_write_level,
    .set_direction = port_set_direction,
    .enable_edges = port_enable_edges,
    .enter_critical = port_enter_critical,
    .leave_critical = port_leave_critical,
    .clock_ns = port_clock_ns,
};

static struct remoteproc_vdev vdev;
static struct trace trace;

static void say(const char *text) {
    trace_line(&trace, text);
    console_line(text);
}

static void say_state(enum remoteproc_vdev_state before) {
    static const char *const texts[] = {
        [REMOTEPROC_VDEV_IDLE] = "sensor-hub: vdev reset",
        [REMOTEPROC_VDEV_BOUND] = "sensor-hub: vdev bound",
        [REMOTEPROC_VDEV_REFUSED] = "sensor-hub: vdev refused, needs reset",
    };
    if (vdev.state != before) {
        say(texts[vdev.state]);
    }
}

static void sleep_until_doorbell(void) {
    while (!doorbell_taken()) {
        const uint32_t state = interrupts_disable();
        /* A doorbell since the question is pending now, and ends this at once. */
        wait_for_interrupt();
        interrupts_restore(state);
    }
}

int main(void) {
    board_init();
    trace_init(&trace, (volatile char *)(uintptr_t)SHARED_TRACE, SHARED_TRACE_BYTES);
    dialect_init(&port);
    remoteproc_vdev_init(&vdev, &resource_table.hub.vdev, &port, &dialect_device);
    pins_init(&dialect_device);
    PORT_MEMORY_BARRIER();
    resource_table.hub.ver = RESOURCE_TABLE_VERSION;
    say("sensor-hub: lm3s6965evb port ready");
    doorbell_ring(RESOURCE_NOTIFY_ID_VDEV);
    for (;;) {
        const enum remoteproc_vdev_state before = vdev.state;
        const bool more = remoteproc_vdev_service(&vdev);
        say_state(before);
        if (!more) {
            sleep_until_doorbell();
        }
    }
}
