/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "pins_server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A watcher that reads nothing while a burst runs is cut off here. */
#ifndef OUTPUT_LIMIT_BYTES
#define OUTPUT_LIMIT_BYTES (16u << 20)
#endif
/* Steps of a burst without a period between two looks at the rings. */
#define BURST_STEPS 1024u
/*
 * What a burst makes up for when this process had to wait for a processor: an MCU has one of its own, and so never makes as many
 * changes at once as its event buffers hold.
 */
#define BURST_CATCH_UP_NS UINT64_C(4000000)
#define MAX_WORDS 5

uint64_t host_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void drop_client(struct pins_client *client) {
    close(client->fd);
    free(client->output);
    free(client->watched);
    *client = (struct pins_client){.fd = -1};
}

static void send_output(struct pins_client *client) {
    size_t sent = 0;
    while (client->fd >= 0 && sent < client->output_bytes) {
        const ssize_t count = send(client->fd, client->output + sent, client->output_bytes - sent,
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (count <= 0) {
            drop_client(client);
            return;
        }
        sent += (size_t)count;
    }
    if (sent > 0) {
        memmove(client->output, client->output + sent, client->output_bytes - sent);
        client->output_bytes -= sent;
    }
}

__attribute__((format(printf, 2, 3))) static void put(struct pins_client *client, const char *format, ...) {
    char text[512]; /* a command, and what is said of it */
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (client->fd < 0 || length < 0) {
        return;
    }
    const size_t bytes = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    if (client->output_bytes + bytes > client->output_room) {
        const size_t room = (client->output_room + bytes) * 2;
        char *grown = room <= OUTPUT_LIMIT_BYTES ? realloc(client->output, room) : NULL;
        if (grown == NULL) {
            drop_client(client);
            return;
        }
        client->output = grown;
        client->output_room = room;
    }
    memcpy(client->output + client->output_bytes, text, bytes);
    client->output_bytes += bytes;
}

static void put_line_level(struct pins_client *client, const struct lines *lines, uint16_t line, uint8_t level) {
    if (lines->line[line].name[0] != '\0') {
        put(client, "%s %u\n", lines->line[line].name, level);
    } else {
        put(client, "%u %u\n", line, level);
    }
}

static void wire_changed(void *context, uint16_t line, uint8_t level) {
    struct pins_server *server = context;
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        struct pins_client *client = &server->clients[i];
        if (client->fd >= 0 && client->watched != NULL && client->watched[line]) {
            put_line_level(client, server->lines, line, level);
        }
    }
}

/* A socket file that a crashed hub left behind would keep its successor from starting. */
static void remove_dead_socket(const struct sockaddr_un *address) {
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return;
    }
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0) {
        if (connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED) {
            unlink(address->sun_path);
        }
        close(probe);
    }
}

bool pins_open(struct pins_server *server, const char *path, struct lines *lines) {
    *server = (struct pins_server){.fd = -1, .path = path, .lines = lines};
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        server->clients[i].fd = -1;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "sensor-hub: --pins=%s: a socket's path has at most %zu bytes\n", path,
                sizeof address.sun_path - 1);
        return false;
    }
    strcpy(address.sun_path, path);
    remove_dead_socket(&address);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const mode_t mask = umask(0177);
    const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(mask);
    if (!bound || listen(fd, PINS_MAX_CLIENTS) != 0) {
        fprintf(stderr, "sensor-hub: --pins=%s: %s\n", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    server->fd = fd;
    lines->changed = wire_changed;
    lines->changed_context = server;
    return true;
}

void pins_close(struct pins_server *server) {
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        if (server->clients[i].fd >= 0) {
            drop_client(&server->clients[i]);
        }
    }
    if (server->fd >= 0) {
        close(server->fd);
        unlink(server->path);
        server->fd = -1;
    }
}

static void command_set(struct pins_server *server, struct pins_client *client, uint16_t line, const char *level) {
    if (strcmp(level, "0") != 0 && strcmp(level, "1") != 0) {
        put(client, "error: level %s: want 0 or 1\n", level);
        return;
    }
    lines_drive(server->lines, line, level[0] == '1');
    hub_flush_events(server->lines->device);
    put(client, "ok\n");
}

/* As set, but says when: what measures how long the change takes from here has to know. */
static void command_stamp(struct pins_server *server, struct pins_client *client, uint16_t line, const char *level) {
    if (strcmp(level, "0") != 0 && strcmp(level, "1") != 0) {
        put(client, "error: level %s: want 0 or 1\n", level);
        return;
    }
    const uint64_t now_ns = host_clock_ns();
    lines_drive(server->lines, line, level[0] == '1');
    hub_flush_events(server->lines->device);
    put(client, "%" PRIu64 "\n", now_ns);
}

