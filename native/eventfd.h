// Doorbells: descriptors that are rung with 8 bytes and drained without a look at what was read.
#ifndef RPROC_GPIO_EVENTFD_H
#define RPROC_GPIO_EVENTFD_H

#include <node_api.h>

// What one read drains; an eventfd gives 8 bytes, a pipe or socket what has come.
#define DRAIN_BYTES 4096

napi_value eventfd_create(napi_env env, napi_callback_info info);
napi_value eventfd_signal(napi_env env, napi_callback_info info);
napi_value eventfd_drain(napi_env env, napi_callback_info info);

// One read: bytes, 0 when there is nothing, RESULT_END_OF_FILE, or a negative errno.
int drain_descriptor(int fd);

#endif
