/*
 * As much of an MQTT 3.1.1 client as measuring takes: clean sessions, QoS 0 and 1, no reconnect, on loopback TCP. What
 * the broker does wrong, or does not do, ends the program with a message.
 */
#ifndef BENCH_MQTT_CONNECTION_H
#define BENCH_MQTT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mqtt_connection {
  int fd; /* blocking; wait for it with poll(2), then call mqtt_receive once */
  uint8_t *input;
  size_t input_start, input_end;
  uint8_t *output;
  size_t output_bytes;
  uint16_t last_packet_id;
  uint64_t confirmed; /* PUBACKs received */
  /*
   * For who sleeps between two looks: Mosquitto leaves Nagle's algorithm on, so it holds the rest of what it has until
   * TCP has acknowledged the last small segment, which takes 40 ms when nobody reads.
   */
  bool acknowledges_at_once;
};

/* A PUBLISH as received; the pointers are good until the next mqtt_receive. */
struct mqtt_message {
  const char *topic;
  size_t topic_bytes;
  const char *payload;
  size_t payload_bytes;
  bool retained;
};

/* Connects to 127.0.0.1. */
void mqtt_open(struct mqtt_connection *connection, uint16_t port, const char *client_id);
/* DISCONNECT, and close; a connection that is all zeroes was never open. */
void mqtt_close(struct mqtt_connection *connection);

/* Sends SUBSCRIBE and waits for its confirmation. Nothing else may be subscribed to yet. */
void mqtt_subscribe(struct mqtt_connection *connection, const char *filter, unsigned qos);

/* Appends a PUBLISH to the output, which goes out with mqtt_flush, or here when there is much of it. */
void mqtt_publish(struct mqtt_connection *connection, const char *topic, const void *payload, size_t payload_bytes,
                  unsigned qos);
void mqtt_flush(struct mqtt_connection *connection);

/* Takes in what the kernel has, at least one byte (it blocks for that). */
void mqtt_receive(struct mqtt_connection *connection);
/*
 * The next message that has come completely; false: there is none. Its confirmation, where one is due, is appended to
 * the output: flush when this returns false.
 */
bool mqtt_next(struct mqtt_connection *connection, struct mqtt_message *message);

#endif
