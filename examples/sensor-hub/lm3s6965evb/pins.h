/* SPDX-License-Identifier: Apache-2.0 */
/* The lines on their PL061 pins. LOOP_OUT to LOOP_IN is a wire in software. */
#ifndef LM3S6965EVB_PINS_H
#define LM3S6965EVB_PINS_H

#include <stdbool.h>
#include <stdint.h>

#include "../lib/hub_device.h"

void pins_init(const struct hub_device *device);

uint8_t pins_read(uint16_t line);
void pins_write(uint16_t line, uint8_t level);
void pins_set_direction(uint16_t line, uint8_t direction, uint8_t level);
void pins_enable_edges(uint16_t line, bool enable);

/* Interrupts (startup.c's vector table). */
void gpio_a_isr(void);
void gpio_b_isr(void);
void gpio_c_isr(void);

#endif
