#include "fake_node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../common/input.h"

static unsigned calls_to_failure;
static bool failing;

void fake_fail(unsigned calls) {
  calls_to_failure = calls;
  failing = true;
}

static bool fails(void) {
  if (!failing || calls_to_failure-- > 0) return false;
  failing = false;
  return true;
}

// ---- values ----

napi_value fake_value(napi_env env, enum kind kind) {
  napi_value value = calloc(1, sizeof *value);
  value->kind = kind;
  value->next = env->values;
  env->values = value;
  env->value_count++;
  return value;
}

napi_value fake_number(napi_env env, double number) {
  napi_value value = fake_value(env, KIND_NUMBER);
  value->number = number;
  return value;
}

napi_value fake_bytes(napi_env env, enum kind kind, size_t size) {
  napi_value value = fake_value(env, kind);
  value->data = calloc(1, size == 0 ? 1 : size);
  value->size = size;
  value->own = true;
  return value;
}

napi_value fake_typed(napi_env env, napi_typedarray_type type, napi_value buffer, size_t offset, size_t length) {
  napi_value value = fake_value(env, KIND_TYPED);
  value->type = type;
  value->buffer = buffer;
  value->offset = offset;
  value->size = length;
  return value;
}

void *fake_typed_data(napi_value typed, size_t *length) {
  const bool gone = typed->buffer->detached || typed->buffer->data == NULL;
  *length = gone ? 0 : typed->size;
  return gone ? NULL : (uint8_t *)typed->buffer->data + typed->offset;
}

void fake_collect(napi_env env, napi_value value) {
  if (value->collected) return;
  value->collected = true;
  if (value->own) free(value->data);
  if (value->finalize != NULL) value->finalize(env, value->data, value->hint);
}

static napi_status set(napi_value *result, napi_value value) {
  *result = value;
  return napi_ok;
}

#define SOUND(env, value) MUST((env) != NULL && (value) != NULL && !(value)->collected)

napi_status napi_get_cb_info(napi_env env, napi_callback_info info, size_t *count, napi_value *values,
                             napi_value *receiver, void **data) {
  MUST(receiver == NULL && data == NULL);
  for (size_t i = 0; i < *count; i++) {
    values[i] = i < info->count ? info->arguments[i] : fake_value(env, KIND_UNDEFINED);
  }
  *count = info->count;
  return napi_ok;
}

napi_status napi_typeof(napi_env env, napi_value value, napi_valuetype *result) {
  static const napi_valuetype types[] = {
      [KIND_UNDEFINED] = napi_undefined, [KIND_NULL] = napi_null,     [KIND_BOOLEAN] = napi_boolean,
      [KIND_NUMBER] = napi_number,       [KIND_STRING] = napi_string, [KIND_OBJECT] = napi_object,
      [KIND_ARRAY] = napi_object,        [KIND_BUFFER] = napi_object, [KIND_TYPED] = napi_object,
      [KIND_EXTERNAL] = napi_external,   [KIND_FUNCTION] = napi_function,
  };
  SOUND(env, value);
  *result = types[value->kind];
  return napi_ok;
}

napi_status napi_get_value_int32(napi_env env, napi_value value, int32_t *result) {
  SOUND(env, value);
  if (value->kind != KIND_NUMBER) return napi_number_expected;
  // ToInt32 of what is finite.
  *result = isfinite(value->number) ? (int32_t)(uint32_t)(int64_t)fmod(value->number, 4294967296.0) : 0;
  return napi_ok;
}

napi_status napi_get_value_int64(napi_env env, napi_value value, int64_t *result) {
  SOUND(env, value);
  if (value->kind != KIND_NUMBER) return napi_number_expected;
  if (!isfinite(value->number)) {
    *result = 0;
  } else if (value->number >= 9223372036854775808.0) {
    *result = INT64_MAX;
  } else {
    *result = value->number <= -9223372036854775808.0 ? INT64_MIN : (int64_t)value->number;
  }
  return napi_ok;
}

napi_status napi_get_value_bool(napi_env env, napi_value value, bool *result) {
  SOUND(env, value);
  if (value->kind != KIND_BOOLEAN) return napi_boolean_expected;
  *result = value->boolean;
  return napi_ok;
}

