/*
 * Edges to many guests: of lines of their own, or of one that they share. The next toggle of a line waits until everybody who
 * is owed its event has it and has queued the buffer again; at the end each buffer must come back INVALID, once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"
#include "measure.h"
#include "options.h"

struct pair {
  bool response_due;
  bool event_due;
  uint8_t level;
};

struct run {
  struct crowd *crowd;
  struct pair *pairs; /* of all guests, pairs of one guest side by side */
  uint64_t to_toggle;
  uint64_t in_flight;
  uint64_t events;
  uint64_t events_before; /* while warming up */
  uint64_t errors;
};

static void arm(struct front_end *guest, uint16_t slot, uint16_t line) {
  guest->events[slot].line = line;
  guest->events[slot].status = 0xee;
  driver_ring_add(&guest->rings[EVENT_RING], slot);
}

static void listen_to(struct front_end *guest, uint16_t slot, uint16_t line) {
  front_end_expect_ok(guest, GPIO_SET_DIRECTION, line, GPIO_DIRECTION_IN);
  front_end_expect_ok(guest, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_BOTH);
  arm(guest, slot, line);
}

static void make_output(struct front_end *guest, uint16_t line) {
  front_end_expect_ok(guest, GPIO_SET_VALUE, line, 0);
  front_end_expect_ok(guest, GPIO_SET_DIRECTION, line, GPIO_DIRECTION_OUT);
}

/* Returns whether the buffer came back as it should. */
static bool end_listening(struct front_end *guest, uint16_t line) {
  struct driver_ring *events = &guest->rings[EVENT_RING];
  uint16_t slot;
  uint32_t length;
  front_end_expect_ok(guest, GPIO_SET_IRQ_TYPE, line, GPIO_IRQ_NONE);
  while (!driver_ring_reap(events, &slot, &length))
    if (!driver_ring_enable_calls(events) && !driver_ring_wait(events))
      fail("the eventq buffer of line %u never came back", line);
  return guest->events[slot].status == GPIO_EVENT_INVALID && length == 1;
}

static bool take_event(struct run *run, struct front_end *guest, uint16_t *slot) {
  uint32_t length;
  if (!driver_ring_reap(&guest->rings[EVENT_RING], slot, &length)) return false;
  if (length != 1 || guest->events[*slot].status != GPIO_EVENT_VALID) run->errors++;
  run->events++;
  return true;
}

static bool take_response(struct run *run, struct front_end *guest, uint16_t *slot) {
  uint32_t length;
  if (!driver_ring_reap(&guest->rings[REQUEST_RING], slot, &length)) return false;
  struct gpio_response response = guest->requests[*slot].response;
  if (length != sizeof response || response.status != GPIO_OK || response.value != 0) run->errors++;
  return true;
}

static void set(struct front_end *guest, uint16_t slot, uint16_t line, uint8_t level) {
  front_end_fill(guest, slot, GPIO_SET_VALUE, line, level);
  driver_ring_add(&guest->rings[REQUEST_RING], slot);
}

static void toggle(struct run *run, struct front_end *guest, struct pair *pairs, uint16_t pair) {
  struct pair *p = &pairs[pair];
  p->level ^= 1;
  p->response_due = p->event_due = true;
  set(guest, pair, (uint16_t)(2 * pair), p->level);
  run->to_toggle--;
  run->in_flight++;
}

static void settle(struct run *run, struct front_end *guest, struct pair *pairs, uint16_t pair, bool *due) {
  if (!*due) run->errors++; /* nobody asked for it */
  *due = false;
  if (pairs[pair].response_due || pairs[pair].event_due) return;
  run->in_flight--;
  if (run->to_toggle) toggle(run, guest, pairs, pair);
}

static void serve(struct run *run, struct front_end *guest, struct pair *pairs) {
  uint16_t pair;
  while (take_event(run, guest, &pair)) {
    arm(guest, pair, (uint16_t)(2 * pair + 1));
    driver_ring_publish(&guest->rings[EVENT_RING]); /* before the next edge is made */
    settle(run, guest, pairs, pair, &pairs[pair].event_due);
  }
  while (take_response(run, guest, &pair)) settle(run, guest, pairs, pair, &pairs[pair].response_due);
  driver_ring_publish(&guest->rings[REQUEST_RING]);
}

static void toggle_all(struct run *run, uint64_t count) {
  struct crowd *crowd = run->crowd;
  uint64_t give_up_ns = now_ns() + 30000000000u;
  run->to_toggle = count;
  for (uint16_t pair = 0; pair < crowd->pairs; pair++)
    for (uint64_t i = 0; i < crowd->active && run->to_toggle; i++)
      toggle(run, &crowd->guests[i], &run->pairs[i * crowd->pairs], pair);
  for (uint64_t i = 0; i < crowd->active; i++) driver_ring_publish(&crowd->guests[i].rings[REQUEST_RING]);
  while (run->in_flight) {
    for (uint64_t i = 0; i < crowd->active; i++) serve(run, &crowd->guests[i], &run->pairs[i * crowd->pairs]);
    if (now_ns() > give_up_ns) fail("%llu toggles are unfinished after 30 s", (unsigned long long)run->in_flight);
  }
}

