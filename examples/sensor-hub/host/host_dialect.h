/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the library's devices the host port runs: chosen by a name on the command line. */
#ifndef SENSOR_HUB_HOST_HOST_DIALECT_H
#define SENSOR_HUB_HOST_HOST_DIALECT_H

#include "../lib/metux_gpio.h"
#include "../lib/rpmsg_gpio.h"
#include "../lib/virtio_gpio_device.h"

enum dialect_kind { DIALECT_VIRTIO_GPIO, DIALECT_RPMSG, DIALECT_METUX };

struct dialect_options {
    enum dialect_kind kind;
    const char *name;
    const struct rpmsg_gpio_dialect *rpmsg; /* DIALECT_RPMSG */
    uint8_t rpmsg_options;
    uint16_t reply_bits; /* DIALECT_METUX */
    bool plain;          /* DIALECT_VIRTIO_GPIO: no event stream */
    uint16_t event_num;  /* DIALECT_VIRTIO_GPIO: size of the eventq, a power of two */
};

#define DIALECT_EVENT_NUM 256u

/* virtio-gpio, as it is without options. */
extern const struct dialect_options DIALECT_DEFAULT;

/* --dialect=NAME; false: unknown. */
bool dialect_select(struct dialect_options *options, const char *name);
/* NULL: options and lines go together; else why they do not. */
const char *dialect_conflict(const struct dialect_options *options, uint16_t line_count);

/* The device and its lines' state. */
struct host_dialect {
    struct hub_device device;
    union {
        struct virtio_gpio_device virtio_gpio;
        struct rpmsg_gpio rpmsg_gpio;
        struct metux_gpio metux_gpio;
    };
    void *lines;
};

/* `names`: as in virtio_gpio_init; must stay. False: out of memory; dialect_close is due in any case. */
bool dialect_open(struct host_dialect *dialect, const struct dialect_options *options, const struct hub_port *port,
                  uint16_t line_count, const char *names, uint32_t names_bytes);
void dialect_close(struct host_dialect *dialect);

struct vring_device *dialect_ring(struct host_dialect *dialect, unsigned queue);

/* What the resource table says of the device. */
struct dialect_vdev {
    uint32_t id;
    uint32_t features;
    uint16_t num[2]; /* of the vrings */
    uint8_t config[1024];
    uint32_t config_bytes;
};

/* `room`: for the config space. Names that do not fit are left out of metux's, all of them. */
void dialect_describe(const struct dialect_options *options, const struct host_dialect *dialect, uint16_t line_count,
                      const char *names, uint32_t names_bytes, uint32_t room, struct dialect_vdev *vdev);

#endif
