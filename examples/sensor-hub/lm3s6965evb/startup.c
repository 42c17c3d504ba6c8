/* SPDX-License-Identifier: Apache-2.0 */
/* Vector table and start of C, for a Cortex-M3 that runs from flash. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "pins.h"
#include "registers.h"

/* From the linker script. */
extern uint32_t stack_top[];
extern const uint32_t table_load[];
extern uint32_t table_start[];
extern uint32_t table_end[];
extern const uint32_t data_load[];
extern uint32_t data_start[];
extern uint32_t data_end[];
extern uint32_t bss_start[];
extern uint32_t bss_end[];

int main(void);
void reset_handler(void);
void fault_handler(void);

/* The compiler calls these two by itself; nobody else does. */
void *memcpy(void *restrict into, const void *restrict from, size_t bytes);
void *memset(void *into, int value, size_t bytes);

void *memcpy(void *restrict into, const void *restrict from, size_t bytes) {
    uint8_t *to = into;
    const uint8_t *source = from;
    while (bytes-- > 0) {
        *to++ = *source++;
    }
    return into;
}

void *memset(void *into, int value, size_t bytes) {
    uint8_t *to = into;
    while (bytes-- > 0) {
        *to++ = (uint8_t)value;
    }
    return into;
}

/* A fault is a bug of the firmware: say so and stand still, so that the driver side finds it gone. */
void fault_handler(void) {
    (void)interrupts_disable();
    console_line("sensor-hub: fault");
    for (;;) {
        wait_for_interrupt();
    }
}

void reset_handler(void) {
    /* The table's first word, its version, comes last, when the device is ready: see main.c. */
    table_start[0] = 0;
    __asm volatile("dmb" ::: "memory");
    for (uint32_t *to = table_start + 1; to < table_end; to++) {
        *to = table_load[to - table_start];
    }
    for (uint32_t *to = data_start; to < data_end; to++) {
        *to = data_load[to - data_start];
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    (void)main();
    fault_handler(); /* main does not return */
}

typedef void (*vector)(void);

#define VECTOR_NMI 2
#define VECTOR_USAGE_FAULT 6
#define VECTOR_SVCALL 11
#define VECTOR_PENDSV 14
#define VECTOR_SYSTICK 15
#define VECTOR_IRQ(irq) (16u + (irq))

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector handlers[15 + IRQ_COUNT];
} vectors = {
    .stack = stack_top,
    .handlers =
        {
            [0] = reset_handler,
            [VECTOR_NMI - 1 ... VECTOR_USAGE_FAULT - 1] = fault_handler,
            [VECTOR_SVCALL - 1 ... VECTOR_PENDSV - 1] = fault_handler,
            [VECTOR_SYSTICK - 1] = systick_isr,
            [VECTOR_IRQ(IRQ_GPIO_A) - 1] = gpio_a_isr,
            [VECTOR_IRQ(IRQ_GPIO_B) - 1] = gpio_b_isr,
            [VECTOR_IRQ(IRQ_GPIO_C) - 1] = gpio_c_isr,
            [VECTOR_IRQ(3) - 1 ... VECTOR_IRQ(5) - 1] = fault_handler,
            [VECTOR_IRQ(IRQ_UART1) - 1] = uart1_isr,
        },
};
