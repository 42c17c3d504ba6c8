/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sensor hub as a Linux process: a memfd stands for the shared memory, two eventfds for the
 * doorbells, a socket for the pins. Everything between them is the library that runs on the MCU.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/remoteproc_vdev.h"
#include "../lib/trace.h"
#include "host_hub.h"
#include "hub_memory.h"

#define MAX_LINES 4096u

struct options {
    int memory_fd;
    int kick_fd;
    int call_fd;
    const char *pins;
    uint32_t device_address;
    uint16_t lines;
    struct dialect_options dialect;
    bool fixed_vrings;
};

struct sensor_hub {
    struct host_hub host;
    struct hub_memory memory;
    struct remoteproc_vdev vdev;
    struct trace trace;
    const struct options *options;
    int kick_fd;
    int call_fd;
};

static void *port_translate(void *context, uint64_t address, uint32_t size_bytes) {
    return hub_memory_translate(&((struct sensor_hub *)context)->memory, address, size_bytes);
}

static void port_ring_doorbell(void *context, uint32_t notify_id) {
    const struct sensor_hub *hub = context;
    const uint64_t one = 1;
    (void)notify_id; /* one eventfd for all */
    /* Full means that it is signalled already. */
    if (write(hub->call_fd, &one, sizeof one) < 0 && errno != EAGAIN) {
        fprintf(stderr, "sensor-hub: call descriptor %d: %s\n", hub->call_fd, strerror(errno));
    }
}

static bool number_of(const char *text, unsigned long long limit, unsigned long long *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value <= limit;
}

/* One of two words. */
static bool parse_choice(const char *value, const char *first_word, const char *second_word, bool *second) {
    *second = strcmp(value, second_word) == 0;
    return *second || strcmp(value, first_word) == 0;
}

static void set_rpmsg_option(struct options *options, uint8_t option, bool on) {
    options->dialect.rpmsg_options =
        (uint8_t)(on ? options->dialect.rpmsg_options | option : options->dialect.rpmsg_options & ~option);
}

static bool parse_option(struct options *options, const char *argument) {
    const char *equals = strchr(argument, '=');
    const size_t length = equals == NULL ? strlen(argument) : (size_t)(equals - argument);
    const char *value = equals == NULL ? "" : equals + 1;
    unsigned long long number = 0;
    bool second = false;
#define IS(name) (length == sizeof(name) - 1 && strncmp(argument, name, length) == 0)
    if (IS("--plain") && equals == NULL) {
        options->dialect.plain = true;
    } else if (IS("--dialect")) {
        return dialect_select(&options->dialect, value);
    } else if (IS("--get-direction") && parse_choice(value, "yes", "no", &second)) {
        set_rpmsg_option(options, RPMSG_GPIO_NO_GET_DIRECTION, second);
    } else if (IS("--directions") && parse_choice(value, "0-1", "1-2", &second)) {
        set_rpmsg_option(options, RPMSG_GPIO_VIRTIO_DIRECTIONS, second);
    } else if (IS("--masked-edges") && parse_choice(value, "latched", "lost", &second)) {
        set_rpmsg_option(options, RPMSG_GPIO_LOSES_MASKED_EDGES, second);
    } else if (IS("--reply-mask") && parse_choice(value, "0x8000", "0xf000", &second)) {
        options->dialect.reply_bits = second ? METUX_GPIO_REPLY_2020 : METUX_GPIO_REPLY;
    } else if (IS("--event-num") && number_of(value, 32768, &number) && number >= 2 && (number & (number - 1)) == 0) {
        options->dialect.event_num = (uint16_t)number;
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
        .dialect = DIALECT_DEFAULT, .fixed_vrings = true,
    };
    for (int i = 1; i < argc; i++) {
        if (!parse_option(options, argv[i])) {
            fprintf(stderr, "sensor-hub: unknown option or bad value: %s\n", argv[i]);
            return false;
        }
    }
    if (options->memory_fd < 0 || options->kick_fd < 0 || options->call_fd < 0 || options->pins == NULL) {
        fprintf(stderr, "usage: sensor-hub --memory-fd=N --kick-fd=N --call-fd=N --pins=PATH\n"
                        "  [--device-address=0x20000000] [--vrings=fixed|any] [--lines=16]\n"
                        "  [--dialect=virtio-gpio|srtm|rpmsg-io|rpmsg-gpio|rpmsg-gpio-kind0|metux] [--plain]\n"
                        "  [--get-direction=yes|no] [--directions=0-1|1-2] [--masked-edges=latched|lost]\n"
                        "  [--reply-mask=0x8000|0xf000] [--event-num=256]\n");
        return false;
    }
    const char *conflict = dialect_conflict(&options->dialect, options->lines);
    if (conflict != NULL) {
        fprintf(stderr, "sensor-hub: --dialect=%s --lines=%u: %s\n", options->dialect.name, options->lines, conflict);
        return false;
    }
    if (options->fixed_vrings && options->dialect.event_num > HUB_MEMORY_FIXED_NUM1) {
        fprintf(stderr, "sensor-hub: --event-num=%u: at fixed addresses there is room for %u; give --vrings=any too\n",
                options->dialect.event_num, HUB_MEMORY_FIXED_NUM1);
        return false;
    }
    if (options->device_address % 64 != 0) {
        fprintf(stderr, "sensor-hub: --device-address=0x%x: want a multiple of 64\n", options->device_address);
        return false;
    }
    return true;
}

