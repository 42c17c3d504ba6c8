/*
 * Interrupts: SET_VALUE on line 2k makes an edge on line 2k + 1. Each pair is toggled again once its event has come,
 * its SET_VALUE is answered and its eventq buffer is queued again, so that exactly one event is owed for each toggle.
 * At the end the interrupts are switched off: each buffer must come back INVALID, once; a VALID one is an invented edge.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "measure.h"
#include "options.h"

struct pair {
  uint64_t toggled_ns;
  bool response_due;
  bool event_due;
  uint8_t level;
};

struct run {
  struct front_end *front_end;
  struct driver_ring *requests;
  struct driver_ring *events;
  struct pair *pairs;
  uint16_t pair_count;
  uint16_t *settled; /* pairs that owe nothing more, to be toggled again */
  uint16_t settled_count;
  uint64_t spin_us; /* how long to look at both rings before blocking */
  uint64_t to_toggle;
  uint64_t in_flight;  /* toggles not yet finished */
  uint64_t events_due; /* of them, those without their event */
  uint64_t events_seen;
  uint64_t errors;
  uint64_t refused; /* of them, proper answers that say ERR: firmware that took too long */
};

static uint16_t input_of(uint16_t pair) { return (uint16_t)(2 * pair + 1); }

static void arm(struct run *run, uint16_t pair) {
  run->front_end->events[pair].line = input_of(pair);
  run->front_end->events[pair].status = 0xee;
  driver_ring_add(run->events, pair);
}

static void toggle(struct run *run, uint16_t pair, uint64_t now) {
  struct pair *p = &run->pairs[pair];
  p->level ^= 1;
  p->toggled_ns = now;
  p->response_due = p->event_due = true;
  front_end_fill(run->front_end, pair, GPIO_SET_VALUE, (uint16_t)(2 * pair), p->level);
  driver_ring_add(run->requests, pair);
  run->to_toggle--;
  run->in_flight++;
  run->events_due++;
}

static void settle(struct run *run, uint16_t pair, bool *due) {
  struct pair *p = &run->pairs[pair];
  if (!*due) {
    run->errors++; /* nobody asked for it */
    return;
  }
  *due = false;
  if (p->response_due || p->event_due) return;
  run->in_flight--;
  run->settled[run->settled_count++] = pair;
}

static bool reap_events(struct run *run, struct samples *samples, uint64_t *now) {
  uint16_t pair;
  uint32_t length;
  bool some = false;
  while (driver_ring_reap(run->events, &pair, &length)) {
    if (!some) *now = now_ns();
    some = true;
    struct pair *p = &run->pairs[pair];
    if (length != 1 || run->front_end->events[pair].status != GPIO_EVENT_VALID) run->errors++;
    run->events_seen++;
    if (p->event_due) run->events_due--;
    if (samples) samples_add(samples, *now - p->toggled_ns);
    settle(run, pair, &p->event_due);
    arm(run, pair);
  }
  return some;
}

static bool reap_responses(struct run *run) {
  uint16_t pair;
  uint32_t length;
  bool some = false;
  while (driver_ring_reap(run->requests, &pair, &length)) {
    struct gpio_response response = run->front_end->requests[pair].response;
    if (length != sizeof response || response.status != GPIO_OK || response.value != 0) run->errors++;
    if (length == sizeof response && response.status == GPIO_ERR && response.value == 0) run->refused++;
    settle(run, pair, &run->pairs[pair].response_due);
    some = true;
  }
  return some;
}

