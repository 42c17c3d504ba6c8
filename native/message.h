// Messages with descriptors (SCM_RIGHTS) on a Unix socket.
#ifndef RPROC_GPIO_MESSAGE_H
#define RPROC_GPIO_MESSAGE_H

#include <node_api.h>

napi_value message_send(napi_env env, napi_callback_info info);
napi_value message_receive(napi_env env, napi_callback_info info);
napi_value message_received_descriptor_count(napi_env env, napi_callback_info info);

#endif
