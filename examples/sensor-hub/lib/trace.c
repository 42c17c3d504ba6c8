/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

void trace_init(struct trace *trace, volatile char *text, uint32_t size_bytes) {
    trace->text = text;
    trace->size_bytes = size_bytes;
    trace->used_bytes = 0;
    text[0] = '\0';
}

void trace_line(struct trace *trace, const char *line) {
    uint32_t length = 0;
    while (line[length] != '\0') {
        length++;
    }
    if (length + 2 > trace->size_bytes) {
        length = trace->size_bytes - 2;
    }
    if (trace->used_bytes + length + 2 > trace->size_bytes) {
        trace->used_bytes = 0;
    }
    volatile char *end = trace->text + trace->used_bytes;
    /* The new end first, so that a reader never runs into what lay behind the old one. */
    end[length + 1] = '\0';
    for (uint32_t i = 0; i < length; i++) {
        end[i] = line[i];
    }
    end[length] = '\n';
    trace->used_bytes += length + 1;
}
