// Anonymous shared memory with a descriptor.
#ifndef RPROC_GPIO_MEMFD_H
#define RPROC_GPIO_MEMFD_H

#include <node_api.h>

napi_value memfd_create_sized(napi_env env, napi_callback_info info);

#endif
