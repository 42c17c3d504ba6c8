/* SPDX-License-Identifier: Apache-2.0 */
#include "remoteproc_vdev.h"

static void ring_vdev_doorbell(const struct remoteproc_vdev *vdev) {
    const uint32_t state = vdev->port->enter_critical(vdev->port->context);
    vdev->port->ring_doorbell(vdev->port->context, vdev->entry->notifyid);
    vdev->port->leave_critical(vdev->port->context, state);
}

void remoteproc_vdev_init(struct remoteproc_vdev *vdev, volatile struct resource_vdev *entry,
                          const struct hub_port *port, const struct hub_device *device) {
    *vdev = (struct remoteproc_vdev){
        .entry = entry,
        .port = port,
        .device = device,
        .offered = entry->dfeatures,
        .num = {entry->vrings[0].num, entry->vrings[1].num},
        .align = {entry->vrings[0].align, entry->vrings[1].align},
        .state = REMOTEPROC_VDEV_IDLE,
    };
}

/* Fields that the driver wrote are copied once and checked. */
static bool attach(struct remoteproc_vdev *vdev, unsigned queue) {
    const volatile struct resource_vring *vring = &vdev->entry->vrings[queue];
    const uint32_t da = vring->da;
    const uint32_t align = vdev->align[queue];
    const uint32_t num = vdev->num[queue];
    if (da == RESOURCE_ADDRESS_ANY || num == 0 || num > 32768u || align == 0 || (align & (align - 1u)) != 0 ||
        align > 65536u) {
        return false;
    }
    const uint64_t available = (uint64_t)da + VRING_DESCRIPTOR_BYTES * num;
    const uint64_t available_end = available + 2u * num + 6u;
    const struct vring_place place = {
        .num = (uint16_t)num,
        .descriptors = da,
        .available = available,
        .used = (available_end + align - 1u) & ~((uint64_t)align - 1u),
        .notify_id = vring->notifyid,
    };
    return vdev->device->type->attach_queue(vdev->device->state, queue, &place);
}

static bool bind(struct remoteproc_vdev *vdev) {
    const uint32_t features = vdev->entry->gfeatures;
    const unsigned queues = vdev->device->type->negotiate(vdev->device->state, features, vdev->offered);
    for (unsigned queue = 0; queue < queues; queue++) {
        if (!attach(vdev, queue)) {
            return false;
        }
    }
    return queues > 0;
}

static void refuse(struct remoteproc_vdev *vdev) {
    vdev->state = REMOTEPROC_VDEV_REFUSED;
    /* The driver writes this byte only when it binds or resets, and it waits for nothing else from us. */
    vdev->entry->status = (uint8_t)(vdev->entry->status | VDEV_STATUS_NEEDS_RESET);
    PORT_MEMORY_BARRIER();
    ring_vdev_doorbell(vdev);
}

bool remoteproc_vdev_service(struct remoteproc_vdev *vdev) {
    const uint8_t status = vdev->entry->status;
    PORT_MEMORY_BARRIER(); /* the status before the features and addresses that it announces */
    if ((status & VDEV_STATUS_DRIVER_OK) == 0) {
        if (vdev->state != REMOTEPROC_VDEV_IDLE) {
            vdev->device->type->reset(vdev->device->state);
            vdev->state = REMOTEPROC_VDEV_IDLE;
            ring_vdev_doorbell(vdev);
        }
        return false;
    }
    if (vdev->state == REMOTEPROC_VDEV_IDLE) {
        if (!bind(vdev)) {
            vdev->device->type->reset(vdev->device->state);
            refuse(vdev);
            return false;
        }
        vdev->state = REMOTEPROC_VDEV_BOUND;
    }
    /* After a fault of one ring the other one is still served. */
    const bool more = vdev->device->type->service(vdev->device->state);
    if (vdev->state == REMOTEPROC_VDEV_BOUND && vdev->device->type->broken(vdev->device->state)) {
        refuse(vdev);
    }
    return more;
}
