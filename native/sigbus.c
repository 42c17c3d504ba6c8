#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_INTERVAL_NS 10000

enum { GUARD_FREE, GUARD_TAKEN, GUARD_LIVE };

// The handler runs between any two instructions of any thread, so it takes no lock: the list only grows,
// its records are used again, and a record that the handler has pinned stays as it is until it is unpinned.
struct sigbus_guard {
  struct sigbus_guard *next;  // never changes once listed
  atomic_int state;
  atomic_int pins;
  atomic_bool dead;
  // Written while the state is GUARD_TAKEN, by whom took it.
  uintptr_t address;
  size_t size;
  int protection;
  atomic_int *doorbell;
};

static _Atomic(struct sigbus_guard *) guards;
static size_t page_size;
static struct sigaction previous;
static int install_errno;

static bool put_zero_pages(uintptr_t address, size_t size, int protection) {
  // Private: what is written from now on is nobody else's. Nothing is reserved for pages that nobody touches.
  return mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) !=
         MAP_FAILED;
}

// A file ends once: everything behind a page that has gone has gone, too, while the pages before it are still shared.
// Pages behind it that were replaced before are zeroed again; nobody may rely on what dead memory holds.
// One page, if there is no memory for more; all of it, if the mapping cannot be divided there (huge pages).
static bool replace_gone(const struct sigbus_guard *guard, uintptr_t fault) {
  const uintptr_t page = fault & ~(uintptr_t)(page_size - 1);
  const uintptr_t end = guard->address + guard->size;
  return put_zero_pages(page, end - page, guard->protection) ||
         put_zero_pages(page, page_size, guard->protection) ||
         put_zero_pages(guard->address, guard->size, guard->protection);
}

static void ring(int doorbell) {
  static const uint64_t one = 1;
  if (doorbell == SIGBUS_NO_DOORBELL) return;
  // A full one has been rung already.
  const ssize_t written = write(doorbell, &one, sizeof one);
  (void)written;
}

// Pinned first, looked at then: sigbus_release does it the other way round, so that one of the two sees the other.
static bool handle_fault(struct sigbus_guard *guard, uintptr_t fault) {
  atomic_fetch_add(&guard->pins, 1);
  bool handled = false;
  if (atomic_load(&guard->state) == GUARD_LIVE && fault - guard->address < guard->size) {
    handled = replace_gone(guard, fault);
    if (handled && !atomic_exchange(&guard->dead, true)) ring(atomic_load(guard->doorbell));
  }
  atomic_fetch_sub(&guard->pins, 1);
  return handled;
}

static void pass_on(int number, siginfo_t *info, void *context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, info, context);
    return;
  }
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
    return;
  }
  // The kernel's own are positive. One that was sent can be ignored, a fault cannot: it would come again for ever.
  const bool was_sent = info->si_code <= 0;
  if (was_sent && previous.sa_handler == SIG_IGN) return;
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(number, &action, NULL);
  // Blocked until the handler returns; a fault comes again by itself, with its own address.
  if (was_sent) raise(number);
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
  const int saved_errno = errno;
  // Of all reasons only this one means a page that is not there; others (hardware, alignment) are not ours to hide.
  if (info->si_code == BUS_ADRERR) {
    for (struct sigbus_guard *guard = atomic_load(&guards); guard != NULL; guard = guard->next) {
      if (handle_fault(guard, (uintptr_t)info->si_addr)) {
        errno = saved_errno;
        return;
      }
    }
  }
  pass_on(number, info, context);
  errno = saved_errno;
}

static void install(void) {
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  // In two steps: a handler that runs at once must find what was there before.
  struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, NULL, &previous) != 0 || sigaction(SIGBUS, &action, NULL) != 0) install_errno = errno;
}

static struct sigbus_guard *take_free(void) {
  for (struct sigbus_guard *guard = atomic_load(&guards); guard != NULL; guard = guard->next) {
    int expected = GUARD_FREE;
    if (atomic_compare_exchange_strong(&guard->state, &expected, GUARD_TAKEN)) return guard;
  }
  struct sigbus_guard *guard = calloc(1, sizeof *guard);
  if (guard == NULL) return NULL;
  atomic_init(&guard->state, GUARD_TAKEN);
  guard->next = atomic_load(&guards);
  while (!atomic_compare_exchange_weak(&guards, &guard->next, guard)) {
    // guard->next is what came in between.
  }
  return guard;
}

struct sigbus_guard *sigbus_guard_mapping(void *address, size_t size, int protection, atomic_int *doorbell) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  if (install_errno != 0) {
    errno = install_errno;
    return NULL;
  }
  struct sigbus_guard *guard = take_free();
  if (guard == NULL) return NULL;
  guard->address = (uintptr_t)address;
  // The kernel maps whole pages.
  guard->size = (size + page_size - 1) & ~(page_size - 1);
  guard->protection = protection;
  guard->doorbell = doorbell;
  atomic_store(&guard->dead, false);
  atomic_store(&guard->state, GUARD_LIVE);
  return guard;
}

bool sigbus_is_dead(const struct sigbus_guard *guard) { return atomic_load(&guard->dead); }

// The handler holds a pin for one mmap and one write. Sleeping, not spinning: the other thread may have a lower
// real-time priority than this one.
static void wait_unpinned(struct sigbus_guard *guard) {
  const struct timespec interval = {.tv_nsec = SETTLE_INTERVAL_NS};
  while (atomic_load(&guard->pins) != 0) nanosleep(&interval, NULL);
}

void sigbus_release(struct sigbus_guard *guard) {
  atomic_store(&guard->state, GUARD_TAKEN);
  wait_unpinned(guard);
  atomic_store(&guard->state, GUARD_FREE);
}

void sigbus_settle(void) {
  for (struct sigbus_guard *guard = atomic_load(&guards); guard != NULL; guard = guard->next) wait_unpinned(guard);
}
