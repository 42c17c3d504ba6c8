/*
 * Idle: an attached guest that has interrupts enabled and eventq buffers queued, and does nothing. Prints
 * {"attached":true} when it is there, sleeps, and then reports the calls that came meanwhile: there is no reason for one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "load.h"
#include "measure.h"
#include "options.h"

static uint64_t calls_within(struct front_end *front_end, uint64_t milliseconds) {
  struct pollfd calls[2];
  for (int i = 0; i < 2; i++) calls[i] = (struct pollfd){.fd = front_end->rings[i].call_fd, .events = POLLIN};
  uint64_t until = now_ns() + milliseconds * 1000000u;
  for (uint64_t now = now_ns(); now < until; now = now_ns()) {
    int ready = poll(calls, 2, (int)((until - now) / 1000000u) + 1);
    if (ready > 0) return (uint64_t)ready;
    if (ready < 0 && errno != EINTR) fail("poll failed");
  }
  return 0;
}

uint64_t load_idle(struct front_end *front_end, const struct load_options *options) {
  uint16_t pairs = (uint16_t)(options->pairs * 2 <= front_end->line_count ? options->pairs : front_end->line_count / 2);
  for (uint16_t pair = 0; pair < pairs; pair++) {
    uint16_t input = (uint16_t)(2 * pair + 1);
    front_end_expect_ok(front_end, GPIO_SET_DIRECTION, (uint16_t)(2 * pair), GPIO_DIRECTION_OUT);
    front_end_expect_ok(front_end, GPIO_SET_DIRECTION, input, GPIO_DIRECTION_IN);
    front_end_expect_ok(front_end, GPIO_SET_IRQ_TYPE, input, GPIO_IRQ_BOTH);
    front_end->events[pair].line = input;
    driver_ring_add(&front_end->rings[EVENT_RING], pair);
  }
  driver_ring_enable_calls(&front_end->rings[EVENT_RING]);
  driver_ring_publish(&front_end->rings[EVENT_RING]);
  front_end_expect_ok(front_end, GPIO_GET_VALUE, 0, 0);
  printf("{\"attached\":true}\n");
  fflush(stdout);
  uint64_t started = now_ns();
  uint64_t calls = calls_within(front_end, options->seconds * 1000);
  printf("{\"seconds\":%.3f,\"buffersQueued\":%u,\"calls\":%llu,\"errors\":%llu}\n",
         (double)(now_ns() - started) / 1e9, pairs, (unsigned long long)calls, (unsigned long long)calls);
  return calls;
}
