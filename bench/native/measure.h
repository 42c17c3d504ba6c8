/* Clocks and order statistics. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* User and system time of this process so far, in seconds. */
double cpu_seconds(void);

/* Durations in ns; every page is touched when it is made, so that recording one never faults. */
struct samples {
  uint32_t *ns;
  size_t count;
  size_t capacity;
};

void samples_open(struct samples *samples, size_t capacity);
void samples_close(struct samples *samples);

/* Durations over 4.29 s are stored as 2^32-1 ns; those past the capacity are dropped. */
static inline void samples_add(struct samples *samples, uint64_t duration_ns) {
  if (samples->count < samples->capacity)
    samples->ns[samples->count++] = duration_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)duration_ns;
}

void samples_sort(struct samples *samples);

/* The value below which `percent` of the sorted samples lie (nearest rank); 0 when there are none. */
uint32_t samples_percentile(const struct samples *samples, double percent);

#endif
