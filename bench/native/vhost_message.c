#include "vhost_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

void vhost_send(int socket_fd, const struct vhost_message *message, int fd) {
  struct iovec part = {.iov_base = (void *)(uintptr_t)&message->request,
                       .iov_len = VHOST_HEADER_BYTES + message->size};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fd)];
  } control = {0};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  ssize_t sent = sendmsg(socket_fd, &header, MSG_NOSIGNAL);
  if (sent != (ssize_t)part.iov_len) fail("send vhost-user request %u: %s", message->request, strerror(errno));
}

static bool read_exactly(int socket_fd, void *into, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = recv(socket_fd, (char *)into + done, bytes - done, 0);
    if (got == 0) return false;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("receive: %s", strerror(errno));
    done += (size_t)got;
  }
  return true;
}

bool vhost_receive(int socket_fd, struct vhost_message *message, int fds[VHOST_MOST_FDS], int *fd_count) {
  struct iovec part = {.iov_base = &message->request, .iov_len = VHOST_HEADER_BYTES};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * VHOST_MOST_FDS)];
  } control;
  struct msghdr header = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got;
  do got = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  if (got < 0) fail("receive: %s", strerror(errno));
  *fd_count = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    *fd_count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)*fd_count * sizeof(int));
  }
  if (got < VHOST_HEADER_BYTES && !read_exactly(socket_fd, (char *)&message->request + got, (size_t)(VHOST_HEADER_BYTES - got)))
    return false;
  if (message->size > sizeof message->payload) fail("request %u announces %u bytes", message->request, message->size);
  return read_exactly(socket_fd, message->payload.bytes, message->size);
}
