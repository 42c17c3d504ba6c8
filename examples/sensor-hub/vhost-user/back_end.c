/* SPDX-License-Identifier: Apache-2.0 */
#include "back_end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* QEMU docs/interop/vhost-user.rst */
enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    RESET_OWNER = 4,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    SET_BACKEND_REQ_FD = 21,
    GET_CONFIG = 24,
};

#define FLAG_VERSION_1 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u
#define HEADER_BYTES 12u
#define PAYLOAD_BYTES 512u
#define MAX_DESCRIPTORS GUEST_MAX_REGIONS
#define NO_DESCRIPTOR 0x100u

#define F_PROTOCOL_FEATURES (UINT64_C(1) << 30)
#define F_VERSION_1 (UINT64_C(1) << 32)
#define PROTOCOL_F_MQ (UINT64_C(1) << 0)
#define PROTOCOL_F_REPLY_ACK (UINT64_C(1) << 3)
#define PROTOCOL_F_BACKEND_REQ (UINT64_C(1) << 5)
#define PROTOCOL_F_CONFIG (UINT64_C(1) << 9)
/*
 * BACKEND_REQ although nothing is ever sent there: Linux 6.1 as User-Mode Linux allocates the interrupt of
 * all call descriptors with that channel, and cannot set up a queue without.
 */
#define PROTOCOL_FEATURES \
    (PROTOCOL_F_MQ | PROTOCOL_F_REPLY_ACK | PROTOCOL_F_BACKEND_REQ | PROTOCOL_F_CONFIG)

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t size_bytes;
    uint8_t payload[PAYLOAD_BYTES];
    int fds[MAX_DESCRIPTORS]; /* -1 when taken */
    unsigned fd_count;
};

struct vring_state {
    uint32_t index;
    uint32_t value;
};

struct vring_addresses {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptors;
    uint64_t used;
    uint64_t available;
    uint64_t log;
};

struct memory_region {
    uint64_t guest_address;
    uint64_t size_bytes;
    uint64_t user_address;
    uint64_t mmap_offset;
};

static uint64_t offered_features(const struct back_end *back_end) {
    return back_end->vdev->features | F_PROTOCOL_FEATURES | F_VERSION_1;
}

static void replace_fd(int *slot, int fd) {
    if (*slot >= 0) {
        close(*slot);
    }
    *slot = fd;
}

void back_end_init(struct back_end *back_end, struct host_dialect *dialect, const struct dialect_vdev *vdev) {
    *back_end = (struct back_end){.fd = -1, .request_fd = -1, .dialect = dialect, .vdev = vdev};
    for (unsigned i = 0; i < BACK_END_QUEUES; i++) {
        back_end->queues[i].kick_fd = -1;
        back_end->queues[i].call_fd = -1;
    }
}

void back_end_connect(struct back_end *back_end, int fd) {
    back_end_disconnect(back_end);
    back_end->fd = fd;
}

void back_end_disconnect(struct back_end *back_end) {
    back_end->dialect->device.type->reset(back_end->dialect->device.state);
    for (unsigned i = 0; i < BACK_END_QUEUES; i++) {
        replace_fd(&back_end->queues[i].kick_fd, -1);
        replace_fd(&back_end->queues[i].call_fd, -1);
    }
    guest_memory_clear(&back_end->memory);
    replace_fd(&back_end->request_fd, -1);
    replace_fd(&back_end->fd, -1);
    back_end_init(back_end, back_end->dialect, back_end->vdev);
}

void back_end_call(const struct back_end *back_end, uint32_t queue) {
    const uint64_t one = 1;
    if (queue < BACK_END_QUEUES && back_end->queues[queue].call_fd >= 0) {
        /* An eventfd, a pipe or a socket; full means that the guest has been told. */
        (void)!write(back_end->queues[queue].call_fd, &one, sizeof one);
    }
}

/* ---- rings ---- */

static struct vring_device *ring_of(struct back_end *back_end, unsigned index) {
    return dialect_ring(back_end->dialect, index);
}

static void detach(struct back_end *back_end, unsigned index) {
    struct back_end_queue *queue = &back_end->queues[index];
    if (queue->attached) {
        queue->base = ring_of(back_end, index)->next_available;
        vring_detach(ring_of(back_end, index));
        queue->attached = false;
    }
}

