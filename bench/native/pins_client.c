#include "pins_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "options.h"

void pins_client_open(struct pins_client *client, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("--pins=%s: longer than a socket path may be", path);
  strcpy(address.sun_path, path);
  *client = (struct pins_client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0)
    fail("--pins=%s: %s", path, strerror(errno));
}

void pins_client_close(struct pins_client *client) { close(client->fd); }

void pins_client_send(struct pins_client *client, const char *format, ...) {
  char text[128];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text - 1, format, arguments);
  va_end(arguments);
  if (length < 0 || length >= (int)sizeof text - 1) fail("a command of %d bytes: too long", length);
  text[length++] = '\n';
  if (send(client->fd, text, (size_t)length, MSG_NOSIGNAL) != length) fail("pins: %s", strerror(errno));
  client->unanswered++;
}

/* One more line of the firmware's, without its end. False: it has not come completely. */
static bool next_line(struct pins_client *client, char *line) {
  char *end = memchr(client->input, '\n', client->input_bytes);
  if (!end) return false;
  size_t length = (size_t)(end - client->input);
  memcpy(line, client->input, length);
  line[length] = '\0';
  client->input_bytes -= length + 1;
  memmove(client->input, end + 1, client->input_bytes);
  return true;
}

static void receive(struct pins_client *client) {
  size_t room = sizeof client->input - client->input_bytes;
  if (!room) fail("pins: an answer of more than %zu bytes", sizeof client->input);
  ssize_t count;
  do count = recv(client->fd, client->input + client->input_bytes, room, 0);
  while (count < 0 && errno == EINTR);
  if (count <= 0) fail("pins: %s", count ? strerror(errno) : "the firmware closed the connection");
  client->input_bytes += (size_t)count;
}

void pins_client_receive(struct pins_client *client) {
  char line[sizeof client->input];
  uint64_t before = client->unanswered;
  do {
    receive(client);
    while (client->unanswered && next_line(client, line)) {
      if (strcmp(line, "ok")) fail("pins: a command was answered `%s`", line);
      client->unanswered--;
    }
  } while (client->unanswered == before);
}

uint64_t pins_client_number(struct pins_client *client) {
  char line[sizeof client->input];
  if (client->unanswered != 1) fail("pins: %llu commands are unanswered", (unsigned long long)client->unanswered);
  while (!next_line(client, line)) receive(client);
  client->unanswered = 0;
  char *end;
  errno = 0;
  const uint64_t number = strtoull(line, &end, 10);
  if (errno || end == line || *end) fail("pins: a command was answered `%s`", line);
  return number;
}

uint64_t pins_client_dropped(struct pins_client *client) {
  char line[sizeof client->input];
  if (client->unanswered) fail("pins: %llu commands are unanswered", (unsigned long long)client->unanswered);
  pins_client_send(client, "stats");
  while (!next_line(client, line)) receive(client);
  client->unanswered = 0;
  const char *found = strstr(line, " dropped ");
  if (!found) fail("pins: stats was answered `%s`", line);
  return strtoull(found + strlen(" dropped "), NULL, 10);
}
