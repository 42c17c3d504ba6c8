#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver_ring.h"
#include "front_end.h"
#include "gpio_messages.h"
#include "greedy.h"
#include "options.h"

static uint64_t chains;

static void kick(struct driver_ring *ring) {
  uint64_t one = 1;
  if (write(ring->kick_fd, &one, sizeof one) != sizeof one && errno != EINTR) fail("kick: %s", strerror(errno));
  ring->kicks++;
}

/* Kicks for nothing, both rings in turn. */
static void kick_without_end(struct front_end *front_end) {
  while (!ended) {
    kick(&front_end->rings[REQUEST_RING]);
    kick(&front_end->rings[EVENT_RING]);
  }
}

/* Each head of a ring goes wrong in a way of its own, some at the end of as long a chain as there can be. */
static void spoil(struct driver_ring *ring) {
  struct vring_desc good = ring->desc[0], answer = ring->desc[1];
  for (uint32_t i = 0; i < ring->size; i++) {
    struct vring_desc *desc = &ring->desc[i];
    *desc = good;
    desc->flags = VRING_DESC_NEXT;
    desc->next = (uint16_t)((i + 1) % ring->size);
    switch (i % 8) {
    case 1: desc->addr = 0x10; break;
    case 2: *desc = answer; desc->flags = VRING_DESC_WRITE | VRING_DESC_NEXT; desc->next = 0; break;
    case 3: desc->flags = 4; desc->len = 16; break; /* indirect, which was not negotiated */
    default: break; /* a chain through all descriptors, until one of the others */
    }
  }
}

/* One chain through the whole table, from wherever it begins: each walk of it is as long as a walk can be. */
static void make_endless(struct driver_ring *ring) {
  struct vring_desc good = ring->desc[0];
  for (uint32_t i = 0; i < ring->size; i++) {
    ring->desc[i] = good;
    ring->desc[i].flags = VRING_DESC_NEXT;
    ring->desc[i].next = (uint16_t)((i + 1) % ring->size);
  }
}

/*
 * Each head is an indirect table: one longer than is taken, or as long as is taken with a chain that goes round in it. The tables
 * lie on each other in the memory that is meant for requests.
 */
static void make_indirect(struct front_end *front_end) {
  enum { MOST = 1024 };
  struct driver_ring *ring = &front_end->rings[REQUEST_RING];
  struct vring_desc *table = (void *)front_end->requests;
  struct vring_desc first = ring->desc[0];
  if (front_end->slot_count * sizeof(struct request_slot) < (MOST + 1) * sizeof *table) fail("--queue-size: too small");
  for (uint16_t i = 0; i <= MOST; i++) {
    table[i] = (struct vring_desc){first.addr, 8, VRING_DESC_NEXT, (uint16_t)((i + 1) % MOST)};
  }
  for (uint32_t i = 0; i < ring->size; i++)
    ring->desc[i] = (struct vring_desc){first.addr, (uint32_t)((MOST + i % 2) * sizeof *table), VRING_DESC_INDIRECT, 0};
}

/* One buffer a descriptor, as many as the queue has. */
static void make_single(struct driver_ring *ring) {
  struct vring_desc answer = ring->desc[1];
  for (uint32_t i = 0; i < ring->size; i++) {
    ring->desc[i] = answer;
    ring->desc[i].flags = VRING_DESC_WRITE;
  }
}

/* Offers `count` chains, `step` descriptors apart, and each again as soon as it comes back. */
static void keep_full(struct driver_ring *ring, uint32_t count, uint32_t step) {
  uint16_t available = 0, reaped = 0;
  const uint16_t mask = (uint16_t)(ring->size - 1);
  for (uint32_t i = 0; i < count; i++) ring->avail->ring[available++ & mask] = (uint16_t)(i * step);
  ring_store(&ring->avail->idx, available);
  kick(ring);
  say_ready();
  ring_store(vring_used_event(ring->avail, ring->size), (uint16_t)(reaped - 1));
  while (!ended) {
    uint16_t used = ring_load(&ring->used->idx), before = available;
    for (; reaped != used; reaped++, chains++)
      ring->avail->ring[available++ & mask] = (uint16_t)ring->used->ring[reaped & mask].id;
    if (available == before) continue;
    ring_store(&ring->avail->idx, available);
    ring_fence();
    if (vring_need_event(ring_load(vring_avail_event(ring->used, ring->size)), available, before)) kick(ring);
  }
}

/* As many requests as there can be at once, then nothing until all are answered, and again. */
static void offer_all_at_once(struct front_end *front_end) {
  struct driver_ring *ring = &front_end->rings[REQUEST_RING];
  say_ready();
  while (!ended) {
    for (uint16_t slot = 0; slot < front_end->slot_count; slot++) {
      front_end_fill(front_end, slot, GPIO_GET_VALUE, slot % front_end->line_count, 0);
      driver_ring_add(ring, slot);
    }
    driver_ring_disable_calls(ring);
    driver_ring_publish(ring);
    for (uint16_t left = front_end->slot_count; left && !ended;) {
      uint16_t slot;
      uint32_t length;
      while (driver_ring_reap(ring, &slot, &length)) left--, chains++;
    }
  }
}

void attack_as_guest(const struct guest_attack *attack) {
  struct front_end_options connection = {.socket_path = attack->path,
                                         .connect_timeout_ms = 10000,
                                         .queue_size = (uint16_t)attack->queue_size,
                                         .event_idx = true,
                                         .indirect = !strcmp(attack->what, "indirect")};
  struct front_end front_end;
  driver_ring_watchdog(30);
  front_end_open(&front_end, &connection);
  struct driver_ring *requests = &front_end.rings[REQUEST_RING], *events = &front_end.rings[EVENT_RING];
  for (uint16_t slot = 0; slot < front_end.slot_count; slot++) {
    front_end_fill(&front_end, slot, GPIO_GET_VALUE, slot % front_end.line_count, 0);
    front_end.events[slot].line = slot % front_end.line_count;
  }
  if (!strcmp(attack->what, "kicks")) {
    say_ready();
    kick_without_end(&front_end);
  } else if (!strcmp(attack->what, "malformed")) {
    spoil(requests);
    keep_full(requests, requests->size, 1);
  } else if (!strcmp(attack->what, "endless")) {
    make_endless(requests);
    keep_full(requests, requests->size, 1);
  } else if (!strcmp(attack->what, "indirect")) {
    make_indirect(&front_end);
    keep_full(requests, requests->size, 1);
  } else if (!strcmp(attack->what, "buffers")) {
    make_single(requests);
    keep_full(requests, requests->size, 1);
  } else if (!strcmp(attack->what, "requests")) {
    keep_full(requests, requests->size / 2, 2);
  } else if (!strcmp(attack->what, "bursts")) {
    offer_all_at_once(&front_end);
  } else if (!strcmp(attack->what, "events")) {
    keep_full(events, events->size / 2, 2);
  } else {
    fail("--guest=%s: kicks, malformed, endless, indirect, buffers, requests, bursts or events", attack->what);
  }
  printf("{\"kicks\":%llu,\"chains\":%llu}\n", (unsigned long long)(requests->kicks + events->kicks),
         (unsigned long long)chains);
  /* A guest that is gone, in the middle of everything. */
}