/* Table and vdev as they are before the driver knows them; published by the caller. */
static void lay_out(struct sensor_hub *hub) {
    struct host_hub *host = &hub->host;
    struct dialect_vdev vdev;
    dialect_describe(&hub->options->dialect, &host->dialect, hub->options->lines, host->lines.names,
                     host->lines.names_bytes, HUB_MEMORY_CONFIG_BYTES, &vdev);
    hub_memory_fill(&hub->memory, &vdev, hub->options->fixed_vrings);
    remoteproc_vdev_init(&hub->vdev, &hub->memory.table->vdev, &host->port, &host->dialect.device);
}

static void publish(struct sensor_hub *hub) {
    hub_memory_publish(&hub->memory);
    port_ring_doorbell(hub, RESOURCE_NOTIFY_ID_VDEV);
}

/* What a watchdog's reset leaves behind: nothing but the levels from outside, and a table as in the image. */
static void restart(void *context) {
    struct sensor_hub *hub = context;
    struct host_hub *host = &hub->host;
    host->dialect.device.type->reset(host->dialect.device.state);
    dialect_close(&host->dialect);
    if (!dialect_open(&host->dialect, &hub->options->dialect, &host->port, hub->options->lines, host->lines.names,
                      host->lines.names_bytes)) {
        fprintf(stderr, "sensor-hub: out of memory\n");
        abort();
    }
    lines_idle(&host->lines);
    lay_out(hub);
    trace_line(&hub->trace, "sensor-hub: started over");
    publish(hub);
}

static bool start(struct sensor_hub *hub, const struct options *options) {
    struct host_hub *host = &hub->host;
    hub->options = options;
    hub->kick_fd = options->kick_fd;
    hub->call_fd = options->call_fd;
    if (!host_hub_open(host, "sensor-hub", &options->dialect, options->lines, true, port_translate,
                       port_ring_doorbell) ||
        !hub_memory_map(&hub->memory, options->memory_fd, options->device_address)) {
        return false;
    }
    lay_out(hub);
    uint32_t trace_bytes;
    volatile char *trace_text = hub_memory_trace(&hub->memory, &trace_bytes);
    trace_init(&hub->trace, trace_text, trace_bytes);
    trace_line(&hub->trace, "sensor-hub: host port started");
    if (!pins_open(&host->pins, options->pins, &host->lines)) {
        return false;
    }
    host->pins.restart = restart;
    host->pins.restart_context = hub;
    publish(hub);
    return true;
}

static void trace_state(struct sensor_hub *hub, enum remoteproc_vdev_state before) {
    static const char *const texts[] = {
        [REMOTEPROC_VDEV_IDLE] = "sensor-hub: vdev reset",
        [REMOTEPROC_VDEV_BOUND] = "sensor-hub: vdev bound",
        [REMOTEPROC_VDEV_REFUSED] = "sensor-hub: vdev refused, needs reset",
    };
    if (hub->vdev.state != before) {
        trace_line(&hub->trace, texts[hub->vdev.state]);
    }
}

static int run(struct sensor_hub *hub) {
    bool more = false;
    for (;;) {
        const bool hung = hub->host.pins.hung;
        struct pollfd entries[2 + PINS_MAX_POLLS] = {
            {.fd = hub->host.end_fd, .events = POLLIN},
            {.fd = hung ? -1 : hub->kick_fd, .events = POLLIN},
        };
        if (!host_hub_wait(&hub->host, entries, 2, more && !hung)) {
            return 0;
        }
        if ((entries[1].revents & (POLLERR | POLLNVAL)) != 0) {
            fprintf(stderr, "sensor-hub: kick descriptor %d cannot be polled\n", hub->kick_fd);
            return 1;
        }
        if ((entries[1].revents & POLLIN) != 0) {
            uint64_t kicks;
            /* How often does not matter, nor whether somebody else has read it since. */
            (void)!read(hub->kick_fd, &kicks, sizeof kicks);
            more = true;
        }
        if (more && !hub->host.pins.hung) {
            const enum remoteproc_vdev_state before = hub->vdev.state;
            more = remoteproc_vdev_service(&hub->vdev);
            trace_state(hub, before);
        }
    }
}

int main(int argc, char **argv) {
    struct options options;
    struct sensor_hub hub = {0};
    if (!parse_options(&options, argc, argv)) {
        return 2;
    }
    const int result = start(&hub, &options) ? run(&hub) : 1;
    host_hub_close(&hub.host);
    return result;
}
