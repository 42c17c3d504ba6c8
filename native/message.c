#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"

#define MAX_DESCRIPTORS 253  // the kernel's SCM_MAX_FD

// Room for all descriptors that the kernel could hand over at once, so that none is cut off for want of it.
union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
};

static int read_descriptors(napi_env env, napi_value array, int *fds, uint32_t *count) {
  if (napi_get_array_length(env, array, count) != napi_ok || *count > MAX_DESCRIPTORS) return -EINVAL;
  for (uint32_t index = 0; index < *count; index++) {
    napi_value element;
    if (napi_get_element(env, array, index, &element) != napi_ok || !arguments_int(env, element, &fds[index])) {
      return -EINVAL;
    }
  }
  return 0;
}

// (fd, Uint8Array, number[]) -> bytes or a negative errno
napi_value message_send(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int fd, fds[MAX_DESCRIPTORS];
  uint32_t count;
  uint8_t *bytes;
  size_t length;
  if (!arguments_read(env, info, 3, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_bytes(env, arguments[1], &bytes, &length) || length == 0 || length > INT32_MAX) {
    return result_int(env, -EINVAL);
  }
  int status = read_descriptors(env, arguments[2], fds, &count);
  if (status != 0) return result_int(env, status);

  struct iovec vector = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  union control control;
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return result_int(env, sent < 0 ? -errno : (int)sent);
}

// Takes every descriptor out of the control data: into `fds` while there is room, closed otherwise.
// Returns how many came.
static size_t take_descriptors(struct msghdr *message, int32_t *fds, size_t room) {
  size_t taken = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < count; index++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof fd);
      if (taken < room) {
        fds[taken] = fd;
      } else {
        close(fd);
      }
      taken++;
    }
  }
  return taken;
}

// (fd, Uint8Array, Int32Array) -> bytes, 0 at the end, or a negative errno
napi_value message_receive(napi_env env, napi_callback_info info) {
  struct environment *environment = environment_of(env);
  environment->received_descriptors = 0;
  napi_value arguments[3];
  int fd;
  uint8_t *bytes;
  size_t length, room;
  napi_typedarray_type type;
  void *fds = NULL;
  bool is_typed_array;
  if (!arguments_read(env, info, 3, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_bytes(env, arguments[1], &bytes, &length) || length == 0 || length > INT32_MAX ||
      napi_is_typedarray(env, arguments[2], &is_typed_array) != napi_ok || !is_typed_array ||
      napi_get_typedarray_info(env, arguments[2], &type, &room, &fds, NULL, NULL) != napi_ok ||
      type != napi_int32_array) {
    return result_int(env, -EINVAL);
  }
  struct iovec vector = {.iov_base = bytes, .iov_len = length};
  union control control;
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received;
  do {
    received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return result_int(env, -errno);

  const size_t taken = take_descriptors(&message, fds, room);
  // MSG_CTRUNC: descriptors were lost, for instance because this process may not have more of them.
  if (taken > room || (message.msg_flags & MSG_CTRUNC) != 0) {
    for (size_t index = 0; index < taken && index < room; index++) close(((int32_t *)fds)[index]);
    return result_int(env, -EMSGSIZE);
  }
  environment->received_descriptors = (int)taken;
  return result_int(env, (int)received);
}

// () -> count
napi_value message_received_descriptor_count(napi_env env, napi_callback_info info) {
  (void)info;
  return result_int(env, environment_of(env)->received_descriptors);
}
