// Messages to a service manager (sd_notify(3)): Node has no Unix datagram sockets.
#ifndef RPROC_GPIO_NOTIFY_H
#define RPROC_GPIO_NOTIFY_H

#include <node_api.h>

napi_value notify_send(napi_env env, napi_callback_info info);

#endif
