/* SPDX-License-Identifier: Apache-2.0 */
#include "message_queues.h"

void message_queues_init(struct message_queues *queues, const struct hub_port *port, uint16_t min_buffer_bytes) {
    *queues = (struct message_queues){.port = port, .min_buffer_bytes = min_buffer_bytes};
}

bool message_queues_attach(struct message_queues *queues, unsigned queue, const struct vring_place *place,
                           bool event_idx) {
    struct vring_device *ring = queue == MESSAGE_TO_DRIVER_QUEUE ? &queues->to_driver : &queues->from_driver;
    return vring_attach(ring, queues->port, place, event_idx);
}

void message_queues_reset(struct message_queues *queues) {
    vring_detach(&queues->to_driver);
    vring_detach(&queues->from_driver);
    queues->owed = 0;
    queues->has_buffer = false;
    queues->has_message = false;
    queues->serving = false;
    queues->answered_last = false;
}

bool message_queues_broken(const struct message_queues *queues) {
    return queues->to_driver.broken || queues->from_driver.broken;
}

uint32_t message_queues_faults(const struct message_queues *queues) {
    uint32_t faults = 0;
    for (unsigned i = 0; i < VRING_FAULT_KINDS; i++) {
        faults += queues->to_driver.faults[i] + queues->from_driver.faults[i];
    }
    return faults;
}

/* With pin interrupts kept out. Bounded: a driver may post useless buffers without end. */
static bool have_buffer(struct message_queues *queues) {
    struct vring_device *ring = &queues->to_driver;
    struct vring_chain *chain = &queues->buffer;
    for (uint16_t left = ring->num; !queues->has_buffer && left > 0 && vring_pop(ring, chain); left--) {
        if (chain->readable_bytes == 0 && chain->writable_bytes >= queues->min_buffer_bytes) {
            queues->has_buffer = true;
        } else {
            vring_refuse(ring, chain);
        }
    }
    return queues->has_buffer;
}

/* The driver may have changed the chain meanwhile: as much as fits is written and told. */
static void fill_buffer(struct message_queues *queues, const void *bytes, uint32_t size_bytes) {
    struct vring_device *ring = &queues->to_driver;
    queues->has_buffer = false;
    vring_complete(ring, queues->buffer.head, vring_write(ring, &queues->buffer, 0, bytes, size_bytes));
}

void message_queues_allow(struct message_queues *queues) {
    const uint32_t state = queues->port->enter_critical(queues->port->context);
    message_queues_allow_buffers(queues);
    queues->port->leave_critical(queues->port->context, state);
    vring_allow(&queues->from_driver);
}

void message_queues_allow_buffers(struct message_queues *queues) {
    vring_allow(&queues->to_driver);
}

bool message_queues_begin(struct message_queues *queues) {
    vring_disarm(&queues->from_driver);
    queues->has_message = queues->has_message || vring_pop(&queues->from_driver, &queues->message);
    if (!queues->has_message) {
        return false;
    }
    const uint32_t state = queues->port->enter_critical(queues->port->context);
    queues->serving = have_buffer(queues);
    queues->port->leave_critical(queues->port->context, state);
    return queues->serving;
}

uint32_t message_queues_read(struct message_queues *queues, void *into, uint32_t size_bytes) {
    return vring_read(&queues->from_driver, &queues->message, into, size_bytes);
}

void message_queues_answer(struct message_queues *queues, const void *bytes, uint32_t size_bytes) {
    if (queues->serving && queues->has_buffer) {
        fill_buffer(queues, bytes, size_bytes);
        queues->answered_last = true;
    }
}

void message_queues_end(struct message_queues *queues) {
    vring_complete(&queues->from_driver, queues->message.head, 0);
    const uint32_t state = queues->port->enter_critical(queues->port->context);
    queues->has_message = false;
    queues->serving = false;
    queues->port->leave_critical(queues->port->context, state);
}

bool message_queues_notify(struct message_queues *queues, const void *bytes, uint32_t size_bytes) {
    if (queues->serving && queues->has_buffer) {
        /* That buffer is the answer's; another one will do. */
        const struct vring_chain reserved = queues->buffer;
        queues->has_buffer = false;
        const bool found = have_buffer(queues);
        if (found) {
            fill_buffer(queues, bytes, size_bytes);
        }
        queues->buffer = reserved;
        queues->has_buffer = true;
        return found;
    }
    const bool waited_for = queues->has_message && !queues->serving;
    if ((waited_for && !queues->answered_last) || !have_buffer(queues)) {
        return false;
    }
    fill_buffer(queues, bytes, size_bytes);
    queues->answered_last = false;
    return true;
}

bool message_queues_want_buffers(struct message_queues *queues) {
    return vring_arm(&queues->to_driver);
}

void message_queues_flush(struct message_queues *queues) {
    vring_publish(&queues->to_driver);
    if (vring_wants_doorbell(&queues->to_driver)) {
        queues->port->ring_doorbell(queues->port->context, queues->to_driver.notify_id);
    }
}

bool message_queues_rest(struct message_queues *queues) {
    const struct hub_port *port = queues->port;
    struct vring_device *from_driver = &queues->from_driver;
    bool more = false;
    vring_publish(from_driver);
    const uint32_t state = port->enter_critical(port->context);
    /* Whoever waits, waits for a buffer: nothing can be done about a message before there is one. */
    const bool waits = queues->owed > 0 || queues->has_message;
    message_queues_flush(queues);
    if (vring_wants_doorbell(from_driver)) {
        port->ring_doorbell(port->context, from_driver->notify_id);
    }
    if (waits) {
        more = queues->has_buffer || vring_arm(&queues->to_driver);
    } else {
        vring_disarm(&queues->to_driver);
    }
    port->leave_critical(port->context, state);
    if (!waits) {
        more = vring_arm(from_driver);
    }
    return more;
}
