/* SPDX-License-Identifier: Apache-2.0 */
#include "pins.h"

#include "../lib/virtio_gpio.h"
#include "line_table.h"
#include "registers.h"

struct pin {
    uint32_t base;
    uint8_t bit;
};

#define HUB_LINE(offset, name, port, base, bit) {base, bit},
static const struct pin pins[] = {HUB_LINES};
#undef HUB_LINE
_Static_assert(sizeof pins / sizeof pins[0] == HUB_LINE_COUNT, "every line has a pin");

static const struct hub_device *hub;
static uint8_t directions[HUB_LINE_COUNT];
static uint8_t seen[HUB_LINE_COUNT]; /* the level that the last edge led to */
static bool enabled[HUB_LINE_COUNT];

static uint32_t mask_of(uint16_t line) {
    return 1u << pins[line].bit;
}

/* LOOP_IN follows LOOP_OUT while that is an output. */
static bool looped(uint16_t line) {
    return line == HUB_LINE_LOOP_IN && directions[HUB_LINE_LOOP_OUT] == VIRTIO_GPIO_DIRECTION_OUT;
}

void pins_init(const struct hub_device *device) {
    static const uint32_t ports[] = {PORT_A_BASE, PORT_B_BASE, PORT_C_BASE};
    hub = device;
    for (unsigned i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        GPIO_IM(ports[i]) = 0;
    }
    for (uint16_t line = 0; line < HUB_LINE_COUNT; line++) {
        const uint32_t base = pins[line].base;
        GPIO_DIR(base) &= ~mask_of(line);
        GPIO_DEN(base) |= mask_of(line);
        /* Always both edges of the pin: a pulse is known by an edge that left the level as it was. */
        GPIO_IS(base) &= ~mask_of(line);
        GPIO_IBE(base) |= mask_of(line);
    }
    GPIO_PUR(pins[HUB_LINE_BUTTON].base) |= mask_of(HUB_LINE_BUTTON);
    NVIC_ISER0 = 1u << IRQ_GPIO_A | 1u << IRQ_GPIO_B | 1u << IRQ_GPIO_C;
}

uint8_t pins_read(uint16_t line) {
    const uint16_t wire = looped(line) ? (uint16_t)HUB_LINE_LOOP_OUT : line;
    return GPIO_DATA(pins[wire].base, mask_of(wire)) != 0;
}

/* The edges that lead from the level seen last to the one now; `pulsed`: there were some for certain. */
static void report(uint16_t line, uint8_t level, bool pulsed) {
    if (level != seen[line]) {
        seen[line] = level;
        hub_line_changed(hub, line, level);
    } else if (pulsed) {
        hub_line_changed(hub, line, !level);
        hub_line_changed(hub, line, level);
    }
}

/* What the wire from LOOP_OUT does to LOOP_IN. The library flushes the event with the request. */
static void follow_loop(uint16_t line) {
    if (line != HUB_LINE_LOOP_OUT) {
        return;
    }
    const uint32_t state = interrupts_disable();
    if (enabled[HUB_LINE_LOOP_IN]) {
        report(HUB_LINE_LOOP_IN, pins_read(HUB_LINE_LOOP_IN), false);
    }
    interrupts_restore(state);
}

void pins_write(uint16_t line, uint8_t level) {
    GPIO_DATA(pins[line].base, mask_of(line)) = level != 0 ? mask_of(line) : 0;
    follow_loop(line);
}

void pins_set_direction(uint16_t line, uint8_t direction, uint8_t level) {
    const uint32_t base = pins[line].base;
    const uint32_t data = level != 0 ? mask_of(line) : 0;
    const uint32_t state = interrupts_disable();
    if (direction == VIRTIO_GPIO_DIRECTION_OUT) {
        GPIO_DATA(base, mask_of(line)) = data;
        GPIO_DIR(base) |= mask_of(line);
        GPIO_DATA(base, mask_of(line)) = data; /* the emulated port takes no data for inputs */
    } else {
        GPIO_DIR(base) &= ~mask_of(line);
    }
    directions[line] = direction;
    interrupts_restore(state);
    follow_loop(line);
}

/* Leaves the level and the interrupt flag in step: each later edge sets the flag anew. */
static uint8_t acknowledge(uint16_t line) {
    uint8_t level;
    do {
        level = pins_read(line);
        GPIO_ICR(pins[line].base) = mask_of(line);
    } while (pins_read(line) != level);
    return level;
}

void pins_enable_edges(uint16_t line, bool enable) {
    const uint32_t state = interrupts_disable();
    enabled[line] = enable;
    if (enable) {
        seen[line] = acknowledge(line);
        GPIO_IM(pins[line].base) |= mask_of(line);
    } else {
        GPIO_IM(pins[line].base) &= ~mask_of(line);
    }
    interrupts_restore(state);
}

static void port_isr(uint32_t base) {
    const uint32_t pending = GPIO_MIS(base);
    for (uint16_t line = 0; line < HUB_LINE_COUNT; line++) {
        if (pins[line].base == base && (pending & mask_of(line)) != 0) {
            const uint8_t level = acknowledge(line);
            /* A looped input's own pin says nothing about its wire. */
            report(line, level, !looped(line));
        }
    }
    hub_flush_events(hub);
}

void gpio_a_isr(void) {
    port_isr(PORT_A_BASE);
}

void gpio_b_isr(void) {
    port_isr(PORT_B_BASE);
}

void gpio_c_isr(void) {
    port_isr(PORT_C_BASE);
}
