/* `set` commands at a rate, from one client; another connection counts the answers. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event_tally.h"
#include "measure.h"
#include "options.h"
#include "probe.h"

/* Between two batches of commands. */
static const uint64_t TICK_NS = 1000000;
static const char OK[] = "\"ok\":true";

struct run {
  const struct probe_options *options;
  struct mqtt_connection publisher, subscriber;
  uint64_t sent, succeeded, refused;
};

static void take_results(struct run *run) {
  struct mqtt_message message;
  mqtt_receive(&run->subscriber);
  while (mqtt_next(&run->subscriber, &message)) {
    if (memmem(message.payload, message.payload_bytes, OK, sizeof OK - 1))
      run->succeeded++;
    else
      run->refused++;
  }
  mqtt_flush(&run->subscriber);
}

static void take_confirmations(struct run *run) {
  struct mqtt_message message;
  mqtt_receive(&run->publisher);
  while (mqtt_next(&run->publisher, &message)) fail("a message on the publisher's connection");
}

/* Sends what is due since the start, so that a delay is made up for. */
static void send_due(struct run *run, const struct event_tally *lines, uint64_t elapsed_ns) {
  const struct probe_options *options = run->options;
  uint64_t due = elapsed_ns * options->rate / 1000000000u;
  if (options->events && due > options->events) due = options->events;
  for (char topic[512]; run->sent < due; run->sent++) {
    /* Each line is set to 1, then each to 0, and so on: every command changes something. */
    const char *name = lines->lines[run->sent % lines->line_count].name;
    bool on = run->sent / lines->line_count % 2 == 0;
    if (snprintf(topic, sizeof topic, "%s/%s/set", options->prefix, name) >= (int)sizeof topic)
      fail("--prefix=%s: too long", options->prefix);
    mqtt_publish(&run->publisher, topic, on ? "ON" : "OFF", on ? 2 : 3, (unsigned)options->qos);
  }
  mqtt_flush(&run->publisher);
}

uint64_t probe_commands(const struct probe_options *options) {
  struct run run = {.options = options};
  struct event_tally lines;
  char client_id[64];
  const int end_fd = probe_end_fd();
  event_tally_open(&lines, options->lines);
  probe_subscribe(&run.subscriber, options, "result");
  snprintf(client_id, sizeof client_id, "mqttprobe-%d-commands", (int)getpid());
  mqtt_open(&run.publisher, options->port, client_id);
  probe_is_subscribed();
  const uint64_t started = now_ns();
  uint64_t ended = 0, tick = started;
  double cpu = cpu_seconds();
  for (;;) {
    uint64_t now = now_ns();
    if (!ended && now >= tick) {
      send_due(&run, &lines, now - started);
      tick = now + TICK_NS;
      if (options->events && run.sent >= options->events) ended = now;
    }
    if (ended && run.succeeded + run.refused >= run.sent) break;
    struct pollfd entries[] = {
        {.fd = run.subscriber.fd, .events = POLLIN},
        {.fd = run.publisher.fd, .events = POLLIN},
        {.fd = ended ? -1 : end_fd, .events = POLLIN},
    };
    uint64_t timeout_us = ended ? options->patience_ms * 1000 : tick > now ? (tick - now) / 1000 + 1 : 0;
    if (!probe_poll(entries, 3, timeout_us) && ended) break;
    if (entries[2].revents) ended = now_ns();
    if (entries[0].revents) take_results(&run);
    if (entries[1].revents) take_confirmations(&run);
  }
  cpu = cpu_seconds() - cpu;
  mqtt_close(&run.publisher);
  mqtt_close(&run.subscriber);
  close(end_fd);
  const uint64_t answered = run.succeeded + run.refused;
  const double seconds = (double)(ended - started) / 1e9;
  printf("{\"commands\":%llu,\"seconds\":%.3f,\"commandsPerSecond\":%.0f,\"succeeded\":%llu,\"refused\":%llu,"
         "\"unanswered\":%llu,\"cpuSeconds\":%.3f}\n",
         (unsigned long long)run.sent, seconds, seconds > 0 ? (double)run.sent / seconds : 0.0,
         (unsigned long long)run.succeeded, (unsigned long long)run.refused,
         (unsigned long long)(run.sent > answered ? run.sent - answered : 0), cpu);
  return run.sent - answered;
}