static void quiet(struct front_end *guest) {
  for (int ring = 0; ring < 2; ring++) driver_ring_disable_calls(&guest->rings[ring]);
}

static uint64_t report(struct run *run, uint64_t owed, uint64_t invented, double seconds, double cpu, double service) {
  uint64_t lost = owed > run->events ? owed - run->events : 0;
  printf("{\"perSecond\":%.0f,\"count\":%llu,\"cpuSeconds\":%.4f,\"serviceSeconds\":%.4f,\"errors\":%llu,\"lost\":%llu,"
         "\"invented\":%llu,\"eventsInAll\":%llu}\n",
         (double)run->events / seconds, (unsigned long long)run->events, cpu, service, (unsigned long long)run->errors,
         (unsigned long long)lost, (unsigned long long)invented,
         (unsigned long long)(run->events_before + run->events));
  return run->errors + lost + invented;
}

uint64_t crowd_edges(struct crowd *crowd) {
  struct run run = {.crowd = crowd, .pairs = calloc(crowd->active * crowd->pairs, sizeof(struct pair))};
  if (!run.pairs) fail("no memory");
  if (crowd->pairs * 2 > crowd->lines || crowd->pairs > crowd->guests[0].slot_count)
    fail("--pairs=%llu: too many", (unsigned long long)crowd->pairs);
  for (uint64_t i = 0; i < crowd->active; i++) {
    for (uint16_t pair = 0; pair < crowd->pairs; pair++) {
      make_output(&crowd->guests[i], (uint16_t)(2 * pair));
      listen_to(&crowd->guests[i], pair, (uint16_t)(2 * pair + 1));
    }
    driver_ring_publish(&crowd->guests[i].rings[EVENT_RING]);
    quiet(&crowd->guests[i]);
  }
  toggle_all(&run, crowd->warmup);
  run.events_before = run.events;
  run.events = 0;
  double cpu = cpu_seconds(), service = crowd_service_seconds(crowd);
  uint64_t started = now_ns(), invented = 0;
  toggle_all(&run, crowd->requests);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  service = crowd_service_seconds(crowd) - service;
  for (uint64_t i = 0; i < crowd->active; i++)
    for (uint16_t pair = 0; pair < crowd->pairs; pair++)
      invented += !end_listening(&crowd->guests[i], (uint16_t)(2 * pair + 1));
  free(run.pairs);
  return report(&run, crowd->requests, invented, seconds, cpu, service);
}

/* The last line of each guest is the shared input; the last but one of the first guest drives it. */
static void drive_shared(struct run *run, uint64_t count, uint16_t output, uint8_t *level) {
  struct crowd *crowd = run->crowd;
  uint64_t give_up_ns = now_ns() + 30000000000u;
  uint16_t slot;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t due = crowd->guest_count;
    bool response_due = true;
    set(&crowd->guests[0], 0, output, *level ^= 1);
    driver_ring_publish(&crowd->guests[0].rings[REQUEST_RING]);
    while (due || response_due) {
      for (uint64_t g = 0; g < crowd->guest_count; g++) {
        struct front_end *guest = &crowd->guests[g];
        if (!take_event(run, guest, &slot)) continue;
        if (due-- == 0) fail("more events than edges");
        arm(guest, slot, (uint16_t)(guest->line_count - 1));
        driver_ring_publish(&guest->rings[EVENT_RING]);
      }
      if (take_response(run, &crowd->guests[0], &slot)) response_due = false;
      if (now_ns() > give_up_ns) fail("%llu guests wait for edge %llu", (unsigned long long)due, (unsigned long long)i);
    }
  }
}

uint64_t crowd_share(struct crowd *crowd) {
  struct run run = {.crowd = crowd};
  uint16_t output = (uint16_t)(crowd->guests[0].line_count - 2);
  uint8_t level = 0;
  make_output(&crowd->guests[0], output);
  for (uint64_t i = 0; i < crowd->guest_count; i++) {
    listen_to(&crowd->guests[i], 0, (uint16_t)(crowd->guests[i].line_count - 1));
    driver_ring_publish(&crowd->guests[i].rings[EVENT_RING]);
    quiet(&crowd->guests[i]);
  }
  drive_shared(&run, crowd->warmup, output, &level);
  run.events_before = run.events;
  run.events = 0;
  double cpu = cpu_seconds(), service = crowd_service_seconds(crowd);
  uint64_t started = now_ns(), invented = 0;
  drive_shared(&run, crowd->requests, output, &level);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  service = crowd_service_seconds(crowd) - service;
  for (uint64_t i = 0; i < crowd->guest_count; i++)
    invented += !end_listening(&crowd->guests[i], (uint16_t)(crowd->guests[i].line_count - 1));
  return report(&run, crowd->requests * crowd->guest_count, invented, seconds, cpu, service);
}
