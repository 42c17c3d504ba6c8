#define FUZZ_MACHINE_ITSELF
#include "machine.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "../common/input.h"

#define MAX_MAPPINGS 512
#define MAX_BYTES (4u << 20)

const char *machine_folder;

static enum owner owners[MACHINE_DESCRIPTORS];
static struct {
  uint8_t *address;
  size_t size;
} mappings[MAX_MAPPINGS];
static unsigned calls_to_failure;
static int failure;

void machine_fail(unsigned calls, int error) {
  calls_to_failure = calls;
  failure = error;
}

enum owner machine_owner(int fd) { return fd >= 0 && fd < MACHINE_DESCRIPTORS ? owners[fd] : OWNER_NONE; }

void machine_own(int fd, enum owner owner) {
  MUST(fd > 2 && fd < MACHINE_DESCRIPTORS);
  owners[fd] = owner;
}

unsigned machine_mappings(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < MAX_MAPPINGS; i++) count += mappings[i].address != NULL;
  return count;
}

static bool fails(void) {
  if (failure == 0 || calls_to_failure-- > 0) return false;
  errno = failure;
  failure = 0;
  return true;
}

// A descriptor that JavaScript made up reaches nothing.
static bool refuses(int fd) {
  if (machine_owner(fd) != OWNER_NONE) return fails();
  errno = EBADF;
  return true;
}

static int opened(int fd) {
  if (fd >= 0) machine_own(fd, OWNER_ADDON);
  return fd;
}

static bool outside(const char *path) {
  const size_t length = strlen(machine_folder);
  if (strncmp(path, machine_folder, length) == 0 && path[length] == '/' && strchr(path + length + 1, '/') == NULL) {
    return false;
  }
  errno = ENOENT;
  return true;
}

static bool address_outside(const struct sockaddr *address, socklen_t length) {
  MUST(length <= sizeof(struct sockaddr_un));
  char path[sizeof(struct sockaddr_un) + 1] = {0};
  memcpy(path, ((const struct sockaddr_un *)address)->sun_path, length - offsetof(struct sockaddr_un, sun_path));
  return outside(path);
}

void *machine_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }

static bool within_mapping(const uint8_t *address, size_t size) {
  for (unsigned i = 0; i < MAX_MAPPINGS; i++) {
    if (mappings[i].address != NULL && address >= mappings[i].address &&
        (size_t)(address - mappings[i].address) + size <= ((mappings[i].size + 4095) & ~(size_t)4095)) {
      return true;
    }
  }
  return false;
}

// Also in the handler of SIGBUS.
void *machine_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  if ((flags & MAP_FIXED) != 0) {
    MUST(fd == -1 && within_mapping(address, size));
    return mmap(address, size, protection, flags, fd, offset);
  }
  if (refuses(fd)) return MAP_FAILED;
  // The sanitizer's shadow grows with what is mapped.
  if (size > MAX_BYTES) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void *mapped = mmap(address, size, protection, flags, fd, offset);
  for (unsigned i = 0; mapped != MAP_FAILED; i++) {
    MUST(i < MAX_MAPPINGS);
    if (mappings[i].address != NULL) continue;
    mappings[i].address = mapped;
    mappings[i].size = size;
    break;
  }
  return mapped;
}

int machine_munmap(void *address, size_t size) {
  for (unsigned i = 0; i < MAX_MAPPINGS; i++) {
    if (mappings[i].address == address && mappings[i].size == size) {
      mappings[i].address = NULL;
      return munmap(address, size);
    }
  }
  MUST(!"munmap of what was mapped");
  return -1;
}

int machine_fstat(int fd, struct stat *status) { return refuses(fd) ? -1 : fstat(fd, status); }

ssize_t machine_read(int fd, void *bytes, size_t size) { return refuses(fd) ? -1 : read(fd, bytes, size); }

ssize_t machine_write(int fd, const void *bytes, size_t size) {
  if (refuses(fd)) return -1;
  // Memfds grow by writing.
  return write(fd, bytes, size < MAX_BYTES ? size : MAX_BYTES);
}

