#include "arguments.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool arguments_read(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  return napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok;
}

bool arguments_int(napi_env env, napi_value value, int *out) {
  int32_t number;
  if (napi_get_value_int32(env, value, &number) != napi_ok) return false;
  *out = number;
  return true;
}

bool arguments_int64(napi_env env, napi_value value, int64_t *out) {
  return napi_get_value_int64(env, value, out) == napi_ok;
}

bool arguments_bool(napi_env env, napi_value value, bool *out) {
  return napi_get_value_bool(env, value, out) == napi_ok;
}

bool arguments_bytes(napi_env env, napi_value value, uint8_t **bytes, size_t *length) {
  bool is_typed_array;
  if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok || !is_typed_array) return false;
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok) return false;
  *bytes = data;
  return type == napi_uint8_array;
}

int arguments_string(napi_env env, napi_value value, char *out, size_t size) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return -EINVAL;
  if (length >= size) return -ENAMETOOLONG;
  if (napi_get_value_string_utf8(env, value, out, size, &length) != napi_ok) return -EINVAL;
  return strlen(out) == length ? 0 : -EINVAL;
}

napi_value result_int(napi_env env, int value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value result_pair(napi_env env, const int fds[2]) {
  napi_value result, first, second;
  if (napi_create_array_with_length(env, 2, &result) == napi_ok && napi_create_int32(env, fds[0], &first) == napi_ok &&
      napi_create_int32(env, fds[1], &second) == napi_ok && napi_set_element(env, result, 0, first) == napi_ok &&
      napi_set_element(env, result, 1, second) == napi_ok) {
    return result;
  }
  close(fds[0]);
  close(fds[1]);
  return result_int(env, -ENOMEM);
}
