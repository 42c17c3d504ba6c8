#include "greedy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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
      {.name = "--guest", .text = &guest.what},
      {.name = "--queue-size", .number = &guest.queue_size, .least = 2, .most = 32768},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
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
