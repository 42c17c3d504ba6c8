// As much of Node-API and of libuv as native/*.c calls, in memory. What Node would not let happen, or would crash on, is
// an assertion here; what it may refuse can be made to fail.
#ifndef FUZZ_FAKE_NODE_H
#define FUZZ_FAKE_NODE_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum kind {
  KIND_UNDEFINED,
  KIND_NULL,
  KIND_BOOLEAN,
  KIND_NUMBER,
  KIND_STRING,
  KIND_OBJECT,
  KIND_ARRAY,
  KIND_BUFFER,
  KIND_TYPED,
  KIND_EXTERNAL,
  KIND_FUNCTION,
};

struct napi_value__ {
  enum kind kind;
  bool boolean;
  double number;
  // Strings, arrays (of napi_value), buffers, externals.
  void *data;
  size_t size;
  napi_finalize finalize;  // of external memory; its own is freed
  void *hint;
  bool own;
  bool detached;
  bool collected;
  bool writable;  // of a mapping
  napi_typedarray_type type;
  napi_value buffer;
  size_t offset;
  napi_callback callback;
  uint8_t script;  // what a function of JavaScript does when it is called
  struct napi_value__ *next;
};

#define FAKE_MAX_HANDLES 64
struct fake_handle {
  uv_poll_t *handle;
  int fd;
  int events;
  uv_poll_cb callback;
  uv_close_cb close_callback;
  bool active;
  bool closing;
};

struct napi_env__ {
  napi_value values;  // all that were made
  size_t value_count;
  napi_value exception;
  void *instance;
  napi_finalize instance_finalize;
  napi_async_cleanup_hook hook;
  void *hook_data;
  bool hook_set;
  bool ending;
  unsigned scopes;
  unsigned references;
  unsigned contexts;
  uv_loop_t loop;
  struct fake_handle handles[FAKE_MAX_HANDLES];
};

struct napi_callback_info__ {
  size_t count;
  napi_value *arguments;
};

napi_value fake_value(napi_env env, enum kind kind);
napi_value fake_number(napi_env env, double number);
napi_value fake_bytes(napi_env env, enum kind kind, size_t size);
napi_value fake_typed(napi_env env, napi_typedarray_type type, napi_value buffer, size_t offset, size_t length);
void *fake_typed_data(napi_value typed, size_t *length);
// Runs the finalizer. The value must not be used any more.
void fake_collect(napi_env env, napi_value value);
// One turn of the loop: callbacks of what is ready, then those of closed handles.
void fake_turn(napi_env env);
// The Node-API call after `calls` more that may fail does so.
void fake_fail(unsigned calls);
// Everything of the environment; the order of the finalizers is told.
void fake_end(napi_env env, uint8_t order);

// Of the harness: a function of JavaScript is called. False: it throws.
bool script_called(napi_env env, uint8_t script);
// The addon exports a function.
void script_exported(const char *name, napi_callback callback);

#endif
