/*
 * The example firmware as a greedy co-processor. `GREEDY` in its environment says of what kind: `doorbell` rings without
 * pause, with nothing in its rings; `events` makes as many level changes as there are buffers for; `names` announces rpmsg
 * channels. SIGUSR1 begins that, SIGUSR2 ends it. Everything else is the firmware's own.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host_hub.h"

enum { PER_TURN = 64 };

/* Nobody may be left to end it. */
enum { MOST_SECONDS = 60 };

static volatile sig_atomic_t is_greedy;

static void begin(int signal_number) {
    is_greedy = signal_number == SIGUSR1;
    alarm(is_greedy ? MOST_SECONDS : 0);
}

bool __real_host_hub_wait(struct host_hub *hub, struct pollfd *entries, unsigned count, bool more);
bool __wrap_host_hub_wait(struct host_hub *hub, struct pollfd *entries, unsigned count, bool more);

static void announce(struct host_hub *hub) {
    static uint32_t serial;
    uint8_t message[RPMSG_HEADER_BYTES + RPMSG_ANNOUNCEMENT_BYTES] = {0};
    message[0] = RPMSG_LOCAL_ADDRESS;
    message[4] = RPMSG_NAME_SERVICE_ADDRESS;
    message[12] = RPMSG_ANNOUNCEMENT_BYTES;
    snprintf((char *)message + RPMSG_HEADER_BYTES, RPMSG_NAME_BYTES, "greedy-%u", serial++);
    message[RPMSG_HEADER_BYTES + RPMSG_NAME_BYTES] = (uint8_t)(40 + serial % 200);
    (void)message_queues_notify(&hub->dialect.rpmsg_gpio.rpmsg.queues, message, sizeof message);
}

static void take_all(struct host_hub *hub) {
    static const char *kind;
    if (kind == NULL) kind = getenv("GREEDY");
    if (kind == NULL) return;
    for (unsigned i = 0; i < PER_TURN; i++) {
        if (strcmp(kind, "doorbell") == 0) {
            hub->port.ring_doorbell(hub, 0);
        } else if (strcmp(kind, "names") == 0) {
            announce(hub);
        } else {
            const uint16_t line = (uint16_t)(i % 8);
            lines_drive(&hub->lines, line, !hub->lines.line[line].external);
        }
    }
    hub_flush_events(&hub->dialect.device);
}

bool __wrap_host_hub_wait(struct host_hub *hub, struct pollfd *entries, unsigned count, bool more) {
    static bool is_installed;
    if (!is_installed) {
        is_installed = true;
        struct sigaction action = {0};
        action.sa_handler = begin;
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGUSR2, &action, NULL);
        sigaction(SIGALRM, &action, NULL);
    }
    if (is_greedy) take_all(hub);
    return __real_host_hub_wait(hub, entries, count, more || is_greedy);
}
