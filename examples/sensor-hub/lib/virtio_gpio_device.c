/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_gpio_device.h"

#include <stddef.h>

#include "virtio_gpio_events.h"

struct request {
    uint16_t type;
    uint16_t line;
    uint32_t value;
};

void virtio_gpio_init(struct virtio_gpio_device *device, const struct hub_port *port,
                      struct virtio_gpio_line *lines, uint16_t ngpio, const char *names, uint32_t names_bytes) {
    *device = (struct virtio_gpio_device){
        .port = port,
        .lines = lines,
        .ngpio = ngpio,
        .names = names,
        .names_bytes = names == NULL ? 0 : names_bytes,
    };
    for (uint16_t line = 0; line < ngpio; line++) {
        lines[line] = (struct virtio_gpio_line){0};
    }
}

uint32_t virtio_gpio_features(void) {
    return 1u << VIRTIO_GPIO_F_IRQ_BIT | 1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT |
           (uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT;
}

void virtio_gpio_read_config(const struct virtio_gpio_device *device, struct virtio_gpio_config *config) {
    *config = (struct virtio_gpio_config){.ngpio = device->ngpio, .gpio_names_size = device->names_bytes};
}

bool virtio_gpio_negotiate(struct virtio_gpio_device *device, uint32_t features, uint32_t offered) {
    if ((features & ~(offered & virtio_gpio_features())) != 0) {
        return false;
    }
    device->features = features;
    return true;
}

bool virtio_gpio_attach_queue(struct virtio_gpio_device *device, unsigned queue, const struct vring_place *place) {
    struct vring_device *ring =
        queue == VIRTIO_GPIO_REQUEST_QUEUE ? &device->request_queue : &device->event_queue;
    return vring_attach(ring, device->port, place, virtio_gpio_has(device, VRING_F_EVENT_IDX_BIT));
}

void virtio_gpio_reset(struct virtio_gpio_device *device) {
    const struct hub_port *port = device->port;
    const uint32_t state = port->enter_critical(port->context);
    vring_detach(&device->request_queue);
    vring_detach(&device->event_queue);
    for (uint16_t line = 0; line < device->ngpio; line++) {
        if (device->lines[line].irq_type != VIRTIO_GPIO_IRQ_NONE) {
            device->lines[line].irq_type = VIRTIO_GPIO_IRQ_NONE;
            (void)port->enable_edges(port->context, line, 0);
        }
        device->lines[line].flags = 0;
    }
    device->features = 0;
    device->next_seq = 0;
    device->kept_records = 0;
    port->leave_critical(port->context, state);
}

bool virtio_gpio_broken(const struct virtio_gpio_device *device) {
    return device->request_queue.broken || device->event_queue.broken;
}

static uint8_t set_direction(struct virtio_gpio_device *device, const struct request *request) {
    const struct hub_port *port = device->port;
    struct virtio_gpio_line *line = &device->lines[request->line];
    if (request->value > VIRTIO_GPIO_DIRECTION_IN ||
        (request->value == VIRTIO_GPIO_DIRECTION_OUT && line->irq_type != VIRTIO_GPIO_IRQ_NONE)) {
        return VIRTIO_GPIO_ERR;
    }
    const uint8_t direction = (uint8_t)request->value;
    if (!port->set_direction(port->context, request->line, direction, line->held_level)) {
        return VIRTIO_GPIO_ERR;
    }
    line->direction = direction;
    if (direction == VIRTIO_GPIO_DIRECTION_NONE) {
        const uint32_t state = port->enter_critical(port->context);
        if (line->irq_type != VIRTIO_GPIO_IRQ_NONE) {
            line->irq_type = VIRTIO_GPIO_IRQ_NONE;
            (void)port->enable_edges(port->context, request->line, 0);
        }
        virtio_gpio_discard_events(device, request->line);
        port->leave_critical(port->context, state);
        line->held_level = 0;
    }
    return VIRTIO_GPIO_OK;
}

static uint8_t set_value(struct virtio_gpio_device *device, const struct request *request) {
    const struct hub_port *port = device->port;
    struct virtio_gpio_line *line = &device->lines[request->line];
    if (request->value > 1) {
        return VIRTIO_GPIO_ERR;
    }
    const uint8_t level = (uint8_t)request->value;
    if (line->direction == VIRTIO_GPIO_DIRECTION_OUT && !port->write_level(port->context, request->line, level)) {
        return VIRTIO_GPIO_ERR;
    }
    line->held_level = level;
    return VIRTIO_GPIO_OK;
}

static uint8_t set_irq_type(struct virtio_gpio_device *device, const struct request *request) {
    const struct hub_port *port = device->port;
    struct virtio_gpio_line *line = &device->lines[request->line];
    unsigned edges;
    if (!virtio_gpio_has(device, VIRTIO_GPIO_F_IRQ_BIT) || line->direction == VIRTIO_GPIO_DIRECTION_OUT ||
        !virtio_gpio_edges_of(request->value, &edges)) {
        return VIRTIO_GPIO_ERR;
    }
    const uint8_t type = (uint8_t)request->value;
    if (type == line->irq_type) {
        return VIRTIO_GPIO_OK;
    }
    if (type != VIRTIO_GPIO_IRQ_NONE && line->irq_type != VIRTIO_GPIO_IRQ_NONE) {
        return VIRTIO_GPIO_ERR;
    }
    const uint32_t state = port->enter_critical(port->context);
    /* The type first: the interrupt may come as soon as it is enabled. */
    line->irq_type = type;
    uint8_t status = VIRTIO_GPIO_OK;
    if (!port->enable_edges(port->context, request->line, edges) && type != VIRTIO_GPIO_IRQ_NONE) {
        line->irq_type = VIRTIO_GPIO_IRQ_NONE;
        status = VIRTIO_GPIO_ERR;
    }
    if (line->irq_type == VIRTIO_GPIO_IRQ_NONE) {
        virtio_gpio_discard_events(device, request->line);
    }
    port->leave_critical(port->context, state);
    return status;
}

/* Status and value (or, in place of the value, the names) are set in any case, as far as there is room. */
static void answer(struct virtio_gpio_device *device, const struct vring_chain *chain, uint8_t status,
                   uint8_t value, const char *names, uint32_t value_bytes) {
    struct vring_device *ring = &device->request_queue;
    uint32_t length = vring_write(ring, chain, 0, &status, 1);
    if (length == 1) {
        length += vring_write(ring, chain, 1, value_bytes == 1 ? (const void *)&value : names, value_bytes);
    }
    device->counters.requests++;
    if (status != VIRTIO_GPIO_OK) {
        device->counters.refused++;
    }
    if (length == 0) {
        ring->faults[VRING_FAULT_SHAPE]++;
    }
    vring_complete(ring, chain->head, length);
}

static void serve_names(struct virtio_gpio_device *device, const struct vring_chain *chain) {
    const bool fits = chain->writable_bytes >= 1 + device->names_bytes;
    if (device->names_bytes > 0 && fits) {
        answer(device, chain, VIRTIO_GPIO_OK, 0, device->names, device->names_bytes);
    } else {
        answer(device, chain, VIRTIO_GPIO_ERR, 0, NULL, device->names_bytes == 0 ? 1 : device->names_bytes);
    }
}

/*
 * The level is read and its answer published with interrupts kept out, so that the record of a later
 * edge cannot reach the driver before the older level does.
 */
static void serve_get_value(struct virtio_gpio_device *device, const struct vring_chain *chain, uint16_t line) {
    const struct hub_port *port = device->port;
    const uint32_t state = port->enter_critical(port->context);
    answer(device, chain, VIRTIO_GPIO_OK, port->read_level(port->context, line) != 0, NULL, 1);
    vring_publish(&device->request_queue);
    port->leave_critical(port->context, state);
}

static void serve_request(struct virtio_gpio_device *device, const struct vring_chain *chain) {
    uint8_t bytes[VIRTIO_GPIO_REQUEST_BYTES];
    if (chain->readable_bytes != sizeof bytes || chain->writable_bytes < VIRTIO_GPIO_RESPONSE_BYTES ||
        vring_read(&device->request_queue, chain, bytes, sizeof bytes) != sizeof bytes) {
        answer(device, chain, VIRTIO_GPIO_ERR, 0, NULL, 1);
        return;
    }
    const struct request request = {
        .type = (uint16_t)(bytes[0] | bytes[1] << 8),
        .line = (uint16_t)(bytes[2] | bytes[3] << 8),
        .value = bytes[4] | (uint32_t)bytes[5] << 8 | (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24,
    };
    if (request.type == VIRTIO_GPIO_GET_LINE_NAMES) {
        serve_names(device, chain);
        return;
    }
    uint8_t status = VIRTIO_GPIO_ERR;
    uint8_t value = 0;
    if (request.line < device->ngpio) {
        switch (request.type) {
        case VIRTIO_GPIO_GET_DIRECTION:
            status = VIRTIO_GPIO_OK;
            value = device->lines[request.line].direction;
            break;
        case VIRTIO_GPIO_SET_DIRECTION:
            status = set_direction(device, &request);
            break;
        case VIRTIO_GPIO_GET_VALUE:
            serve_get_value(device, chain, request.line);
            return;
        case VIRTIO_GPIO_SET_VALUE:
            status = set_value(device, &request);
            break;
        case VIRTIO_GPIO_SET_IRQ_TYPE:
            status = set_irq_type(device, &request);
            break;
        default:
            break;
        }
    }
    answer(device, chain, status, value, NULL, 1);
}

static bool service_requests(struct virtio_gpio_device *device) {
    struct vring_device *ring = &device->request_queue;
    const struct hub_port *port = device->port;
    struct vring_chain chain;
    vring_disarm(ring);
    vring_allow(ring);
    for (uint16_t left = ring->num; left > 0 && vring_pop(ring, &chain); left--) {
        serve_request(device, &chain);
    }
    vring_publish(ring);
    if (vring_wants_doorbell(ring)) {
        const uint32_t state = port->enter_critical(port->context);
        port->ring_doorbell(port->context, ring->notify_id);
        port->leave_critical(port->context, state);
    }
    return vring_arm(ring);
}

bool virtio_gpio_service(struct virtio_gpio_device *device) {
    const bool more_events = virtio_gpio_service_events(device);
    const bool more_requests = service_requests(device);
    virtio_gpio_flush_events(device);
    return more_events || more_requests;
}

/* ---- as any other device ---- */

static unsigned type_negotiate(void *state, uint32_t features, uint32_t offered) {
    if (!virtio_gpio_negotiate(state, features, offered)) {
        return 0;
    }
    /* Without F_IRQ there is no eventq to look for. */
    return virtio_gpio_has(state, VIRTIO_GPIO_F_IRQ_BIT) ? 2 : 1;
}

static bool type_attach_queue(void *state, unsigned queue, const struct vring_place *place) {
    return virtio_gpio_attach_queue(state, queue, place);
}

static void type_reset(void *state) {
    virtio_gpio_reset(state);
}

static bool type_service(void *state) {
    return virtio_gpio_service(state);
}

static bool type_broken(const void *state) {
    return virtio_gpio_broken(state);
}

static void type_line_changed(void *state, uint16_t line, uint8_t level) {
    virtio_gpio_line_changed(state, line, level);
}

static void type_flush_events(void *state) {
    virtio_gpio_flush_events(state);
}

static void type_read_counters(const void *state, struct hub_counters *counters) {
    const struct virtio_gpio_device *device = state;
    *counters = (struct hub_counters){
        .requests = device->counters.requests,
        .refused = device->counters.refused,
        .events = device->counters.events,
        .dropped = device->counters.dropped,
    };
    for (unsigned i = 0; i < VRING_FAULT_KINDS; i++) {
        counters->malformed += device->request_queue.faults[i] + device->event_queue.faults[i];
    }
}

const struct hub_device_type virtio_gpio_type = {
    .negotiate = type_negotiate,
    .attach_queue = type_attach_queue,
    .reset = type_reset,
    .service = type_service,
    .broken = type_broken,
    .line_changed = type_line_changed,
    .flush_events = type_flush_events,
    .read_counters = type_read_counters,
};
