// Comes before everything else in each of native/*.c (-include), so that their system calls go through machine.c: there
// they can be made to fail, reach nothing that is not the fuzzer's own, and every descriptor and mapping is accounted for.
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void *machine_calloc(size_t count, size_t size);
void *machine_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int machine_munmap(void *address, size_t size);
int machine_fstat(int fd, struct stat *status);
ssize_t machine_read(int fd, void *bytes, size_t size);
ssize_t machine_write(int fd, const void *bytes, size_t size);
int machine_close(int fd);
int machine_fcntl(int fd, int command, ...);
int machine_pipe2(int ends[2], int flags);
int machine_eventfd(unsigned value, int flags);
int machine_memfd_create(const char *name, unsigned flags);
int machine_ftruncate(int fd, off_t size);
ssize_t machine_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t machine_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t machine_sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length);
int machine_socket(int domain, int type, int protocol);
int machine_socketpair(int domain, int type, int protocol, int ends[2]);
int machine_bind(int fd, const struct sockaddr *address, socklen_t length);
int machine_connect(int fd, const struct sockaddr *address, socklen_t length);
int machine_listen(int fd, int backlog);
int machine_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int machine_chmod(const char *path, mode_t mode);
int machine_fchmod(int fd, mode_t mode);
int machine_lstat(const char *path, struct stat *status);
int machine_unlink(const char *path);
int machine_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int machine_setsockopt(int fd, int level, int name, const void *value, socklen_t length);

#ifndef FUZZ_MACHINE_ITSELF
#define calloc machine_calloc
#define mmap machine_mmap
#define munmap machine_munmap
#define fstat machine_fstat
#define read machine_read
#define write machine_write
#define close machine_close
#define fcntl machine_fcntl
#define pipe2 machine_pipe2
#define eventfd machine_eventfd
#define memfd_create machine_memfd_create
#define ftruncate machine_ftruncate
#define sendmsg machine_sendmsg
#define recvmsg machine_recvmsg
#define sendto machine_sendto
#define socket machine_socket
#define socketpair machine_socketpair
#define bind machine_bind
#define connect machine_connect
#define listen machine_listen
#define accept4 machine_accept4
#define chmod machine_chmod
#define fchmod machine_fchmod
#define lstat(path, status) machine_lstat(path, status)
#define unlink machine_unlink
#define getsockopt machine_getsockopt
#define setsockopt machine_setsockopt
#endif

// ---- for the harness ----

// The folder that paths must lie in.
extern const char *machine_folder;
// The call after `calls` more fails with this errno, if it is one that can; 0: none does.
void machine_fail(unsigned calls, int error);

#define MACHINE_DESCRIPTORS 1024
enum owner {
  OWNER_NONE,        // not open, or not ours to touch
  OWNER_ADDON,       // opened by the addon, JavaScript does not know it
  OWNER_SCRIPT,      // JavaScript's: the addon must not close it
};
enum owner machine_owner(int fd);
void machine_own(int fd, enum owner owner);
// Mappings there are now.
unsigned machine_mappings(void);

#endif
