/* SPDX-License-Identifier: Apache-2.0 */
#include "metux_gpio.h"

#include "virtio_gpio.h"

#define LINE_OWED 1u      /* a LEVEL waits for a buffer */
#define LINE_OWED_HIGH 2u /* the level that it will tell */

#define ERROR_EPERM (-1)
#define ERROR_EIO (-5)
#define ERROR_EINVAL (-22)
#define ERROR_ENOSYS (-38)

struct message {
    uint16_t type;
    uint16_t line;
    uint32_t value;
};

void metux_gpio_init(struct metux_gpio *device, const struct hub_port *port, struct metux_gpio_line *lines,
                     uint16_t ngpio, uint16_t reply_bits) {
    *device = (struct metux_gpio){.lines = lines, .ngpio = ngpio, .reply_bits = reply_bits};
    message_queues_init(&device->queues, port, METUX_GPIO_MESSAGE_BYTES);
    for (uint16_t line = 0; line < ngpio; line++) {
        lines[line] = (struct metux_gpio_line){0};
    }
}

uint32_t metux_gpio_features(void) {
    return (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT;
}

static unsigned negotiate(void *state, uint32_t features, uint32_t offered) {
    struct metux_gpio *device = state;
    device->event_idx = (features >> VRING_F_EVENT_IDX_BIT & 1u) != 0;
    return (features & ~(offered & metux_gpio_features())) != 0 ? 0 : 2;
}

static bool attach_queue(void *state, unsigned queue, const struct vring_place *place) {
    struct metux_gpio *device = state;
    return message_queues_attach(&device->queues, queue, place, device->event_idx);
}

static bool is_output(const struct metux_gpio *device, uint16_t line) {
    return device->lines[line].direction == VIRTIO_GPIO_DIRECTION_OUT;
}

/* ---- levels ---- */

/* With pin interrupts kept out. */
static void enable_edges(struct metux_gpio *device, uint16_t line, bool enable) {
    const struct hub_port *port = device->queues.port;
    /* A line that cannot interrupt has no LEVEL messages; GET_LEVEL still works. */
    (void)port->enable_edges(port->context, line, enable ? PORT_EDGE_RISING | PORT_EDGE_FALLING : 0);
}

static void forget_owed(struct metux_gpio *device, uint16_t line) {
    if ((device->lines[line].flags & LINE_OWED) != 0) {
        device->queues.owed--;
        device->counters.dropped++;
    }
    device->lines[line].flags = 0;
}

static void reset(void *state) {
    struct metux_gpio *device = state;
    const struct hub_port *port = device->queues.port;
    const uint32_t before = port->enter_critical(port->context);
    message_queues_reset(&device->queues);
    for (uint16_t line = 0; line < device->ngpio; line++) {
        if (device->listening) {
            enable_edges(device, line, false);
        }
        device->lines[line].flags = 0;
    }
    device->listening = false;
    port->leave_critical(port->context, before);
}

static void listen(struct metux_gpio *device) {
    const struct hub_port *port = device->queues.port;
    const uint32_t before = port->enter_critical(port->context);
    device->listening = true;
    for (uint16_t line = 0; line < device->ngpio; line++) {
        if (!is_output(device, line)) {
            enable_edges(device, line, true);
        }
    }
    port->leave_critical(port->context, before);
}

static void encode(uint8_t *bytes, uint16_t type, uint16_t line, uint32_t value) {
    bytes[0] = (uint8_t)type;
    bytes[1] = (uint8_t)(type >> 8);
    bytes[2] = (uint8_t)line;
    bytes[3] = (uint8_t)(line >> 8);
    for (unsigned i = 0; i < 4; i++) {
        bytes[4 + i] = (uint8_t)(value >> (8 * i));
    }
}

static bool send_level(struct metux_gpio *device, uint16_t line, bool high) {
    uint8_t bytes[METUX_GPIO_MESSAGE_BYTES];
    encode(bytes, METUX_GPIO_LEVEL, line, high);
    if (!message_queues_notify(&device->queues, bytes, sizeof bytes)) {
        return false;
    }
    device->counters.events++;
    return true;
}

/* With pin interrupts kept out. */
static void send_owed(struct metux_gpio *device) {
    for (uint16_t left = device->ngpio; device->queues.owed > 0 && left > 0; left--) {
        const uint16_t number = device->next_owed;
        struct metux_gpio_line *line = &device->lines[number];
        if ((line->flags & LINE_OWED) != 0) {
            if (!send_level(device, number, (line->flags & LINE_OWED_HIGH) != 0)) {
                return;
            }
            line->flags = 0;
            device->queues.owed--;
        }
        device->next_owed = number + 1u == device->ngpio ? 0 : (uint16_t)(number + 1u);
    }
}

static void line_changed(void *state, uint16_t number, uint8_t level) {
    struct metux_gpio *device = state;
    const struct hub_port *port = device->queues.port;
    if (number >= device->ngpio) {
        return;
    }
    const uint32_t before = port->enter_critical(port->context);
    struct metux_gpio_line *line = &device->lines[number];
    message_queues_allow_buffers(&device->queues);
    if (device->listening && !is_output(device, number)) {
        send_owed(device); /* those that wait go first */
        if ((line->flags & LINE_OWED) != 0) {
            device->counters.dropped++; /* the older one */
            line->flags = (uint8_t)(LINE_OWED | (level != 0 ? LINE_OWED_HIGH : 0u));
        } else if (!send_level(device, number, level != 0)) {
            line->flags = (uint8_t)(LINE_OWED | (level != 0 ? LINE_OWED_HIGH : 0u));
            device->queues.owed++;
            /* A buffer that came meanwhile is taken here, as no kick announces it. */
            if (message_queues_want_buffers(&device->queues)) {
                send_owed(device);
            }
        }
    }
    port->leave_critical(port->context, before);
}

static void flush_events(void *state) {
    struct metux_gpio *device = state;
    const struct hub_port *port = device->queues.port;
    const uint32_t before = port->enter_critical(port->context);
    message_queues_flush(&device->queues);
    port->leave_critical(port->context, before);
}

/* ---- requests ---- */

/* A line is listened to unless it is an output. */
static void become(struct metux_gpio *device, uint16_t line, uint8_t direction) {
    const struct hub_port *port = device->queues.port;
    const uint32_t before = port->enter_critical(port->context);
    const bool was_output = is_output(device, line);
    device->lines[line].direction = direction;
    if (was_output != is_output(device, line)) {
        enable_edges(device, line, was_output);
        forget_owed(device, line);
    }
    port->leave_critical(port->context, before);
}

static int32_t set_direction(struct metux_gpio *device, const struct message *message) {
    const struct hub_port *port = device->queues.port;
    const bool out = message->type == METUX_GPIO_DIRECTION_OUTPUT;
    const uint8_t direction = out ? VIRTIO_GPIO_DIRECTION_OUT : VIRTIO_GPIO_DIRECTION_IN;
    const uint8_t former = device->lines[message->line].direction;
    if (out && message->value > 1) {
        return ERROR_EINVAL;
    }
    if (out) {
        become(device, message->line, direction); /* first: what we drive ourselves is no news */
    }
    if (!port->set_direction(port->context, message->line, direction, out ? (uint8_t)message->value : 0)) {
        become(device, message->line, former);
        return ERROR_EIO;
    }
    become(device, message->line, direction);
    return 0;
}

static int32_t set_level(struct metux_gpio *device, const struct message *message) {
    const struct hub_port *port = device->queues.port;
    if (message->value > 1) {
        return ERROR_EINVAL;
    }
    if (!is_output(device, message->line)) {
        return ERROR_EPERM;
    }
    return port->write_level(port->context, message->line, (uint8_t)message->value) ? (int32_t)message->value
                                                                                    : ERROR_EIO;
}

static int32_t perform(struct metux_gpio *device, const struct message *message) {
    if (message->line >= device->ngpio) {
        return ERROR_EINVAL;
    }
    switch (message->type) {
    case METUX_GPIO_REQUEST:
        return 0;
    case METUX_GPIO_DIRECTION_INPUT:
    case METUX_GPIO_DIRECTION_OUTPUT:
        return set_direction(device, message);
    case METUX_GPIO_GET_DIRECTION:
        return is_output(device, message->line) ? (int32_t)METUX_GPIO_OUT : (int32_t)METUX_GPIO_IN;
    case METUX_GPIO_GET_LEVEL:
        return 0; /* read together with the answer: see serve */
    case METUX_GPIO_SET_LEVEL:
        return set_level(device, message);
    default:
        return ERROR_ENOSYS;
    }
}

static void serve(struct metux_gpio *device) {
    const struct hub_port *port = device->queues.port;
    uint8_t bytes[METUX_GPIO_MESSAGE_BYTES] = {0};
    const bool whole = message_queues_read(&device->queues, bytes, sizeof bytes) == sizeof bytes;
    const struct message message = {
        .type = (uint16_t)(bytes[0] | bytes[1] << 8),
        .line = (uint16_t)(bytes[2] | bytes[3] << 8),
        .value = bytes[4] | (uint32_t)bytes[5] << 8 | (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24,
    };
    if (!whole || (message.type & METUX_GPIO_REPLY) != 0 || message.type == METUX_GPIO_LEVEL) {
        device->counters.malformed++;
        return;
    }
    int32_t result = perform(device, &message);
    device->counters.requests++;
    if (result < 0) {
        device->counters.refused++;
    }
    /* Level and answer together: no LEVEL of a later edge may overtake the older level. */
    const uint32_t before = port->enter_critical(port->context);
    if (message.type == METUX_GPIO_GET_LEVEL && result == 0) {
        result = port->read_level(port->context, message.line) != 0;
    }
    encode(bytes, (uint16_t)(message.type | device->reply_bits), message.line, (uint32_t)result);
    message_queues_answer(&device->queues, bytes, sizeof bytes);
    port->leave_critical(port->context, before);
}

static void pay_owed(struct metux_gpio *device) {
    const struct hub_port *port = device->queues.port;
    const uint32_t before = port->enter_critical(port->context);
    send_owed(device);
    port->leave_critical(port->context, before);
}

static bool service(void *state) {
    struct metux_gpio *device = state;
    message_queues_allow(&device->queues);
    if (!device->listening) {
        listen(device);
    }
    pay_owed(device);
    for (uint16_t left = device->queues.from_driver.num; left > 0 && message_queues_begin(&device->queues); left--) {
        serve(device);
        message_queues_end(&device->queues);
        pay_owed(device);
    }
    return message_queues_rest(&device->queues);
}

static bool broken(const void *state) {
    return message_queues_broken(&((const struct metux_gpio *)state)->queues);
}

static void read_counters(const void *state, struct hub_counters *counters) {
    const struct metux_gpio *device = state;
    *counters = device->counters;
    counters->malformed += message_queues_faults(&device->queues);
}

const struct hub_device_type metux_gpio_type = {
    .negotiate = negotiate,
    .attach_queue = attach_queue,
    .reset = reset,
    .service = service,
    .broken = broken,
    .line_changed = line_changed,
    .flush_events = flush_events,
    .read_counters = read_counters,
};
