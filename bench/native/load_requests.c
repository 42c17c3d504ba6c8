/*
 * SET_VALUE and GET_VALUE, one at a time or pipelined. What is expected is known before each request: a SET answers
 * OK and 0, and the level that it left is read back at the end; a GET reads a pattern that was driven at the start.
 */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "measure.h"
#include "options.h"

struct run {
  struct front_end *front_end;
  struct driver_ring *ring;
  const struct load_options *options;
  uint16_t type;
  uint16_t lines;
  uint8_t *levels;        /* of each line: last set, or the pattern to be read */
  uint64_t *submitted_ns; /* of each slot */
  uint8_t *expected;      /* of each slot: the value of the right response */
  uint64_t submitted;
  uint64_t errors;
};

/* The same for both lines of a pair: line 2k + 1 reads what line 2k drives. */
static bool driven_pattern(uint16_t line) { return (line / 2 * 5) & 4; }

/* SET: every line is an output. GET: 2k is an output that drives the input 2k + 1. */
static void prepare(struct run *run) {
  for (uint16_t line = 0; line < run->lines; line++) {
    bool output = run->type == GPIO_SET_VALUE || line % 2 == 0;
    uint8_t level = run->type == GPIO_GET_VALUE && driven_pattern(line);
    if (output) front_end_expect_ok(run->front_end, GPIO_SET_VALUE, line, level);
    front_end_expect_ok(run->front_end, GPIO_SET_DIRECTION, line, output ? GPIO_DIRECTION_OUT : GPIO_DIRECTION_IN);
    run->levels[line] = level;
    if (!output && run->options->subscribed) front_end_expect_ok(run->front_end, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_BOTH);
  }
}

static void submit(struct run *run, uint16_t slot) {
  uint16_t line = (uint16_t)(run->submitted++ % run->lines);
  if (run->type == GPIO_GET_VALUE && run->options->subscribed) line |= 1;
  uint32_t value = 0;
  if (run->type == GPIO_SET_VALUE)
    value = run->levels[line] ^= 1;
  else
    run->expected[slot] = run->levels[line];
  front_end_fill(run->front_end, slot, run->type, line, value);
  driver_ring_add(run->ring, slot);
}

static void judge(struct run *run, uint16_t slot, uint32_t length) {
  struct gpio_response response = run->front_end->requests[slot].response;
  if (length != sizeof response || response.status != GPIO_OK || response.value != run->expected[slot]) run->errors++;
}

/* Blocks on the call for each request: what a guest's task feels. */
static void one_at_a_time(struct run *run, uint64_t count, struct samples *samples) {
  uint16_t slot;
  uint32_t length;
  uint64_t before = now_ns();
  for (uint64_t i = 0; i < count; i++) {
    submit(run, 0);
    driver_ring_enable_calls(run->ring);
    driver_ring_publish(run->ring);
    do {
      if (!driver_ring_wait(run->ring)) fail("request %llu was not answered by a call", (unsigned long long)i);
    } while (!driver_ring_reap(run->ring, &slot, &length));
    uint64_t after = now_ns();
    judge(run, slot, length);
    if (samples) samples_add(samples, after - before);
    before = after;
  }
}

static bool used_within(struct driver_ring *ring, uint64_t spin_us) {
  if (!spin_us) return false;
  uint64_t until = now_ns() + spin_us * 1000;
  do {
    for (int i = 0; i < 64; i++) {
      if (ring_load(&ring->used->idx) != ring->reaped) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (now_ns() < until);
  return false;
}

/* Keeps `outstanding` requests in the queue; what one look at the used ring yields is replaced with one publication. */
static void pipelined(struct run *run, uint64_t count, struct samples *samples) {
  uint64_t to_submit = count, to_reap = count, now = now_ns();
  for (uint16_t slot = 0; slot < run->options->outstanding && to_submit; slot++, to_submit--) {
    submit(run, slot);
    run->submitted_ns[slot] = now;
  }
  driver_ring_disable_calls(run->ring);
  driver_ring_publish(run->ring);
  while (to_reap) {
    uint16_t slot;
    uint32_t length;
    bool some = false;
    while (driver_ring_reap(run->ring, &slot, &length)) {
      if (!some) now = now_ns();
      some = true;
      to_reap--;
      judge(run, slot, length);
      if (samples) samples_add(samples, now - run->submitted_ns[slot]);
      if (!to_submit) continue;
      to_submit--;
      submit(run, slot);
      run->submitted_ns[slot] = now;
    }
    driver_ring_publish(run->ring);
    if (some || !to_reap || used_within(run->ring, run->options->spin_us)) continue;
    if (!driver_ring_enable_calls(run->ring) && !driver_ring_wait(run->ring))
      fail("%llu requests were not answered by a call", (unsigned long long)to_reap);
    driver_ring_disable_calls(run->ring);
  }
}

/* The levels that the last SETs left must be there. */
static void read_back(struct run *run) {
  for (uint16_t line = 0; line < run->lines; line++)
    if (front_end_expect_ok(run->front_end, GPIO_GET_VALUE, line, 0) != run->levels[line]) run->errors++;
}

static uint64_t load_requests(struct front_end *front_end, const struct load_options *options, uint16_t type) {
  uint16_t lines = (uint16_t)(options->lines < front_end->line_count ? options->lines : front_end->line_count);
  if (type == GPIO_GET_VALUE) lines &= (uint16_t)~1u;
  if (!lines) fail("the device has %u lines: too few", front_end->line_count);
  if (options->outstanding > front_end->slot_count)
    fail("--outstanding=%llu: the queue takes %u", (unsigned long long)options->outstanding, front_end->slot_count);
  struct run run = {.front_end = front_end,
                    .ring = &front_end->rings[REQUEST_RING],
                    .options = options,
                    .type = type,
                    .lines = lines,
                    .levels = calloc(lines, 1),
                    .submitted_ns = calloc(front_end->slot_count, sizeof(uint64_t)),
                    .expected = calloc(front_end->slot_count, 1)};
  if (!run.levels || !run.submitted_ns || !run.expected) fail("no memory");
  struct samples samples;
  samples_open(&samples, options->requests);
  prepare(&run);

  void (*load)(struct run *, uint64_t, struct samples *) = options->outstanding > 1 ? pipelined : one_at_a_time;
  load(&run, options->warmup, NULL);
  uint64_t kicks = run.ring->kicks, calls = run.ring->calls;
  double cpu = cpu_seconds();
  uint64_t started = now_ns();
  load(&run, options->requests, &samples);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  kicks = run.ring->kicks - kicks;
  calls = run.ring->calls - calls;
  if (type == GPIO_SET_VALUE) read_back(&run);

  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"p999Ns\":%u,\"requestsPerSecond\":%.0f,\"errors\":%llu,\"cpuSeconds\":%.3f,"
         "\"seconds\":%.3f,\"requests\":%llu,\"kicks\":%llu,\"waits\":%llu}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), samples_percentile(&samples, 99.9),
         (double)options->requests / seconds, (unsigned long long)run.errors, cpu, seconds,
         (unsigned long long)options->requests, (unsigned long long)kicks, (unsigned long long)calls);
  samples_close(&samples);
  free(run.levels);
  free(run.submitted_ns);
  free(run.expected);
  return run.errors;
}

uint64_t load_set(struct front_end *front_end, const struct load_options *options) {
  return load_requests(front_end, options, GPIO_SET_VALUE);
}

uint64_t load_get(struct front_end *front_end, const struct load_options *options) {
  return load_requests(front_end, options, GPIO_GET_VALUE);
}
