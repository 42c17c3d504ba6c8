/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of a vhost-user back-end as it takes to let a Linux guest's driver judge the device: one
 * connection, two queues, no event stream. A test's tool: it trusts the front-end not to stall.
 */
#ifndef SENSOR_HUB_VHOST_USER_BACK_END_H
#define SENSOR_HUB_VHOST_USER_BACK_END_H

#include "../host/host_dialect.h"
#include "guest_memory.h"

#define BACK_END_QUEUES 2

struct back_end_queue {
    uint32_t num;
    uint64_t descriptors; /* in the front-end */
    uint64_t available;
    uint64_t used;
    uint16_t base;
    int kick_fd; /* -1: the ring is stopped */
    int call_fd;
    bool enabled;
    bool attached;
};

struct back_end {
    int fd; /* -1: nobody is connected */
    int request_fd; /* for our own requests, of which there are none */
    struct host_dialect *dialect;
    const struct dialect_vdev *vdev;
    struct guest_memory memory;
    struct back_end_queue queues[BACK_END_QUEUES];
    uint64_t features;
    uint64_t protocol_features;
};

/* Both must stay. */
void back_end_init(struct back_end *back_end, struct host_dialect *dialect, const struct dialect_vdev *vdev);
/* Takes over a connected socket. */
void back_end_connect(struct back_end *back_end, int fd);
/* Forgets the guest. Idempotent. */
void back_end_disconnect(struct back_end *back_end);
/* One message that is there to be read; false: the connection is over. */
bool back_end_serve_message(struct back_end *back_end);
/* hub_port.ring_doorbell: the notifyid is the queue's index. */
void back_end_call(const struct back_end *back_end, uint32_t queue);

#endif
