/* SET_VALUE of many guests; each answer is checked, and at the end the levels that were left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "measure.h"
#include "options.h"

struct sender {
  struct front_end *guest;
  uint8_t *levels;
  uint64_t submitted;
  uint64_t done;
  uint64_t done_before; /* when the last one had begun */
  uint64_t sent_ns; /* of the first request under way */
  uint64_t under_way;
};

struct run {
  struct crowd *crowd;
  struct sender *senders;
  uint64_t errors;
};

static void submit(struct run *run, struct sender *sender, uint16_t slot) {
  uint16_t line = (uint16_t)(sender->submitted++ % run->crowd->lines);
  front_end_fill(sender->guest, slot, GPIO_SET_VALUE, line, sender->levels[line] ^= 1);
  driver_ring_add(&sender->guest->rings[REQUEST_RING], slot);
  sender->under_way++;
}

static bool reap(struct run *run, struct sender *sender, uint16_t *slot) {
  uint32_t length;
  if (!driver_ring_reap(&sender->guest->rings[REQUEST_RING], slot, &length)) return false;
  struct gpio_response response = sender->guest->requests[*slot].response;
  if (length != sizeof response || response.status != GPIO_OK || response.value != 0) run->errors++;
  sender->under_way--;
  sender->done++;
  return true;
}

static void prepare(struct run *run, struct crowd *crowd) {
  *run = (struct run){.crowd = crowd, .senders = calloc(crowd->active, sizeof *run->senders)};
  if (!run->senders) fail("no memory");
  for (uint64_t i = 0; i < crowd->active; i++) {
    struct sender *sender = &run->senders[i];
    sender->guest = &crowd->guests[i];
    sender->levels = calloc(crowd->lines, 1);
    if (!sender->levels) fail("no memory");
    for (uint16_t line = 0; line < crowd->lines; line++) {
      front_end_expect_ok(sender->guest, GPIO_SET_VALUE, line, 0);
      front_end_expect_ok(sender->guest, GPIO_SET_DIRECTION, line, GPIO_DIRECTION_OUT);
    }
  }
}

static void finish(struct run *run) {
  for (uint64_t i = 0; i < run->crowd->active; i++) {
    struct sender *sender = &run->senders[i];
    for (uint16_t line = 0; line < run->crowd->lines; line++)
      if (front_end_expect_ok(sender->guest, GPIO_GET_VALUE, line, 0) != sender->levels[line]) run->errors++;
    free(sender->levels);
  }
  free(run->senders);
}

static void take_turns(struct run *run, uint64_t count, struct samples *samples) {
  uint16_t slot;
  for (uint64_t i = 0; i < count; i++) {
    struct sender *sender = &run->senders[i % run->crowd->active];
    struct driver_ring *ring = &sender->guest->rings[REQUEST_RING];
    uint64_t before = now_ns();
    submit(run, sender, 0);
    driver_ring_enable_calls(ring);
    driver_ring_publish(ring);
    do {
      if (!driver_ring_wait(ring)) fail("request %llu was not answered by a call", (unsigned long long)i);
    } while (!reap(run, sender, &slot));
    if (samples) samples_add(samples, now_ns() - before);
  }
}

/*
 * Each guest replaces what it reaps, until `count` are answered while all were at it; then what is under way is awaited. Samples: the
 * first guest's. `fewest` and `most` of those `count` were answered to one guest.
 */
static void flood(struct run *run, uint64_t count, struct samples *samples, uint64_t *fewest, uint64_t *most) {
  uint64_t active = run->crowd->active, done = 0, begun = 0, give_up_ns = now_ns() + 30000000000u;
  for (uint64_t i = 0; i < active; i++) {
    struct sender *sender = &run->senders[i];
    struct driver_ring *ring = &sender->guest->rings[REQUEST_RING];
    driver_ring_disable_calls(ring);
    sender->done = 0;
    sender->sent_ns = now_ns();
    for (uint16_t slot = 0; slot < run->crowd->outstanding; slot++) submit(run, sender, slot);
    driver_ring_publish(ring);
  }
  for (bool is_over = false, is_quiet = false, all_begun = false; !is_quiet;) {
    is_quiet = true;
    bool some_wait = false;
    for (uint64_t i = 0; i < active; i++) {
      struct sender *sender = &run->senders[i];
      uint16_t slot, reaped = 0;
      while (reap(run, sender, &slot)) {
        reaped++;
        if (!is_over) submit(run, sender, slot);
      }
      if (sender->under_way) is_quiet = false;
      if (!sender->done) some_wait = true;
      if (!reaped) continue;
      done += reaped;
      driver_ring_publish(&sender->guest->rings[REQUEST_RING]);
      if (i == 0 && !is_over) {
        uint64_t now = now_ns();
        if (samples) samples_add(samples, now - sender->sent_ns);
        sender->sent_ns = now;
      }
    }
    if (!all_begun && !some_wait) {
      all_begun = true;
      begun = done;
      for (uint64_t i = 0; i < active; i++) run->senders[i].done_before = run->senders[i].done;
    }
    if (!is_over && all_begun && done - begun >= count) {
      is_over = true;
      *fewest = UINT64_MAX;
      *most = 0;
      for (uint64_t i = 0; i < active; i++) {
        uint64_t own = run->senders[i].done - run->senders[i].done_before;
        if (own < *fewest) *fewest = own;
        if (own > *most) *most = own;
      }
    }
    if (now_ns() > give_up_ns) fail("%llu of %llu requests were answered within 30 s", (unsigned long long)done,
                                    (unsigned long long)count);
  }
}

