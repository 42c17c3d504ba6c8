/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "host_hub.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* ---- the port's calls ---- */

static uint8_t port_read_level(void *context, uint16_t line) {
    return ((struct host_hub *)context)->lines.line[line].level;
}

static bool port_write_level(void *context, uint16_t line, uint8_t level) {
    lines_write(&((struct host_hub *)context)->lines, line, level);
    return true;
}

static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
    lines_set_direction(&((struct host_hub *)context)->lines, line, direction, level);
    return true;
}

static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
    ((struct host_hub *)context)->lines.line[line].edges = edges;
    return true;
}

/* One thread: nothing comes in between. */
static uint32_t port_enter_critical(void *context) {
    (void)context;
    return 0;
}

static void port_leave_critical(void *context, uint32_t state) {
    (void)context;
    (void)state;
}

static uint64_t port_clock_ns(void *context) {
    (void)context;
    return host_clock_ns();
}

/* ---- life ---- */

/*
 * A parent that ends in order ends us first. When it was killed, whoever starts it again starts another hub with
 * the same socket; SIGTERM would not end one that stands still (SIGSTOP, a debugger), so that one would not start.
 */
static int open_end_signals(bool end_with_parent) {
    const pid_t parent = getppid();
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0 ||
        (end_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)) {
        return -1;
    }
    if (end_with_parent && getppid() != parent) {
        raise(SIGTERM); /* it went before it could be watched */
    }
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool host_hub_open(struct host_hub *hub, const char *program, const struct dialect_options *options,
                   uint16_t line_count, bool end_with_parent,
                   void *(*translate)(void *context, uint64_t address, uint32_t size_bytes),
                   void (*ring_doorbell)(void *context, uint32_t notify_id)) {
    *hub = (struct host_hub){.pins.fd = -1};
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        hub->pins.clients[i].fd = -1;
    }
    hub->port = (struct hub_port){
        .context = hub,
        .translate = translate,
        .ring_doorbell = ring_doorbell,
        .read_level = port_read_level,
        .write_level = port_write_level,
        .set_direction = port_set_direction,
        .enable_edges = port_enable_edges,
        .enter_critical = port_enter_critical,
        .leave_critical = port_leave_critical,
        .clock_ns = port_clock_ns,
    };
    hub->end_fd = open_end_signals(end_with_parent);
    if (hub->end_fd < 0) {
        fprintf(stderr, "%s: signals: %s\n", program, strerror(errno));
        return false;
    }
    (void)prctl(PR_SET_TIMERSLACK, 1000ul); /* periods of bursts are in microseconds */
    if (!lines_init(&hub->lines, line_count, &hub->dialect.device) ||
        !dialect_open(&hub->dialect, options, &hub->port, line_count, hub->lines.names, hub->lines.names_bytes)) {
        fprintf(stderr, "%s: out of memory for %u lines\n", program, line_count);
        return false;
    }
    return true;
}

void host_hub_close(struct host_hub *hub) {
    pins_close(&hub->pins);
    lines_free(&hub->lines);
    dialect_close(&hub->dialect);
    if (hub->end_fd >= 0) {
        close(hub->end_fd);
        hub->end_fd = -1;
    }
}

bool host_hub_wait(struct host_hub *hub, struct pollfd *entries, unsigned count, bool more) {
    struct timespec timeout = {0};
    const uint64_t due_ns = pins_next_due_ns(&hub->pins);
    if (!more && due_ns != UINT64_MAX && due_ns != 0) {
        const uint64_t now_ns = host_clock_ns();
        const uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
        timeout.tv_sec = (time_t)(left_ns / UINT64_C(1000000000));
        timeout.tv_nsec = (long)(left_ns % UINT64_C(1000000000));
    }
    const bool forever = !more && due_ns == UINT64_MAX;
    pins_poll_entries(&hub->pins, entries + count);
    if (ppoll(entries, count + PINS_MAX_POLLS, forever ? NULL : &timeout, NULL) < 0) {
        if (errno != EINTR) {
            perror("sensor-hub: poll");
            return false;
        }
        for (unsigned i = 0; i < count + PINS_MAX_POLLS; i++) {
            entries[i].revents = 0;
        }
    }
    if ((entries[0].revents & POLLIN) != 0) {
        return false;
    }
    pins_serve(&hub->pins, entries + count);
    pins_run_bursts(&hub->pins);
    return true;
}
