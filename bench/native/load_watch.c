/*
 * A guest that watches inputs: interrupts for both edges, an eventq buffer for each line, given back with each event. It
 * counts them until SIGTERM, then takes in what is left, and says what level it reads on each line.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "load.h"
#include "measure.h"
#include "options.h"

static volatile sig_atomic_t ended;

static void end(int signal_number) {
  (void)signal_number;
  ended = 1;
}

struct run {
  struct front_end *front_end;
  struct driver_ring *events;
  uint64_t seen;
  uint64_t errors;
};

static void arm(struct run *run, uint16_t line) {
  run->front_end->events[line].line = line;
  run->front_end->events[line].status = 0xee;
  driver_ring_add(run->events, line);
}

static bool take_events(struct run *run) {
  uint16_t line;
  uint32_t length;
  bool some = false;
  while (driver_ring_reap(run->events, &line, &length)) {
    if (length != 1 || run->front_end->events[line].status != GPIO_EVENT_VALID) run->errors++;
    run->seen++;
    some = true;
    arm(run, line);
  }
  driver_ring_publish(run->events);
  return some;
}

/* Sleeps until the device calls, the program is to end, or a tenth of a second is over. */
static void wait_for_call(struct run *run) {
  struct pollfd call = {.fd = run->events->call_fd, .events = POLLIN};
  if (driver_ring_enable_calls(run->events)) return;
  const int ready = poll(&call, 1, 100);
  if (ready < 0 && errno != EINTR) fail("poll failed");
  if (ready > 0 && !driver_ring_wait(run->events)) fail("a call that was none");
}

uint64_t load_watch(struct front_end *front_end, const struct load_options *options) {
  const uint16_t lines = (uint16_t)(options->lines < front_end->line_count ? options->lines : front_end->line_count);
  struct run run = {.front_end = front_end, .events = &front_end->rings[EVENT_RING]};
  const struct sigaction action = {.sa_handler = end};
  if (sigaction(SIGTERM, &action, NULL)) fail("sigaction failed");
  for (uint16_t line = 0; line < lines; line++) {
    front_end_expect_ok(front_end, GPIO_SET_DIRECTION, line, GPIO_DIRECTION_IN);
    front_end_expect_ok(front_end, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_BOTH);
    arm(&run, line);
  }
  driver_ring_publish(run.events);
  printf("{\"attached\":true}\n");
  fflush(stdout);
  const double cpu = cpu_seconds();
  while (!ended)
    if (!take_events(&run)) wait_for_call(&run);
  (void)take_events(&run);
  printf("{\"events\":%llu,\"errors\":%llu,\"cpuSeconds\":%.3f,\"levels\":[", (unsigned long long)run.seen,
         (unsigned long long)run.errors, cpu_seconds() - cpu);
  for (uint16_t line = 0; line < lines; line++)
    printf("%s%u", line ? "," : "", front_end_expect_ok(front_end, GPIO_GET_VALUE, line, 0));
  printf("]}\n");
  return run.errors;
}
