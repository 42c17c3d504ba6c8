/* The yardstick: a virtio-gpio device loop in C over the rings that the service serves too. */
#ifndef BENCH_CDEVICE_H
#define BENCH_CDEVICE_H

#include "device_ring.h"
#include "gpio_messages.h"
#include "vhost_message.h"

enum { CDEVICE_MOST_LINES = 4096, NO_BUFFER = -1 };

struct cdevice_line {
  uint8_t direction;
  uint8_t value; /* driven, or kept until the line becomes an output */
  uint8_t irq_type;
  bool latched;
  int32_t buffer;  /* head of its eventq buffer, or NO_BUFFER */
  uint8_t *status; /* where that buffer's status goes */
};

/* A simulated chip: line 2k is wired to line 2k + 1. */
struct cdevice {
  uint16_t line_count;
  uint64_t wrong_every; /* every so many responses one is wrong on purpose; 0: none */
  uint64_t lose_every;  /* every so many events one is dropped on purpose; 0: none */
  uint64_t responses;
  uint64_t events;
  struct cdevice_line lines[CDEVICE_MOST_LINES];
  struct guest_memory memory;
  struct device_ring rings[2]; /* requestq, eventq */
};

void cdevice_reset(struct cdevice *device);

/* Serves what is in both queues; true when something was. */
bool cdevice_serve(struct cdevice *device);

/* Serves one front-end until it closes the connection. */
void cdevice_session(struct cdevice *device, int socket_fd);

#endif
