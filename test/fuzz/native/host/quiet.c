#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "host_harness.h"

FILE *quiet_stream;
uint64_t quiet_now_ns;
unsigned quiet_crashes;

void hub_crashes(void);
void hub_crashes(void) { quiet_crashes++; }

int quiet_clock(clockid_t clock, struct timespec *now);
int quiet_clock(clockid_t clock, struct timespec *now) {
  (void)clock;
  now->tv_sec = (time_t)(quiet_now_ns / 1000000000u);
  now->tv_nsec = (long)(quiet_now_ns % 1000000000u);
  return 0;
}

void quiet_open(void) {
  if (quiet_stream == NULL) quiet_stream = fopen("/dev/null", "w");
}
