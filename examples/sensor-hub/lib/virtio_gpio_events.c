/* SPDX-License-Identifier: Apache-2.0 */
/* The eventq: per-line buffers, latch and level rules (plain virtio-gpio), or the event stream. */
#include "virtio_gpio_events.h"

#include <stddef.h>

bool virtio_gpio_edges_of(uint32_t irq_type, unsigned *edges) {
    *edges = 0;
    switch (irq_type) {
    case VIRTIO_GPIO_IRQ_NONE:
        return true;
    case VIRTIO_GPIO_IRQ_RISING:
    case VIRTIO_GPIO_IRQ_LEVEL_HIGH:
        *edges = PORT_EDGE_RISING;
        return true;
    case VIRTIO_GPIO_IRQ_FALLING:
    case VIRTIO_GPIO_IRQ_LEVEL_LOW:
        *edges = PORT_EDGE_FALLING;
        return true;
    case VIRTIO_GPIO_IRQ_BOTH:
        *edges = PORT_EDGE_RISING | PORT_EDGE_FALLING;
        return true;
    default:
        return false;
    }
}

static bool is_level_type(uint8_t irq_type) {
    return irq_type == VIRTIO_GPIO_IRQ_LEVEL_HIGH || irq_type == VIRTIO_GPIO_IRQ_LEVEL_LOW;
}

static bool streams(const struct virtio_gpio_device *device) {
    return virtio_gpio_has(device, VIRTIO_GPIO_F_EVENT_STREAM_BIT);
}

/* ---- plain: a buffer a line ---- */

static void return_buffer(struct virtio_gpio_device *device, const struct vring_chain *chain, uint8_t status) {
    struct vring_device *ring = &device->event_queue;
    const uint32_t length = vring_write(ring, chain, 0, &status, VIRTIO_GPIO_EVENT_RESPONSE_BYTES);
    if (status == VIRTIO_GPIO_EVENT_VALID) {
        device->counters.events++;
    }
    vring_complete(ring, chain->head, length);
}

/* Returning a buffer masks the line. */
static void return_queued(struct virtio_gpio_device *device, struct virtio_gpio_line *line, uint8_t status) {
    struct vring_chain chain;
    line->flags &= (uint8_t)~LINE_QUEUED;
    if (vring_reopen(&device->event_queue, line->event_head, line->event_parts, &chain)) {
        return_buffer(device, &chain, status);
    } else if (vring_attached(&device->event_queue)) {
        /* The driver changed a chain that it had given away. */
        device->event_queue.faults[VRING_FAULT_SHAPE]++;
        vring_complete(&device->event_queue, line->event_head, 0);
    }
}

static void queue_buffer(struct virtio_gpio_device *device, const struct vring_chain *chain) {
    const struct hub_port *port = device->port;
    uint8_t bytes[VIRTIO_GPIO_EVENT_REQUEST_BYTES];
    if (chain->readable_bytes != sizeof bytes || chain->writable_bytes < VIRTIO_GPIO_EVENT_RESPONSE_BYTES ||
        vring_read(&device->event_queue, chain, bytes, sizeof bytes) != sizeof bytes) {
        device->event_queue.faults[VRING_FAULT_SHAPE]++;
        return_buffer(device, chain, VIRTIO_GPIO_EVENT_INVALID);
        return;
    }
    const uint16_t number = (uint16_t)(bytes[0] | bytes[1] << 8);
    struct virtio_gpio_line *line = number < device->ngpio ? &device->lines[number] : NULL;
    if (line == NULL || line->irq_type == VIRTIO_GPIO_IRQ_NONE || (line->flags & LINE_QUEUED) != 0) {
        return_buffer(device, chain, VIRTIO_GPIO_EVENT_INVALID);
        return;
    }
    line->flags |= LINE_QUEUED;
    line->event_head = chain->head;
    line->event_parts = chain->parts;
    bool due = (line->flags & LINE_LATCHED) != 0;
    if (is_level_type(line->irq_type)) {
        const bool high = port->read_level(port->context, number) != 0;
        due = high == (line->irq_type == VIRTIO_GPIO_IRQ_LEVEL_HIGH);
    }
    if (due) {
        line->flags &= (uint8_t)~LINE_LATCHED;
        return_queued(device, line, VIRTIO_GPIO_EVENT_VALID);
    }
}

static void signal_line(struct virtio_gpio_device *device, struct virtio_gpio_line *line) {
    if ((line->flags & LINE_QUEUED) != 0) {
        return_queued(device, line, VIRTIO_GPIO_EVENT_VALID);
    } else if (!is_level_type(line->irq_type)) {
        line->flags |= LINE_LATCHED;
    }
}

/* ---- the event stream ---- */

struct record {
    uint16_t line;
    uint8_t level;
    uint8_t flags;
    uint32_t seq;
    uint64_t timestamp_ns;
};

/* Takes the next buffer; false: there is none. */
static bool send_record(struct virtio_gpio_device *device, const struct record *record) {
    struct vring_device *ring = &device->event_queue;
    struct vring_chain chain;
    /* Bounded: this runs in a pin interrupt, and a driver may post useless buffers without end. */
    for (uint16_t left = ring->num; left > 0 && vring_pop(ring, &chain); left--) {
        if (chain.readable_bytes != 0 || chain.writable_bytes < VIRTIO_GPIO_RECORD_BYTES) {
            vring_refuse(ring, &chain);
            continue;
        }
        uint8_t bytes[VIRTIO_GPIO_RECORD_BYTES] = {
            (uint8_t)record->line, (uint8_t)(record->line >> 8), record->level, record->flags,
        };
        for (unsigned i = 0; i < 4; i++) {
            bytes[4 + i] = (uint8_t)(record->seq >> (8 * i));
        }
        for (unsigned i = 0; i < 8; i++) {
            bytes[8 + i] = (uint8_t)(record->timestamp_ns >> (8 * i));
        }
        vring_complete(ring, chain.head, vring_write(ring, &chain, 0, bytes, sizeof bytes));
        device->counters.events++;
        return true;
    }
    return false;
}