napi_status napi_get_value_string_utf8(napi_env env, napi_value value, char *into, size_t room, size_t *length) {
  SOUND(env, value);
  if (value->kind != KIND_STRING) return napi_string_expected;
  if (into == NULL) {
    *length = value->size;
  } else if (room > 0) {
    *length = value->size < room - 1 ? value->size : room - 1;
    memcpy(into, value->data, *length);
    into[*length] = '\0';
  }
  return napi_ok;
}

napi_status napi_get_value_external(napi_env env, napi_value value, void **result) {
  SOUND(env, value);
  if (value->kind != KIND_EXTERNAL) return napi_invalid_arg;
  *result = value->data;
  return napi_ok;
}

napi_status napi_is_typedarray(napi_env env, napi_value value, bool *result) {
  SOUND(env, value);
  *result = value->kind == KIND_TYPED;
  return napi_ok;
}

napi_status napi_get_typedarray_info(napi_env env, napi_value value, napi_typedarray_type *type, size_t *length,
                                     void **data, napi_value *buffer, size_t *offset) {
  SOUND(env, value);
  MUST(value->kind == KIND_TYPED && buffer == NULL && offset == NULL);
  *type = value->type;
  *data = fake_typed_data(value, length);
  return napi_ok;
}

napi_status napi_is_arraybuffer(napi_env env, napi_value value, bool *result) {
  SOUND(env, value);
  *result = value->kind == KIND_BUFFER;
  return napi_ok;
}

napi_status napi_is_detached_arraybuffer(napi_env env, napi_value value, bool *result) {
  SOUND(env, value);
  *result = value->kind == KIND_BUFFER && value->detached;
  return napi_ok;
}

napi_status napi_get_arraybuffer_info(napi_env env, napi_value value, void **data, size_t *size) {
  SOUND(env, value);
  MUST(value->kind == KIND_BUFFER);
  *data = value->detached ? NULL : value->data;
  *size = value->detached ? 0 : value->size;
  return napi_ok;
}

napi_status napi_detach_arraybuffer(napi_env env, napi_value value) {
  SOUND(env, value);
  MUST(value->kind == KIND_BUFFER && !value->detached);
  if (fails()) return napi_detachable_arraybuffer_expected;
  value->detached = true;
  return napi_ok;
}

napi_status napi_create_external_arraybuffer(napi_env env, void *data, size_t size, napi_finalize finalize, void *hint,
                                             napi_value *result) {
  MUST(data != NULL && size > 0);
  if (fails()) {
    env->exception = fake_value(env, KIND_OBJECT);
    return napi_pending_exception;
  }
  napi_value value = fake_value(env, KIND_BUFFER);
  value->data = data;
  value->size = size;
  value->finalize = finalize;
  value->hint = hint;
  return set(result, value);
}

napi_status napi_create_external(napi_env env, void *data, napi_finalize finalize, void *hint, napi_value *result) {
  if (fails()) return napi_generic_failure;
  napi_value value = fake_value(env, KIND_EXTERNAL);
  value->data = data;
  value->finalize = finalize;
  value->hint = hint;
  return set(result, value);
}

napi_status napi_get_array_length(napi_env env, napi_value value, uint32_t *length) {
  SOUND(env, value);
  if (value->kind != KIND_ARRAY) return napi_array_expected;
  *length = (uint32_t)value->size;
  return napi_ok;
}

napi_status napi_get_element(napi_env env, napi_value value, uint32_t index, napi_value *result) {
  SOUND(env, value);
  MUST(value->kind == KIND_ARRAY);
  if (env->exception != NULL || fails()) return napi_pending_exception;
  napi_value element = index < value->size ? ((napi_value *)value->data)[index] : NULL;
  return set(result, element == NULL ? fake_value(env, KIND_UNDEFINED) : element);
}

napi_status napi_set_element(napi_env env, napi_value value, uint32_t index, napi_value element) {
  SOUND(env, value);
  SOUND(env, element);
  MUST(value->kind == KIND_ARRAY && index < value->size);
  if (env->exception != NULL || fails()) return napi_pending_exception;
  ((napi_value *)value->data)[index] = element;
  return napi_ok;
}

