// What the harnesses of the hub's programs have in common.
#ifndef FUZZ_HOST_HARNESS_H
#define FUZZ_HOST_HARNESS_H

#include <stdint.h>

extern uint64_t quiet_now_ns;
// How often the firmware was told to crash.
extern unsigned quiet_crashes;

void quiet_open(void);

#endif
