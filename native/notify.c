#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "arguments.h"

// The service manager may be busy, and its queue full: what waits for it here is the event loop.
#define SEND_TIMEOUT_MICROSECONDS 100000

// A path, or '@' and an abstract name (sd_notify(3), NOTIFY_SOCKET). The length counts the bytes that are the name.
static int read_address(napi_env env, napi_value value, struct sockaddr_un *address, socklen_t *length) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  const int status = arguments_string(env, value, address->sun_path, sizeof address->sun_path);
  if (status != 0) return status;
  const size_t size = strlen(address->sun_path);
  if ((address->sun_path[0] != '/' && address->sun_path[0] != '@') || size < 2) return -EINVAL;
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
  if (address->sun_path[0] == '@') address->sun_path[0] = '\0';
  return 0;
}

static int send_to(const struct sockaddr_un *address, socklen_t length, const void *bytes, size_t size) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const struct timeval limit = {.tv_usec = SEND_TIMEOUT_MICROSECONDS};
  ssize_t sent = -1;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0) {
    do {
      sent = sendto(fd, bytes, size, MSG_NOSIGNAL, (const struct sockaddr *)address, length);
    } while (sent < 0 && errno == EINTR);
  }
  const int status = sent < 0 ? -errno : 0;
  close(fd);
  return status;
}

// (address, bytes) -> 0 or a negative errno
napi_value notify_send(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct sockaddr_un address;
  socklen_t length;
  uint8_t *bytes;
  size_t size;
  if (!arguments_read(env, info, 2, arguments) || !arguments_bytes(env, arguments[1], &bytes, &size)) {
    return result_int(env, -EINVAL);
  }
  const int status = read_address(env, arguments[0], &address, &length);
  return result_int(env, status != 0 ? status : send_to(&address, length, bytes, size));
}
