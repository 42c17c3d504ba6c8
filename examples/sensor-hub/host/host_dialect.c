/* SPDX-License-Identifier: Apache-2.0 */
#include "host_dialect.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_NUM 64u
#define METUX_NUM 64u
/* Of 512 bytes each, two times: 32 KiB of buffers. */
#define RPMSG_NUM 32u

const struct dialect_options DIALECT_DEFAULT = {
    .kind = DIALECT_VIRTIO_GPIO,
    .name = "virtio-gpio",
    .reply_bits = METUX_GPIO_REPLY,
    .event_num = DIALECT_EVENT_NUM,
};

bool dialect_select(struct dialect_options *options, const char *name) {
    static const struct {
        const char *name;
        enum dialect_kind kind;
        const struct rpmsg_gpio_dialect *rpmsg;
    } dialects[] = {
        {"virtio-gpio", DIALECT_VIRTIO_GPIO, NULL},
        {"srtm", DIALECT_RPMSG, &rpmsg_gpio_srtm},
        {"rpmsg-io", DIALECT_RPMSG, &rpmsg_gpio_io},
        {"rpmsg-gpio", DIALECT_RPMSG, &rpmsg_gpio_v14},
        {"rpmsg-gpio-kind0", DIALECT_RPMSG, &rpmsg_gpio_kind0},
        {"metux", DIALECT_METUX, NULL},
    };
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            options->kind = dialects[i].kind;
            options->name = dialects[i].name;
            options->rpmsg = dialects[i].rpmsg;
            return true;
        }
    }
    return false;
}

const char *dialect_conflict(const struct dialect_options *options, uint16_t line_count) {
    if (options->plain && options->kind != DIALECT_VIRTIO_GPIO) {
        return "--plain goes with --dialect=virtio-gpio only: no other has the event stream";
    }
    if (options->event_num != DIALECT_EVENT_NUM && options->kind != DIALECT_VIRTIO_GPIO) {
        return "--event-num goes with --dialect=virtio-gpio only";
    }
    if (options->reply_bits != METUX_GPIO_REPLY && options->kind != DIALECT_METUX) {
        return "--reply-mask goes with --dialect=metux only";
    }
    if ((options->rpmsg_options & RPMSG_GPIO_LOSES_MASKED_EDGES) != 0 && options->kind != DIALECT_RPMSG) {
        return "--masked-edges goes with the rpmsg dialects only";
    }
    if ((options->rpmsg_options & RPMSG_GPIO_NO_GET_DIRECTION) != 0 && options->rpmsg != &rpmsg_gpio_srtm) {
        return "--get-direction goes with --dialect=srtm only";
    }
    if ((options->rpmsg_options & RPMSG_GPIO_VIRTIO_DIRECTIONS) != 0 && options->rpmsg != &rpmsg_gpio_io) {
        return "--directions goes with --dialect=rpmsg-io only";
    }
    if (options->kind == DIALECT_RPMSG && line_count > options->rpmsg->max_lines) {
        return "the dialect has no numbers for so many lines";
    }
    return NULL;
}

bool dialect_open(struct host_dialect *dialect, const struct dialect_options *options, const struct hub_port *port,
                  uint16_t line_count, const char *names, uint32_t names_bytes) {
    size_t line_bytes = sizeof(struct virtio_gpio_line);
    if (options->kind == DIALECT_RPMSG) {
        line_bytes = sizeof(struct rpmsg_gpio_line);
    } else if (options->kind == DIALECT_METUX) {
        line_bytes = sizeof(struct metux_gpio_line);
    }
    dialect->lines = calloc(line_count, line_bytes);
    if (dialect->lines == NULL) {
        return false;
    }
    switch (options->kind) {
    case DIALECT_VIRTIO_GPIO:
        dialect->device = (struct hub_device){&virtio_gpio_type, &dialect->virtio_gpio};
        virtio_gpio_init(&dialect->virtio_gpio, port, dialect->lines, line_count, names, names_bytes);
        break;
    case DIALECT_RPMSG:
        dialect->device = (struct hub_device){&rpmsg_gpio_type, &dialect->rpmsg_gpio};
        rpmsg_gpio_init(&dialect->rpmsg_gpio, port, options->rpmsg, dialect->lines, line_count,
                        options->rpmsg_options);
        break;
    case DIALECT_METUX:
        dialect->device = (struct hub_device){&metux_gpio_type, &dialect->metux_gpio};
        metux_gpio_init(&dialect->metux_gpio, port, dialect->lines, line_count, options->reply_bits);
        break;
    }
    return true;
}

void dialect_close(struct host_dialect *dialect) {
    free(dialect->lines);
    dialect->lines = NULL;
}

struct vring_device *dialect_ring(struct host_dialect *dialect, unsigned queue) {
    struct message_queues *queues = &dialect->metux_gpio.queues;
    if (dialect->device.type == &virtio_gpio_type) {
        return queue == 0 ? &dialect->virtio_gpio.request_queue : &dialect->virtio_gpio.event_queue;
    }
    if (dialect->device.type == &rpmsg_gpio_type) {
        queues = &dialect->rpmsg_gpio.rpmsg.queues;
    }
    return queue == 0 ? &queues->to_driver : &queues->from_driver;
}

static void describe_metux(uint16_t line_count, const char *names, uint32_t names_bytes, uint32_t room,
                           struct dialect_vdev *vdev) {
    struct metux_gpio_config config = {
        .version = METUX_GPIO_VERSION,
        .num_gpios = line_count,
        .names_size = names_bytes <= room - sizeof config ? names_bytes : 0,
        .name = "sensor-hub",
    };
    memcpy(vdev->config, &config, sizeof config);
    memcpy(vdev->config + sizeof config, names, config.names_size);
    vdev->config_bytes = (uint32_t)sizeof config + config.names_size;
}

void dialect_describe(const struct dialect_options *options, const struct host_dialect *dialect, uint16_t line_count,
                      const char *names, uint32_t names_bytes, uint32_t room, struct dialect_vdev *vdev) {
    *vdev = (struct dialect_vdev){.num = {RPMSG_NUM, RPMSG_NUM}};
    switch (options->kind) {
    case DIALECT_VIRTIO_GPIO: {
        struct virtio_gpio_config config;
        virtio_gpio_read_config(&dialect->virtio_gpio, &config);
        memcpy(vdev->config, &config, sizeof config);
        vdev->config_bytes = sizeof config;
        vdev->id = VIRTIO_GPIO_DEVICE_ID;
        vdev->features = virtio_gpio_features();
        if (options->plain) {
            vdev->features &= ~(1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT);
        }
        vdev->num[0] = REQUEST_NUM;
        vdev->num[1] = options->event_num;
        break;
    }
    case DIALECT_RPMSG:
        vdev->id = RPMSG_DEVICE_ID;
        vdev->features = rpmsg_features();
        break;
    case DIALECT_METUX:
        vdev->id = METUX_GPIO_DEVICE_ID;
        vdev->features = metux_gpio_features();
        vdev->num[0] = vdev->num[1] = METUX_NUM;
        describe_metux(line_count, names, names_bytes, room, vdev);
        break;
    }
}
