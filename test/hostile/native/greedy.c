#include "greedy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

volatile sig_atomic_t ended;

static void end(int signal_number) {
  (void)signal_number;
  ended = 1;
}

void say_ready(void) {
  printf("ready\n");
  fflush(stdout);
}

/* Nobody waits for it any more: it ends with who has started it, and in any case after a while, whatever it is about. */
static void live_no_longer_than(pid_t parent, uint64_t seconds) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
  struct itimerspec once = {.it_value = {.tv_sec = (time_t)seconds}};
  timer_t timer;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL)) fail("cannot end with the parent");
  if (parent != getppid()) fail("the parent is gone already");
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &once, NULL)) fail("cannot have a timer");
}

static struct bytes from_hex(const char *name, const char *text) {
  size_t digits = text ? strlen(text) : 0;
  struct bytes bytes = {.at = malloc(digits / 2 + 1), .count = digits / 2};
  if (!bytes.at) fail("no memory");
  for (size_t i = 0; i < bytes.count; i++) {
    unsigned value;
    if (digits % 2 || sscanf(text + 2 * i, "%2x", &value) != 1) fail("%s: no hexadecimal bytes", name);
    bytes.at[i] = (uint8_t)value;
  }
  return bytes;
}

int main(int argc, char **argv) {
  struct socket_attack sockets = {.count = 1, .pause_us = 1000};
  struct guest_attack guest = {.queue_size = 32768};
  uint64_t seconds = 60, parent = (uint64_t)getppid();
  const char *hello = NULL, *repeat = NULL;
  const struct option_slot slots[] = {
      {.name = "--path", .text = &sockets.path},
      {.name = "--port", .number = &sockets.port, .least = 1, .most = 65535},
      {.name = "--count", .number = &sockets.count, .least = 1, .most = 10000},
      {.name = "--hello", .text = &hello},
      {.name = "--repeat", .text = &repeat},
      {.name = "--dribble-us", .number = &sockets.dribble_us, .least = 0, .most = 10000000},
      {.name = "--pause-us", .number = &sockets.pause_us, .least = 0, .most = 10000000},
      {.name = "--reads", .flag = &sockets.reads},
      {.name = "--storms", .flag = &sockets.storms},
      {.name = "--returns", .flag = &sockets.returns},
      {.name = "--answered", .flag = &sockets.answered},
      {.name = "--seconds", .number = &seconds, .least = 1, .most = 600},
      {.name = "--parent", .number = &parent, .least = 1, .most = INT32_MAX},
      {.name = "--guest", .text = &guest.what},
      {.name = "--queue-size", .number = &guest.queue_size, .least = 2, .most = 32768},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
  live_no_longer_than((pid_t)parent, seconds);
  sockets.hello = from_hex("--hello", hello);
  sockets.repeat = from_hex("--repeat", repeat);
  guest.path = sockets.path;
  struct sigaction action = {.sa_handler = end};
  struct rlimit files;
  if (sigaction(SIGTERM, &action, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR || getrlimit(RLIMIT_NOFILE, &files))
    fail("cannot begin");
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files)) fail("cannot have %llu descriptors", (unsigned long long)files.rlim_max);
  if (guest.what)
    attack_as_guest(&guest);
  else
    attack_sockets(&sockets);
  return 0;
}