int machine_close(int fd) {
  MUST(machine_owner(fd) == OWNER_ADDON);
  owners[fd] = OWNER_NONE;
  return close(fd);
}

int machine_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const int argument = command == F_GETFL ? 0 : va_arg(arguments, int);
  va_end(arguments);
  if (refuses(fd)) return -1;
  const int result = fcntl(fd, command, argument);
  return command == F_DUPFD_CLOEXEC ? opened(result) : result;
}

static int opened_pair(int status, const int ends[2]) {
  if (status == 0) {
    opened(ends[0]);
    opened(ends[1]);
  }
  return status;
}

int machine_pipe2(int ends[2], int flags) { return fails() ? -1 : opened_pair(pipe2(ends, flags), ends); }

int machine_eventfd(unsigned value, int flags) { return fails() ? -1 : opened(eventfd(value, flags)); }

int machine_memfd_create(const char *name, unsigned flags) { return fails() ? -1 : opened(memfd_create(name, flags)); }

int machine_ftruncate(int fd, off_t size) {
  if (refuses(fd)) return -1;
  if (size > (off_t)MAX_BYTES) {
    errno = EFBIG;
    return -1;
  }
  return ftruncate(fd, size);
}

ssize_t machine_sendmsg(int fd, const struct msghdr *message, int flags) {
  if (refuses(fd)) return -1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, header)) {
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= header->cmsg_len; i++) {
      int sent;
      memcpy(&sent, CMSG_DATA(header) + i * sizeof sent, sizeof sent);
      if (machine_owner(sent) == OWNER_NONE) {
        errno = EBADF;
        return -1;
      }
    }
  }
  return sendmsg(fd, message, flags | MSG_DONTWAIT);
}

ssize_t machine_recvmsg(int fd, struct msghdr *message, int flags) {
  if (refuses(fd)) return -1;
  const ssize_t received = recvmsg(fd, message, flags);
  if (received < 0) return received;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= header->cmsg_len; i++) {
      int got;
      memcpy(&got, CMSG_DATA(header) + i * sizeof got, sizeof got);
      opened(got);
    }
  }
  return received;
}

ssize_t machine_sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
                       socklen_t length) {
  if (refuses(fd) || address_outside(to, length)) return -1;
  return sendto(fd, bytes, size, flags | MSG_DONTWAIT, to, length);
}

int machine_socket(int domain, int type, int protocol) {
  return fails() ? -1 : opened(socket(domain, type, protocol));
}

int machine_socketpair(int domain, int type, int protocol, int ends[2]) {
  return fails() ? -1 : opened_pair(socketpair(domain, type, protocol, ends), ends);
}

int machine_bind(int fd, const struct sockaddr *address, socklen_t length) {
  return refuses(fd) || address_outside(address, length) ? -1 : bind(fd, address, length);
}

// Never waits for a full backlog.
int machine_connect(int fd, const struct sockaddr *address, socklen_t length) {
  if (refuses(fd) || address_outside(address, length)) return -1;
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const int status = connect(fd, address, length);
  const int saved_errno = errno;
  fcntl(fd, F_SETFL, flags);
  errno = saved_errno;
  return status;
}

int machine_listen(int fd, int backlog) { return refuses(fd) ? -1 : listen(fd, backlog); }

int machine_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  return refuses(fd) ? -1 : opened(accept4(fd, address, length, flags));
}

int machine_chmod(const char *path, mode_t mode) { return fails() || outside(path) ? -1 : chmod(path, mode); }

int machine_fchmod(int fd, mode_t mode) { return refuses(fd) ? -1 : fchmod(fd, mode); }

int machine_lstat(const char *path, struct stat *status) {
  return fails() || outside(path) ? -1 : lstat(path, status);
}

int machine_unlink(const char *path) { return fails() || outside(path) ? -1 : unlink(path); }

int machine_getsockopt(int fd, int level, int name, void *value, socklen_t *length) {
  return refuses(fd) ? -1 : getsockopt(fd, level, name, value, length);
}

int machine_setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
  return refuses(fd) ? -1 : setsockopt(fd, level, name, value, length);
}
