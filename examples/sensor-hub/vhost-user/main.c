/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user-sensor-hub --socket-path=PATH --pins=PATH [--dialect=NAME]: the library's device, given to a Linux
 * guest without anything in between, so that Linux' own driver tells whether the device is right. For tests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../host/host_hub.h"
#include "back_end.h"

#define LINES 16

struct guest_hub {
    struct host_hub host;
    struct back_end back_end;
    struct dialect_vdev vdev;
    /*
     * Queue 0 was kicked: the guest's driver is complete. There is no DRIVER_OK here, and rpmsg's announcement
     * gets lost in a driver that does not listen yet.
     */
    bool started;
};

static void *port_translate(void *context, uint64_t address, uint32_t size_bytes) {
    return guest_memory_translate(&((struct guest_hub *)context)->back_end.memory, address, size_bytes);
}

static void port_ring_doorbell(void *context, uint32_t notify_id) {
    back_end_call(&((struct guest_hub *)context)->back_end, notify_id);
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "vhost-user-sensor-hub: --socket-path=%s: too long\n", path);
        return -1;
    }
    strcpy(address.sun_path, path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const mode_t mask = umask(0177);
    const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(mask);
    if (bound && listen(fd, 1) == 0) {
        return fd;
    }
    fprintf(stderr, "vhost-user-sensor-hub: --socket-path=%s: %s\n", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* Drains the kicks; true: there was one. */
static bool kicked(const struct pollfd *entry) {
    uint64_t kicks;
    return (entry->revents & POLLIN) != 0 && read(entry->fd, &kicks, sizeof kicks) > 0;
}

static void run(struct guest_hub *hub, int listen_fd) {
    struct back_end *back_end = &hub->back_end;
    bool more = false;
    for (;;) {
        const bool hung = hub->host.pins.hung;
        struct pollfd entries[5 + PINS_MAX_POLLS] = {
            {.fd = hub->host.end_fd, .events = POLLIN},
            {.fd = back_end->fd < 0 ? listen_fd : -1, .events = POLLIN},
            {.fd = back_end->fd, .events = POLLIN},
            {.fd = hung ? -1 : back_end->queues[0].kick_fd, .events = POLLIN},
            {.fd = hung ? -1 : back_end->queues[1].kick_fd, .events = POLLIN},
        };
        if (!host_hub_wait(&hub->host, entries, 5, more && !hung)) {
            return;
        }
        const bool kicked_requests = kicked(&entries[3]);
        const bool kicked_events = kicked(&entries[4]);
        hub->started = (hub->started || kicked_requests) && back_end->fd >= 0;
        more = more || kicked_requests || kicked_events;
        if ((entries[1].revents & POLLIN) != 0) {
            const int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0) {
                back_end_connect(back_end, fd);
            }
        }
        if ((entries[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            if (!back_end_serve_message(back_end)) {
                back_end_disconnect(back_end);
            }
            more = true; /* a ring may have come to life: its kick may be long past */
        }
        if (more && !hub->host.pins.hung) {
            more = hub->started && hub->host.dialect.device.type->service(hub->host.dialect.device.state);
        }
    }
}

int main(int argc, char **argv) {
    static const char socket_option[] = "--socket-path=";
    static const char pins_option[] = "--pins=";
    static const char dialect_option[] = "--dialect=";
    struct dialect_options dialect = DIALECT_DEFAULT;
    const char *socket_path = NULL;
    const char *pins_path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], socket_option, sizeof socket_option - 1) == 0) {
            socket_path = argv[i] + sizeof socket_option - 1;
        } else if (strncmp(argv[i], pins_option, sizeof pins_option - 1) == 0) {
            pins_path = argv[i] + sizeof pins_option - 1;
        } else if (strncmp(argv[i], dialect_option, sizeof dialect_option - 1) != 0 ||
                   !dialect_select(&dialect, argv[i] + sizeof dialect_option - 1)) {
            socket_path = NULL;
            break;
        }
    }
    if (socket_path == NULL || pins_path == NULL) {
        fprintf(stderr, "usage: vhost-user-sensor-hub --socket-path=PATH --pins=PATH [--dialect=NAME]\n");
        return 2;
    }
    struct guest_hub hub;
    int listen_fd = -1;
    /* Linux' own driver does not know the event stream. */
    dialect.plain = dialect.kind == DIALECT_VIRTIO_GPIO;
    hub.started = false;
    bool good = host_hub_open(&hub.host, "vhost-user-sensor-hub", &dialect, LINES, true, port_translate,
                              port_ring_doorbell);
    if (good) {
        dialect_describe(&dialect, &hub.host.dialect, LINES, hub.host.lines.names, hub.host.lines.names_bytes,
                         sizeof hub.vdev.config, &hub.vdev);
    }
    back_end_init(&hub.back_end, &hub.host.dialect, &hub.vdev);
    if (good && (listen_fd = listen_at(socket_path)) >= 0) {
        /* The pins last: who finds their socket may connect to the other one too. */
        good = pins_open(&hub.host.pins, pins_path, &hub.host.lines);
        if (good) {
            run(&hub, listen_fd);
        }
        back_end_disconnect(&hub.back_end);
        close(listen_fd);
        unlink(socket_path);
    }
    host_hub_close(&hub.host);
    return good && listen_fd >= 0 ? 0 : 1;
}
