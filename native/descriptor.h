// What can be done with any descriptor.
#ifndef RPROC_GPIO_DESCRIPTOR_H
#define RPROC_GPIO_DESCRIPTOR_H

#include <node_api.h>

napi_value descriptor_read(napi_env env, napi_callback_info info);
napi_value descriptor_write(napi_env env, napi_callback_info info);
napi_value descriptor_set_non_blocking(napi_env env, napi_callback_info info);
napi_value descriptor_duplicate(napi_env env, napi_callback_info info);
napi_value descriptor_create_pipe(napi_env env, napi_callback_info info);
napi_value descriptor_stat(napi_env env, napi_callback_info info);

// Writing to a pipe whose reader has gone returns EPIPE instead of ending the process. Node itself
// ignores SIGPIPE; this is for programs that embed Node and do not.
void descriptor_ignore_sigpipe(void);

#endif