napi_status napi_create_array_with_length(napi_env env, size_t length, napi_value *result) {
  if (fails()) return napi_generic_failure;
  napi_value value = fake_bytes(env, KIND_ARRAY, length * sizeof(napi_value));
  value->size = length;
  return set(result, value);
}

napi_status napi_create_int32(napi_env env, int32_t number, napi_value *result) {
  return set(result, fake_number(env, number));
}
napi_status napi_create_uint32(napi_env env, uint32_t number, napi_value *result) {
  return set(result, fake_number(env, number));
}
napi_status napi_create_int64(napi_env env, int64_t number, napi_value *result) {
  return set(result, fake_number(env, (double)number));
}

napi_status napi_get_boolean(napi_env env, bool boolean, napi_value *result) {
  *result = fake_value(env, KIND_BOOLEAN);
  (*result)->boolean = boolean;
  return napi_ok;
}

napi_status napi_create_object(napi_env env, napi_value *result) {
  if (fails()) return napi_generic_failure;
  return set(result, fake_value(env, KIND_OBJECT));
}

napi_status napi_create_string_latin1(napi_env env, const char *text, size_t length, napi_value *result) {
  MUST(length == NAPI_AUTO_LENGTH);
  if (fails()) return napi_generic_failure;
  napi_value value = fake_bytes(env, KIND_STRING, strlen(text));
  memcpy(value->data, text, value->size);
  return set(result, value);
}

napi_status napi_create_function(napi_env env, const char *name, size_t length, napi_callback callback, void *data,
                                 napi_value *result) {
  MUST(name != NULL && length == NAPI_AUTO_LENGTH && data == NULL);
  if (fails()) return napi_generic_failure;
  napi_value value = fake_value(env, KIND_FUNCTION);
  value->callback = callback;
  return set(result, value);
}

napi_status napi_set_named_property(napi_env env, napi_value object, const char *name, napi_value value) {
  SOUND(env, object);
  SOUND(env, value);
  if (env->exception != NULL || fails()) return napi_pending_exception;
  if (value->callback != NULL) script_exported(name, value->callback);
  return napi_ok;
}

napi_status napi_get_global(napi_env env, napi_value *result) { return set(result, fake_value(env, KIND_OBJECT)); }

// ---- exceptions ----

napi_status napi_throw_error(napi_env env, const char *code, const char *message) {
  (void)code;
  MUST(message != NULL && env->exception == NULL);
  env->exception = fake_value(env, KIND_OBJECT);
  return napi_ok;
}

napi_status napi_is_exception_pending(napi_env env, bool *result) {
  *result = env->exception != NULL;
  return napi_ok;
}

napi_status napi_get_and_clear_last_exception(napi_env env, napi_value *result) {
  *result = env->exception != NULL ? env->exception : fake_value(env, KIND_UNDEFINED);
  env->exception = NULL;
  return napi_ok;
}

napi_status napi_fatal_exception(napi_env env, napi_value exception) {
  SOUND(env, exception);
  MUST(env->exception == NULL);
  return napi_ok;
}

// ---- references, scopes, calls ----

// Strong references only.
napi_status napi_create_reference(napi_env env, napi_value value, uint32_t count, napi_ref *result) {
  SOUND(env, value);
  MUST(count == 1);
  if (fails()) return napi_generic_failure;
  napi_value *reference = malloc(sizeof *reference);
  *reference = value;
  env->references++;
  *result = (napi_ref)reference;
  return napi_ok;
}

napi_status napi_delete_reference(napi_env env, napi_ref reference) {
  MUST(reference != NULL && env->references > 0);
  env->references--;
  free(reference);
  return napi_ok;
}

napi_status napi_get_reference_value(napi_env env, napi_ref reference, napi_value *result) {
  MUST(env->references > 0 && reference != NULL && env->scopes > 0);
  return set(result, *(napi_value *)reference);
}

napi_status napi_async_init(napi_env env, napi_value resource, napi_value name, napi_async_context *result) {
  SOUND(env, name);
  MUST(resource == NULL);
  if (fails()) return napi_generic_failure;
  env->contexts++;
  *result = malloc(1);
  return napi_ok;
}