uint64_t crowd_turns(struct crowd *crowd) {
  struct run run;
  struct samples samples;
  prepare(&run, crowd);
  samples_open(&samples, crowd->requests);
  take_turns(&run, crowd->warmup, NULL);
  double cpu = cpu_seconds(), service = crowd_service_seconds(crowd);
  uint64_t started = now_ns();
  take_turns(&run, crowd->requests, &samples);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  service = crowd_service_seconds(crowd) - service;
  finish(&run);
  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"perSecond\":%.0f,\"count\":%llu,\"cpuSeconds\":%.4f,\"serviceSeconds\":%.4f,"
         "\"errors\":%llu}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (double)crowd->requests / seconds,
         (unsigned long long)crowd->requests, cpu, service, (unsigned long long)run.errors);
  samples_close(&samples);
  return run.errors;
}

uint64_t crowd_flood(struct crowd *crowd) {
  struct run run;
  struct samples samples;
  uint64_t fewest, most;
  prepare(&run, crowd);
  samples_open(&samples, crowd->requests);
  if (crowd->warmup) flood(&run, crowd->warmup, NULL, &fewest, &most);
  double cpu = cpu_seconds(), service = crowd_service_seconds(crowd);
  uint64_t started = now_ns();
  flood(&run, crowd->requests, &samples, &fewest, &most);
  double seconds = (double)(now_ns() - started) / 1e9;
  cpu = cpu_seconds() - cpu;
  service = crowd_service_seconds(crowd) - service;
  uint64_t done = 0;
  for (uint64_t i = 0; i < crowd->active; i++) done += run.senders[i].done;
  finish(&run);
  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"perSecond\":%.0f,\"count\":%llu,\"cpuSeconds\":%.4f,\"serviceSeconds\":%.4f,"
         "\"errors\":%llu,\"fewest\":%llu,\"most\":%llu}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (double)done / seconds,
         (unsigned long long)done, cpu, service, (unsigned long long)run.errors, (unsigned long long)fewest,
         (unsigned long long)most);
  samples_close(&samples);
  return run.errors;
}

/* The answer is longer than a slot: it goes where the event buffers would be. */
uint64_t crowd_names(struct crowd *crowd) {
  struct front_end *guest = &crowd->guests[0];
  struct driver_ring *ring = &guest->rings[REQUEST_RING];
  uint64_t request = ring->desc[0].addr, names = guest->rings[EVENT_RING].desc[0].addr, names_seen = 0;
  uint32_t room = (uint32_t)(guest->slot_count * sizeof(struct event_slot)), length;
  uint16_t slot;
  uint64_t started = now_ns();
  driver_ring_describe(ring, 0, request, sizeof(struct gpio_request), names, room);
  front_end_fill(guest, 0, GPIO_GET_LINE_NAMES, 0, 0);
  driver_ring_enable_calls(ring);
  driver_ring_add(ring, 0);
  driver_ring_publish(ring);
  do {
    if (!driver_ring_wait(ring)) fail("the names did not come");
  } while (!driver_ring_reap(ring, &slot, &length));
  double seconds = (double)(now_ns() - started) / 1e9;
  const char *bytes = (const char *)guest->events;
  for (uint32_t i = 1; i < length && length <= room; i++) names_seen += bytes[i] == 0;
  uint64_t errors = bytes[0] != GPIO_OK || names_seen != guest->line_count;
  printf("{\"seconds\":%.6f,\"bytes\":%u,\"names\":%llu,\"errors\":%llu}\n", seconds, length,
         (unsigned long long)names_seen, (unsigned long long)errors);
  return errors;
}
