// Touching a page that has gone from under a shared mapping (its file was truncated by who shares it)
// raises SIGBUS, which ends the process. Guarded mappings get zero pages there instead, and are dead.
#ifndef RPROC_GPIO_SIGBUS_H
#define RPROC_GPIO_SIGBUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// No descriptor to ring.
#define SIGBUS_NO_DOORBELL (-1)

struct sigbus_guard;

// Guards a mapping (address as mmap gave it, protection as it was asked for) and installs the process' handler
// the first time. When the mapping dies, `*doorbell` is rung: a non-blocking eventfd or SIGBUS_NO_DOORBELL.
// It must outlive the guard. NULL with errno on failure.
struct sigbus_guard *sigbus_guard_mapping(void *address, size_t size, int protection, atomic_int *doorbell);
bool sigbus_is_dead(const struct sigbus_guard *guard);
// Before munmap; waits for a fault that another thread has in the mapping.
void sigbus_release(struct sigbus_guard *guard);
// Returns when no thread uses a value of `*doorbell` any more that was there before the call.
void sigbus_settle(void);

#endif
