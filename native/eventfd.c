#include "eventfd.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arguments.h"

// () -> fd or a negative errno
napi_value eventfd_create(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return result_int(env, fd < 0 ? -errno : fd);
}

static int signal_descriptor(int fd) {
  static const uint64_t one = 1;
  ssize_t written;
  do {
    written = write(fd, &one, sizeof one);
  } while (written < 0 && errno == EINTR);
  // A full eventfd, pipe or socket holds a signal already that nobody has taken.
  return written >= 0 || errno == EAGAIN ? 0 : errno;
}

// (fd) -> 0 or a positive errno
napi_value eventfd_signal(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, EINVAL);
  }
  return result_int(env, signal_descriptor(fd));
}

int drain_descriptor(int fd) {
  uint8_t discarded[DRAIN_BYTES];
  ssize_t length;
  do {
    length = read(fd, discarded, sizeof discarded);
  } while (length < 0 && errno == EINTR);
  if (length > 0) return (int)length;
  if (length == 0) return RESULT_END_OF_FILE;
  return errno == EAGAIN ? 0 : -errno;
}

// (fd) -> bytes, 0, RESULT_END_OF_FILE or a negative errno
napi_value eventfd_drain(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  return result_int(env, drain_descriptor(fd));
}
