/* Many guests of one service in one process: what `crowd` does is in crowd_requests.c and crowd_edges.c. */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "front_end.h"

struct crowd {
  struct front_end *guests;
  uint64_t guest_count; /* attached */
  uint64_t active;      /* of them, those that send */
  uint64_t lines;       /* of each guest that the requests go round */
  uint64_t requests;    /* measured, all guests together */
  uint64_t warmup;      /* before them */
  uint64_t outstanding; /* of each guest */
  uint64_t pairs;       /* loop-back pairs of each guest that are toggled at once */
  uint64_t service_pid; /* whose processor time is told; 0: nobody's */
};

/* Each prints one JSON object and returns the number of wrong, lost or invented answers. */
uint64_t crowd_turns(struct crowd *crowd); /* one request at a time, one guest after the other, blocking */
uint64_t crowd_flood(struct crowd *crowd); /* all active guests at once, without sleeping */
uint64_t crowd_edges(struct crowd *crowd); /* all active guests toggle lines of their own */
uint64_t crowd_share(struct crowd *crowd); /* one line that all guests have as their last one, driven by the first guest */
uint64_t crowd_names(struct crowd *crowd); /* the names of the first guest's lines */

/* Processor time of the service, in seconds: all threads. */
double crowd_service_seconds(const struct crowd *crowd);

#endif