static void command_burst(struct pins_client *client, uint16_t line, char *const *word, int words) {
    char *count_end;
    char *period_end = "";
    char *at_once_end = "";
    const unsigned long steps = strtoul(word[2], &count_end, 10);
    const unsigned long period_us = words < 4 ? 0 : strtoul(word[3], &period_end, 10);
    const unsigned long at_once = words < 5 ? 1 : strtoul(word[4], &at_once_end, 10);
    if (*count_end != '\0' || *period_end != '\0' || *at_once_end != '\0' || steps > UINT32_MAX ||
        period_us > 60000000ul || at_once < 1 || at_once > BURST_STEPS) {
        put(client, "error: want burst NAME COUNT [PERIOD_US [AT_ONCE]], a period of at most 60000000, "
                    "AT_ONCE of 1 to %u\n", BURST_STEPS);
        return;
    }
    if (steps == 0) {
        put(client, "ok\n");
        return;
    }
    client->burst_line = line;
    client->burst_left = (uint32_t)steps;
    client->burst_period_ns = period_us * UINT64_C(1000);
    client->burst_at_once = (uint32_t)at_once;
    client->burst_to_step = (uint32_t)at_once;
    client->burst_next_ns = period_us == 0 ? 0 : host_clock_ns();
}

static void command_watch(struct pins_server *server, struct pins_client *client, const char *name) {
    struct lines *lines = server->lines;
    const bool all = strcmp(name, "*") == 0;
    const int line = lines_find(lines, name);
    if (!all && line < 0) {
        put(client, "error: no line %s\n", name);
        return;
    }
    if (client->watched == NULL) {
        client->watched = calloc(lines->count, sizeof *client->watched);
    }
    if (client->watched == NULL) {
        put(client, "error: out of memory\n");
        return;
    }
    for (int i = 0; i < lines->count; i++) {
        client->watched[i] = client->watched[i] || all || i == line;
    }
    put(client, "ok\n");
}

static void command_list(const struct pins_server *server, struct pins_client *client) {
    static const char *const directions[] = {"none", "out", "in"};
    for (unsigned i = 0; i < server->lines->count; i++) {
        const struct line *line = &server->lines->line[i];
        put(client, "%u %s %s %u\n", i, line->name[0] == '\0' ? "-" : line->name, directions[line->direction],
            line->level);
    }
    put(client, ".\n");
}

static void command_stats(const struct pins_server *server, struct pins_client *client) {
    struct hub_counters counters;
    server->lines->device->type->read_counters(server->lines->device->state, &counters);
    put(client, "requests %u refused %u events %u dropped %u malformed %u\n", counters.requests, counters.refused,
        counters.events, counters.dropped, counters.malformed);
}

static void hang(struct pins_server *server, struct pins_client *client, bool hung) {
    server->hung = hung;
    lines_hold_interrupts(server->lines, hung);
    if (!hung) {
        hub_flush_events(server->lines->device);
    }
    put(client, "ok\n");
}

static void command_reset(struct pins_server *server, struct pins_client *client) {
    if (server->restart == NULL) {
        put(client, "error: this program cannot start over\n");
        return;
    }
    server->hung = false;
    server->restart(server->restart_context);
    lines_hold_interrupts(server->lines, false);
    put(client, "ok\n");
}

/* Commands that name a line. */
static void line_command(struct pins_server *server, struct pins_client *client, char *const *word, int words) {
    const int found = lines_find(server->lines, word[1]);
    if (found < 0) {
        put(client, "error: no line %s\n", word[1]);
        return;
    }
    const uint16_t line = (uint16_t)found;
    if (strcmp(word[0], "get") == 0) {
        put(client, "%u\n", server->lines->line[line].level);
        return;
    }
    const int driver = lines_driver_of(server->lines, line);
    if (driver >= 0) {
        put(client, "error: %s is driven by the output %s\n", word[1], server->lines->line[driver].name);
    } else if (strcmp(word[0], "set") == 0) {
        command_set(server, client, line, word[2]);
    } else if (strcmp(word[0], "stamp") == 0) {
        command_stamp(server, client, line, word[2]);
    } else {
        command_burst(client, line, word, words);
    }
}

static void command(struct pins_server *server, struct pins_client *client, char *text) {
    char *word[MAX_WORDS + 1] = {NULL};
    char *rest = text;
    int words = 0;
    for (char *next; words <= MAX_WORDS && (next = strsep(&rest, " \t\r")) != NULL;) {
        if (*next != '\0') {
            word[words++] = next;
        }
    }
    const char *name = words > 0 ? word[0] : "";
    if ((words == 3 && (strcmp(name, "set") == 0 || strcmp(name, "stamp") == 0)) || (words == 2 && strcmp(name, "get") == 0) ||
        (words >= 3 && words <= 5 && strcmp(name, "burst") == 0)) {
        line_command(server, client, word, words);
    } else if (words == 2 && strcmp(name, "watch") == 0) {
        command_watch(server, client, word[1]);
    } else if (words == 1 && strcmp(name, "list") == 0) {
        command_list(server, client);
    } else if (words == 1 && strcmp(name, "stats") == 0) {
        command_stats(server, client);
    } else if (words == 1 && (strcmp(name, "hang") == 0 || strcmp(name, "resume") == 0)) {
        hang(server, client, name[0] == 'h');
    } else if (words == 1 && strcmp(name, "reset") == 0) {
        command_reset(server, client);
    } else if (words == 1 && strcmp(name, "crash") == 0) {
        abort();
    } else {
        put(client, "error: want set NAME 0|1, stamp NAME 0|1, get NAME, watch NAME|*, list, "
                    "burst NAME COUNT [PERIOD_US [AT_ONCE]], stats, hang, resume, reset or crash\n");
    }
}

