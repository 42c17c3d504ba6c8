/* SPDX-License-Identifier: Apache-2.0 */
#include "rpmsg_gpio.h"

#define LINE_MASKED 1u       /* told, and not unmasked since */
#define LINE_LATCHED 2u      /* an edge came while masked */
#define LINE_OWED 4u         /* a notification waits for a buffer */
#define LINE_TRIGGER_HIGH 8u /* the level that the last edge led to */

void rpmsg_gpio_init(struct rpmsg_gpio *device, const struct hub_port *port, const struct rpmsg_gpio_dialect *dialect,
                     struct rpmsg_gpio_line *lines, uint16_t ngpio, uint8_t options) {
    *device = (struct rpmsg_gpio){.dialect = dialect, .lines = lines, .ngpio = ngpio, .options = options};
    rpmsg_init(&device->rpmsg, port, dialect->channel);
    for (uint16_t line = 0; line < ngpio; line++) {
        lines[line] = (struct rpmsg_gpio_line){0};
    }
}

static unsigned negotiate(void *state, uint32_t features, uint32_t offered) {
    return rpmsg_negotiate(&((struct rpmsg_gpio *)state)->rpmsg, features, offered);
}

static bool attach_queue(void *state, unsigned queue, const struct vring_place *place) {
    return rpmsg_attach_queue(&((struct rpmsg_gpio *)state)->rpmsg, queue, place);
}

static const struct hub_port *port_of(const struct rpmsg_gpio *device) {
    return device->rpmsg.queues.port;
}

/* ---- interrupts; all but rpmsg_gpio_set_interrupt with pin interrupts kept out ---- */

static bool edges_of(uint32_t irq_type, unsigned *edges) {
    static const uint8_t edges_of_type[] = {
        [VIRTIO_GPIO_IRQ_NONE] = 0,
        [VIRTIO_GPIO_IRQ_RISING] = PORT_EDGE_RISING,
        [VIRTIO_GPIO_IRQ_FALLING] = PORT_EDGE_FALLING,
        [VIRTIO_GPIO_IRQ_BOTH] = PORT_EDGE_RISING | PORT_EDGE_FALLING,
        [VIRTIO_GPIO_IRQ_LEVEL_HIGH] = PORT_EDGE_RISING,
        [VIRTIO_GPIO_IRQ_LEVEL_LOW] = PORT_EDGE_FALLING,
    };
    if (irq_type >= sizeof edges_of_type) {
        return false;
    }
    *edges = edges_of_type[irq_type];
    return *edges != 0 || irq_type == VIRTIO_GPIO_IRQ_NONE;
}

static bool is_level_type(uint8_t irq_type) {
    return irq_type == VIRTIO_GPIO_IRQ_LEVEL_HIGH || irq_type == VIRTIO_GPIO_IRQ_LEVEL_LOW;
}

static void discard(struct rpmsg_gpio *device, struct rpmsg_gpio_line *line) {
    if ((line->flags & LINE_OWED) != 0) {
        device->rpmsg.queues.owed--;
        device->counters.dropped++;
    }
    line->flags = 0;
}

static void switch_off(struct rpmsg_gpio *device, uint16_t number) {
    struct rpmsg_gpio_line *line = &device->lines[number];
    if (line->irq_type != VIRTIO_GPIO_IRQ_NONE) {
        line->irq_type = VIRTIO_GPIO_IRQ_NONE;
        (void)port_of(device)->enable_edges(port_of(device)->context, number, 0);
    }
    discard(device, line);
}

static bool send_notification(struct rpmsg_gpio *device, uint16_t number) {
    struct rpmsg_gpio_line *line = &device->lines[number];
    const uint8_t edge =
        (line->flags & LINE_TRIGGER_HIGH) != 0 ? VIRTIO_GPIO_IRQ_RISING : VIRTIO_GPIO_IRQ_FALLING;
    uint8_t bytes[RPMSG_GPIO_MAX_BYTES] = {0};
    const uint16_t size_bytes =
        device->dialect->notification(bytes, number, is_level_type(line->irq_type) ? line->irq_type : edge);
    if (!rpmsg_notify(&device->rpmsg, bytes, size_bytes)) {
        return false;
    }
    line->flags &= (uint8_t)~LINE_OWED;
    device->counters.events++;
    return true;
}

static void send_owed(struct rpmsg_gpio *device) {
    for (uint16_t left = device->ngpio; device->rpmsg.queues.owed > 0 && left > 0; left--) {
        const uint16_t number = device->next_owed;
        if ((device->lines[number].flags & LINE_OWED) != 0) {
            if (!send_notification(device, number)) {
                return;
            }
            device->rpmsg.queues.owed--;
        }
        device->next_owed = number + 1u == device->ngpio ? 0 : (uint16_t)(number + 1u);
    }
}

