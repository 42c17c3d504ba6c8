/* SPDX-License-Identifier: Apache-2.0 */
#include "dialect.h"

#if defined(HUB_DIALECT_RPMSG)

static struct rpmsg_gpio_line lines[HUB_LINE_COUNT];
static struct rpmsg_gpio device;
const struct hub_device dialect_device = {&rpmsg_gpio_type, &device};

#if defined(HUB_DIALECT_SRTM)
#define DIALECT rpmsg_gpio_srtm
#elif defined(HUB_DIALECT_RPMSG_IO)
#define DIALECT rpmsg_gpio_io
#elif defined(HUB_DIALECT_RPMSG_GPIO)
#define DIALECT rpmsg_gpio_v14
#else
#define DIALECT rpmsg_gpio_kind0
#endif

void dialect_init(const struct hub_port *port) {
    rpmsg_gpio_init(&device, port, &DIALECT, lines, HUB_LINE_COUNT, HUB_DIALECT_OPTIONS);
}

#elif defined(HUB_DIALECT_METUX)

static struct metux_gpio_line lines[HUB_LINE_COUNT];
static struct metux_gpio device;
const struct hub_device dialect_device = {&metux_gpio_type, &device};

void dialect_init(const struct hub_port *port) {
    metux_gpio_init(&device, port, lines, HUB_LINE_COUNT, HUB_DIALECT_OPTIONS);
}

#else

static const char names[] = HUB_LINES;
static struct virtio_gpio_line lines[HUB_LINE_COUNT];
static struct virtio_gpio_device device;
const struct hub_device dialect_device = {&virtio_gpio_type, &device};

void dialect_init(const struct hub_port *port) {
    virtio_gpio_init(&device, port, lines, HUB_LINE_COUNT, names, HUB_NAMES_BYTES);
}

#endif
