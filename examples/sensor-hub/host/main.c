/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sensor hub as a Linux process: a memfd stands for the shared memory, two eventfds for the
 * doorbells, a socket for the pins. Everything between them is the library that runs on the MCU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "../lib/remoteproc_vdev.h"
#include "../lib/trace.h"
#include "hub_memory.h"
#include "lines.h"
#include "pins_server.h"

#define MAX_LINES 4096u

struct options {
    int memory_fd;
    int kick_fd;
    int call_fd;
    const char *pins;
    uint32_t device_address;
    uint16_t lines;
    bool plain;
    bool fixed_vrings;
};

struct hub {
    struct hub_memory memory;
    struct lines lines;
    struct virtio_gpio_device device;
    struct virtio_gpio_line *state;
    struct remoteproc_vdev vdev;
    struct trace trace;
    struct pins_server pins;
    int kick_fd;
    int call_fd;
};

/* ---- the port ---- */

static void *port_translate(void *context, uint64_t address, uint32_t size_bytes) {
    return hub_memory_translate(&((struct hub *)context)->memory, address, size_bytes);
}

static void port_ring_doorbell(void *context, uint32_t notify_id) {
    const struct hub *hub = context;
    const uint64_t one = 1;
    (void)notify_id; /* one eventfd for all */
    /* Full means that it is signalled already. */
    if (write(hub->call_fd, &one, sizeof one) < 0 && errno != EAGAIN) {
        fprintf(stderr, "sensor-hub: call descriptor %d: %s\n", hub->call_fd, strerror(errno));
    }
}

static uint8_t port_read_level(void *context, uint16_t line) {
    return ((struct hub *)context)->lines.line[line].level;
}

static bool port_write_level(void *context, uint16_t line, uint8_t level) {
    lines_write(&((struct hub *)context)->lines, line, level);
    return true;
}

static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
    lines_set_direction(&((struct hub *)context)->lines, line, direction, level);
    return true;
}

static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
    ((struct hub *)context)->lines.line[line].edges = edges;
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

/* ---- options ---- */

static bool number_of(const char *text, unsigned long long limit, unsigned long long *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value <= limit;
}

static bool parse_option(struct options *options, const char *argument) {
    const char *equals = strchr(argument, '=');
    const size_t length = equals == NULL ? strlen(argument) : (size_t)(equals - argument);
    const char *value = equals == NULL ? "" : equals + 1;
    unsigned long long number = 0;
#define IS(name) (length == sizeof(name) - 1 && strncmp(argument, name, length) == 0)
    if (IS("--plain") && equals == NULL) {
        options->plain = true;
    } else if (IS("--pins") && value[0] != '\0') {
        options->pins = value;
    } else if (IS("--vrings") && (strcmp(value, "fixed") == 0 || strcmp(value, "any") == 0)) {
        options->fixed_vrings = value[0] == 'f';
    } else if (IS("--memory-fd") && number_of(value, 65535, &number)) {
        options->memory_fd = (int)number;
    } else if (IS("--kick-fd") && number_of(value, 65535, &number)) {
        options->kick_fd = (int)number;
    } else if (IS("--call-fd") && number_of(value, 65535, &number)) {
        options->call_fd = (int)number;
    } else if (IS("--device-address") && number_of(value, UINT32_MAX, &number)) {
        options->device_address = (uint32_t)number;
    } else if (IS("--lines") && number_of(value, MAX_LINES, &number) && number > 0) {
        options->lines = (uint16_t)number;
    } else {
        return false;
    }
#undef IS
    return true;
}

static bool parse_options(struct options *options, int argc, char **argv) {
    *options = (struct options){
        .memory_fd = -1, .kick_fd = -1, .call_fd = -1, .device_address = 0x20000000, .lines = 16,
        .fixed_vrings = true,
    };
    for (int i = 1; i < argc; i++) {
        if (!parse_option(options, argv[i])) {
            fprintf(stderr, "sensor-hub: unknown option or bad value: %s\n", argv[i]);
            return false;
        }
    }
    if (options->memory_fd < 0 || options->kick_fd < 0 || options->call_fd < 0 || options->pins == NULL) {
        fprintf(stderr, "usage: sensor-hub --memory-fd=N --kick-fd=N --call-fd=N --pins=PATH\n"
                        "  [--device-address=0x20000000] [--plain] [--vrings=fixed|any] [--lines=16]\n");
        return false;
    }
    if (options->device_address % 64 != 0) {
        fprintf(stderr, "sensor-hub: --device-address=0x%x: want a multiple of 64\n", options->device_address);
        return false;
    }
    return true;
}

/* ---- life ---- */