static void interrupt(struct rpmsg_gpio *device, uint16_t number) {
    struct rpmsg_gpio_line *line = &device->lines[number];
    line->flags = (uint8_t)((line->flags & ~LINE_LATCHED) | LINE_MASKED | LINE_OWED);
    if (!send_notification(device, number)) {
        device->rpmsg.queues.owed++;
        /* A buffer that came meanwhile is taken here, as no kick announces it. */
        if (message_queues_want_buffers(&device->rpmsg.queues)) {
            send_owed(device);
        }
    }
}

static void latch(struct rpmsg_gpio *device, struct rpmsg_gpio_line *line) {
    const bool loses = (device->options & RPMSG_GPIO_LOSES_MASKED_EDGES) != 0;
    if (loses || (line->flags & (LINE_LATCHED | LINE_OWED)) != 0) {
        device->counters.dropped++;
    }
    /* An edge that comes before the driver was told of the one before is told with it. */
    if (!loses && (line->flags & LINE_OWED) == 0) {
        line->flags |= LINE_LATCHED;
    }
}

static void unmask(struct rpmsg_gpio *device, uint16_t number) {
    struct rpmsg_gpio_line *line = &device->lines[number];
    if ((line->flags & LINE_OWED) != 0) {
        return; /* the driver means an earlier notification; this one masks again */
    }
    bool due = (line->flags & LINE_LATCHED) != 0;
    line->flags &= (uint8_t)~(LINE_MASKED | LINE_LATCHED);
    if (is_level_type(line->irq_type)) {
        const bool high = port_of(device)->read_level(port_of(device)->context, number) != 0;
        due = high == (line->irq_type == VIRTIO_GPIO_IRQ_LEVEL_HIGH);
    }
    if (due) {
        /* After the answer that is on its way. */
        line->flags |= LINE_MASKED | LINE_OWED;
        device->rpmsg.queues.owed++;
    }
}

enum rpmsg_gpio_result rpmsg_gpio_set_interrupt(struct rpmsg_gpio *device, uint16_t number, uint32_t irq_type) {
    const struct hub_port *port = port_of(device);
    struct rpmsg_gpio_line *line = &device->lines[number];
    unsigned edges;
    if (!edges_of(irq_type, &edges)) {
        return RPMSG_GPIO_PARAMETER;
    }
    if (irq_type != VIRTIO_GPIO_IRQ_NONE && line->direction == VIRTIO_GPIO_DIRECTION_OUT) {
        return RPMSG_GPIO_PARAMETER;
    }
    enum rpmsg_gpio_result result = RPMSG_GPIO_OK;
    const uint32_t state = port->enter_critical(port->context);
    if (irq_type == VIRTIO_GPIO_IRQ_NONE) {
        switch_off(device, number);
    } else {
        if (irq_type != line->irq_type) {
            discard(device, line);
            /* The type first: the interrupt may come as soon as it is enabled. */
            line->irq_type = (uint8_t)irq_type;
            if (!port->enable_edges(port->context, number, edges)) {
                switch_off(device, number);
                result = RPMSG_GPIO_FAILED;
            }
        }
        if (result == RPMSG_GPIO_OK) {
            unmask(device, number);
        }
    }
    port->leave_critical(port->context, state);
    return result;
}

static void line_changed(void *state, uint16_t number, uint8_t level) {
    struct rpmsg_gpio *device = state;
    const struct hub_port *port = port_of(device);
    unsigned edges = 0;
    if (number >= device->ngpio) {
        return;
    }
    const uint32_t before = port->enter_critical(port->context);
    struct rpmsg_gpio_line *line = &device->lines[number];
    message_queues_allow_buffers(&device->rpmsg.queues);
    (void)edges_of(line->irq_type, &edges);
    if ((edges & (level != 0 ? PORT_EDGE_RISING : PORT_EDGE_FALLING)) != 0) {
        line->flags = (uint8_t)((line->flags & ~LINE_TRIGGER_HIGH) | (level != 0 ? LINE_TRIGGER_HIGH : 0u));
        if ((line->flags & LINE_MASKED) == 0) {
            send_owed(device); /* those that wait go first */
            interrupt(device, number);
        } else if (!is_level_type(line->irq_type)) {
            latch(device, line);
        }
    }
    port->leave_critical(port->context, before);
}

static void flush_events(void *state) {
    struct rpmsg_gpio *device = state;
    const struct hub_port *port = port_of(device);
    const uint32_t before = port->enter_critical(port->context);
    message_queues_flush(&device->rpmsg.queues);
    port->leave_critical(port->context, before);
}

/* ---- what messages ask for ---- */

