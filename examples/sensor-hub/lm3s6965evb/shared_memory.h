/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies where in the 64 KiB of SRAM at 0x20000000. The driver side finds the table in the ELF file's
 * section .resource_table (its address is that of the copy in RAM), and all else in the table.
 */
#ifndef LM3S6965EVB_SHARED_MEMORY_H
#define LM3S6965EVB_SHARED_MEMORY_H

#include "../lib/resource_table.h"
#include "dialect.h"

#define SHARED_TRACE 0x20000400u
#define SHARED_TRACE_BYTES 0xC00u
#define SHARED_VRING0 0x20001000u
#define SHARED_VRING1 0x20001800u
#define SHARED_BUFFERS 0x20004000u
#define SHARED_END 0x2000E000u /* the firmware's own data and stack follow */

#define VRING_ALIGN 64u
_Static_assert(SHARED_VRING0 + VRING_BYTES(HUB_VRING0_NUM, VRING_ALIGN) <= SHARED_VRING1, "vring 0 fits");
_Static_assert(SHARED_VRING1 + VRING_BYTES(HUB_VRING1_NUM, VRING_ALIGN) <= SHARED_BUFFERS, "vring 1 fits");

/* Copied here by the start-up code, with version 0 until the device is ready. */
struct board_resource_table {
    struct hub_resource_table hub;
    struct hub_config config;
};
_Static_assert(sizeof(struct board_resource_table) <= SHARED_TRACE - 0x20000000u, "the table fits");
extern volatile struct board_resource_table resource_table;

#endif
