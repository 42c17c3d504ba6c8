#include "event_tally.h"

#include <string.h>

#include "options.h"

static const char TOPIC_END[] = "/event";
static const char SEQ[] = "{\"seq\":";
static const char TIMESTAMP[] = ",\"timestampNs\":\"";
static const char MERGED[] = ",\"merged\":true";

void event_tally_open(struct event_tally *tally, char *names) {
  *tally = (struct event_tally){0};
  for (char *name; (name = strsep(&names, ",")) != NULL;) {
    if (!*name) fail("--lines: an empty name");
    if (tally->line_count == TALLY_MOST_LINES) fail("--lines: more than %d", TALLY_MOST_LINES);
    tally->lines[tally->line_count++] = (struct tally_line){.name = name, .name_bytes = strlen(name)};
  }
}

static struct tally_line *line_of(struct event_tally *tally, const char *topic, size_t bytes) {
  const size_t end = sizeof TOPIC_END - 1;
  if (bytes < end || memcmp(topic + bytes - end, TOPIC_END, end)) return NULL;
  bytes -= end;
  for (unsigned i = 0; i < tally->line_count; i++) {
    struct tally_line *line = &tally->lines[i];
    if (bytes > line->name_bytes && topic[bytes - line->name_bytes - 1] == '/' &&
        !memcmp(topic + bytes - line->name_bytes, line->name, line->name_bytes))
      return line;
  }
  return NULL;
}

/* Digits at `*at`, which is moved past them. */
static bool number(const char **at, const char *end, uint64_t *value) {
  const char *from = *at;
  *value = 0;
  for (; *at < end && **at >= '0' && **at <= '9'; ++*at) *value = *value * 10 + (uint64_t)(**at - '0');
  return *at != from;
}

static bool read_payload(const char *payload, size_t bytes, struct event *event, bool *merged) {
  const char *at = payload + sizeof SEQ - 1, *end = payload + bytes;
  if (bytes < sizeof SEQ || memcmp(payload, SEQ, sizeof SEQ - 1) || !number(&at, end, &event->seq)) return false;
  const char *time = memmem(at, (size_t)(end - at), TIMESTAMP, sizeof TIMESTAMP - 1);
  if (!time) return false;
  at = time + sizeof TIMESTAMP - 1;
  if (!number(&at, end, &event->timestamp_ns)) return false;
  *merged = memmem(at, (size_t)(end - at), MERGED, sizeof MERGED - 1) != NULL;
  return true;
}

bool event_tally_take(struct event_tally *tally, const struct mqtt_message *message, struct event *event) {
  struct tally_line *line = line_of(tally, message->topic, message->topic_bytes);
  bool merged;
  if (!line || message->retained || !read_payload(message->payload, message->payload_bytes, event, &merged)) {
    tally->malformed++;
    return false;
  }
  event->line = (unsigned)(line - tally->lines);
  tally->received++;
  tally->merged += merged;
  if (line->seen && event->seq != line->next_seq) {
    tally->gaps++;
    if (event->seq > line->next_seq) tally->missing += event->seq - line->next_seq;
  }
  line->seen = true;
  line->next_seq = event->seq + 1;
  return true;
}