bool rpmsg_gpio_line_at(const struct rpmsg_gpio *device, uint8_t port, uint8_t pin, uint16_t *line) {
    *line = (uint16_t)(RPMSG_GPIO_PORT_LINES * port + pin);
    return pin < RPMSG_GPIO_PORT_LINES && *line < device->ngpio;
}

enum rpmsg_gpio_result rpmsg_gpio_set_direction(struct rpmsg_gpio *device, uint16_t number, uint32_t direction) {
    const struct hub_port *port = port_of(device);
    struct rpmsg_gpio_line *line = &device->lines[number];
    if (direction > VIRTIO_GPIO_DIRECTION_IN ||
        (direction == VIRTIO_GPIO_DIRECTION_OUT && line->irq_type != VIRTIO_GPIO_IRQ_NONE)) {
        return RPMSG_GPIO_PARAMETER;
    }
    if (!port->set_direction(port->context, number, (uint8_t)direction, line->held_level)) {
        return RPMSG_GPIO_FAILED;
    }
    line->direction = (uint8_t)direction;
    if (direction == VIRTIO_GPIO_DIRECTION_NONE) {
        const uint32_t state = port->enter_critical(port->context);
        switch_off(device, number);
        port->leave_critical(port->context, state);
        line->held_level = 0;
    }
    return RPMSG_GPIO_OK;
}

enum rpmsg_gpio_result rpmsg_gpio_set_level(struct rpmsg_gpio *device, uint16_t number, uint32_t level) {
    const struct hub_port *port = port_of(device);
    struct rpmsg_gpio_line *line = &device->lines[number];
    if (level > 1) {
        return RPMSG_GPIO_PARAMETER;
    }
    if (line->direction == VIRTIO_GPIO_DIRECTION_OUT && !port->write_level(port->context, number, (uint8_t)level)) {
        return RPMSG_GPIO_FAILED;
    }
    line->held_level = (uint8_t)level;
    return RPMSG_GPIO_OK;
}

void rpmsg_gpio_answer(struct rpmsg_gpio *device, uint8_t *bytes, uint16_t size_bytes, enum rpmsg_gpio_result result,
                       uint16_t line, uint16_t level_at) {
    const struct hub_port *port = port_of(device);
    device->counters.requests++;
    if (result != RPMSG_GPIO_OK) {
        device->counters.refused++;
    }
    /* Together, so that no notification of a later edge overtakes the older level. */
    const uint32_t state = port->enter_critical(port->context);
    if (level_at < size_bytes) {
        bytes[level_at] = port->read_level(port->context, line) != 0;
    }
    rpmsg_answer(&device->rpmsg, bytes, size_bytes);
    port->leave_critical(port->context, state);
}

/* ---- the device ---- */

static void reset(void *state) {
    struct rpmsg_gpio *device = state;
    const struct hub_port *port = port_of(device);
    const uint32_t before = port->enter_critical(port->context);
    rpmsg_reset(&device->rpmsg);
    for (uint16_t line = 0; line < device->ngpio; line++) {
        device->lines[line].flags = 0;
        switch_off(device, line);
    }
    port->leave_critical(port->context, before);
}

static void pay_owed(struct rpmsg_gpio *device) {
    const struct hub_port *port = port_of(device);
    rpmsg_announce(&device->rpmsg);
    const uint32_t before = port->enter_critical(port->context);
    send_owed(device);
    port->leave_critical(port->context, before);
}

static void serve(struct rpmsg_gpio *device) {
    uint8_t message[RPMSG_GPIO_MAX_BYTES] = {0};
    uint16_t size_bytes;
    if (rpmsg_read(&device->rpmsg, message, sizeof message, &size_bytes) &&
        !device->dialect->serve(device, message, size_bytes)) {
        device->counters.malformed++;
    }
}

static bool service(void *state) {
    struct rpmsg_gpio *device = state;
    struct message_queues *queues = &device->rpmsg.queues;
    message_queues_allow(queues);
    pay_owed(device);
    for (uint16_t left = queues->from_driver.num; left > 0 && message_queues_begin(queues); left--) {
        serve(device);
        message_queues_end(queues);
        pay_owed(device);
    }
    return message_queues_rest(queues);
}

static bool broken(const void *state) {
    return message_queues_broken(&((const struct rpmsg_gpio *)state)->rpmsg.queues);
}

static void read_counters(const void *state, struct hub_counters *counters) {
    const struct rpmsg_gpio *device = state;
    *counters = device->counters;
    counters->malformed += device->rpmsg.malformed + message_queues_faults(&device->rpmsg.queues);
}

const struct hub_device_type rpmsg_gpio_type = {
    .negotiate = negotiate,
    .attach_queue = attach_queue,
    .reset = reset,
    .service = service,
    .broken = broken,
    .line_changed = line_changed,
    .flush_events = flush_events,
    .read_counters = read_counters,
};
