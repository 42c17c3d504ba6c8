#include "mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "sigbus.h"

// Freed by the finalizer of its ArrayBuffer, which may come long after the memory was unmapped, when
// something else may lie at the address already: so the record, not the address, says what is mapped.
struct mapping {
  struct environment *environment;
  struct mapping *next;
  struct mapping **link;  // what points to this one; NULL once unmapped
  struct sigbus_guard *guard;
  void *address;
  size_t size;
};

static void unmap_memory(struct mapping *mapping) {
  if (mapping->link == NULL) return;
  sigbus_release(mapping->guard);
  munmap(mapping->address, mapping->size);
  *mapping->link = mapping->next;
  if (mapping->next != NULL) mapping->next->link = mapping->link;
  mapping->link = NULL;
}

static void on_buffer_gone(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct mapping *mapping = hint;
  unmap_memory(mapping);
  environment_release(mapping->environment);
  free(mapping);
}

// Errno on failure, and nothing is mapped.
static int map_guarded(struct environment *environment, struct mapping *mapping, int protection, int fd,
                       int64_t offset) {
  mapping->address = mmap(NULL, mapping->size, protection, MAP_SHARED, fd, offset);
  if (mapping->address == MAP_FAILED) return errno;
  mapping->guard =
      sigbus_guard_mapping(mapping->address, mapping->size, protection, &environment->death_doorbell);
  if (mapping->guard != NULL) return 0;
  const int status = errno;
  munmap(mapping->address, mapping->size);
  return status;
}

static void hold(struct environment *environment, struct mapping *mapping) {
  environment_retain(environment);
  mapping->environment = environment;
  mapping->next = environment->mappings;
  mapping->link = &environment->mappings;
  if (mapping->next != NULL) mapping->next->link = &mapping->next;
  environment->mappings = mapping;
}

// A page beyond the end of a file raises SIGBUS when it is touched (sigbus.h is for files that shrink later), so a
// length that somebody else told is checked against the file. Devices (/dev/mem, UIO) have no size.
static int check_size(int fd, int64_t offset, int64_t size) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  if (S_ISREG(status.st_mode) && (offset > status.st_size || size > status.st_size - offset)) {
    return RESULT_TRUNCATED;
  }
  return 0;
}

// (fd, offset, sizeBytes, readOnly) -> ArrayBuffer or a negative number
napi_value mapping_map(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd;
  int64_t offset, size;
  bool read_only;
  if (!arguments_read(env, info, 4, arguments) || !arguments_int(env, arguments[0], &fd) ||
      !arguments_int64(env, arguments[1], &offset) || !arguments_int64(env, arguments[2], &size) ||
      !arguments_bool(env, arguments[3], &read_only) || offset < 0 || size <= 0 || offset > INT64_MAX - size) {
    return result_int(env, -EINVAL);
  }
  int status = check_size(fd, offset, size);
  if (status != 0) return result_int(env, status);

  struct mapping *mapping = calloc(1, sizeof *mapping);
  if (mapping == NULL) return result_int(env, -ENOMEM);
  mapping->size = (size_t)size;
  struct environment *environment = environment_of(env);
  status = map_guarded(environment, mapping, PROT_READ | (read_only ? 0 : PROT_WRITE), fd, offset);
  if (status != 0) {
    free(mapping);
    return result_int(env, -status);
  }
  hold(environment, mapping);

  napi_value buffer;
  if (napi_create_external_arraybuffer(env, mapping->address, mapping->size, on_buffer_gone, mapping, &buffer) !=
      napi_ok) {
    // Larger than this Node's ArrayBuffers may be. No finalizer was registered.
    napi_value exception;
    napi_get_and_clear_last_exception(env, &exception);
    on_buffer_gone(env, NULL, mapping);
    return result_int(env, -EFBIG);
  }
  return buffer;
}

static struct mapping *find(struct environment *environment, const void *address) {
  struct mapping *mapping = environment->mappings;
  while (mapping != NULL && mapping->address != address) mapping = mapping->next;
  return mapping;
}

// (ArrayBuffer) -> 0 or a negative errno. Detached first: no view can reach the memory when it goes.
napi_value mapping_unmap(napi_env env, napi_callback_info info) {
  napi_value argument;
  bool is_buffer, is_detached;
  if (!arguments_read(env, info, 1, &argument) || napi_is_arraybuffer(env, argument, &is_buffer) != napi_ok ||
      !is_buffer || napi_is_detached_arraybuffer(env, argument, &is_detached) != napi_ok) {
    return result_int(env, -EINVAL);
  }
  if (is_detached) return result_int(env, 0);
  void *address;
  size_t size;
  if (napi_get_arraybuffer_info(env, argument, &address, &size) != napi_ok) return result_int(env, -EINVAL);
  struct mapping *mapping = find(environment_of(env), address);
  if (mapping == NULL) return result_int(env, -EINVAL);
  if (napi_detach_arraybuffer(env, argument) != napi_ok) return result_int(env, -EBUSY);
  unmap_memory(mapping);
  return result_int(env, 0);
}

// (ArrayBuffer) -> boolean; false for what is no mapping (any more)
napi_value mapping_is_dead(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  bool is_buffer;
  void *address = NULL;
  size_t size = 0;
  struct mapping *mapping = NULL;
  // A detached buffer has size 0.
  if (arguments_read(env, info, 1, &argument) && napi_is_arraybuffer(env, argument, &is_buffer) == napi_ok &&
      is_buffer && napi_get_arraybuffer_info(env, argument, &address, &size) == napi_ok && size > 0) {
    mapping = find(environment_of(env), address);
  }
  if (napi_get_boolean(env, mapping != NULL && sigbus_is_dead(mapping->guard), &result) != napi_ok) return NULL;
  return result;
}

// () -> an eventfd that a mapping of this environment rings when it dies, or a negative errno. It belongs to the
// environment; one at a time.
napi_value mapping_open_death_doorbell(napi_env env, napi_callback_info info) {
  (void)info;
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return result_int(env, -errno);
  struct environment *environment = environment_of(env);
  mapping_close_doorbell(environment);
  atomic_store(&environment->death_doorbell, fd);
  return result_int(env, fd);
}

// () -> undefined
napi_value mapping_close_death_doorbell(napi_env env, napi_callback_info info) {
  (void)info;
  mapping_close_doorbell(environment_of(env));
  return NULL;
}

void mapping_close_doorbell(struct environment *environment) {
  const int fd = atomic_exchange(&environment->death_doorbell, SIGBUS_NO_DOORBELL);
  if (fd == SIGBUS_NO_DOORBELL) return;
  // A thread that is ringing it must not find another file under its number.
  sigbus_settle();
  close(fd);
}

void mapping_unmap_all(struct environment *environment) {
  while (environment->mappings != NULL) unmap_memory(environment->mappings);
}
