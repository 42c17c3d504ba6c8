/*
 * The load generator: a vhost-user front-end as a process of its own, which checks every answer.
 * One JSON object on stdout; exit 0 when every answer was right, 3 when one was not, 1 when it could not go on.
 */
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "options.h"

static const struct {
  const char *name;
  uint64_t (*run)(struct front_end *, const struct load_options *);
} MODES[] = {
    {"set", load_set},         {"get", load_get},   {"interrupt", load_interrupts},
    {"change", load_changes}, {"watch", load_watch},
    {"idle", load_idle}};

int main(int argc, char **argv) {
  struct load_options load = {
      .requests = 100000, .warmup = 5000, .outstanding = 1, .lines = 32, .pairs = 1, .seconds = 10};
  struct front_end_options connection = {0};
  uint64_t queue_size = 256, patience_seconds = 5;
  const char *mode = "set";
  bool no_event_idx = false;
  connection.connect_timeout_ms = 10000;
  const struct option_slot slots[] = {
      {.name = "--socket-path", .text = &connection.socket_path},
      {.name = "--mode", .text = &mode},
      {.name = "--requests", .number = &load.requests, .least = 1, .most = 1000000000},
      {.name = "--warmup", .number = &load.warmup, .least = 0, .most = 1000000000},
      {.name = "--outstanding", .number = &load.outstanding, .least = 1, .most = 16384},
      {.name = "--lines", .number = &load.lines, .least = 1, .most = 65535},
      {.name = "--spin-us", .number = &load.spin_us, .least = 0, .most = 1000000},
      {.name = "--pairs", .number = &load.pairs, .least = 1, .most = 16384},
      {.name = "--seconds", .number = &load.seconds, .least = 1, .most = 86400},
      {.name = "--subscribed", .flag = &load.subscribed},
      {.name = "--line", .number = &load.line, .least = 0, .most = 65535},
      {.name = "--pause-us", .number = &load.pause_us, .least = 0, .most = 1000000},
      {.name = "--pins", .text = &load.pins},
      {.name = "--pins-line", .text = &load.pins_line},
      {.name = "--queue-size", .number = &queue_size, .least = 2, .most = 32768},
      {.name = "--connect-timeout-ms", .number = &connection.connect_timeout_ms, .least = 0, .most = 600000},
      {.name = "--patience-seconds", .number = &patience_seconds, .least = 1, .most = 3600},
      {.name = "--no-event-idx", .flag = &no_event_idx},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
  if (!connection.socket_path) fail("--socket-path=PATH is needed");
  if (queue_size & (queue_size - 1)) fail("--queue-size=%llu: must be a power of two", (unsigned long long)queue_size);
  connection.queue_size = (uint16_t)queue_size;
  connection.event_idx = !no_event_idx;

  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    if (strcmp(MODES[i].name, mode)) continue;
    struct front_end front_end;
    driver_ring_watchdog((unsigned)patience_seconds);
    front_end_open(&front_end, &connection);
    uint64_t errors = MODES[i].run(&front_end, &load);
    fflush(stdout);
    /* Guests that just sit there have eventq buffers out, so no ring of theirs can be taken down in order: they just go. */
    if (MODES[i].run != load_idle && MODES[i].run != load_watch) front_end_close(&front_end);
    return errors ? 3 : 0;
  }
  fail("--mode=%s: must be set, get, interrupt, change, watch or idle", mode);
}
