#include "measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "options.h"

double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void samples_open(struct samples *samples, size_t capacity) {
  samples->count = 0;
  samples->capacity = capacity;
  samples->ns = malloc(capacity * sizeof *samples->ns);
  if (!samples->ns) fail("no memory for %zu samples", capacity);
  memset(samples->ns, 0xff, capacity * sizeof *samples->ns);
}

void samples_close(struct samples *samples) {
  free(samples->ns);
  samples->ns = NULL;
  samples->count = samples->capacity = 0;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

void samples_sort(struct samples *samples) {
  qsort(samples->ns, samples->count, sizeof *samples->ns, ascending);
}

uint32_t samples_percentile(const struct samples *samples, double percent) {
  if (!samples->count) return 0;
  size_t rank = (size_t)((double)samples->count * percent / 100.0);
  return samples->ns[rank < samples->count ? rank : samples->count - 1];
}
