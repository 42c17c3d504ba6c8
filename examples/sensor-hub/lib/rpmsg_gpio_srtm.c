/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NXP SRTM, category 5 (GPIO). Requests have 14 bytes (Linux pads them to 16), responses 14, notifications 12:
 * 0 category; 1 major; 2 minor; 3 type; 4 command; 5 priority; 6-9 reserved; 10 pin; 11 port; then
 * of a request 12 event or value, 13 wakeup; of a response 12 return code, 13 value.
 */
#include "rpmsg_gpio.h"

#define CATEGORY_GPIO 5u
#define MAJOR_VERSION 1u
#define MINOR_VERSION 0u

#define TYPE_REQUEST 0u
#define TYPE_RESPONSE 1u
#define TYPE_NOTIFICATION 2u

#define COMMAND_INPUT_INIT 0u
#define COMMAND_OUTPUT_INIT 1u
#define COMMAND_INPUT_GET 2u
#define COMMAND_GET_DIRECTION 3u

#define RETURN_OK 0u
#define RETURN_FAIL 1u
#define RETURN_UNSUPPORTED 2u

#define MESSAGE_BYTES 14u
#define NOTIFICATION_BYTES 12u

#define DIRECTION_OUT 0u
#define DIRECTION_IN 1u

/* At most 10 ports. */
#define MAX_PORTS 10u

static enum rpmsg_gpio_result input_init(struct rpmsg_gpio *device, uint16_t line, uint8_t event) {
    /* Levels are numbered the other way round than it looks: 4 low, 5 high. */
    static const uint8_t types[] = {
        VIRTIO_GPIO_IRQ_NONE, VIRTIO_GPIO_IRQ_RISING,    VIRTIO_GPIO_IRQ_FALLING,
        VIRTIO_GPIO_IRQ_BOTH, VIRTIO_GPIO_IRQ_LEVEL_LOW, VIRTIO_GPIO_IRQ_LEVEL_HIGH,
    };
    if (event >= sizeof types) {
        return RPMSG_GPIO_PARAMETER;
    }
    if (device->lines[line].direction != VIRTIO_GPIO_DIRECTION_IN) {
        const enum rpmsg_gpio_result result = rpmsg_gpio_set_direction(device, line, VIRTIO_GPIO_DIRECTION_IN);
        if (result != RPMSG_GPIO_OK) {
            return result;
        }
    }
    return rpmsg_gpio_set_interrupt(device, line, types[event]);
}

static enum rpmsg_gpio_result output_init(struct rpmsg_gpio *device, uint16_t line, uint8_t value) {
    enum rpmsg_gpio_result result = rpmsg_gpio_set_interrupt(device, line, VIRTIO_GPIO_IRQ_NONE);
    if (result == RPMSG_GPIO_OK) {
        /* The level first: the wire has it from the first moment on. */
        result = rpmsg_gpio_set_level(device, line, value);
    }
    if (result == RPMSG_GPIO_OK && device->lines[line].direction != VIRTIO_GPIO_DIRECTION_OUT) {
        result = rpmsg_gpio_set_direction(device, line, VIRTIO_GPIO_DIRECTION_OUT);
    }
    return result;
}

static bool serve(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes) {
    static const uint8_t codes[] = {
        [RPMSG_GPIO_OK] = RETURN_OK,
        [RPMSG_GPIO_FAILED] = RETURN_FAIL,
        [RPMSG_GPIO_PARAMETER] = RETURN_FAIL,
        [RPMSG_GPIO_UNSUPPORTED] = RETURN_UNSUPPORTED,
    };
    uint8_t answer[MESSAGE_BYTES] = {0};
    uint16_t level_at = RPMSG_GPIO_NO_LEVEL;
    uint16_t line = 0;
    if (size_bytes < MESSAGE_BYTES || message[0] != CATEGORY_GPIO || message[1] != MAJOR_VERSION ||
        message[3] != TYPE_REQUEST) {
        return false;
    }
    const uint8_t command = message[4];
    enum rpmsg_gpio_result result = RPMSG_GPIO_OK;
    for (unsigned i = 0; i < NOTIFICATION_BYTES; i++) {
        answer[i] = message[i];
    }
    answer[3] = TYPE_RESPONSE;
    if (command > COMMAND_GET_DIRECTION ||
        (command == COMMAND_GET_DIRECTION && (device->options & RPMSG_GPIO_NO_GET_DIRECTION) != 0)) {
        result = RPMSG_GPIO_UNSUPPORTED;
    } else if (!rpmsg_gpio_line_at(device, message[11], message[10], &line)) {
        result = RPMSG_GPIO_PARAMETER;
    } else if (command == COMMAND_INPUT_INIT) {
        result = input_init(device, line, message[12]);
    } else if (command == COMMAND_OUTPUT_INIT) {
        result = output_init(device, line, message[12]);
    } else if (command == COMMAND_INPUT_GET) {
        level_at = MESSAGE_BYTES - 1u;
    } else {
        answer[13] = device->lines[line].direction == VIRTIO_GPIO_DIRECTION_OUT ? DIRECTION_OUT : DIRECTION_IN;
    }
    answer[12] = codes[result];
    rpmsg_gpio_answer(device, answer, sizeof answer, result, line, level_at);
    return true;
}

static uint16_t notification(uint8_t *into, uint16_t line, uint8_t trigger) {
    (void)trigger;
    into[0] = CATEGORY_GPIO;
    into[1] = MAJOR_VERSION;
    into[2] = MINOR_VERSION;
    into[3] = TYPE_NOTIFICATION;
    into[4] = COMMAND_INPUT_INIT;
    into[10] = (uint8_t)(line % RPMSG_GPIO_PORT_LINES);
    into[11] = (uint8_t)(line / RPMSG_GPIO_PORT_LINES);
    return NOTIFICATION_BYTES;
}

const struct rpmsg_gpio_dialect rpmsg_gpio_srtm = {
    .channel = "rpmsg-io-channel",
    .max_lines = MAX_PORTS * RPMSG_GPIO_PORT_LINES,
    .serve = serve,
    .notification = notification,
};
