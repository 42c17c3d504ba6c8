/*
 * The floor: what two wake-ups cost on this machine. Two threads wake each other through a pair of eventfds with
 * blocking reads; one round trip is two writes, two wake-ups and two reads, what a request over a virtqueue costs
 * with notifications in both directions and no work at all.
 *
 * Where the threads run decides a factor of ten on virtual machines (a wake-up on another processor is an interrupt
 * between them): --placement=free leaves it to the scheduler, as for a guest and the service; same and apart pin.
 * With --pause-us both threads, and maybe their processors, have gone to sleep before each round trip.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "measure.h"
#include "options.h"

struct ping_pong {
  int ping_fd;
  int pong_fd;
  int echo_cpu; /* -1: any */
  uint64_t rounds;
};

/* The n-th processor (modulo their number) that this process may run on. */
static int allowed_cpu(int n) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed)) fail("sched_getaffinity: %s", strerror(errno));
  n %= CPU_COUNT(&allowed);
  for (int cpu = 0;; cpu++)
    if (CPU_ISSET(cpu, &allowed) && n-- == 0) return cpu;
}

static void stay_on(int cpu) {
  if (cpu < 0) return;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  if (sched_setaffinity(0, sizeof only, &only)) fail("sched_setaffinity to processor %d: %s", cpu, strerror(errno));
}

static void signal_fd(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, sizeof one) != sizeof one) fail("write to eventfd: %s", strerror(errno));
}

static void wait_fd(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) != sizeof count) fail("read from eventfd: %s", strerror(errno));
}

static void *echo(void *argument) {
  struct ping_pong *table = argument;
  stay_on(table->echo_cpu);
  for (uint64_t i = 0; i < table->rounds; i++) {
    wait_fd(table->ping_fd);
    signal_fd(table->pong_fd);
  }
  return NULL;
}

int main(int argc, char **argv) {
  uint64_t rounds = 50000, warmup = 2000, pause_us = 0;
  const char *placement = "free";
  const struct option_slot slots[] = {
      {.name = "--rounds", .number = &rounds, .least = 1, .most = 100000000},
      {.name = "--warmup", .number = &warmup, .least = 0, .most = 100000000},
      {.name = "--pause-us", .number = &pause_us, .least = 0, .most = 1000000},
      {.name = "--placement", .text = &placement},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);

  struct ping_pong table = {.ping_fd = eventfd(0, EFD_CLOEXEC), .pong_fd = eventfd(0, EFD_CLOEXEC),
                            .echo_cpu = -1, .rounds = rounds + warmup};
  int own_cpu = -1;
  if (!strcmp(placement, "same") || !strcmp(placement, "apart")) {
    own_cpu = allowed_cpu(0);
    table.echo_cpu = allowed_cpu(!strcmp(placement, "apart"));
  } else if (strcmp(placement, "free")) {
    fail("--placement=%s: must be free, same or apart", placement);
  }
  if (table.ping_fd < 0 || table.pong_fd < 0) fail("eventfd: %s", strerror(errno));
  struct samples samples;
  samples_open(&samples, rounds);
  pthread_t thread;
  int error = pthread_create(&thread, NULL, echo, &table);
  if (error) fail("pthread_create: %s", strerror(error));
  stay_on(own_cpu);

  uint64_t started = 0, before = 0;
  double cpu_before = 0;
  for (uint64_t i = 0; i < rounds + warmup; i++) {
    if (i == warmup) {
      cpu_before = cpu_seconds();
      started = before = now_ns();
    }
    if (pause_us) {
      usleep((useconds_t)pause_us);
      before = now_ns();
    }
    signal_fd(table.ping_fd);
    wait_fd(table.pong_fd);
    if (i >= warmup) {
      uint64_t after = now_ns();
      samples_add(&samples, after - before);
      before = after;
    }
  }
  double seconds = (double)(now_ns() - started) / 1e9;
  double cpu = cpu_seconds() - cpu_before;
  pthread_join(thread, NULL);
  samples_sort(&samples);
  printf("{\"medianNs\":%u,\"p99Ns\":%u,\"roundTripsPerSecond\":%.0f,\"cpuSeconds\":%.3f}\n",
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (double)rounds / seconds, cpu);
  samples_close(&samples);
  close(table.ping_fd);
  close(table.pong_fd);
  return 0;
}