/* SIGTERM, SIGINT and the parent's end become readable on a descriptor. */
static int open_end_signals(void) {
    const pid_t parent = getppid();
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        return -1;
    }
    if (getppid() != parent) {
        raise(SIGTERM); /* it went before it could be watched */
    }
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool start(struct hub *hub, const struct options *options, const struct hub_port *port) {
    struct virtio_gpio_config config;
    hub->kick_fd = options->kick_fd;
    hub->call_fd = options->call_fd;
    hub->pins.fd = -1;
    if (!hub_memory_map(&hub->memory, options->memory_fd, options->device_address)) {
        return false;
    }
    hub->state = calloc(options->lines, sizeof *hub->state);
    if (hub->state == NULL || !lines_init(&hub->lines, options->lines, &hub->device)) {
        fprintf(stderr, "sensor-hub: out of memory for %u lines\n", options->lines);
        return false;
    }
    virtio_gpio_init(&hub->device, port, hub->state, options->lines, hub->lines.names, hub->lines.names_bytes);
    virtio_gpio_read_config(&hub->device, &config);
    uint32_t features = virtio_gpio_features();
    if (options->plain) {
        features &= ~(1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT);
    }
    hub_memory_fill(&hub->memory, features, &config, options->fixed_vrings);
    remoteproc_vdev_init(&hub->vdev, &hub->memory.table->vdev, port, &hub->device);
    uint32_t trace_bytes;
    volatile char *trace_text = hub_memory_trace(&hub->memory, &trace_bytes);
    trace_init(&hub->trace, trace_text, trace_bytes);
    trace_line(&hub->trace, "sensor-hub: host port started");
    if (!pins_open(&hub->pins, options->pins, &hub->lines)) {
        return false;
    }
    hub_memory_publish(&hub->memory);
    port_ring_doorbell(hub, RESOURCE_NOTIFY_ID_VDEV);
    return true;
}

static void trace_state(struct hub *hub, enum remoteproc_vdev_state before) {
    static const char *const texts[] = {
        [REMOTEPROC_VDEV_IDLE] = "sensor-hub: vdev reset",
        [REMOTEPROC_VDEV_BOUND] = "sensor-hub: vdev bound",
        [REMOTEPROC_VDEV_REFUSED] = "sensor-hub: vdev refused, needs reset",
    };
    if (hub->vdev.state != before) {
        trace_line(&hub->trace, texts[hub->vdev.state]);
    }
}

/* Blocks until something happens or a burst's next step is due. */
static bool wait_for_work(struct hub *hub, struct pollfd *entries, nfds_t count, bool more) {
    struct timespec timeout = {0};
    const uint64_t due_ns = pins_next_due_ns(&hub->pins);
    if (!more && due_ns != UINT64_MAX && due_ns != 0) {
        const uint64_t now_ns = host_clock_ns();
        const uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
        timeout.tv_sec = (time_t)(left_ns / UINT64_C(1000000000));
        timeout.tv_nsec = (long)(left_ns % UINT64_C(1000000000));
    }
    const bool forever = !more && due_ns == UINT64_MAX;
    if (ppoll(entries, count, forever ? NULL : &timeout, NULL) < 0 && errno != EINTR) {
        fprintf(stderr, "sensor-hub: poll: %s\n", strerror(errno));
        return false;
    }
    return true;
}

static int run(struct hub *hub, int end_fd) {
    bool more = false;
    for (;;) {
        struct pollfd entries[2 + PINS_MAX_POLLS] = {
            {.fd = end_fd, .events = POLLIN},
            {.fd = hub->pins.hung ? -1 : hub->kick_fd, .events = POLLIN},
        };
        pins_poll_entries(&hub->pins, entries + 2);
        if (!wait_for_work(hub, entries, 2 + PINS_MAX_POLLS, more && !hub->pins.hung)) {
            return 1;
        }
        if ((entries[0].revents & POLLIN) != 0) {
            return 0;
        }
        if ((entries[1].revents & (POLLERR | POLLNVAL)) != 0) {
            fprintf(stderr, "sensor-hub: kick descriptor %d cannot be polled\n", hub->kick_fd);
            return 1;
        }
        if ((entries[1].revents & POLLIN) != 0) {
            uint64_t kicks;
            /* Somebody else may have taken it: it does not matter what it says. */
            more = read(hub->kick_fd, &kicks, sizeof kicks) > 0 || errno == EAGAIN;
        }
        if (more && !hub->pins.hung) {
            const enum remoteproc_vdev_state before = hub->vdev.state;
            more = remoteproc_vdev_service(&hub->vdev);
            trace_state(hub, before);
        }
        pins_serve(&hub->pins, entries + 2);
        pins_run_bursts(&hub->pins);
    }
}

int main(int argc, char **argv) {
    struct options options;
    struct hub hub = {0};
    const struct hub_port port = {
        .context = &hub,
        .translate = port_translate,
        .ring_doorbell = port_ring_doorbell,
        .read_level = port_read_level,
        .write_level = port_write_level,
        .set_direction = port_set_direction,
        .enable_edges = port_enable_edges,
        .enter_critical = port_enter_critical,
        .leave_critical = port_leave_critical,
        .clock_ns = port_clock_ns,
    };
    if (!parse_options(&options, argc, argv)) {
        return 2;
    }
    const int end_fd = open_end_signals();
    if (end_fd < 0) {
        fprintf(stderr, "sensor-hub: signals: %s\n", strerror(errno));
        return 1;
    }
    (void)prctl(PR_SET_TIMERSLACK, 1000ul); /* periods of bursts are in microseconds */
    const int result = start(&hub, &options, &port) ? run(&hub, end_fd) : 1;
    pins_close(&hub.pins);
    lines_free(&hub.lines);
    free(hub.state);
    return result;
}