/* The ring runs while it is started (has a kick descriptor) and enabled. False: it should, and cannot. */
static bool update_ring(struct back_end *back_end, unsigned index) {
    struct back_end_queue *queue = &back_end->queues[index];
    const bool enabled = queue->enabled || (back_end->features & F_PROTOCOL_FEATURES) == 0;
    if (queue->kick_fd < 0 || !enabled) {
        detach(back_end, index);
        return true;
    }
    if (queue->attached) {
        return true;
    }
    struct vring_place place = {
        .num = (uint16_t)queue->num,
        .next_available = queue->base,
        .notify_id = index,
    };
    if (queue->num > 32768 || !guest_memory_of_user(&back_end->memory, queue->descriptors, &place.descriptors) ||
        !guest_memory_of_user(&back_end->memory, queue->available, &place.available) ||
        !guest_memory_of_user(&back_end->memory, queue->used, &place.used)) {
        return false;
    }
    /* The used index is where the ring itself says; a new ring says 0. */
    const uint8_t *used = guest_memory_translate(&back_end->memory, place.used, 4);
    if (used == NULL) {
        return false;
    }
    /* The mapping may be aligned otherwise than the guest's address: vring_attach refuses that, after this. */
    memcpy(&place.next_used, used + 2, sizeof place.next_used);
    queue->attached = back_end->dialect->device.type->attach_queue(back_end->dialect->device.state, index, &place);
    return queue->attached;
}

/* vhost-user has no message for it that all front-ends send: a guest's reset shows as both queues disabled. */
static void reset_when_all_disabled(struct back_end *back_end) {
    if (!back_end->queues[0].enabled && !back_end->queues[1].enabled) {
        back_end->dialect->device.type->reset(back_end->dialect->device.state);
    }
}

/* ---- messages ---- */

static bool receive(struct back_end *back_end, struct message *message) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = HEADER_BYTES};
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    message->fd_count = 0;
    const ssize_t got = recvmsg(back_end->fd, &header, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    for (struct cmsghdr *item = got > 0 ? CMSG_FIRSTHDR(&header) : NULL; item != NULL;
         item = CMSG_NXTHDR(&header, item)) {
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
            message->fd_count = (unsigned)((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(message->fds, CMSG_DATA(item), message->fd_count * sizeof(int));
        }
    }
    memset(message->payload, 0, sizeof message->payload);
    return got == (ssize_t)HEADER_BYTES && message->size_bytes <= PAYLOAD_BYTES &&
           (message->size_bytes == 0 ||
            recv(back_end->fd, message->payload, message->size_bytes, MSG_WAITALL) == (ssize_t)message->size_bytes);
}

static bool reply(const struct back_end *back_end, const struct message *message, const void *payload,
                  uint32_t size_bytes) {
    struct message answer = {
        .request = message->request, .flags = FLAG_VERSION_1 | FLAG_REPLY, .size_bytes = size_bytes};
    memcpy(answer.payload, payload, size_bytes);
    const ssize_t wanted = (ssize_t)(HEADER_BYTES + size_bytes);
    return send(back_end->fd, &answer, (size_t)wanted, MSG_NOSIGNAL) == wanted;
}

static uint64_t number_of(const struct message *message) {
    uint64_t number;
    memcpy(&number, message->payload, sizeof number);
    return number;
}

static bool set_features(struct back_end *back_end, uint64_t features) {
    if ((features & ~offered_features(back_end)) != 0) {
        return false;
    }
    back_end->features = features;
    return back_end->dialect->device.type->negotiate(back_end->dialect->device.state,
                                             (uint32_t)(features & ~(F_PROTOCOL_FEATURES | F_VERSION_1)),
                                             back_end->vdev->features) > 0;
}

static bool set_memory(struct back_end *back_end, const struct message *message) {
    uint32_t count;
    memcpy(&count, message->payload, sizeof count);
    for (unsigned i = 0; i < BACK_END_QUEUES; i++) {
        detach(back_end, i);
    }
    guest_memory_clear(&back_end->memory);
    if (count == 0 || count > GUEST_MAX_REGIONS || count != message->fd_count ||
        8 + count * sizeof(struct memory_region) > message->size_bytes) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct memory_region region;
        memcpy(&region, message->payload + 8 + i * sizeof region, sizeof region);
        if (!guest_memory_add(&back_end->memory, message->fds[i], region.guest_address, region.size_bytes,
                              region.user_address, region.mmap_offset)) {
            return false;
        }
    }
    return update_ring(back_end, 0) && update_ring(back_end, 1);
}

static bool set_addresses(struct back_end *back_end, const struct message *message) {
    struct vring_addresses addresses;
    memcpy(&addresses, message->payload, sizeof addresses);
    if (addresses.index >= BACK_END_QUEUES) {
        return false;
    }
    struct back_end_queue *queue = &back_end->queues[addresses.index];
    queue->descriptors = addresses.descriptors;
    queue->available = addresses.available;
    queue->used = addresses.used;
    return true;
}

