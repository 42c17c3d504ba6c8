// Drives native/sigbus.c without Node: one case a run, named by the first argument. Exit code 0, or the SIGBUS that the
// case is about (sigbus.test.ts).
#include "../../native/sigbus.h"

#include <linux/memfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1); \
    } \
  } while (0)

#define PAGES 8

static size_t page;
static atomic_int no_doorbell = SIGBUS_NO_DOORBELL;

struct file {
  int fd;
  volatile uint8_t *bytes;
};

static struct file map_file(void *at, int protection) {
  struct file file = {.fd = memfd_create("sigbus-test", MFD_CLOEXEC)};
  CHECK(file.fd >= 0 && ftruncate(file.fd, (off_t)(PAGES * page)) == 0);
  file.bytes = mmap(at, PAGES * page, protection, MAP_SHARED | (at == NULL ? 0 : MAP_FIXED), file.fd, 0);
  CHECK(file.bytes != MAP_FAILED);
  return file;
}

static struct sigbus_guard *guard_of(struct file file, atomic_int *doorbell) {
  struct sigbus_guard *guard =
      sigbus_guard_mapping((void *)file.bytes, PAGES * page, PROT_READ | PROT_WRITE, doorbell);
  CHECK(guard != NULL);
  return guard;
}

static void unmap_file(struct file file) {
  CHECK(munmap((void *)file.bytes, PAGES * page) == 0);
  close(file.fd);
}

static void truncate_file(struct file file, size_t pages) { CHECK(ftruncate(file.fd, (off_t)(pages * page)) == 0); }

// A guarded mapping that works, so that the handler is there.
static void install(void) {
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  struct sigbus_guard *guard = guard_of(file, &no_doorbell);
  truncate_file(file, 0);
  CHECK(file.bytes[page] == 0 && sigbus_is_dead(guard));
  sigbus_release(guard);
  unmap_file(file);
}

static void fault_elsewhere(void) {
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  truncate_file(file, 0);
  CHECK(file.bytes[3 * page] == 77);
}

// Handlers of somebody else, who knows what to do about his own fault.
static volatile sig_atomic_t foreign_faults;

static void mend(void *address) {
  uint8_t *start = (uint8_t *)((uintptr_t)address & ~(page - 1));
  foreign_faults++;
  if (mmap(start, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) _exit(2);
  memset(start, 77, page);
}

static void on_foreign_info(int number, siginfo_t *info, void *context) {
  if (number != SIGBUS || info == NULL || context == NULL) _exit(3);
  mend(info->si_addr);
}

static uint8_t *volatile expected_address;

static void on_foreign_plain(int number) {
  if (number != SIGBUS) _exit(3);
  mend(expected_address);
}

static void case_info(void) {
  struct sigaction action = {.sa_sigaction = on_foreign_info, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGBUS, &action, NULL) == 0);
  install();
  CHECK(foreign_faults == 0);
  fault_elsewhere();
  CHECK(foreign_faults == 1);
  install();
  CHECK(foreign_faults == 1);
}

static void case_plain(void) {
  struct sigaction action = {.sa_handler = on_foreign_plain};
  CHECK(sigaction(SIGBUS, &action, NULL) == 0);
  install();
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  truncate_file(file, 0);
  expected_address = (uint8_t *)file.bytes + 3 * page;
  CHECK(file.bytes[3 * page + 5] == 77 && foreign_faults == 1);
}

static void case_fault(void) {
  install();
  fault_elsewhere();
}

static void case_fault_ignored(void) {
  CHECK(signal(SIGBUS, SIG_IGN) == SIG_DFL);
  install();
  fault_elsewhere();
}

static void case_sent(void) {
  install();
  CHECK(raise(SIGBUS) == 0);
}

static void case_sent_ignored(void) {
  CHECK(signal(SIGBUS, SIG_IGN) == SIG_DFL);
  install();
  CHECK(raise(SIGBUS) == 0 && kill(getpid(), SIGBUS) == 0);
  install();
}

