/* The outside world of the host firmware: its pins socket (examples/sensor-hub/README.md). */
#ifndef BENCH_PINS_CLIENT_H
#define BENCH_PINS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pins_client {
  int fd;
  char input[256];
  size_t input_bytes;
  uint64_t unanswered; /* commands */
};

void pins_client_open(struct pins_client *client, const char *path);
void pins_client_close(struct pins_client *client);

/* Sends a command, a line without its end; the answer comes later. */
void pins_client_send(struct pins_client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes in the answers that there are, at least one (it blocks for that). Anything but `ok` ends the program. */
void pins_client_receive(struct pins_client *client);

/* The answer of the only command that has none yet, which is a number. Anything else ends the program. */
uint64_t pins_client_number(struct pins_client *client);

/* What the firmware has counted: level changes that it could not deliver. Nothing may be unanswered. */
uint64_t pins_client_dropped(struct pins_client *client);

#endif