/* Kick, call and error descriptors. */
static bool set_descriptor(struct back_end *back_end, struct message *message) {
    const uint64_t value = number_of(message);
    const unsigned index = value & 0xFF;
    int fd = -1;
    if (index >= BACK_END_QUEUES) {
        return false;
    }
    if ((value & NO_DESCRIPTOR) == 0) {
        if (message->fd_count != 1) {
            return false;
        }
        fd = message->fds[0];
        message->fds[0] = -1;
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    if (message->request == SET_VRING_CALL) {
        replace_fd(&back_end->queues[index].call_fd, fd);
        return true;
    }
    if (message->request == SET_VRING_ERR) {
        replace_fd(&fd, -1); /* nobody is told */
        return true;
    }
    replace_fd(&back_end->queues[index].kick_fd, fd);
    return update_ring(back_end, index);
}

static bool set_request_fd(struct back_end *back_end, struct message *message) {
    if (message->fd_count != 1) {
        return false;
    }
    replace_fd(&back_end->request_fd, message->fds[0]); /* kept open: the front-end watches for its end */
    message->fds[0] = -1;
    return true;
}

static bool set_vring(struct back_end *back_end, const struct message *message) {
    struct vring_state state;
    memcpy(&state, message->payload, sizeof state);
    if (state.index >= BACK_END_QUEUES) {
        return false;
    }
    struct back_end_queue *queue = &back_end->queues[state.index];
    if (message->request == SET_VRING_NUM) {
        queue->num = state.value;
        return true;
    }
    if (message->request == SET_VRING_BASE) {
        queue->base = (uint16_t)state.value;
        return true;
    }
    queue->enabled = state.value != 0;
    const bool done = update_ring(back_end, state.index);
    reset_when_all_disabled(back_end);
    return done;
}

static bool get_vring_base(struct back_end *back_end, const struct message *message) {
    struct vring_state state;
    memcpy(&state, message->payload, sizeof state);
    if (state.index >= BACK_END_QUEUES) {
        return false;
    }
    detach(back_end, state.index);
    replace_fd(&back_end->queues[state.index].kick_fd, -1);
    state.value = back_end->queues[state.index].base;
    return reply(back_end, message, &state, sizeof state);
}

static bool get_config(const struct back_end *back_end, const struct message *message) {
    const uint32_t config_bytes = back_end->vdev->config_bytes;
    uint32_t head[3]; /* offset, size, flags */
    uint8_t answer[PAYLOAD_BYTES] = {0};
    memcpy(head, message->payload, sizeof head);
    if (head[1] > PAYLOAD_BYTES - sizeof head || head[0] > config_bytes || head[1] > config_bytes - head[0]) {
        return reply(back_end, message, answer, 0);
    }
    memcpy(answer, head, sizeof head);
    memcpy(answer + sizeof head, back_end->vdev->config + head[0], head[1]);
    return reply(back_end, message, answer, (uint32_t)sizeof head + head[1]);
}

/* Requests that set something; false: refused. */
static bool carry_out(struct back_end *back_end, struct message *message) {
    switch (message->request) {
    case SET_OWNER:
    case RESET_OWNER:
        return true;
    case SET_FEATURES:
        return set_features(back_end, number_of(message));
    case SET_PROTOCOL_FEATURES:
        back_end->protocol_features = number_of(message) & PROTOCOL_FEATURES;
        return (number_of(message) & ~PROTOCOL_FEATURES) == 0;
    case SET_MEM_TABLE:
        return set_memory(back_end, message);
    case SET_VRING_ADDR:
        return set_addresses(back_end, message);
    case SET_VRING_NUM:
    case SET_VRING_BASE:
    case SET_VRING_ENABLE:
        return set_vring(back_end, message);
    case SET_VRING_KICK:
    case SET_VRING_CALL:
    case SET_VRING_ERR:
        return set_descriptor(back_end, message);
    case SET_BACKEND_REQ_FD:
        return set_request_fd(back_end, message);
    default:
        return false;
    }
}

static bool answer(struct back_end *back_end, struct message *message) {
    const uint64_t features = offered_features(back_end);
    const uint64_t protocol_features = PROTOCOL_FEATURES;
    const uint64_t queues = BACK_END_QUEUES;
    switch (message->request) {
    case GET_FEATURES:
        return reply(back_end, message, &features, sizeof features);
    case GET_PROTOCOL_FEATURES:
        return reply(back_end, message, &protocol_features, sizeof protocol_features);
    case GET_QUEUE_NUM:
        return reply(back_end, message, &queues, sizeof queues);
    case GET_VRING_BASE:
        return get_vring_base(back_end, message);
    case GET_CONFIG:
        return get_config(back_end, message);
    default:
        break;
    }
    const uint64_t refused = !carry_out(back_end, message);
    if (refused) {
        fprintf(stderr, "vhost-user-sensor-hub: refused message %u of %u bytes with %u descriptors\n",
                message->request, message->size_bytes, message->fd_count);
    }
    /* SET_PROTOCOL_FEATURES itself may already ask for an acknowledgement. */
    if ((message->flags & FLAG_NEED_REPLY) != 0 && (back_end->protocol_features & PROTOCOL_F_REPLY_ACK) != 0) {
        return reply(back_end, message, &refused, sizeof refused);
    }
    return true;
}

bool back_end_serve_message(struct back_end *back_end) {
    struct message message;
    const bool served = receive(back_end, &message) && answer(back_end, &message);
    for (unsigned i = 0; i < message.fd_count; i++) {
        if (message.fds[i] >= 0) {
            close(message.fds[i]);
        }
    }
    return served;
}