// The page right behind a guarded mapping is somebody else's.
static void case_neighbour(void) {
  uint8_t *place = mmap(NULL, 2 * PAGES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(place != MAP_FAILED);
  struct file file = map_file(place, PROT_READ | PROT_WRITE);
  struct file neighbour = map_file(place + PAGES * page, PROT_READ | PROT_WRITE);
  struct sigbus_guard *guard = guard_of(file, &no_doorbell);
  truncate_file(file, 0);
  CHECK(file.bytes[PAGES * page - 1] == 0 && sigbus_is_dead(guard));
  neighbour.bytes[0] = 1;
  truncate_file(neighbour, 0);
  neighbour.bytes[0] = 1;
}

// A record is used again: what it was told of before does not count any more.
static void case_released(void) {
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  sigbus_release(guard_of(file, &no_doorbell));
  truncate_file(file, 0);
  file.bytes[0] = 1;
}

static void case_doorbell(void) {
  atomic_int doorbell;
  atomic_init(&doorbell, eventfd(0, EFD_NONBLOCK));
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  struct sigbus_guard *guard = guard_of(file, &doorbell);
  for (size_t at = 0; at < PAGES; at++) file.bytes[at * page] = (uint8_t)(at + 1);
  truncate_file(file, 2);
  CHECK(!sigbus_is_dead(guard));
  uint64_t count = 0;
  CHECK(read(doorbell, &count, sizeof count) < 0);
  // From behind: each touch is a fault of its own, but the mapping dies once.
  for (size_t at = PAGES; at-- > 2;) {
    CHECK(file.bytes[at * page + 9] == 0);
    file.bytes[at * page + 9] = 5;
    CHECK(file.bytes[at * page + 9] == 5);
  }
  CHECK(sigbus_is_dead(guard) && read(doorbell, &count, sizeof count) == sizeof count && count == 1);
  // What is left of the file is still shared.
  CHECK(file.bytes[0] == 1 && file.bytes[page] == 2);
  file.bytes[0] = 9;
  uint8_t byte;
  CHECK(pread(file.fd, &byte, 1, 0) == 1 && byte == 9);
  sigbus_release(guard);
  unmap_file(file);
  close(doorbell);
  // The record's next mapping is not dead.
  struct file next = map_file(NULL, PROT_READ | PROT_WRITE);
  guard = guard_of(next, &no_doorbell);
  CHECK(!sigbus_is_dead(guard));
  sigbus_release(guard);
  unmap_file(next);
}

// Where a whole rest cannot be had (RLIMIT_DATA counts private writable memory), the page alone is mended.
static void case_short_of_memory(void) {
  struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
  struct sigbus_guard *guard = guard_of(file, &no_doorbell);
  truncate_file(file, 0);
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  char line[256];
  unsigned long data_kib = 0;
  while (data_kib == 0 && fgets(line, sizeof line, status) != NULL) sscanf(line, "VmData: %lu kB", &data_kib);
  fclose(status);
  const struct rlimit limit = {.rlim_cur = data_kib * 1024 + 2 * page, .rlim_max = RLIM_INFINITY};
  CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
  CHECK(mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CHECK(file.bytes[0] == 0 && sigbus_is_dead(guard));
}

// A mapping of huge pages is replaced as a whole: it cannot be divided at a small page.
static void case_huge_pages(void) {
  const size_t huge = 2 << 20;
  struct file file = {.fd = memfd_create("sigbus-test-huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB)};
  CHECK(file.fd >= 0 && ftruncate(file.fd, (off_t)(2 * huge)) == 0);
  // Not reserved: the test needs no huge page, as none is there any more when it looks.
  file.bytes = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.fd, 0);
  CHECK(file.bytes != MAP_FAILED && ftruncate(file.fd, 0) == 0);
  struct sigbus_guard *guard =
      sigbus_guard_mapping((void *)file.bytes, 2 * huge, PROT_READ | PROT_WRITE, &no_doorbell);
  CHECK(guard != NULL && file.bytes[huge + 5 * page] == 0 && sigbus_is_dead(guard));
  file.bytes[0] = 1;
  CHECK(file.bytes[0] == 1);
  sigbus_release(guard);
  CHECK(munmap((void *)file.bytes, 2 * huge) == 0);
}

#define THREADS 6
#define ROUNDS 400

static void *churn(void *argument) {
  const size_t seed = (size_t)argument;
  struct file kept = map_file(NULL, PROT_READ | PROT_WRITE);
  struct sigbus_guard *kept_guard = guard_of(kept, &no_doorbell);
  for (size_t round = 0; round < ROUNDS; round++) {
    struct file file = map_file(NULL, PROT_READ | PROT_WRITE);
    struct sigbus_guard *guard = guard_of(file, &no_doorbell);
    memset((void *)file.bytes, (int)seed + 1, PAGES * page);
    const size_t left = (round + seed) % PAGES;
    truncate_file(file, left);
    for (size_t at = 0; at < PAGES; at++) CHECK(file.bytes[at * page + 1] == (at < left ? seed + 1 : 0));
    CHECK(sigbus_is_dead(guard) && !sigbus_is_dead(kept_guard));
    sigbus_settle();
    sigbus_release(guard);
    unmap_file(file);
  }
  kept.bytes[0] = 3;
  CHECK(kept.bytes[0] == 3 && !sigbus_is_dead(kept_guard));
  sigbus_release(kept_guard);
  unmap_file(kept);
  return NULL;
}

// Threads map, fault and unmap at once, and get each other's addresses.
static void case_threads(void) {
  pthread_t threads[THREADS];
  for (size_t index = 0; index < THREADS; index++) {
    CHECK(pthread_create(&threads[index], NULL, churn, (void *)index) == 0);
  }
  for (size_t index = 0; index < THREADS; index++) CHECK(pthread_join(threads[index], NULL) == 0);
}

static struct file shared;

static void *touch_all(void *argument) {
  (void)argument;
  for (size_t at = 0; at < PAGES; at++) CHECK(shared.bytes[at * page] == 0);
  return NULL;
}

// One mapping dies in several threads at once: one of them rings.
static void case_together(void) {
  atomic_int doorbell;
  atomic_init(&doorbell, eventfd(0, EFD_NONBLOCK));
  for (size_t round = 0; round < ROUNDS; round++) {
    shared = map_file(NULL, PROT_READ | PROT_WRITE);
    struct sigbus_guard *guard = guard_of(shared, &doorbell);
    truncate_file(shared, 0);
    pthread_t threads[THREADS];
    for (size_t index = 0; index < THREADS; index++) {
      CHECK(pthread_create(&threads[index], NULL, touch_all, NULL) == 0);
    }
    for (size_t index = 0; index < THREADS; index++) CHECK(pthread_join(threads[index], NULL) == 0);
    uint64_t count = 0;
    CHECK(read(doorbell, &count, sizeof count) == sizeof count && count == 1);
    sigbus_release(guard);
    unmap_file(shared);
  }
}

static const struct {
  const char *name;
  void (*run)(void);
} CASES[] = {
    {"previous handler with siginfo", case_info},
    {"previous plain handler", case_plain},
    {"foreign fault", case_fault},
    {"foreign fault, ignored before", case_fault_ignored},
    {"sent signal", case_sent},
    {"sent signal, ignored before", case_sent_ignored},
    {"neighbour", case_neighbour},
    {"released", case_released},
    {"doorbell", case_doorbell},
    {"short of memory", case_short_of_memory},
    {"huge pages", case_huge_pages},
    {"threads", case_threads},
    {"together", case_together},
};

int main(int count, char **arguments) {
  page = (size_t)sysconf(_SC_PAGESIZE);
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (size_t index = 0; count == 2 && index < sizeof CASES / sizeof CASES[0]; index++) {
    if (strcmp(CASES[index].name, arguments[1]) != 0) continue;
    CASES[index].run();
    return 0;
  }
  fprintf(stderr, "no such case\n");
  return 4;
}
