// Unix stream sockets.
#ifndef RPROC_GPIO_UNIX_SOCKET_H
#define RPROC_GPIO_UNIX_SOCKET_H

#include <node_api.h>

napi_value unix_socket_listen(napi_env env, napi_callback_info info);
napi_value unix_socket_accept(napi_env env, napi_callback_info info);
napi_value unix_socket_connect(napi_env env, napi_callback_info info);
napi_value unix_socket_create_pair(napi_env env, napi_callback_info info);
napi_value unix_socket_peer_credentials(napi_env env, napi_callback_info info);

#endif
