#include "environment.h"

#include <stdlib.h>

#include "mapping.h"
#include "poll.h"
#include "sigbus.h"

static void let_go_when_idle(struct environment *environment) {
  if (!environment->ending || environment->polls != NULL || environment->cleanup == NULL) return;
  napi_async_cleanup_hook_handle cleanup = environment->cleanup;
  environment->cleanup = NULL;
  napi_remove_async_cleanup_hook(cleanup);
}

// The environment ends (worker ended or terminated, process exits): no JavaScript runs in it any more.
// The hook is asynchronous because libuv closes a handle on a later turn of the loop only.
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  struct environment *environment = data;
  environment->ending = true;
  mapping_unmap_all(environment);
  poll_close_all(environment);
  mapping_close_doorbell(environment);
  let_go_when_idle(environment);
}

static void on_instance_end(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  environment_release(data);
}

struct environment *environment_create(napi_env env) {
  struct environment *environment = calloc(1, sizeof *environment);
  if (environment == NULL) {
    napi_throw_error(env, "ENOMEM", "rproc_gpio: out of memory");
    return NULL;
  }
  environment->references = 1;
  atomic_init(&environment->death_doorbell, SIGBUS_NO_DOORBELL);
  if (napi_get_uv_event_loop(env, &environment->loop) != napi_ok ||
      napi_set_instance_data(env, environment, on_instance_end, NULL) != napi_ok) {
    free(environment);
    napi_throw_error(env, NULL, "rproc_gpio: no event loop in this environment");
    return NULL;
  }
  if (napi_add_async_cleanup_hook(env, on_environment_end, environment, &environment->cleanup) != napi_ok) {
    napi_throw_error(env, NULL, "rproc_gpio: cannot add a cleanup hook");
    return NULL;
  }
  return environment;
}

struct environment *environment_of(napi_env env) {
  void *data = NULL;
  return napi_get_instance_data(env, &data) == napi_ok ? data : NULL;
}

void environment_retain(struct environment *environment) { environment->references++; }

void environment_release(struct environment *environment) {
  if (--environment->references == 0) free(environment);
}

void environment_poll_gone(struct environment *environment) { let_go_when_idle(environment); }
