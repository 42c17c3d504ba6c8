#include "mqtt_connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

/* Control packet types (MQTT 3.1.1, section 2.2.1), in the upper four bits of a packet's first byte. */
enum { CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, DISCONNECT = 14 };
enum { INPUT_BYTES = 1 << 18, OUTPUT_BYTES = 1 << 16, KEEP_ALIVE_SECONDS = 0 /* off */ };

struct packet {
  unsigned type;
  unsigned flags;
  const uint8_t *body;
  size_t body_bytes;
};

/* ---- output ---- */

static void put(struct mqtt_connection *connection, const void *bytes, size_t count) {
  memcpy(connection->output + connection->output_bytes, bytes, count);
  connection->output_bytes += count;
}

static void put_u16(struct mqtt_connection *connection, size_t value) {
  put(connection, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void put_text(struct mqtt_connection *connection, const char *text) {
  put_u16(connection, strlen(text));
  put(connection, text, strlen(text));
}

/* Fixed header: remaining length in groups of seven bits (section 2.2.3). */
static void begin(struct mqtt_connection *connection, unsigned type, unsigned flags, size_t remaining) {
  if (remaining + 8 > OUTPUT_BYTES) fail("a packet of %zu bytes: more than was foreseen", remaining);
  if (connection->output_bytes + remaining + 8 > OUTPUT_BYTES) mqtt_flush(connection);
  uint8_t header[5] = {(uint8_t)(type << 4 | flags)};
  size_t bytes = 1;
  do {
    header[bytes] = (uint8_t)(remaining % 128);
    remaining /= 128;
    if (remaining) header[bytes] |= 128;
    bytes++;
  } while (remaining);
  put(connection, header, bytes);
}

void mqtt_flush(struct mqtt_connection *connection) {
  for (size_t sent = 0; sent < connection->output_bytes;) {
    ssize_t count = send(connection->fd, connection->output + sent, connection->output_bytes - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("the broker went away: %s", strerror(errno));
    sent += (size_t)count;
  }
  connection->output_bytes = 0;
}

static uint16_t new_packet_id(struct mqtt_connection *connection) {
  if (++connection->last_packet_id == 0) connection->last_packet_id = 1; /* section 2.3.1: never zero */
  return connection->last_packet_id;
}

void mqtt_publish(struct mqtt_connection *connection, const char *topic, const void *payload, size_t payload_bytes,
                  unsigned qos) {
  begin(connection, PUBLISH, qos << 1, 2 + strlen(topic) + (qos ? 2 : 0) + payload_bytes);
  put_text(connection, topic);
  if (qos) put_u16(connection, new_packet_id(connection));
  put(connection, payload, payload_bytes);
}

/* ---- input ---- */

/* False: not all of it has come. */
static bool next_packet(struct mqtt_connection *connection, struct packet *packet) {
  const uint8_t *bytes = connection->input + connection->input_start;
  size_t there = connection->input_end - connection->input_start, remaining = 0, header = 1;
  for (unsigned shift = 0;; shift += 7) {
    if (header >= there) return false;
    if (shift > 21) fail("the broker sent a remaining length of more than four bytes");
    remaining |= (size_t)(bytes[header] & 127) << shift;
    if (!(bytes[header++] & 128)) break;
  }
  if (header + remaining > INPUT_BYTES) fail("the broker sent a packet of %zu bytes", remaining);
  if (header + remaining > there) return false;
  *packet = (struct packet){bytes[0] >> 4, bytes[0] & 15, bytes + header, remaining};
  connection->input_start += header + remaining;
  return true;
}

void mqtt_receive(struct mqtt_connection *connection) {
  /* Only a part of a packet is ever left, so there is not much to move. */
  size_t left = connection->input_end - connection->input_start;
  memmove(connection->input, connection->input + connection->input_start, left);
  connection->input_start = 0;
  connection->input_end = left;
  for (;;) {
    ssize_t count = recv(connection->fd, connection->input + left, INPUT_BYTES - left, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("the broker went away: %s", strerror(errno));
    if (count == 0) fail("the broker closed the connection");
    connection->input_end += (size_t)count;
    int on = 1;
    /* Linux takes it back by itself. */
    if (connection->acknowledges_at_once) setsockopt(connection->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    return;
  }
}

static void read_publish(struct mqtt_connection *connection, const struct packet *packet,
                         struct mqtt_message *message) {
  const unsigned qos = packet->flags >> 1 & 3;
  const size_t topic_bytes = packet->body_bytes < 2 ? 0 : (size_t)packet->body[0] << 8 | packet->body[1];
  const size_t header = 2 + topic_bytes + (qos ? 2 : 0);
  if (qos > 1 || header > packet->body_bytes)
    fail("the broker sent a PUBLISH of QoS %u and %zu bytes that makes no sense", qos, packet->body_bytes);
  *message = (struct mqtt_message){
      .topic = (const char *)packet->body + 2,
      .topic_bytes = topic_bytes,
      .payload = (const char *)packet->body + header,
      .payload_bytes = packet->body_bytes - header,
      .retained = packet->flags & 1,
  };
  if (!qos) return;
  begin(connection, PUBACK, 0, 2);
  put(connection, packet->body + header - 2, 2);
}

bool mqtt_next(struct mqtt_connection *connection, struct mqtt_message *message) {
  struct packet packet;
  while (next_packet(connection, &packet)) {
    if (packet.type == PUBACK) {
      connection->confirmed++;
      continue;
    }
    if (packet.type != PUBLISH) fail("the broker sent a packet of type %u, which nothing asked for", packet.type);
    read_publish(connection, &packet, message);
    return true;
  }
  return false;
}

/* The answer to a request of ours: its last byte is a code. */
static uint8_t await_answer(struct mqtt_connection *connection, unsigned type) {
  struct packet packet;
  while (!next_packet(connection, &packet)) mqtt_receive(connection);
  if (packet.type != type || packet.body_bytes == 0)
    fail("the broker sent a packet of type %u where one of type %u was due", packet.type, type);
  return packet.body[packet.body_bytes - 1];
}

/* ---- life ---- */

void mqtt_open(struct mqtt_connection *connection, uint16_t port, const char *client_id) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  *connection = (struct mqtt_connection){
      .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .input = malloc(INPUT_BYTES), .output = malloc(OUTPUT_BYTES)};
  if (!connection->input || !connection->output) fail("no memory");
  int on = 1;
  if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0)
    fail("connect to 127.0.0.1:%u: %s", port, strerror(errno));
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  begin(connection, CONNECT, 0, 10 + 2 + strlen(client_id));
  put_text(connection, "MQTT");
  put(connection, (uint8_t[]){4, 2 /* clean session */, 0, KEEP_ALIVE_SECONDS}, 4);
  put_text(connection, client_id);
  mqtt_flush(connection);
  uint8_t code = await_answer(connection, CONNACK);
  if (code) fail("the broker refused the connection: return code %u", code);
}

void mqtt_subscribe(struct mqtt_connection *connection, const char *filter, unsigned qos) {
  const uint8_t wanted = (uint8_t)qos;
  begin(connection, SUBSCRIBE, 2, 2 + 2 + strlen(filter) + 1);
  put_u16(connection, new_packet_id(connection));
  put_text(connection, filter);
  put(connection, &wanted, 1);
  mqtt_flush(connection);
  uint8_t granted = await_answer(connection, SUBACK);
  if (granted != qos) fail("the subscription to %s with QoS %u was answered %u", filter, qos, granted);
}

void mqtt_close(struct mqtt_connection *connection) {
  if (!connection->input) return;
  begin(connection, DISCONNECT, 0, 0);
  /* The broker may be gone already: nothing is lost by that here. */
  (void)!send(connection->fd, connection->output, connection->output_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(connection->fd);
  free(connection->input);
  free(connection->output);
  *connection = (struct mqtt_connection){0};
}
