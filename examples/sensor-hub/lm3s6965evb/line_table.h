/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pin is which line: HUB_LINE(offset, name, port letter, port base address, bit), in order of the
 * offsets. lines.json says the same for programs that drive the pins; `make lm3s6965evb` compares them.
 *
 * What a test drives and what it watches lie on different ports, because QEMU's irq_intercept_out takes a
 * whole port's outputs, its interrupt included.
 */
#ifndef LM3S6965EVB_LINE_TABLE_H
#define LM3S6965EVB_LINE_TABLE_H

#define PORT_A_BASE 0x40004000u
#define PORT_B_BASE 0x40005000u
#define PORT_C_BASE 0x40006000u

#define HUB_LINES                                         \
    HUB_LINE(0, "IMU_INT", A, PORT_A_BASE, 0)             \
    HUB_LINE(1, "BARO_DRDY", A, PORT_A_BASE, 1)           \
    HUB_LINE(2, "ALS_INT", A, PORT_A_BASE, 2)             \
    HUB_LINE(3, "PROX_INT", A, PORT_A_BASE, 3)            \
    HUB_LINE(4, "MAG_DRDY", A, PORT_A_BASE, 4)            \
    HUB_LINE(5, "BUTTON", A, PORT_A_BASE, 5)              \
    HUB_LINE(6, "LID_OPEN", A, PORT_A_BASE, 6)            \
    HUB_LINE(7, "TAMPER", A, PORT_A_BASE, 7)              \
    HUB_LINE(8, "LED_STATUS", B, PORT_B_BASE, 0)          \
    HUB_LINE(9, "LED_ERROR", B, PORT_B_BASE, 1)           \
    HUB_LINE(10, "SENSOR_RST", B, PORT_B_BASE, 2)         \
    HUB_LINE(11, "SENSOR_PWR_EN", B, PORT_B_BASE, 3)      \
    HUB_LINE(12, "BUZZER", B, PORT_B_BASE, 4)             \
    HUB_LINE(13, "", C, PORT_C_BASE, 1)                   \
    HUB_LINE(14, "LOOP_OUT", B, PORT_B_BASE, 5)           \
    HUB_LINE(15, "LOOP_IN", C, PORT_C_BASE, 0)

#define HUB_LINE_COUNT 16u
#define HUB_LINE_BUTTON 5u
#define HUB_LINE_LOOP_OUT 14u
#define HUB_LINE_LOOP_IN 15u

#endif
