/* SPDX-License-Identifier: Apache-2.0 */
/* What the hub's programs on Linux have in common: simulated lines, their socket, the port's calls to them. */
#ifndef SENSOR_HUB_HOST_HOST_HUB_H
#define SENSOR_HUB_HOST_HOST_HUB_H

#include "host_dialect.h"
#include "lines.h"
#include "pins_server.h"

/* A program embeds it as the first member of its own struct: that is the context of the port's calls. */
struct host_hub {
    struct lines lines;
    struct host_dialect dialect;
    struct pins_server pins;
    struct hub_port port;
    int end_fd; /* readable when the program is to end */
};

/*
 * Blocks SIGTERM and SIGINT and makes them, and optionally the parent's end, readable on end_fd. Sets up lines and
 * device. On failure prints why and returns false; host_hub_close is due in any case.
 */
bool host_hub_open(struct host_hub *hub, const char *program, const struct dialect_options *options,
                   uint16_t line_count, bool end_with_parent,
                   void *(*translate)(void *context, uint64_t address, uint32_t size_bytes),
                   void (*ring_doorbell)(void *context, uint32_t notify_id));
void host_hub_close(struct host_hub *hub);

/*
 * poll(2) on the caller's entries, which begin with end_fd, and behind them PINS_MAX_POLLS more that it fills.
 * Sleeps until something happens, unless there is `more` to do; runs the pins' commands and bursts.
 * False: the program is to end.
 */
bool host_hub_wait(struct host_hub *hub, struct pollfd *entries, unsigned count, bool more);

#endif
