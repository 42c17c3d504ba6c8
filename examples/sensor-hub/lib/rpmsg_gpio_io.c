/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upstream proposal's revisions 9 to 13, 6 bytes: u8 type, command, port, line, data[2]. A reply has the error in
 * data[0] and the value in data[1]; a notification has the trigger in data[0].
 */
#include "rpmsg_gpio.h"

#define TYPE_SEND 0u
#define TYPE_REPLY 1u
#define TYPE_NOTIFY 2u

#define COMMAND_GET_DIRECTION 2u
#define COMMAND_SET_DIRECTION 3u
#define COMMAND_GET_VALUE 4u
#define COMMAND_SET_VALUE 5u
#define COMMAND_SET_IRQ_TYPE 6u
#define COMMAND_NOTIFY_REPLY 10u /* the driver has seen a notification: nothing to answer */

#define ERROR_NONE 0u
#define ERROR_GENERAL 1u
#define ERROR_UNSUPPORTED 2u
#define ERROR_PARAMETER 5u

#define MESSAGE_BYTES 6u
#define MAX_PORTS 256u

static uint8_t told_direction(const struct rpmsg_gpio *device, uint16_t line) {
    const uint8_t direction = device->lines[line].direction;
    if ((device->options & RPMSG_GPIO_VIRTIO_DIRECTIONS) != 0) {
        return direction;
    }
    return direction == VIRTIO_GPIO_DIRECTION_OUT ? 0 : 1;
}

static bool serve(struct rpmsg_gpio *device, const uint8_t *message, uint16_t size_bytes) {
    static const uint8_t errors[] = {
        [RPMSG_GPIO_OK] = ERROR_NONE,
        [RPMSG_GPIO_FAILED] = ERROR_GENERAL,
        [RPMSG_GPIO_PARAMETER] = ERROR_PARAMETER,
        [RPMSG_GPIO_UNSUPPORTED] = ERROR_UNSUPPORTED,
    };
    uint16_t level_at = RPMSG_GPIO_NO_LEVEL;
    uint16_t line = 0;
    if (size_bytes < MESSAGE_BYTES || message[0] != TYPE_SEND) {
        return false;
    }
    const uint8_t command = message[1];
    if (command == COMMAND_NOTIFY_REPLY) {
        return true;
    }
    uint8_t answer[MESSAGE_BYTES] = {TYPE_REPLY, command, message[2], message[3], 0, 0};
    enum rpmsg_gpio_result result = RPMSG_GPIO_UNSUPPORTED;
    if (!rpmsg_gpio_line_at(device, message[2], message[3], &line)) {
        result = RPMSG_GPIO_PARAMETER;
    } else if (command == COMMAND_GET_DIRECTION) {
        result = RPMSG_GPIO_OK;
        answer[5] = told_direction(device, line);
    } else if (command == COMMAND_SET_DIRECTION) {
        result = rpmsg_gpio_set_direction(device, line, message[4]);
    } else if (command == COMMAND_GET_VALUE) {
        result = RPMSG_GPIO_OK;
        level_at = MESSAGE_BYTES - 1u;
    } else if (command == COMMAND_SET_VALUE) {
        result = rpmsg_gpio_set_level(device, line, message[4]);
    } else if (command == COMMAND_SET_IRQ_TYPE) {
        result = rpmsg_gpio_set_interrupt(device, line, message[4]);
    }
    answer[4] = errors[result];
    rpmsg_gpio_answer(device, answer, sizeof answer, result, line, level_at);
    return true;
}

static uint16_t notification(uint8_t *into, uint16_t line, uint8_t trigger) {
    into[0] = TYPE_NOTIFY;
    into[1] = 0;
    into[2] = (uint8_t)(line / RPMSG_GPIO_PORT_LINES);
    into[3] = (uint8_t)(line % RPMSG_GPIO_PORT_LINES);
    into[4] = trigger;
    return MESSAGE_BYTES;
}

const struct rpmsg_gpio_dialect rpmsg_gpio_io = {
    .channel = "rpmsg-io",
    .max_lines = MAX_PORTS * RPMSG_GPIO_PORT_LINES,
    .serve = serve,
    .notification = notification,
};
