// Shared memory that changes while it is read: the library is compiled with trace-loads, so each of its loads comes
// here first. What the peer writes, and when a pin interrupts, is told in counts of loads from shared memory.
#ifndef FUZZ_CHANGING_MEMORY_H
#define FUZZ_CHANGING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define CHANGING_REGIONS 2
#define CHANGING_MAX_PLANS 32

enum plan_kind {
  PLAN_WRITE,     // `value` to `offset` of region 0
  PLAN_UNDER,     // `value` over what is just about to be read
  PLAN_INTERRUPT, // line `offset` gets level `value`
};

struct plan {
  enum plan_kind kind;
  uint32_t loads; // from now on
  uint32_t offset;
  uint32_t value;
  uint8_t bytes;
};

struct changing_region {
  uint8_t *bytes;
  uint32_t size;
};

struct changing_memory {
  struct changing_region regions[CHANGING_REGIONS];
  struct plan plans[CHANGING_MAX_PLANS];
  unsigned plan_count;
  uint32_t noise_state; // 0: none
  uint8_t noise_one_in; // about one load in so many finds a changed byte
  uint64_t loads;
  uint64_t stores;
  bool active;
  // Runs a pin interrupt unless they are kept out; false: later.
  bool (*interrupt)(uint16_t line, uint8_t level);
};

extern struct changing_memory changing;

void changing_reset(void);
void changing_plan(struct plan plan);

#endif
