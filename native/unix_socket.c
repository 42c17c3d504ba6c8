#include "unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "arguments.h"

// A connect waits while the listener's backlog is full: no longer than this.
#define CONNECT_TIMEOUT_SECONDS 1

static int close_with(int fd, int status) {
  close(fd);
  return status;
}

static int read_path(napi_env env, napi_value value, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  int status = arguments_string(env, value, address->sun_path, sizeof address->sun_path);
  if (status == 0 && address->sun_path[0] == '\0') return -EINVAL;
  return status;
}

static int connect_bounded(int fd, const struct sockaddr_un *address) {
  const struct timeval limit = {.tv_sec = CONNECT_TIMEOUT_SECONDS};
  const struct timeval none = {0};
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return -errno;
  int status;
  do {
    status = connect(fd, (const struct sockaddr *)address, sizeof *address);
  } while (status != 0 && errno == EINTR);
  if (status != 0) return -errno;
  return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none) == 0 ? 0 : -errno;
}

// 0 when nothing is left at the path. Only a socket that nobody listens on is removed, and none of another user (EEXIST):
// what root, or the owner of the folder, may remove is not all ours.
static int remove_stale(const struct sockaddr_un *address) {
  struct stat status;
  if (lstat(address->sun_path, &status) != 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(status.st_mode)) return -ENOTSOCK;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return -errno;
  int refused = connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 ? errno : 0;
  close(probe);
  if (refused == 0 || refused == EAGAIN) return -EADDRINUSE;  // EAGAIN: its backlog is full
  if (refused == ENOENT) return 0;
  if (status.st_uid != geteuid() && (refused == ECONNREFUSED || refused == EACCES)) return -EEXIST;
  if (refused != ECONNREFUSED) return -refused;
  return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int listen_at(const struct sockaddr_un *address, mode_t mode, int backlog) {
  int status = remove_stale(address);
  if (status != 0) return status;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // The socket file gets the descriptor's mode without the umask's bits: never more than was asked for.
  // chmod then adds what the umask took, before listen lets anybody in.
  if (fchmod(fd, mode) != 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
    return close_with(fd, -errno);
  }
  if (chmod(address->sun_path, mode) != 0 || listen(fd, backlog) != 0) {
    status = -errno;
    unlink(address->sun_path);
    return close_with(fd, status);
  }
  return fd;
}

// (path, mode, backlog) -> fd or a negative errno
napi_value unix_socket_listen(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  struct sockaddr_un address;
  int mode, backlog;
  if (!arguments_read(env, info, 3, arguments) || !arguments_int(env, arguments[1], &mode) ||
      !arguments_int(env, arguments[2], &backlog) || (mode & ~0777) != 0) {
    return result_int(env, -EINVAL);
  }
  int status = read_path(env, arguments[0], &address);
  return result_int(env, status != 0 ? status : listen_at(&address, (mode_t)mode, backlog));
}

// (fd) -> fd or a negative errno
napi_value unix_socket_accept(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  int peer;
  do {
    peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (peer < 0 && errno == EINTR);
  return result_int(env, peer < 0 ? -errno : peer);
}

static int connect_to(const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int status = connect_bounded(fd, address);
  if (status != 0) return close_with(fd, status);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return close_with(fd, -errno);
  return fd;
}

// (path) -> fd or a negative errno
napi_value unix_socket_connect(napi_env env, napi_callback_info info) {
  napi_value argument;
  struct sockaddr_un address;
  if (!arguments_read(env, info, 1, &argument)) return result_int(env, -EINVAL);
  int status = read_path(env, argument, &address);
  return result_int(env, status != 0 ? status : connect_to(&address));
}

// () -> [end, end] or a negative errno
napi_value unix_socket_create_pair(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return result_int(env, -errno);
  return result_pair(env, ends);
}

// (fd) -> { pid, uid, gid } or a negative errno
napi_value unix_socket_peer_credentials(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!arguments_read(env, info, 1, &argument) || !arguments_int(env, argument, &fd)) {
    return result_int(env, -EINVAL);
  }
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return result_int(env, -errno);
  napi_value result, pid, uid, gid;
  if (napi_create_object(env, &result) != napi_ok || napi_create_int32(env, peer.pid, &pid) != napi_ok ||
      napi_create_uint32(env, peer.uid, &uid) != napi_ok || napi_create_uint32(env, peer.gid, &gid) != napi_ok ||
      napi_set_named_property(env, result, "pid", pid) != napi_ok ||
      napi_set_named_property(env, result, "uid", uid) != napi_ok ||
      napi_set_named_property(env, result, "gid", gid) != napi_ok) {
    return NULL;
  }
  return result;
}
