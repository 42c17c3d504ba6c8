#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"

// (fd, Uint8Array) -> bytes, 0 at the end, or a negative errno
napi_value descriptor_read(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  uint8_t *bytes;
  size_t length;
  if (!arguments_read(env, info, 2, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_bytes(env, arguments[1], &bytes, &length) || length == 0 || length > INT32_MAX) {
    return result_int(env, -EINVAL);
  }
  ssize_t count;
  do {
    count = read(fd, bytes, length);
  } while (count < 0 && errno == EINTR);
  return result_int(env, count < 0 ? -errno : (int)count);
}

// (fd, Uint8Array) -> bytes or a negative errno
napi_value descriptor_write(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  uint8_t *bytes;
  size_t length;
  if (!arguments_read(env, info, 2, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_bytes(env, arguments[1], &bytes, &length) || length > INT32_MAX) {
    return result_int(env, -EINVAL);
  }
  ssize_t count;
  do {
    count = write(fd, bytes, length);
  } while (count < 0 && errno == EINTR);
  return result_int(env, count < 0 ? -errno : (int)count);
}

// (fd) -> 0 or a negative errno
napi_value descriptor_set_non_blocking(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) {
    return result_int(env, -errno);
  }
  return result_int(env, 0);
}

// (fd) -> fd or a negative errno. From 3 up: 0 to 2 may be closed, and must not become a doorbell.
napi_value descriptor_duplicate(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return result_int(env, copy < 0 ? -errno : copy);
}

// () -> [read end, write end] or a negative errno
napi_value descriptor_create_pipe(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return result_int(env, -errno);
  return result_pair(env, ends);
}

static const char *kind_of(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISCHR(mode)) return "chr";
  return "other";
}

// (fd) -> { kind, sizeBytes } or a negative errno
napi_value descriptor_stat(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  struct stat status;
  if (fstat(fd, &status) != 0) return result_int(env, -errno);
  napi_value result, kind, size;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_latin1(env, kind_of(status.st_mode), NAPI_AUTO_LENGTH, &kind) != napi_ok ||
      napi_create_int64(env, status.st_size, &size) != napi_ok ||
      napi_set_named_property(env, result, "kind", kind) != napi_ok ||
      napi_set_named_property(env, result, "sizeBytes", size) != napi_ok) {
    return NULL;
  }
  return result;
}

void descriptor_ignore_sigpipe(void) {
  struct sigaction action;
  if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_DFL) return;
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, NULL);
}
