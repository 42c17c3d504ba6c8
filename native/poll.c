#include "poll.h"

#include <errno.h>
#include <stdlib.h>

#include "arguments.h"
#include "environment.h"
#include "eventfd.h"

// Lives until libuv has closed the handle *and* the JavaScript handle object is gone. An open poll whose
// object was collected goes on, as a server does that nobody holds.
struct poll {
  uv_poll_t handle;
  struct environment *environment;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  struct poll *next;
  struct poll **link;
  int fd;
  unsigned references;
  bool drain;
  bool closing;
};

static void release(struct poll *poll) {
  if (--poll->references != 0) return;
  environment_release(poll->environment);
  free(poll);
}

static void on_object_gone(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release(data);
}

static void drop_javascript(struct poll *poll) {
  if (poll->callback != NULL) napi_delete_reference(poll->env, poll->callback);
  if (poll->context != NULL) napi_async_destroy(poll->env, poll->context);
  poll->callback = NULL;
  poll->context = NULL;
}

// Here and not in close: close may be called by the very callback that the context belongs to.
static void on_closed(uv_handle_t *handle) {
  struct poll *poll = handle->data;
  struct environment *environment = poll->environment;
  drop_javascript(poll);
  *poll->link = poll->next;
  if (poll->next != NULL) poll->next->link = poll->link;
  environment_retain(environment);
  release(poll);
  environment_poll_gone(environment);
  environment_release(environment);
}

static void begin_close(struct poll *poll) {
  if (poll->closing) return;
  poll->closing = true;
  uv_close((uv_handle_t *)&poll->handle, on_closed);
}

// An exception of the callback is an uncaught one, as of any event listener. There is none to report
// when the call failed because the environment is being terminated.
static void report_exception(napi_env env) {
  bool pending = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

static void call_back(struct poll *poll, int status, int events) {
  napi_env env = poll->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, receiver, arguments[2];
  if (napi_get_reference_value(env, poll->callback, &callback) == napi_ok &&
      napi_get_global(env, &receiver) == napi_ok && napi_create_int32(env, status, &arguments[0]) == napi_ok &&
      napi_create_int32(env, events, &arguments[1]) == napi_ok) {
    // napi_make_callback: microtasks and process.nextTick run before it returns.
    if (napi_make_callback(env, poll->context, receiver, callback, 2, arguments, NULL) != napi_ok) {
      report_exception(env);
    }
  }
  napi_close_handle_scope(env, scope);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
  struct poll *poll = handle->data;
  if (poll->environment->ending) return;
  if (status == 0 && poll->drain && (events & UV_READABLE) != 0) {
    const int drained = drain_descriptor(poll->fd);
    if (drained < 0) {
      // The writer has gone, or the descriptor is broken: it would stay readable for ever.
      uv_poll_stop(handle);
      status = drained == RESULT_END_OF_FILE ? -EPIPE : drained;
      events = 0;
    }
  }
  call_back(poll, status, events);
}

static void hold(struct environment *environment, struct poll *poll) {
  environment_retain(environment);
  poll->environment = environment;
  poll->next = environment->polls;
  poll->link = &environment->polls;
  if (poll->next != NULL) poll->next->link = &poll->next;
  environment->polls = poll;
}

static bool prepare_javascript(napi_env env, struct poll *poll, napi_value callback) {
  napi_value name;
  poll->env = env;
  return napi_create_string_latin1(env, "RPROC_GPIO_POLL", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env, NULL, name, &poll->context) == napi_ok &&
         napi_create_reference(env, callback, 1, &poll->callback) == napi_ok;
}

static napi_value open_handle(napi_env env, struct poll *poll, int events) {
  struct environment *environment = environment_of(env);
  int status = uv_poll_init(environment->loop, &poll->handle, poll->fd);
  if (status != 0) {
    drop_javascript(poll);
    free(poll);
    return result_int(env, status);
  }
  poll->handle.data = poll;
  poll->references = 1;  // the open handle's
  hold(environment, poll);
  napi_value object;
  status = uv_poll_start(&poll->handle, events, on_poll);
  if (status == 0 && napi_create_external(env, poll, on_object_gone, NULL, &object) != napi_ok) status = -ENOMEM;
  if (status != 0) {
    begin_close(poll);
    return result_int(env, status);
  }
  poll->references++;
  return object;
}

// (fd, events, callback, drain) -> handle or a negative errno
napi_value poll_open(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  napi_valuetype type;
  int fd, events;
  bool drain;
  if (!arguments_read(env, info, 4, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_int(env, arguments[1], &events) || !arguments_bool(env, arguments[3], &drain) ||
      napi_typeof(env, arguments[2], &type) != napi_ok || type != napi_function || fd < 0 || events == 0 ||
      (events & ~(UV_READABLE | UV_WRITABLE | UV_DISCONNECT | UV_PRIORITIZED)) != 0) {
    return result_int(env, -EINVAL);
  }
  struct poll *poll = calloc(1, sizeof *poll);
  if (poll == NULL) return result_int(env, -ENOMEM);
  poll->fd = fd;
  poll->drain = drain;
  if (!prepare_javascript(env, poll, arguments[2])) {
    drop_javascript(poll);
    free(poll);
    return result_int(env, -ENOMEM);
  }
  return open_handle(env, poll, events);
}

static struct poll *argument_of(napi_env env, napi_callback_info info) {
  napi_value argument;
  void *poll = NULL;
  if (!arguments_read(env, info, 1, &argument)) return NULL;
  return napi_get_value_external(env, argument, &poll) == napi_ok ? poll : NULL;
}

// (handle) -> undefined
napi_value poll_close(napi_env env, napi_callback_info info) {
  struct poll *poll = argument_of(env, info);
  if (poll != NULL) begin_close(poll);
  return NULL;
}

napi_value poll_ref(napi_env env, napi_callback_info info) {
  struct poll *poll = argument_of(env, info);
  if (poll != NULL && !poll->closing) uv_ref((uv_handle_t *)&poll->handle);
  return NULL;
}

napi_value poll_unref(napi_env env, napi_callback_info info) {
  struct poll *poll = argument_of(env, info);
  if (poll != NULL && !poll->closing) uv_unref((uv_handle_t *)&poll->handle);
  return NULL;
}

void poll_close_all(struct environment *environment) {
  for (struct poll *poll = environment->polls; poll != NULL; poll = poll->next) begin_close(poll);
}
