/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies where in the 64 KiB of SRAM at 0x20000000. The driver side finds the table in the ELF file's
 * section .resource_table (its address is that of the copy in RAM), and all else in the table.
 */
#ifndef LM3S6965EVB_SHARED_MEMORY_H
#define LM3S6965EVB_SHARED_MEMORY_H

#include "../lib/resource_table.h"

#define SHARED_TRACE 0x20000400u
#define SHARED_TRACE_BYTES 0xC00u
#define SHARED_REQUEST_VRING 0x20001000u
#define SHARED_EVENT_VRING 0x20001800u
#define SHARED_BUFFERS 0x20004000u
#define SHARED_END 0x2000E000u /* the firmware's own data and stack follow */

#define REQUEST_NUM 64u
#define EVENT_NUM 256u
#define VRING_ALIGN 64u
_Static_assert(SHARED_REQUEST_VRING + VRING_BYTES(REQUEST_NUM, VRING_ALIGN) <= SHARED_EVENT_VRING, "requestq fits");
_Static_assert(SHARED_EVENT_VRING + VRING_BYTES(EVENT_NUM, VRING_ALIGN) <= SHARED_BUFFERS, "eventq fits");

/* Copied here by the start-up code, with version 0 until the device is ready. */
extern volatile struct hub_resource_table resource_table;

/* All lines' names, each with its NUL. */
extern const char line_names[];
extern const uint32_t line_names_bytes;

#endif
