/* What the modes of the MQTT probe share. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "mqtt_connection.h"

struct probe_options {
  uint16_t port;      /* of the broker, on 127.0.0.1 */
  const char *prefix; /* of the topics: PREFIX/LINE/event, PREFIX/LINE/set, PREFIX/LINE/result */
  const char *pins;   /* the firmware's socket */
  char *lines;        /* names, with commas */
  uint64_t qos;
  uint64_t events;  /* to be measured; 0: until SIGTERM */
  uint64_t warmup;  /* before them */
  uint64_t window;  /* level changes that have not arrived yet, at most */
  uint64_t chunk;   /* level changes a command to the firmware */
  uint64_t nap_us;  /* between the arrival of something and looking what it is */
  uint64_t pause_us;    /* between one measurement and the next, on average (latency, echo) */
  uint64_t payload_bytes; /* echo */
  uint64_t rate;    /* commands a second */
  uint64_t patience_ms; /* silence after which what is missing is lost */
};

/* Each prints {"subscribed":true} when it sees messages, one JSON object at its end, and returns what went wrong. */
uint64_t probe_count(const struct probe_options *options);    /* counts what somebody else publishes */
uint64_t probe_drive(const struct probe_options *options);    /* drives the firmware's inputs, as fast as events arrive */
uint64_t probe_latency(const struct probe_options *options);  /* one level change at a time */
uint64_t probe_echo(const struct probe_options *options);     /* one message of its own at a time: the broker's share */
uint64_t probe_commands(const struct probe_options *options); /* `set` commands at a rate */

/* Becomes readable with SIGTERM or SIGINT, which do nothing else from then on. */
int probe_end_fd(void);
/* poll(2) that is not interrupted; a timeout in microseconds, which may be a fraction of a millisecond. */
int probe_poll(struct pollfd *entries, unsigned count, uint64_t timeout_us);
/* Opens a connection and subscribes to PREFIX/+/NAME. */
void probe_subscribe(struct mqtt_connection *connection, const struct probe_options *options, const char *name);
void probe_is_subscribed(void);

#endif
