// Shared memory as an ArrayBuffer.
#ifndef RPROC_GPIO_MAPPING_H
#define RPROC_GPIO_MAPPING_H

#include <node_api.h>

struct environment;

napi_value mapping_map(napi_env env, napi_callback_info info);
napi_value mapping_unmap(napi_env env, napi_callback_info info);
napi_value mapping_is_dead(napi_env env, napi_callback_info info);
napi_value mapping_open_death_doorbell(napi_env env, napi_callback_info info);
napi_value mapping_close_death_doorbell(napi_env env, napi_callback_info info);
void mapping_unmap_all(struct environment *environment);
void mapping_close_doorbell(struct environment *environment);

#endif
