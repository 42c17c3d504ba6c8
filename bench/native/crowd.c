/*
 * A crowd of guests, all of one service, driven by one thread: costs less than a process for each, and nothing but the service
 * is woken. Sockets are PREFIX0, PREFIX1, ... One JSON object on stdout; exit 0 when every answer was right, 3 when one was not.
 */
#include "crowd.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "options.h"

static const struct {
  const char *name;
  uint64_t (*run)(struct crowd *);
} MODES[] = {{"turns", crowd_turns},
             {"flood", crowd_flood},
             {"edges", crowd_edges},
             {"share", crowd_share},
             {"names", crowd_names}};

double crowd_service_seconds(const struct crowd *crowd) {
  char path[300];
  uint64_t sum = 0;
  if (!crowd->service_pid) return 0;
  snprintf(path, sizeof path, "/proc/%llu/task", (unsigned long long)crowd->service_pid);
  DIR *tasks = opendir(path);
  if (!tasks) fail("--service-pid=%llu: there is no such process", (unsigned long long)crowd->service_pid);
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%llu/task/%.20s/schedstat", (unsigned long long)crowd->service_pid, task->d_name);
    FILE *file = fopen(path, "r");
    unsigned long long ran_ns;
    if (file && fscanf(file, "%llu", &ran_ns) == 1) sum += ran_ns;
    if (file) fclose(file);
  }
  closedir(tasks);
  return (double)sum / 1e9;
}

static void attach(struct crowd *crowd, const char *prefix, uint16_t queue_size, uint64_t timeout_ms) {
  crowd->guests = calloc(crowd->guest_count, sizeof *crowd->guests);
  if (!crowd->guests) fail("no memory");
  for (uint64_t i = 0; i < crowd->guest_count; i++) {
    char path[200];
    snprintf(path, sizeof path, "%s%llu", prefix, (unsigned long long)i);
    struct front_end_options options = {
        .socket_path = path, .connect_timeout_ms = timeout_ms, .queue_size = queue_size, .event_idx = true};
    front_end_open(&crowd->guests[i], &options);
  }
}

int main(int argc, char **argv) {
  struct crowd crowd = {.guest_count = 1, .lines = 64, .requests = 100000, .warmup = 5000, .outstanding = 1, .pairs = 1};
  uint64_t queue_size = 256, patience_seconds = 5, timeout_ms = 10000;
  const char *mode = "turns", *prefix = NULL;
  const struct option_slot slots[] = {
      {.name = "--socket-prefix", .text = &prefix},
      {.name = "--mode", .text = &mode},
      {.name = "--guests", .number = &crowd.guest_count, .least = 1, .most = 1024},
      {.name = "--active", .number = &crowd.active, .least = 1, .most = 1024},
      {.name = "--lines", .number = &crowd.lines, .least = 1, .most = 65535},
      {.name = "--requests", .number = &crowd.requests, .least = 1, .most = 1000000000},
      {.name = "--warmup", .number = &crowd.warmup, .least = 0, .most = 1000000000},
      {.name = "--outstanding", .number = &crowd.outstanding, .least = 1, .most = 16384},
      {.name = "--pairs", .number = &crowd.pairs, .least = 1, .most = 16384},
      {.name = "--queue-size", .number = &queue_size, .least = 2, .most = 32768},
      {.name = "--service-pid", .number = &crowd.service_pid, .least = 1, .most = INT32_MAX},
      {.name = "--connect-timeout-ms", .number = &timeout_ms, .least = 0, .most = 600000},
      {.name = "--patience-seconds", .number = &patience_seconds, .least = 1, .most = 3600},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
  if (!prefix) fail("--socket-prefix=PREFIX is needed");
  if (queue_size & (queue_size - 1)) fail("--queue-size=%llu: must be a power of two", (unsigned long long)queue_size);
  if (crowd.outstanding > queue_size / 2) fail("--outstanding: more than the queue takes");
  if (!crowd.active || crowd.active > crowd.guest_count) crowd.active = crowd.guest_count;

  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    if (strcmp(MODES[i].name, mode)) continue;
    driver_ring_watchdog((unsigned)patience_seconds);
    attach(&crowd, prefix, (uint16_t)queue_size, timeout_ms);
    if (crowd.lines > crowd.guests[0].line_count) crowd.lines = crowd.guests[0].line_count;
    uint64_t errors = MODES[i].run(&crowd);
    fflush(stdout);
    for (uint64_t guest = 0; guest < crowd.guest_count; guest++) front_end_close(&crowd.guests[guest]);
    free(crowd.guests);
    return errors ? 3 : 0;
  }
  fail("--mode=%s: must be turns, flood, edges, share or names", mode);
}
