/* What the modes of the load generator share. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "front_end.h"

struct load_options {
  uint64_t requests;    /* measured */
  uint64_t warmup;      /* before them */
  uint64_t outstanding; /* 1: one at a time */
  uint64_t lines;       /* how many lines the requests go round */
  uint64_t spin_us;     /* how long to look at the used rings before blocking (pipelined requests, interrupts) */
  uint64_t pairs;       /* loop-back pairs (interrupts) */
  uint64_t seconds;     /* how long to sit still (idle) */
  bool subscribed;      /* only inputs are read, and their interrupts are enabled (get) */
  uint64_t line;        /* the device's number of the input that changes (change) */
  uint64_t pause_us;    /* from one change to the next command (change) */
  const char *pins;     /* the firmware's pins socket (change) */
  const char *pins_line; /* the firmware's name of that input (change) */
};

/* Each prints one JSON object and returns the number of wrong or missing answers. */
uint64_t load_set(struct front_end *front_end, const struct load_options *options);
uint64_t load_get(struct front_end *front_end, const struct load_options *options);
uint64_t load_interrupts(struct front_end *front_end, const struct load_options *options);
uint64_t load_changes(struct front_end *front_end, const struct load_options *options);
uint64_t load_watch(struct front_end *front_end, const struct load_options *options);
uint64_t load_idle(struct front_end *front_end, const struct load_options *options);

#endif
