#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arguments.h"

#define MAX_NAME 250  // memfd_create(2): 249 bytes and the NUL

// (name, sizeBytes, seal) -> fd or a negative errno
napi_value memfd_create_sized(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  char name[MAX_NAME];
  int64_t size;
  bool seal;
  if (!arguments_read(env, info, 3, arguments) || !arguments_int64(env, arguments[1], &size) || size < 0 ||
      !arguments_bool(env, arguments[2], &seal)) {
    return result_int(env, -EINVAL);
  }
  int status = arguments_string(env, arguments[0], name, sizeof name);
  if (status != 0) return result_int(env, status);
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return result_int(env, -errno);
  if (ftruncate(fd, size) != 0 ||
      (seal && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
    status = -errno;
    close(fd);
    return result_int(env, status);
  }
  return result_int(env, fd);
}
