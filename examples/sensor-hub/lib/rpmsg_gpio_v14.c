/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream proposal's revisions with virtio-gpio's requests (le16 type; le16 line; le32 value) and messages of 3 bytes
 * back, in two layouts:
 *   v14    1 reply { u8 status; u8 value }, 2 notification { u8 line; u8 trigger }; and the request SET_WAKEUP
 *   kind 0 0 reply { u8 status; u8 value }, 1 notification { le16 line }
 */
#include "rpmsg_gpio.h"

#define SET_WAKEUP 0x0010u

#define V14_REPLY 1u
#define V14_NOTIFICATION 2u
#define KIND0_REPLY 0u
#define KIND0_NOTIFICATION 1u

#define MESSAGE_BYTES 3u
#define MAX_LINES 32u

static bool serve(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes, bool v14) {
    if (size_bytes < VIRTIO_GPIO_REQUEST_BYTES) {
        return false;
    }
    const uint16_t type = (uint16_t)(message[0] | message[1] << 8);
    const uint16_t line = (uint16_t)(message[2] | message[3] << 8);
    const uint32_t value =
        message[4] | (uint32_t)message[5] << 8 | (uint32_t)message[6] << 16 | (uint32_t)message[7] << 24;
    uint8_t answer[MESSAGE_BYTES] = {v14 ? V14_REPLY : KIND0_REPLY, 0, 0};
    uint16_t level_at = RPMSG_GPIO_NO_LEVEL;
    enum rpmsg_gpio_result result = RPMSG_GPIO_UNSUPPORTED;
    if (line >= device->ngpio) {
        result = RPMSG_GPIO_PARAMETER;
    } else if (type == VIRTIO_GPIO_GET_DIRECTION) {
        result = RPMSG_GPIO_OK;
        answer[2] = device->lines[line].direction;
    } else if (type == VIRTIO_GPIO_SET_DIRECTION) {
        result = rpmsg_gpio_set_direction(device, line, value);
    } else if (type == VIRTIO_GPIO_GET_VALUE) {
        result = RPMSG_GPIO_OK;
        level_at = MESSAGE_BYTES - 1u;
    } else if (type == VIRTIO_GPIO_SET_VALUE) {
        result = rpmsg_gpio_set_level(device, line, value);
    } else if (type == VIRTIO_GPIO_SET_IRQ_TYPE) {
        result = rpmsg_gpio_set_interrupt(device, line, value);
    } else if (type == SET_WAKEUP && v14) {
        /* This hub wakes nobody but by its doorbell, which always rings. */
        result = value > 1 ? RPMSG_GPIO_PARAMETER : RPMSG_GPIO_OK;
    }
    answer[1] = result == RPMSG_GPIO_OK ? VIRTIO_GPIO_OK : VIRTIO_GPIO_ERR;
    rpmsg_gpio_answer(device, answer, sizeof answer, result, line, level_at);
    return true;
}

static bool serve_v14(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes) {
    return serve(device, message, size_bytes, true);
}

static bool serve_kind0(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes) {
    return serve(device, message, size_bytes, false);
}

static uint16_t notification_v14(uint8_t *into, uint16_t line, uint8_t trigger) {
    into[0] = V14_NOTIFICATION;
    into[1] = (uint8_t)line;
    into[2] = trigger;
    return MESSAGE_BYTES;
}

static uint16_t notification_kind0(uint8_t *into, uint16_t line, uint8_t trigger) {
    (void)trigger;
    into[0] = KIND0_NOTIFICATION;
    into[1] = (uint8_t)line;
    into[2] = (uint8_t)(line >> 8);
    return MESSAGE_BYTES;
}

const struct rpmsg_gpio_dialect rpmsg_gpio_v14 = {
    .channel = "rpmsg-io-0",
    .max_lines = MAX_LINES,
    .serve = serve_v14,
    .notification = notification_v14,
};

const struct rpmsg_gpio_dialect rpmsg_gpio_kind0 = {
    .channel = "rpmsg-io-0",
    .max_lines = MAX_LINES,
    .serve = serve_kind0,
    .notification = notification_kind0,
};
