/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binds a device, whatever it speaks, to the vdev of a resource table in shared memory: watches the status
 * byte that the driver writes in place, attaches the queues at DRIVER_OK and resets the device when the
 * driver takes that back. There is no FEATURES_OK on this path (features have 32 bits, no VERSION_1).
 */
#ifndef SENSOR_HUB_REMOTEPROC_VDEV_H
#define SENSOR_HUB_REMOTEPROC_VDEV_H

#include "hub_device.h"
#include "resource_table.h"

enum remoteproc_vdev_state {
    REMOTEPROC_VDEV_IDLE,   /* waits for DRIVER_OK */
    REMOTEPROC_VDEV_BOUND,
    REMOTEPROC_VDEV_REFUSED /* NEEDS_RESET was set: waits for status 0 */
};

struct remoteproc_vdev {
    volatile struct resource_vdev *entry;
    const struct hub_port *port;
    const struct hub_device *device;
    /* Our own copies of what the table says of us: the driver can write there, too. */
    uint32_t offered; /* dfeatures */
    uint32_t num[2];
    uint32_t align[2];
    enum remoteproc_vdev_state state;
};

void remoteproc_vdev_init(struct remoteproc_vdev *vdev, volatile struct resource_vdev *entry,
                          const struct hub_port *port, const struct hub_device *device);

/*
 * To be called after every doorbell, whatever its number; true: there is more to do, call again.
 * When a reset is done, the doorbell of the vdev's notifyid is rung once, so that a driver that waits
 * for it may bind again at once.
 */
bool remoteproc_vdev_service(struct remoteproc_vdev *vdev);

#endif
