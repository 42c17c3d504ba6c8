/*
 * Counts the messages of level changes, and finds those that are missing: each line's `seq` goes up by one, or somebody
 * has dropped something. Topics end in /LINE/event, payloads are {"seq":N,"edge":…,"level":…,"timestampNs":"…"}.
 */
#ifndef BENCH_EVENT_TALLY_H
#define BENCH_EVENT_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqtt_connection.h"

#define TALLY_MOST_LINES 64

struct event_tally {
  unsigned line_count;
  struct tally_line {
    const char *name;
    size_t name_bytes;
    bool seen;
    uint64_t next_seq;
  } lines[TALLY_MOST_LINES];
  uint64_t received;
  uint64_t gaps;      /* places where seq did not go up by one */
  uint64_t missing;   /* numbers left out there */
  uint64_t merged;    /* messages that say that the co-processor had to leave changes out */
  uint64_t malformed; /* other topics, other payloads */
};

struct event {
  unsigned line;
  uint64_t seq;
  uint64_t timestamp_ns;
};

/* `names` is a list with commas, and is cut up in place. */
void event_tally_open(struct event_tally *tally, char *names);
/* Counts the message; true and fills `event` when it is one of a level change. */
bool event_tally_take(struct event_tally *tally, const struct mqtt_message *message, struct event *event);

#endif
