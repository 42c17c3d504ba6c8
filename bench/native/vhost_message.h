/* vhost-user messages on a Unix stream socket (QEMU docs/interop/vhost-user.rst), both ends. */
#ifndef BENCH_VHOST_MESSAGE_H
#define BENCH_VHOST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  VHOST_GET_FEATURES = 1,
  VHOST_SET_FEATURES = 2,
  VHOST_SET_OWNER = 3,
  VHOST_SET_MEM_TABLE = 5,
  VHOST_SET_VRING_NUM = 8,
  VHOST_SET_VRING_ADDR = 9,
  VHOST_SET_VRING_BASE = 10,
  VHOST_GET_VRING_BASE = 11,
  VHOST_SET_VRING_KICK = 12,
  VHOST_SET_VRING_CALL = 13,
  VHOST_SET_VRING_ERR = 14,
  VHOST_GET_PROTOCOL_FEATURES = 15,
  VHOST_SET_PROTOCOL_FEATURES = 16,
  VHOST_GET_QUEUE_NUM = 17,
  VHOST_SET_VRING_ENABLE = 18,
  VHOST_GET_CONFIG = 24,
};

enum { VHOST_FLAG_VERSION = 1, VHOST_FLAG_REPLY = 4, VHOST_FLAG_NEED_REPLY = 8 };

#define PROTOCOL_MQ (1ull << 0)
#define PROTOCOL_REPLY_ACK (1ull << 3)
#define PROTOCOL_CONFIG (1ull << 9)

struct vhost_vring_state {
  uint32_t index;
  uint32_t number;
};

struct vhost_vring_address {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};

struct vhost_region {
  uint64_t guest_address;
  uint64_t bytes;
  uint64_t user_address;
  uint64_t offset;
};

struct vhost_memory {
  uint32_t region_count;
  uint32_t padding;
  struct vhost_region regions[8];
};

struct vhost_config {
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
  uint8_t bytes[256];
};

/* What goes over the socket begins at `request`; `aligning` puts the payload on a multiple of eight. */
struct vhost_message {
  uint32_t aligning;
  uint32_t request;
  uint32_t flags;
  uint32_t size;
  union {
    uint64_t number;
    struct vhost_vring_state state;
    struct vhost_vring_address address;
    struct vhost_memory memory;
    struct vhost_config config;
    uint8_t bytes[512];
  } payload;
};

enum { VHOST_HEADER_BYTES = 12, VHOST_CONFIG_HEADER_BYTES = 12, VHOST_MOST_FDS = 8 };

_Static_assert(offsetof(struct vhost_message, payload) - offsetof(struct vhost_message, request) == VHOST_HEADER_BYTES,
               "the header is 12 bytes");

/* Sends a message with `fd` beside it (none when -1). Ends the program when the socket fails. */
void vhost_send(int socket_fd, const struct vhost_message *message, int fd);

/* Receives one message and its descriptors; false at the end of the stream. */
bool vhost_receive(int socket_fd, struct vhost_message *message, int fds[VHOST_MOST_FDS], int *fd_count);

#endif