napi_status napi_async_destroy(napi_env env, napi_async_context context) {
  MUST(context != NULL && env->contexts > 0);
  env->contexts--;
  free(context);
  return napi_ok;
}

napi_status napi_open_handle_scope(napi_env env, napi_handle_scope *result) {
  if (fails()) return napi_generic_failure;
  env->scopes++;
  *result = malloc(1);
  return napi_ok;
}

napi_status napi_close_handle_scope(napi_env env, napi_handle_scope scope) {
  MUST(scope != NULL && env->scopes > 0);
  env->scopes--;
  free(scope);
  return napi_ok;
}

napi_status napi_make_callback(napi_env env, napi_async_context context, napi_value receiver, napi_value function,
                               size_t count, const napi_value *arguments, napi_value *result) {
  SOUND(env, function);
  SOUND(env, receiver);
  MUST(context != NULL && function->kind == KIND_FUNCTION && result == NULL && !env->ending);
  for (size_t i = 0; i < count; i++) SOUND(env, arguments[i]);
  // What the script does may close all that it was called for: the context must live until it has returned.
  if (env->exception != NULL || fails()) return napi_pending_exception;
  const uint8_t touched = *(const uint8_t *)memset(context, 1, 1);
  const bool returned = script_called(env, function->script);
  MUST(*(const uint8_t *)(const void *)context == touched);
  if (returned) return napi_ok;
  env->exception = fake_value(env, KIND_OBJECT);
  return napi_pending_exception;
}

// ---- the environment ----

napi_status napi_get_uv_event_loop(napi_env env, uv_loop_t **loop) {
  if (fails()) return napi_generic_failure;
  env->loop.data = env;
  *loop = &env->loop;
  return napi_ok;
}

napi_status napi_set_instance_data(napi_env env, void *data, napi_finalize finalize, void *hint) {
  MUST(env->instance == NULL && hint == NULL);
  env->instance = data;
  env->instance_finalize = finalize;
  return napi_ok;
}

napi_status napi_get_instance_data(napi_env env, void **data) {
  *data = env->instance;
  return napi_ok;
}

napi_status napi_add_async_cleanup_hook(napi_env env, napi_async_cleanup_hook hook, void *data,
                                        napi_async_cleanup_hook_handle *handle) {
  MUST(!env->hook_set);
  if (fails()) return napi_generic_failure;
  env->hook = hook;
  env->hook_data = data;
  env->hook_set = true;
  *handle = (napi_async_cleanup_hook_handle)env;
  return napi_ok;
}

napi_status napi_remove_async_cleanup_hook(napi_async_cleanup_hook_handle handle) {
  napi_env env = (napi_env)handle;
  MUST(env->hook_set && env->ending);
  env->hook_set = false;
  return napi_ok;
}

static void finalize_values(napi_env env, bool every_other) {
  bool take = true;
  for (napi_value value = env->values; value != NULL; value = value->next) {
    if (take || !every_other) fake_collect(env, value);
    take = !take;
  }
}

static void finalize_instance(napi_env env) {
  if (env->instance != NULL && env->instance_finalize != NULL) env->instance_finalize(env, env->instance, NULL);
  env->instance = NULL;
}

void fake_end(napi_env env, uint8_t order) {
  failing = false;
  env->exception = NULL;
  env->ending = true;
  if ((order & 1) != 0) finalize_values(env, true);
  if (env->hook_set) env->hook((napi_async_cleanup_hook_handle)env, env->hook_data);
  if ((order & 2) != 0) finalize_values(env, (order & 4) != 0);
  for (unsigned turns = 0; env->hook_set; turns++) {
    MUST(turns < 4);
    fake_turn(env);
  }
  if ((order & 8) != 0) finalize_values(env, (order & 16) != 0);
  finalize_instance(env);
  finalize_values(env, false);
  MUST(env->references == 0 && env->contexts == 0 && env->scopes == 0);
  for (unsigned i = 0; i < FAKE_MAX_HANDLES; i++) MUST(env->handles[i].handle == NULL);
  while (env->values != NULL) {
    napi_value next = env->values->next;
    free(env->values);
    env->values = next;
  }
}