static void keep(struct virtio_gpio_device *device, struct virtio_gpio_line *line, const struct record *record) {
    if ((line->flags & LINE_KEPT) != 0) {
        device->counters.dropped++;
    } else {
        device->kept_records++;
    }
    line->flags = (uint8_t)((line->flags & ~LINE_KEPT_HIGH) | LINE_KEPT | (record->level != 0 ? LINE_KEPT_HIGH : 0u));
    line->kept_seq = record->seq;
    line->kept_timestamp_ns = record->timestamp_ns;
}

static struct virtio_gpio_line *oldest_kept(struct virtio_gpio_device *device) {
    struct virtio_gpio_line *oldest = NULL;
    for (uint16_t number = 0; number < device->ngpio; number++) {
        struct virtio_gpio_line *line = &device->lines[number];
        if ((line->flags & LINE_KEPT) != 0 &&
            (oldest == NULL || (int32_t)(line->kept_seq - oldest->kept_seq) < 0)) {
            oldest = line;
        }
    }
    return oldest;
}

/* False while there are kept edges left. */
static bool send_kept(struct virtio_gpio_device *device) {
    while (device->kept_records > 0) {
        struct virtio_gpio_line *line = oldest_kept(device);
        const struct record record = {
            .line = (uint16_t)(line - device->lines),
            .level = (line->flags & LINE_KEPT_HIGH) != 0,
            .flags = VIRTIO_GPIO_RECORD_DROPPED,
            .seq = line->kept_seq,
            .timestamp_ns = line->kept_timestamp_ns,
        };
        if (!send_record(device, &record)) {
            return false;
        }
        line->flags &= (uint8_t)~(LINE_KEPT | LINE_KEPT_HIGH);
        device->kept_records--;
    }
    return true;
}

static void stream_edge(struct virtio_gpio_device *device, uint16_t number, uint8_t level) {
    const struct hub_port *port = device->port;
    const struct record record = {
        .line = number,
        .level = level != 0,
        .seq = device->next_seq++,
        .timestamp_ns = port->clock_ns(port->context),
    };
    if (send_kept(device) && send_record(device, &record)) {
        return;
    }
    keep(device, &device->lines[number], &record);
    /* Kicks are of use only now. A buffer that came meanwhile is taken here, as no kick announces it. */
    if (vring_arm(&device->event_queue)) {
        (void)send_kept(device);
    }
}

/* ---- both ---- */

void virtio_gpio_discard_events(struct virtio_gpio_device *device, uint16_t number) {
    struct virtio_gpio_line *line = &device->lines[number];
    if ((line->flags & LINE_KEPT) != 0) {
        device->kept_records--;
        device->counters.dropped++;
    }
    if ((line->flags & LINE_QUEUED) != 0) {
        return_queued(device, line, VIRTIO_GPIO_EVENT_INVALID);
    }
    line->flags = 0;
}

bool virtio_gpio_service_events(struct virtio_gpio_device *device) {
    struct vring_device *ring = &device->event_queue;
    const struct hub_port *port = device->port;
    struct vring_chain chain;
    vring_allow(ring);
    if (streams(device)) {
        const uint32_t state = port->enter_critical(port->context);
        const bool sent = send_kept(device);
        const bool more = !sent && vring_arm(ring);
        if (sent) {
            vring_disarm(ring); /* buffers are looked for when an edge needs one */
        }
        port->leave_critical(port->context, state);
        return more;
    }
    for (uint16_t left = ring->num; left > 0; left--) {
        /* A chain at a time, to keep pin interrupts out only shortly. */
        const uint32_t state = port->enter_critical(port->context);
        const bool taken = vring_pop(ring, &chain);
        if (taken) {
            queue_buffer(device, &chain);
        }
        port->leave_critical(port->context, state);
        if (!taken) {
            break;
        }
    }
    return vring_arm(ring);
}

void virtio_gpio_line_changed(struct virtio_gpio_device *device, uint16_t number, uint8_t level) {
    const struct hub_port *port = device->port;
    unsigned edges = 0;
    if (number >= device->ngpio) {
        return;
    }
    const uint32_t state = port->enter_critical(port->context);
    struct virtio_gpio_line *line = &device->lines[number];
    vring_allow(&device->event_queue);
    (void)virtio_gpio_edges_of(line->irq_type, &edges);
    if ((edges & (level != 0 ? PORT_EDGE_RISING : PORT_EDGE_FALLING)) != 0) {
        if (streams(device)) {
            stream_edge(device, number, level);
        } else {
            signal_line(device, line);
        }
    }
    port->leave_critical(port->context, state);
}

void virtio_gpio_flush_events(struct virtio_gpio_device *device) {
    const struct hub_port *port = device->port;
    const uint32_t state = port->enter_critical(port->context);
    vring_publish(&device->event_queue);
    if (vring_wants_doorbell(&device->event_queue)) {
        port->ring_doorbell(port->context, device->event_queue.notify_id);
    }
    port->leave_critical(port->context, state);
}
