/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of the LM3S6965 (Cortex-M3) that this port uses, by their data sheet's names. */
#ifndef LM3S6965EVB_REGISTERS_H
#define LM3S6965EVB_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* System control */
#define RIS REGISTER(0x400FE050u)
#define RIS_PLLLRIS (1u << 6)
#define RCC REGISTER(0x400FE060u)
#define RCC_SYSDIV_16 (15u << 23)
#define RCC_USESYSDIV (1u << 22)
#define RCC_PWRDN (1u << 13)
#define RCC_BYPASS (1u << 11)
#define RCC_XTAL_8MHZ (14u << 6)
#define RCGC1 REGISTER(0x400FE104u)
#define RCGC1_UART0 (1u << 0)
#define RCGC1_UART1 (1u << 1)
#define RCGC2 REGISTER(0x400FE108u)
#define RCGC2_GPIO_ABC 7u
#define RCGC2_GPIO_D (1u << 3)

/* PL061 GPIO; DATA is addressed with the mask of the bits that are meant in address bits 2 to 9. */
#define GPIO_DATA(base, mask) REGISTER((base) + ((mask) << 2))
#define GPIO_DIR(base) REGISTER((base) + 0x400u)
#define GPIO_IS(base) REGISTER((base) + 0x404u)
#define GPIO_IBE(base) REGISTER((base) + 0x408u)
#define GPIO_IM(base) REGISTER((base) + 0x410u)
#define GPIO_MIS(base) REGISTER((base) + 0x418u)
#define GPIO_ICR(base) REGISTER((base) + 0x41Cu)
#define GPIO_PUR(base) REGISTER((base) + 0x510u)
#define GPIO_DEN(base) REGISTER((base) + 0x51Cu)

/* PL011 UART */
#define UART0_BASE 0x4000C000u
#define UART1_BASE 0x4000D000u
#define UART_DR(base) REGISTER((base) + 0x00u)
#define UART_FR(base) REGISTER((base) + 0x18u)
#define UART_FR_RXFE (1u << 4)
#define UART_FR_TXFF (1u << 5)
#define UART_IBRD(base) REGISTER((base) + 0x24u)
#define UART_FBRD(base) REGISTER((base) + 0x28u)
#define UART_LCRH(base) REGISTER((base) + 0x2Cu)
#define UART_LCRH_8N1_FIFO 0x70u
#define UART_CTL(base) REGISTER((base) + 0x30u)
#define UART_CTL_RXE_TXE_EN 0x301u
#define UART_IM(base) REGISTER((base) + 0x38u)
#define UART_IM_RX_RT 0x50u
#define UART_ICR(base) REGISTER((base) + 0x44u)

/* Cortex-M3 */
#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_CSR_CPU_TICKINT_ENABLE 7u
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define SYST_MAX 0xFFFFFFu
#define NVIC_ISER0 REGISTER(0xE000E100u)
#define SCB_ICSR REGISTER(0xE000ED04u)
#define SCB_ICSR_PENDSTSET (1u << 26)

#define IRQ_GPIO_A 0u
#define IRQ_GPIO_B 1u
#define IRQ_GPIO_C 2u
#define IRQ_UART1 6u
#define IRQ_COUNT 7u

static inline uint32_t interrupts_disable(void) {
    uint32_t before;
    __asm volatile("mrs %0, primask\n\tcpsid i" : "=r"(before)::"memory");
    return before;
}

static inline void interrupts_restore(uint32_t before) {
    __asm volatile("msr primask, %0" ::"r"(before) : "memory");
}

/* Returns on a pending interrupt, also while interrupts are disabled. */
static inline void wait_for_interrupt(void) {
    __asm volatile("dsb\n\twfi" ::: "memory");
}

#endif
