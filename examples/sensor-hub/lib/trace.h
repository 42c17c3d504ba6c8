/* SPDX-License-Identifier: Apache-2.0 */
/* The trace buffer of the resource table: NUL-terminated text that the driver side may read any time. */
#ifndef SENSOR_HUB_TRACE_H
#define SENSOR_HUB_TRACE_H

#include <stdint.h>

struct trace {
    volatile char *text;
    uint32_t size_bytes;
    uint32_t used_bytes;
};

void trace_init(struct trace *trace, volatile char *text, uint32_t size_bytes);
/* Appends one line; starts over at the beginning when it does not fit any more. */
void trace_line(struct trace *trace, const char *line);

#endif
