/*
 * A vhost-user back-end that does as little as a virtio-gpio device can: one thread, notifications in both directions,
 * no polling. It trusts its front-end (a malformed chain ends it), so it is a yardstick and not a device to use.
 * --wrong-every=N and --lose-every=N make it misbehave, which shows that the load generator would notice.
 */
#include "cdevice.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "options.h"

static struct cdevice device;

int main(int argc, char **argv) {
  const char *path = NULL;
  uint64_t lines = 32;
  const struct option_slot slots[] = {
      {.name = "--socket-path", .text = &path},
      {.name = "--lines", .number = &lines, .least = 1, .most = CDEVICE_MOST_LINES},
      {.name = "--wrong-every", .number = &device.wrong_every, .least = 1, .most = UINT64_MAX},
      {.name = "--lose-every", .number = &device.lose_every, .least = 1, .most = UINT64_MAX},
  };
  options_parse(argc, argv, slots, sizeof slots / sizeof *slots);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || strlen(path) >= sizeof address.sun_path) fail("--socket-path=PATH is needed, as long as a socket's may be");
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(path);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
    fail("%s: %s", path, strerror(errno));
  device.line_count = (uint16_t)lines;
  for (;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) fail("accept: %s", strerror(errno));
    cdevice_session(&device, connection);
    close(connection);
  }
}
