/* A virtio-gpio guest without a machine around it: a vhost-user front-end with one memory region and two rings. */
#ifndef BENCH_FRONT_END_H
#define BENCH_FRONT_END_H

#include <stdbool.h>
#include <stdint.h>

#include "driver_ring.h"
#include "gpio_messages.h"

enum { REQUEST_RING = 0, EVENT_RING = 1 };

/* One request buffer; request and response lie in cache lines of their own, as in the Linux driver. */
struct request_slot {
  struct gpio_request request;
  uint8_t gap1[64 - sizeof(struct gpio_request)];
  struct gpio_response response;
  uint8_t gap2[64 - sizeof(struct gpio_response)];
};

/* One eventq buffer. */
struct event_slot {
  uint16_t line;
  uint8_t gap1[62];
  uint8_t status;
  uint8_t gap2[63];
};

struct front_end {
  int socket_fd;
  int memory_fd;
  char *memory;
  size_t memory_bytes;
  uint64_t features;
  bool reply_ack;
  uint16_t line_count;
  uint16_t slot_count; /* pairs a ring has room for */
  struct driver_ring rings[2];
  struct request_slot *requests;
  struct event_slot *events;
};

struct front_end_options {
  const char *socket_path;
  uint64_t connect_timeout_ms; /* how long to wait for the socket to appear and accept */
  uint16_t queue_size;
  bool event_idx;
  bool indirect; /* negotiates indirect descriptors; the rings' own chains are direct all the same */
};

/* Connects, negotiates, shares memory and starts both rings. Ends the program when something is refused. */
void front_end_open(struct front_end *front_end, const struct front_end_options *options);

/* Stops both rings and closes the connection. */
void front_end_close(struct front_end *front_end);

/* Writes a request into a slot and poisons its response; driver_ring_add makes it available. */
static inline void front_end_fill(struct front_end *front_end, uint16_t slot, uint16_t type, uint16_t line,
                                  uint32_t value) {
  front_end->requests[slot].request = (struct gpio_request){type, line, value};
  front_end->requests[slot].response = (struct gpio_response){0xee, 0xee};
}

/* One request and its answer, alone in the queue; ends the program when no answer comes. */
struct gpio_response front_end_request(struct front_end *front_end, uint16_t type, uint16_t line, uint32_t value);

/* As above; ends the program when the answer is not OK. Returns the value of the response. */
uint8_t front_end_expect_ok(struct front_end *front_end, uint16_t type, uint16_t line, uint32_t value);

#endif
