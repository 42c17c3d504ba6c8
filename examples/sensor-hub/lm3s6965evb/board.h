/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, console and doorbell of the board. */
#ifndef LM3S6965EVB_BOARD_H
#define LM3S6965EVB_BOARD_H

#include <stdbool.h>
#include <stdint.h>

void board_init(void);

/* Nanoseconds since the start, in steps of 80. */
uint64_t board_clock_ns(void);

/* To UART0; waits for room. */
void console_line(const char *text);

/* One byte to UART1. With interrupts disabled, so that an interrupt's byte does not come between. */
void doorbell_ring(uint8_t notify_id);
/* Whether a byte came since the last call. */
bool doorbell_taken(void);

/* Interrupts (startup.c's vector table). */
void systick_isr(void);
void uart1_isr(void);

#endif
