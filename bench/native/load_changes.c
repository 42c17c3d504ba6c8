/*
 * Level changes at the co-processor: the firmware drives an input when it is told to over its pins socket, and says when it
 * did (CLOCK_MONOTONIC, the same in all processes). Measured is from then until this guest, which sleeps until its
 * eventq calls, has the event in its hands.
 */
#include <stdio.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "options.h"
#include "pins_client.h"

struct run {
  struct front_end *front_end;
  struct driver_ring *events;
  struct pins_client pins;
  const struct load_options *options;
  unsigned level;
  uint64_t errors;
};

static void arm(struct run *run) {
  run->front_end->events[0].line = (uint16_t)run->options->line;
  run->front_end->events[0].status = 0xee;
  driver_ring_add(run->events, 0);
  /* Before the buffer is there nothing can come. */
  driver_ring_enable_calls(run->events);
  driver_ring_publish(run->events);
}

/* Returns when the event was here. */
static uint64_t await_event(struct run *run, uint64_t number) {
  uint16_t slot;
  uint32_t length;
  do {
    if (!driver_ring_wait(run->events)) fail("change %llu brought no event", (unsigned long long)number);
  } while (!driver_ring_reap(run->events, &slot, &length));
  const uint64_t now = now_ns();
  if (length != 1 || run->front_end->events[0].status != GPIO_EVENT_VALID) run->errors++;
  return now;
}

static void run_changes(struct run *run, uint64_t count, struct samples *samples) {
  for (uint64_t i = 0; i < count; i++) {
    run->level ^= 1;
    pins_client_send(&run->pins, "stamp %s %u", run->options->pins_line, run->level);
    const uint64_t here_ns = await_event(run, i);
    const uint64_t changed_ns = pins_client_number(&run->pins);
    if (changed_ns > here_ns) run->errors++; /* not of this change */
    if (samples) samples_add(samples, here_ns - changed_ns);
    arm(run);
    if (run->options->pause_us) usleep((useconds_t)run->options->pause_us);
  }
}

uint64_t load_changes(struct front_end *front_end, const struct load_options *options) {
  const uint16_t line = (uint16_t)options->line;
  if (!options->pins || !options->pins_line) fail("--mode=change: --pins=PATH and --pins-line=NAME are needed");
  if (line >= front_end->line_count) fail("--line=%u: the device has %u lines", line, front_end->line_count);
  struct run run = {.front_end = front_end, .events = &front_end->rings[EVENT_RING], .options = options};
  struct samples samples;
  samples_open(&samples, options->requests);
  pins_client_open(&run.pins, options->pins);
  front_end_expect_ok(front_end, GPIO_SET_DIRECTION, line, GPIO_DIRECTION_IN);
  pins_client_send(&run.pins, "set %s 0", options->pins_line);
  pins_client_receive(&run.pins);
  front_end_expect_ok(front_end, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_BOTH);
  arm(&run);
  run_changes(&run, options->warmup, NULL);
  const uint64_t started = now_ns();
  run_changes(&run, options->requests, &samples);
  const double seconds = (double)(now_ns() - started) / 1e9;
  /* One buffer is out: nothing more may come into it but the end of the subscription. */
  uint16_t slot;
  uint32_t length;
  const bool invented = driver_ring_reap(run.events, &slot, &length);
  front_end_expect_ok(front_end, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_NONE);
  pins_client_close(&run.pins);

  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"changes\":%llu,\"seconds\":%.3f,\"errors\":%llu,\"invented\":%u}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (unsigned long long)options->requests,
         seconds, (unsigned long long)run.errors, invented);
  samples_close(&samples);
  return run.errors + invented;
}