static bool progress_within(struct run *run) {
  if (!run->spin_us) return false;
  uint64_t until = now_ns() + run->spin_us * 1000;
  do {
    for (int i = 0; i < 64; i++) {
      if (ring_load(&run->events->used->idx) != run->events->reaped) return true;
      if (ring_load(&run->requests->used->idx) != run->requests->reaped) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (now_ns() < until);
  return false;
}

/* An event follows its request, so the responses need calls of their own only when no event is awaited any more. */
static void wait_for_progress(struct run *run) {
  struct driver_ring *ring = run->events_due ? run->events : run->requests;
  if (!driver_ring_enable_calls(ring) && !driver_ring_wait(ring))
    fail("%llu toggles are unfinished and no call comes (%llu events so far)", (unsigned long long)run->in_flight,
         (unsigned long long)run->events_seen);
  driver_ring_disable_calls(ring);
}

static void run_toggles(struct run *run, uint64_t count, struct samples *samples) {
  uint64_t now = now_ns();
  run->to_toggle = count;
  driver_ring_disable_calls(run->requests);
  driver_ring_disable_calls(run->events);
  for (uint16_t pair = 0; pair < run->pair_count && run->to_toggle; pair++) toggle(run, pair, now);
  driver_ring_publish(run->requests);
  while (run->in_flight) {
    bool some = reap_events(run, samples, &now);
    some |= reap_responses(run);
    if (!some) {
      if (!progress_within(run)) wait_for_progress(run);
      continue;
    }
    driver_ring_publish(run->events); /* re-arm before the next edge is made */
    for (uint16_t i = 0; i < run->settled_count && run->to_toggle; i++) toggle(run, run->settled[i], now);
    run->settled_count = 0;
    driver_ring_publish(run->requests);
  }
}

static void prepare(struct run *run) {
  for (uint16_t pair = 0; pair < run->pair_count; pair++) {
    uint16_t output = (uint16_t)(2 * pair), input = input_of(pair);
    front_end_expect_ok(run->front_end, GPIO_SET_VALUE, output, 0);
    front_end_expect_ok(run->front_end, GPIO_SET_DIRECTION, output, GPIO_DIRECTION_OUT);
    front_end_expect_ok(run->front_end, GPIO_SET_DIRECTION, input, GPIO_DIRECTION_IN);
    front_end_expect_ok(run->front_end, GPIO_SET_IRQ_TYPE, input, GPIO_IRQ_BOTH);
    arm(run, pair);
  }
  driver_ring_publish(run->events);
}

/* Returns how many buffers came back VALID: edges that nobody made. */
static uint64_t switch_off(struct run *run) {
  uint64_t invented = 0;
  for (uint16_t pair = 0; pair < run->pair_count; pair++) {
    uint16_t returned;
    uint32_t length;
    front_end_expect_ok(run->front_end, GPIO_SET_IRQ_TYPE, input_of(pair), GPIO_IRQ_NONE);
    while (!driver_ring_reap(run->events, &returned, &length))
      if (!driver_ring_enable_calls(run->events) && !driver_ring_wait(run->events))
        fail("the eventq buffer of line %u never came back", input_of(pair));
    if (run->front_end->events[returned].status == GPIO_EVENT_VALID) invented++;
    else if (run->front_end->events[returned].status != GPIO_EVENT_INVALID || length != 1) run->errors++;
  }
  return invented;
}

uint64_t load_interrupts(struct front_end *front_end, const struct load_options *options) {
  if (options->pairs * 2 > front_end->line_count || options->pairs > front_end->slot_count)
    fail("--pairs=%llu: the device has %u lines", (unsigned long long)options->pairs, front_end->line_count);
  struct run run = {.front_end = front_end,
                    .requests = &front_end->rings[REQUEST_RING],
                    .events = &front_end->rings[EVENT_RING],
                    .pairs = calloc(options->pairs, sizeof(struct pair)),
                    .pair_count = (uint16_t)options->pairs,
                    .spin_us = options->spin_us,
                    .settled = calloc(options->pairs, sizeof(uint16_t))};
  if (!run.pairs || !run.settled) fail("no memory");
  struct samples samples;
  samples_open(&samples, options->requests);
  prepare(&run);
  run_toggles(&run, options->warmup, NULL);
  run.events_seen = 0;
  double cpu = cpu_seconds();
  uint64_t started = now_ns();
  run_toggles(&run, options->requests, &samples);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  uint64_t invented = switch_off(&run);
  uint64_t lost = options->requests > run.events_seen ? options->requests - run.events_seen : 0;

  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"eventsPerSecond\":%.0f,\"errors\":%llu,\"cpuSeconds\":%.3f,\"seconds\":%.3f,"
         "\"refused\":%llu,\"toggles\":%llu,\"events\":%llu,\"lost\":%llu,\"invented\":%llu}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (double)run.events_seen / seconds,
         (unsigned long long)run.errors, cpu, seconds, (unsigned long long)run.refused,
         (unsigned long long)options->requests,
         (unsigned long long)run.events_seen, (unsigned long long)lost, (unsigned long long)invented);
  samples_close(&samples);
  free(run.pairs);
  free(run.settled);
  return run.errors + lost + invented;
}
