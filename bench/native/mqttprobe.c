/*
 * The MQTT probe: subscriber, source of level changes (through the host firmware's pins socket) and source of commands.
 * One JSON object on the last line of stdout; exit 0 when nothing was missing, 3 when something was, 1 when it could not
 * go on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "options.h"
#include "probe.h"

static const struct {
  const char *name;
  uint64_t (*run)(const struct probe_options *);
  bool needs_pins;
} MODES[] = {{"count", probe_count, false},
             {"drive", probe_drive, true},
             {"latency", probe_latency, true},
             {"echo", probe_echo, false},
             {"commands", probe_commands, false}};

int probe_end_fd(void) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  if (sigprocmask(SIG_BLOCK, &ends, NULL)) fail("sigprocmask: %s", strerror(errno));
  int fd = signalfd(-1, &ends, SFD_CLOEXEC);
  if (fd < 0) fail("signalfd: %s", strerror(errno));
  return fd;
}

int probe_poll(struct pollfd *entries, unsigned count, uint64_t timeout_us) {
  struct timespec timeout = {.tv_sec = (time_t)(timeout_us / 1000000),
                             .tv_nsec = (long)(timeout_us % 1000000 * 1000)};
  int ready;
  do ready = ppoll(entries, count, &timeout, NULL);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) fail("poll: %s", strerror(errno));
  return ready;
}

void probe_subscribe(struct mqtt_connection *connection, const struct probe_options *options, const char *name) {
  char filter[512], client_id[64];
  if (snprintf(filter, sizeof filter, "%s/+/%s", options->prefix, name) >= (int)sizeof filter)
    fail("--prefix=%s: too long", options->prefix);
  snprintf(client_id, sizeof client_id, "mqttprobe-%d-%s", (int)getpid(), name);
  mqtt_open(connection, options->port, client_id);
  mqtt_subscribe(connection, filter, (unsigned)options->qos);
}

void probe_is_subscribed(void) {
  printf("{\"subscribed\":true}\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  struct probe_options probe = {.prefix = "rproc-gpio/bench/hub",
                                .events = 1000,
                                .window = 256,
                                .chunk = 32,
                                .pause_us = 1000,
                                .payload_bytes = 75,
                                .rate = 10000,
                                .patience_ms = 3000};
  const char *mode = "count", *lines = "IMU_INT";
  uint64_t port = 0;
  const struct option_slot slots[] = {
      {.name = "--mode", .text = &mode},
      {.name = "--port", .number = &port, .least = 1, .most = 65535},
      {.name = "--prefix", .text = &probe.prefix},
      {.name = "--pins", .text = &probe.pins},
      {.name = "--lines", .text = &lines},
      {.name = "--qos", .number = &probe.qos, .least = 0, .most = 1},
      {.name = "--events", .number = &probe.events, .least = 0, .most = 1000000000},
      {.name = "--warmup", .number = &probe.warmup, .least = 0, .most = 1000000000},
      {.name = "--window", .number = &probe.window, .least = 1, .most = 1000000},
      {.name = "--chunk", .number = &probe.chunk, .least = 1, .most = 1000000},
      {.name = "--nap-us", .number = &probe.nap_us, .least = 0, .most = 1000000},
      {.name = "--pause-us", .number = &probe.pause_us, .least = 0, .most = 10000000},
      {.name = "--payload-bytes", .number = &probe.payload_bytes, .least = 8, .most = 4096},
      {.name = "--rate", .number = &probe.rate, .least = 1, .most = 1000000},
      {.name = "--patience-ms", .number = &probe.patience_ms, .least = 1, .most = 3600000},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
  if (!port) fail("--port=NUMBER is needed");
  if (probe.chunk > probe.window) fail("--chunk=%llu: more than the window of %llu", (unsigned long long)probe.chunk,
                                       (unsigned long long)probe.window);
  probe.port = (uint16_t)port;
  if (!(probe.lines = strdup(lines))) fail("no memory");
  /* A bench that was killed leaves no load behind. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    if (strcmp(MODES[i].name, mode)) continue;
    if (MODES[i].needs_pins && !probe.pins) fail("--mode=%s: --pins=PATH is needed", mode);
    uint64_t faults = MODES[i].run(&probe);
    free(probe.lines);
    return faults ? 3 : 0;
  }
  fail("--mode=%s: must be count, drive, latency, echo or commands", mode);
}
