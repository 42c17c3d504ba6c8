// One Node environment (the main thread's or a worker's) and what the addon holds for it.
#ifndef RPROC_GPIO_ENVIRONMENT_H
#define RPROC_GPIO_ENVIRONMENT_H

#include <node_api.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

struct mapping;
struct poll;

// Everything here is touched on the environment's own thread only, but for the doorbell, which a fault rings on any.
// It outlives the environment's instance data as long as a mapping or a poll still refers to it, since
// Node does not say in which order it runs the finalizers of an environment that ends.
struct environment {
  uv_loop_t *loop;
  napi_async_cleanup_hook_handle cleanup;
  struct mapping *mappings;  // live ones
  struct poll *polls;        // until libuv has closed them
  unsigned references;
  int received_descriptors;   // of the last receiveMessage
  atomic_int death_doorbell;  // rung when a mapping dies
  bool ending;
};

// Makes the environment's record and the hook that ends it. NULL with a pending exception on failure.
struct environment *environment_create(napi_env env);
struct environment *environment_of(napi_env env);
void environment_retain(struct environment *environment);
void environment_release(struct environment *environment);
// Called whenever a poll has gone: lets an ending environment go on when the last one has.
void environment_poll_gone(struct environment *environment);

#endif
