/*
 * One level change at a time, from the firmware to the subscriber; and one message of our own at a time through the same
 * broker, which tells the broker's share of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event_tally.h"
#include "measure.h"
#include "options.h"
#include "pins_client.h"
#include "probe.h"

/* Waits for a message; false: none comes. */
static bool await_message(struct mqtt_connection *connection, struct mqtt_message *message, uint64_t patience_ms) {
  while (!mqtt_next(connection, message)) {
    mqtt_flush(connection);
    struct pollfd entry = {.fd = connection->fd, .events = POLLIN};
    if (!probe_poll(&entry, 1, patience_ms * 1000)) return false;
    mqtt_receive(connection);
  }
  return true;
}

/* Half to one and a half of the pause: a fixed one would keep step with somebody's timer. */
static void rest(uint64_t pause_us) {
  if (pause_us) usleep((useconds_t)(pause_us / 2 + (uint64_t)random() % (pause_us + 1)));
}

uint64_t probe_latency(const struct probe_options *options) {
  struct mqtt_connection connection;
  struct pins_client pins;
  struct event_tally tally;
  struct samples from_command, from_timestamp;
  /* Timestamps before the command, and after its answer: one of the clocks would be wrong. */
  uint64_t lost = 0, early = 0, late = 0, total = options->events + options->warmup;
  event_tally_open(&tally, options->lines);
  samples_open(&from_command, options->events);
  samples_open(&from_timestamp, options->events);
  pins_client_open(&pins, options->pins);
  probe_subscribe(&connection, options, "event");
  probe_is_subscribed();
  for (uint64_t i = 0; i < total && !lost; i++) {
    struct mqtt_message message;
    struct event event;
    rest(options->pause_us);
    const uint64_t before = now_ns();
    pins_client_send(&pins, "burst %s 1", tally.lines[0].name);
    bool came;
    do came = await_message(&connection, &message, options->patience_ms);
    while (came && !event_tally_take(&tally, &message, &event));
    const uint64_t after = now_ns();
    mqtt_flush(&connection);
    pins_client_receive(&pins);
    const uint64_t answered = now_ns();
    if (!came) lost++;
    if (!came || i < options->warmup) continue;
    early += event.timestamp_ns < before;
    late += event.timestamp_ns > answered;
    samples_add(&from_command, after - before);
    samples_add(&from_timestamp, after > event.timestamp_ns ? after - event.timestamp_ns : 0);
  }
  mqtt_close(&connection);
  pins_client_close(&pins);
  samples_sort(&from_command);
  samples_sort(&from_timestamp);
  printf("{\"events\":%zu,\"medianNs\":%u,\"p99Ns\":%u,\"sinceTimestampMedianNs\":%u,\"sinceTimestampP99Ns\":%u,"
         "\"lost\":%llu,\"gaps\":%llu,\"malformed\":%llu,\"timestampsTooEarly\":%llu,\"timestampsTooLate\":%llu}\n",
         from_command.count, samples_percentile(&from_command, 50), samples_percentile(&from_command, 99),
         samples_percentile(&from_timestamp, 50), samples_percentile(&from_timestamp, 99), (unsigned long long)lost,
         (unsigned long long)tally.gaps, (unsigned long long)tally.malformed, (unsigned long long)early,
         (unsigned long long)late);
  samples_close(&from_command);
  samples_close(&from_timestamp);
  return lost + tally.gaps + tally.malformed;
}

uint64_t probe_echo(const struct probe_options *options) {
  struct mqtt_connection subscriber, publisher;
  struct samples samples;
  char topic[512], client_id[64];
  if (snprintf(topic, sizeof topic, "%s/mqttprobe/echo", options->prefix) >= (int)sizeof topic)
    fail("--prefix=%s: too long", options->prefix);
  snprintf(client_id, sizeof client_id, "mqttprobe-%d-publisher", (int)getpid());
  uint8_t *payload = calloc(1, options->payload_bytes);
  if (!payload) fail("no memory");
  samples_open(&samples, options->events);
  mqtt_open(&publisher, options->port, client_id);
  probe_subscribe(&subscriber, options, "echo");
  probe_is_subscribed();
  uint64_t lost = 0, wrong = 0, total = options->events + options->warmup;
  for (uint64_t i = 0; i < total && !lost; i++) {
    struct mqtt_message message;
    rest(options->pause_us);
    memcpy(payload, &i, sizeof i);
    const uint64_t before = now_ns();
    mqtt_publish(&publisher, topic, payload, options->payload_bytes, (unsigned)options->qos);
    mqtt_flush(&publisher);
    if (!await_message(&subscriber, &message, options->patience_ms)) lost++;
    const uint64_t after = now_ns();
    if (lost) break;
    mqtt_flush(&subscriber);
    wrong += message.payload_bytes != options->payload_bytes || memcmp(message.payload, payload, message.payload_bytes);
    /* The confirmation has to be out of the way before the next one. */
    while (options->qos && publisher.confirmed <= i) {
      mqtt_receive(&publisher);
      while (mqtt_next(&publisher, &message)) wrong++;
    }
    if (i >= options->warmup) samples_add(&samples, after - before);
  }
  mqtt_close(&publisher);
  mqtt_close(&subscriber);
  samples_sort(&samples);
  printf("{\"events\":%zu,\"medianNs\":%u,\"p99Ns\":%u,\"lost\":%llu,\"malformed\":%llu}\n", samples.count,
         samples_percentile(&samples, 50), samples_percentile(&samples, 99), (unsigned long long)lost,
         (unsigned long long)wrong);
  samples_close(&samples);
  free(payload);
  return lost + wrong;
}
