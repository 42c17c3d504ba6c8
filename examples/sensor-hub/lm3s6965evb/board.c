/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

#include "registers.h"

/* 200 MHz (half the PLL's output) divided by 16: 12.5 MHz. */
#define NS_PER_TICK 80u
/* 12.5 MHz / (16 x 115200) = 6.78: 6 and 50/64. */
#define BAUD_INTEGER 6u
#define BAUD_FRACTION 50u

static volatile uint32_t systick_wraps;
static volatile bool doorbell_came;

static void clock_init(void) {
    /* Run from the oscillator while the PLL starts (data sheet, "Initialization and Configuration"). */
    RCC |= RCC_BYPASS;
    RCC = RCC_SYSDIV_16 | RCC_USESYSDIV | RCC_BYPASS | RCC_XTAL_8MHZ;
    while ((RIS & RIS_PLLLRIS) == 0) {
    }
    RCC &= ~RCC_BYPASS;
    /* An interrupt at each wrap, every 1.34 s: 24 bits are all that this timer has. */
    SYST_RVR = SYST_MAX;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_CPU_TICKINT_ENABLE;
}

static void uart_init(uint32_t base) {
    UART_CTL(base) = 0;
    UART_IBRD(base) = BAUD_INTEGER;
    UART_FBRD(base) = BAUD_FRACTION;
    UART_LCRH(base) = UART_LCRH_8N1_FIFO;
    UART_CTL(base) = UART_CTL_RXE_TXE_EN;
}

void board_init(void) {
    clock_init();
    RCGC1 |= RCGC1_UART0 | RCGC1_UART1;
    RCGC2 |= RCGC2_GPIO_ABC | RCGC2_GPIO_D;
    (void)RCGC2; /* a clock gate takes some cycles to open */
    uart_init(UART0_BASE);
    uart_init(UART1_BASE);
    UART_IM(UART1_BASE) = UART_IM_RX_RT;
    NVIC_ISER0 = 1u << IRQ_UART1;
}

void systick_isr(void) {
    systick_wraps++;
}

uint64_t board_clock_ns(void) {
    const uint32_t state = interrupts_disable();
    uint64_t wraps = systick_wraps;
    uint32_t left = SYST_CVR;
    if ((SCB_ICSR & SCB_ICSR_PENDSTSET) != 0) {
        /* It wrapped, and the interrupt waits: read again, so that both are from after the wrap. */
        wraps++;
        left = SYST_CVR;
    }
    interrupts_restore(state);
    return (wraps * (SYST_MAX + 1u) + (SYST_MAX - left)) * NS_PER_TICK;
}

static void send(uint32_t base, uint8_t byte) {
    while ((UART_FR(base) & UART_FR_TXFF) != 0) {
    }
    UART_DR(base) = byte;
}

void console_line(const char *text) {
    for (; *text != '\0'; text++) {
        send(UART0_BASE, (uint8_t)*text);
    }
    send(UART0_BASE, '\n');
}

void doorbell_ring(uint8_t notify_id) {
    send(UART1_BASE, notify_id);
}

void uart1_isr(void) {
    UART_ICR(UART1_BASE) = UART_IM_RX_RT;
    while ((UART_FR(UART1_BASE) & UART_FR_RXFE) == 0) {
        (void)UART_DR(UART1_BASE); /* which vring does not matter: all are looked at */
        doorbell_came = true;
    }
}

bool doorbell_taken(void) {
    const uint32_t state = interrupts_disable();
    const bool came = doorbell_came;
    doorbell_came = false;
    interrupts_restore(state);
    return came;
}
