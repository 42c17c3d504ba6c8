// uv_poll_t on poll(2), with the rules of libuv: one handle a descriptor, no regular files, nothing on closing handles,
// close callbacks on a later turn.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/input.h"
#include "fake_node.h"
#include "machine.h"
#undef fstat

static struct fake_handle *handle_of(const uv_poll_t *handle) {
  napi_env env = handle->loop->data;
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) {
    if (env->handles[i].handle == handle) return &env->handles[i];
  }
  MUST(!"a handle that was opened and has not been closed");
  return NULL;
}

int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd) {
  napi_env env = loop->data;
  struct stat status;
  struct fake_handle *free_handle = NULL;
  if (machine_owner(fd) == OWNER_NONE) return UV_EBADF;
  if (fstat(fd, &status) != 0) return -errno;
  if (S_ISREG(status.st_mode)) return UV_EPERM;
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) {
    struct fake_handle *other = &env->handles[i];
    if (other->handle == NULL) {
      free_handle = other;
    } else if (other->fd == fd && !other->closing) {
      return UV_EEXIST;
    }
  }
  if (free_handle == NULL) return UV_ENOMEM;
  memset(handle, 0, sizeof *handle);
  handle->loop = loop;
  *free_handle = (struct fake_handle){.handle = handle, .fd = fd};
  return 0;
}

int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb callback) {
  struct fake_handle *fake = handle_of(handle);
  MUST(!fake->closing && callback != NULL && (events & ~15) == 0);
  fake->events = events;
  fake->callback = callback;
  fake->active = events != 0;
  return 0;
}

int uv_poll_stop(uv_poll_t *handle) {
  struct fake_handle *fake = handle_of(handle);
  MUST(!fake->closing);
  fake->active = false;
  return 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb callback) {
  struct fake_handle *fake = handle_of((uv_poll_t *)handle);
  MUST(!fake->closing);
  fake->closing = true;
  fake->active = false;
  fake->close_callback = callback;
}

void uv_ref(uv_handle_t *handle) { MUST(!handle_of((uv_poll_t *)handle)->closing); }
void uv_unref(uv_handle_t *handle) { MUST(!handle_of((uv_poll_t *)handle)->closing); }

static short poll_events(int events) {
  return (short)(((events & UV_READABLE) != 0 ? POLLIN : 0) | ((events & UV_WRITABLE) != 0 ? POLLOUT : 0) |
                 ((events & UV_DISCONNECT) != 0 ? POLLRDHUP : 0) | ((events & UV_PRIORITIZED) != 0 ? POLLPRI : 0));
}

static void serve(struct fake_handle *fake, short happened) {
  if (!fake->active) return;
  if ((happened & POLLNVAL) != 0) {
    fake->active = false;
    fake->callback(fake->handle, UV_EBADF, 0);
    return;
  }
  // An error or a hang-up shows as whatever was asked for.
  if ((happened & (POLLERR | POLLHUP)) != 0) happened |= POLLIN | POLLOUT | POLLRDHUP;
  int events = ((happened & POLLIN) != 0 ? UV_READABLE : 0) | ((happened & POLLOUT) != 0 ? UV_WRITABLE : 0) |
               ((happened & POLLRDHUP) != 0 ? UV_DISCONNECT : 0) | ((happened & POLLPRI) != 0 ? UV_PRIORITIZED : 0);
  events &= fake->events;
  if (events != 0) fake->callback(fake->handle, 0, events);
}

void fake_turn(napi_env env) {
  struct pollfd entries[FAKE_MAX_HANDLES];
  bool closing[FAKE_MAX_HANDLES];
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) {
    const struct fake_handle *fake = &env->handles[i];
    entries[i] = (struct pollfd){.fd = fake->active ? fake->fd : -1, .events = poll_events(fake->events)};
  }
  (void)poll(entries, FAKE_MAX_HANDLES, 0);
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) {
    if (entries[i].fd >= 0 && entries[i].revents != 0 && env->handles[i].fd == entries[i].fd) {
      serve(&env->handles[i], entries[i].revents);
    }
  }
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) closing[i] = env->handles[i].closing;
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) {
    if (!closing[i]) continue;
    uv_handle_t *handle = (uv_handle_t *)env->handles[i].handle;
    const uv_close_cb callback = env->handles[i].close_callback;
    env->handles[i] = (struct fake_handle){0};
    callback(handle);
  }
}
