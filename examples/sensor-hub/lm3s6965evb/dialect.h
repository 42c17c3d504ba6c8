/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the library's devices the image has: the build names one (HUB_DIALECT_SRTM, ...; virtio-gpio without a name), and
 * HUB_DIALECT_OPTIONS for its options: bits of rpmsg_gpio.h, or metux_gpio.h's reply bits.
 */
#ifndef LM3S6965EVB_DIALECT_H
#define LM3S6965EVB_DIALECT_H

#include "../lib/hub_device.h"
#include "line_table.h"

/* All lines' names, each with its NUL. */
#define HUB_LINE(offset, name, port, base, bit) name "\0"
#define HUB_NAMES_BYTES (sizeof(HUB_LINES) - 1u)

#if defined(HUB_DIALECT_SRTM) || defined(HUB_DIALECT_RPMSG_IO) || defined(HUB_DIALECT_RPMSG_GPIO) || \
    defined(HUB_DIALECT_RPMSG_GPIO_KIND0)
#define HUB_DIALECT_RPMSG
#include "../lib/rpmsg_gpio.h"
#ifndef HUB_DIALECT_OPTIONS
#define HUB_DIALECT_OPTIONS 0
#endif
#define HUB_DEVICE_ID RPMSG_DEVICE_ID
/* 32 buffers of 512 bytes a direction: 32 KiB. */
#define HUB_VRING0_NUM 32u
#define HUB_VRING1_NUM 32u
#define HUB_FEATURES (1u << RPMSG_F_NS_BIT | (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT)
#define HUB_CONFIG_BYTES 0u
/* Nothing; C has no empty struct. */
struct hub_config {
    uint32_t none;
};
#define HUB_CONFIG {0}

#elif defined(HUB_DIALECT_METUX)
#include "../lib/metux_gpio.h"
#ifndef HUB_DIALECT_OPTIONS
#define HUB_DIALECT_OPTIONS METUX_GPIO_REPLY
#endif
#define HUB_DEVICE_ID METUX_GPIO_DEVICE_ID
#define HUB_VRING0_NUM 64u
#define HUB_VRING1_NUM 64u
#define HUB_FEATURES ((uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT)
struct hub_config {
    struct metux_gpio_config head;
    char names[HUB_NAMES_BYTES + 1u];
};
#define HUB_CONFIG_BYTES (sizeof(struct metux_gpio_config) + HUB_NAMES_BYTES)
#define HUB_CONFIG                                                                                                \
    {{.version = METUX_GPIO_VERSION, .num_gpios = HUB_LINE_COUNT, .names_size = HUB_NAMES_BYTES, .name = "sensor-hub"}, \
     HUB_LINES}

#else
#include "../lib/virtio_gpio_device.h"
#define HUB_DEVICE_ID VIRTIO_GPIO_DEVICE_ID
#define HUB_VRING0_NUM 64u
#define HUB_VRING1_NUM 256u
/* virtio_gpio_features() as a constant. */
#define HUB_FEATURES                                                      \
    (1u << VIRTIO_GPIO_F_IRQ_BIT | 1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT | \
     (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT)
struct hub_config {
    struct virtio_gpio_config head;
};
#define HUB_CONFIG_BYTES VIRTIO_GPIO_CONFIG_BYTES
#define HUB_CONFIG {{.ngpio = HUB_LINE_COUNT, .gpio_names_size = HUB_NAMES_BYTES}}
#endif

extern const struct hub_device dialect_device;
void dialect_init(const struct hub_port *port);

#endif
