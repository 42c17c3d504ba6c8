#include "changing_memory.h"

#include <string.h>

struct changing_memory changing;

void changing_reset(void) { memset(&changing, 0, sizeof changing); }

void changing_plan(struct plan plan) {
  if (changing.plan_count < CHANGING_MAX_PLANS) changing.plans[changing.plan_count++] = plan;
}

static const struct changing_region *region_of(uintptr_t address) {
  for (unsigned i = 0; i < CHANGING_REGIONS; i++) {
    const struct changing_region *region = &changing.regions[i];
    if (address - (uintptr_t)region->bytes < region->size) return region;
  }
  return NULL;
}

static void put(const struct changing_region *region, uint32_t offset, uint32_t value, uint8_t bytes) {
  for (uint32_t i = 0; i < bytes && offset < region->size && i < region->size - offset; i++) {
    region->bytes[offset + i] = (uint8_t)(value >> (8 * i));
  }
}

static uint32_t noise(void) {
  uint32_t x = changing.noise_state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return changing.noise_state = x;
}

static bool carry_out(const struct plan *plan, const struct changing_region *region, uint32_t offset) {
  switch (plan->kind) {
    case PLAN_WRITE:
      put(&changing.regions[0], plan->offset, plan->value, plan->bytes);
      return true;
    case PLAN_UNDER:
      put(region, offset, plan->value, plan->bytes);
      return true;
    default:
      return changing.interrupt((uint16_t)plan->offset, (uint8_t)plan->value);
  }
}

static void on_load(uintptr_t address) {
  if (!changing.active) return;
  const struct changing_region *region = region_of(address);
  if (region == NULL) return;
  changing.loads++;
  const uint32_t offset = (uint32_t)(address - (uintptr_t)region->bytes);
  for (unsigned i = 0; i < changing.plan_count;) {
    struct plan *plan = &changing.plans[i];
    if (plan->loads > 0) {
      plan->loads--;
      i++;
      continue;
    }
    // Off the list first: an interrupt loads, too.
    const struct plan due = *plan;
    *plan = changing.plans[--changing.plan_count];
    if (!carry_out(&due, region, offset)) {
      changing_plan(due);
      i++;
    }
  }
  if (changing.noise_state != 0 && noise() % (1u + changing.noise_one_in) == 0) {
    const uint32_t dice = noise();
    const bool here = (dice & 1) != 0;
    put(region, here ? offset : noise() % region->size, noise() >> (dice >> 1 & 31), 1 + (dice >> 6 & 1));
  }
}

static void on_store(uintptr_t address) {
  if (changing.active && region_of(address) != NULL) changing.stores++;
}

// Named by the compiler, declared nowhere.
#define HOOK(bytes)                                    \
  void __sanitizer_cov_load##bytes(void *address);     \
  void __sanitizer_cov_load##bytes(void *address) {    \
    on_load((uintptr_t)address);                       \
  }                                                    \
  void __sanitizer_cov_store##bytes(void *address);    \
  void __sanitizer_cov_store##bytes(void *address) {   \
    on_store((uintptr_t)address);                      \
  }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
