// Reading arguments and making results. The functions of the addon do not throw: they return what they
// made or a negative errno, and src/native.ts turns that into an exception that says what was tried.
#ifndef RPROC_GPIO_ARGUMENTS_H
#define RPROC_GPIO_ARGUMENTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Beyond all errno values (at most 4095): the descriptor is shorter than what was to be mapped.
#define RESULT_TRUNCATED (-5000)
// End of file, where 0 means "nothing there yet".
#define RESULT_END_OF_FILE (-1000)

#define MAX_ARGUMENTS 5

// Fills `values` with `count` arguments (undefined where missing).
bool arguments_read(napi_env env, napi_callback_info info, size_t count, napi_value *values);
bool arguments_int(napi_env env, napi_value value, int *out);
bool arguments_int64(napi_env env, napi_value value, int64_t *out);
bool arguments_bool(napi_env env, napi_value value, bool *out);
// A Uint8Array (or a Buffer, which is one).
bool arguments_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length);
// Copies a string with its terminating NUL. 0, -EINVAL (no string, or a NUL in it), -ENAMETOOLONG.
int arguments_string(napi_env env, napi_value value, char *out, size_t size);

napi_value result_int(napi_env env, int value);
// Two descriptors as an array; closes both when there is no memory for it.
napi_value result_pair(napi_env env, const int fds[2]);

#endif
