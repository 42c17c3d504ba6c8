// Comes before everything else in the hub's programs (-include): what they print is of no interest, `crash` is a command, and
// the clock is the script's.
#ifndef FUZZ_QUIET_H
#define FUZZ_QUIET_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

extern FILE *quiet_stream;
void hub_crashes(void);
int quiet_clock(clockid_t clock, struct timespec *now);

#undef stderr
#define stderr quiet_stream
#define abort hub_crashes
#define clock_gettime quiet_clock
// Within reach of an input.
#define OUTPUT_LIMIT_BYTES 4096u

#endif