/* Runs the complete lines of a client's input, up to one that starts a burst. */
static void run_commands(struct pins_server *server, struct pins_client *client) {
    char *end;
    while (client->fd >= 0 && client->burst_left == 0 &&
           (end = memchr(client->input, '\n', client->input_bytes)) != NULL) {
        char text[sizeof client->input];
        const size_t bytes = (size_t)(end - client->input);
        memcpy(text, client->input, bytes);
        text[bytes] = '\0';
        client->input_bytes -= bytes + 1;
        memmove(client->input, end + 1, client->input_bytes);
        command(server, client, text);
    }
    if (client->fd >= 0 && client->burst_left == 0 && client->input_bytes == sizeof client->input) {
        put(client, "error: a command has at most %zu bytes\n", sizeof client->input - 1);
        client->input_bytes = 0;
    }
}

static void receive_input(struct pins_server *server, struct pins_client *client) {
    const ssize_t count = recv(client->fd, client->input + client->input_bytes,
                               sizeof client->input - client->input_bytes, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        drop_client(client);
        return;
    }
    client->input_bytes += (size_t)count;
    run_commands(server, client);
}

static void accept_client(struct pins_server *server) {
    const int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (unsigned i = 0; fd >= 0 && i < PINS_MAX_CLIENTS; i++) {
        if (server->clients[i].fd < 0) {
            server->clients[i].fd = fd;
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

void pins_poll_entries(const struct pins_server *server, struct pollfd *entries) {
    entries[0] = (struct pollfd){.fd = server->fd, .events = POLLIN};
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        const struct pins_client *client = &server->clients[i];
        const bool reads = client->burst_left == 0;
        entries[1 + i] = (struct pollfd){
            .fd = client->fd,
            .events = (short)((reads ? POLLIN : 0) | (client->output_bytes > 0 ? POLLOUT : 0)),
        };
    }
}

void pins_serve(struct pins_server *server, const struct pollfd *entries) {
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        struct pins_client *client = &server->clients[i];
        const short happened = entries[1 + i].revents;
        if (client->fd < 0 || client->fd != entries[1 + i].fd) {
            continue;
        }
        if ((happened & (POLLHUP | POLLERR)) != 0 && (happened & POLLIN) == 0) {
            drop_client(client);
        } else if ((happened & POLLIN) != 0) {
            receive_input(server, client);
        }
    }
    if ((entries[0].revents & POLLIN) != 0) {
        accept_client(server);
    }
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        send_output(&server->clients[i]);
    }
}

uint64_t pins_next_due_ns(const struct pins_server *server) {
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        const struct pins_client *client = &server->clients[i];
        if (client->fd >= 0 && client->burst_left > 0 && client->burst_next_ns < due) {
            due = client->burst_next_ns;
        }
    }
    return due;
}

static void run_burst(struct pins_server *server, struct pins_client *client) {
    const uint64_t now_ns = client->burst_period_ns == 0 ? 0 : host_clock_ns();
    if (now_ns > client->burst_next_ns + BURST_CATCH_UP_NS) {
        /* The rest of the burst comes later by as much. */
        client->burst_next_ns = now_ns - BURST_CATCH_UP_NS;
    }
    for (unsigned steps = 0; client->fd >= 0 && client->burst_left > 0 && client->burst_next_ns <= now_ns &&
                             steps < BURST_STEPS;
         steps++) {
        if (lines_driver_of(server->lines, client->burst_line) >= 0) {
            client->burst_left = 0;
            put(client, "error: the line became an output\n");
            return;
        }
        lines_drive(server->lines, client->burst_line, !server->lines->line[client->burst_line].external);
        /* Each edge is an interrupt of its own on hardware, so each is a batch here. */
        hub_flush_events(server->lines->device);
        if (client->fd < 0) {
            return; /* it watched what it drove, read nothing and was cut off: the place is another one's now */
        }
        client->burst_left--;
        if (--client->burst_to_step == 0) {
            client->burst_to_step = client->burst_at_once;
            client->burst_next_ns += client->burst_period_ns;
        }
    }
    if (client->fd >= 0 && client->burst_left == 0) {
        put(client, "ok\n");
    }
}

void pins_run_bursts(struct pins_server *server) {
    for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
        struct pins_client *client = &server->clients[i];
        if (client->fd >= 0 && client->burst_left > 0) {
            run_burst(server, client);
            if (client->fd >= 0 && client->burst_left == 0) {
                run_commands(server, client);
            }
        }
        send_output(client);
    }
}
