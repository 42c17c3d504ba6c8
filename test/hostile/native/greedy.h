/* Peers that take what they can get. Each runs until SIGTERM, and says what it did. */
#ifndef HOSTILE_GREEDY_H
#define HOSTILE_GREEDY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern volatile sig_atomic_t ended;

struct bytes {
  uint8_t *at;
  size_t count;
};

struct socket_attack {
  const char *path;    /* of a Unix socket, or */
  uint64_t port;       /* a TCP port of the loopback interface */
  uint64_t count;      /* connections at a time */
  struct bytes hello;  /* said once on each */
  struct bytes repeat; /* said without end */
  uint64_t dribble_us; /* hello goes a byte at a time, with this pause */
  uint64_t pause_us;   /* between rounds over all connections */
  bool reads;
  bool storms;         /* each connection is closed when its hello is said */
  bool returns;        /* one that the service closed is opened again */
  bool answered;       /* ready only when each has read two lines: a greeting, and the answer to what it said */
};

/* Prints one JSON object. */
void attack_sockets(const struct socket_attack *attack);

struct guest_attack {
  const char *path;
  const char *what;
  uint64_t queue_size;
};

void attack_as_guest(const struct guest_attack *attack);

/* The attack is under way. */
void say_ready(void);

#endif
