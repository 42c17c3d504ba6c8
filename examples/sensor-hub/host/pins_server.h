/* SPDX-License-Identifier: Apache-2.0 */
/* The Unix socket through which tests and people move the simulated wires: a line of text a command. */
#ifndef SENSOR_HUB_HOST_PINS_SERVER_H
#define SENSOR_HUB_HOST_PINS_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lines.h"

#define PINS_MAX_CLIENTS 16

struct pins_client {
    int fd; /* -1: free */
    char input[256];
    size_t input_bytes;
    char *output;
    size_t output_bytes;
    size_t output_room;
    bool *watched;
    /* A burst that is going on; the client's further commands wait until it has ended. */
    uint16_t burst_line;
    uint32_t burst_left;
    uint32_t burst_at_once; /* steps a period */
    uint32_t burst_to_step; /* of them, those still to be made in this one */
    uint64_t burst_period_ns;
    uint64_t burst_next_ns;
};

struct pins_server {
    int fd;
    const char *path;
    struct lines *lines;
    bool hung;
    /* Starts the firmware over, as a watchdog does; NULL: this program cannot. */
    void (*restart)(void *context);
    void *restart_context;
    struct pins_client clients[PINS_MAX_CLIENTS];
};

#define PINS_MAX_POLLS (1 + PINS_MAX_CLIENTS)

/* Replaces a socket that nobody listens on any more; `restart` is set afterwards. On failure prints why and returns false. */
bool pins_open(struct pins_server *server, const char *path, struct lines *lines);
void pins_close(struct pins_server *server);
/* Fills PINS_MAX_POLLS entries. */
void pins_poll_entries(const struct pins_server *server, struct pollfd *entries);
void pins_serve(struct pins_server *server, const struct pollfd *entries);
/* When the next step of a burst is due; 0: at once; UINT64_MAX: never. */
uint64_t pins_next_due_ns(const struct pins_server *server);
void pins_run_bursts(struct pins_server *server);

uint64_t host_clock_ns(void);

#endif
