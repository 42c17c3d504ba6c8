// Poll handles on the environment's own loop.
#ifndef RPROC_GPIO_POLL_H
#define RPROC_GPIO_POLL_H

#include <node_api.h>

struct environment;

napi_value poll_open(napi_env env, napi_callback_info info);
napi_value poll_close(napi_env env, napi_callback_info info);
napi_value poll_ref(napi_env env, napi_callback_info info);
napi_value poll_unref(napi_env env, napi_callback_info info);
void poll_close_all(struct environment *environment);

#endif
