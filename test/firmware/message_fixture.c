/* SPDX-License-Identifier: Apache-2.0 */
#include "message_fixture.h"

#include <stdio.h>
#include <string.h>

#define SLOT_BYTES 1024u

void message_open(struct message_fixture *fixture, const struct message_options *options) {
    memset(fixture, 0, sizeof *fixture);
    fixture_open_bare(&fixture->base);
    const uint16_t num = options->num == 0 ? 16 : options->num;
    fixture->receive = &fixture->base.request;
    fixture->transmit = &fixture->base.event;
    queue_open(fixture->receive, &fixture->base.memory, num, 1, options->start_index);
    queue_open(fixture->transmit, &fixture->base.memory, num, 2, options->start_index);
    fixture->pool = memory_allocate(&fixture->base.memory, 2 * num * SLOT_BYTES, 16);
    fixture->framed = options->dialect != NULL;
    uint32_t offered = metux_gpio_features();
    if (fixture->framed) {
        fixture->hub = (struct hub_device){&rpmsg_gpio_type, &fixture->rpmsg};
        fixture->buffer_bytes = RPMSG_BUFFER_BYTES;
        rpmsg_gpio_init(&fixture->rpmsg, &fixture->base.port, options->dialect, fixture->rpmsg_lines, FIXTURE_LINES,
                        options->options);
        offered = rpmsg_features();
    } else {
        fixture->hub = (struct hub_device){&metux_gpio_type, &fixture->metux};
        fixture->buffer_bytes = METUX_BUFFER_BYTES;
        metux_gpio_init(&fixture->metux, &fixture->base.port, fixture->metux_lines, FIXTURE_LINES,
                        options->reply_bits == 0 ? METUX_GPIO_REPLY : options->reply_bits);
    }
    CHECK_EQUAL(fixture->hub.type->negotiate(fixture->hub.state, options->features, offered), 2);
    CHECK(fixture->hub.type->attach_queue(fixture->hub.state, 0, &fixture->receive->place));
    CHECK(fixture->hub.type->attach_queue(fixture->hub.state, 1, &fixture->transmit->place));
}

void message_open_ready(struct message_fixture *fixture, const struct rpmsg_gpio_dialect *dialect, uint8_t options,
                        unsigned buffers) {
    const struct message_options all = {
        .dialect = dialect, .options = options, .features = dialect != NULL ? F_NS : 0,
    };
    message_open(fixture, &all);
    if (dialect != NULL) {
        message_give_buffers(fixture, 1);
        message_service(fixture);
        CHECK(message_take(fixture));
        CHECK_EQUAL(fixture->last_bytes, RPMSG_ANNOUNCEMENT_BYTES);
    }
    message_give_buffers(fixture, buffers);
    message_service(fixture);
}

void message_close(struct message_fixture *fixture) {
    fixture_close(&fixture->base);
}

/* The descriptor that queue_add takes next. */
static uint16_t next_slot(const struct driver_queue *queue) {
    uint16_t slot = 0;
    while (queue->busy[slot]) {
        slot++;
    }
    return slot;
}

void message_give_buffers(struct message_fixture *fixture, unsigned count) {
    for (; count > 0; count--) {
        const uint32_t address = fixture->pool + SLOT_BYTES * next_slot(fixture->receive);
        memset(memory_at(&fixture->base.memory, address), 0xEE, SLOT_BYTES);
        const struct part part = {address, fixture->buffer_bytes, true};
        (void)queue_add(fixture->receive, &part, 1);
    }
}

void message_post(struct message_fixture *fixture, const uint8_t *bytes, uint32_t size_bytes) {
    const uint32_t address =
        fixture->pool + SLOT_BYTES * (fixture->receive->num + (uint32_t)next_slot(fixture->transmit));
    uint8_t *at = memory_at(&fixture->base.memory, address);
    const uint32_t header_bytes = fixture->framed ? RPMSG_HEADER_BYTES : 0;
    if (fixture->framed) {
        const uint8_t header[RPMSG_HEADER_BYTES] = {
            (uint8_t)DRIVER_ADDRESS, DRIVER_ADDRESS >> 8, 0, 0, RPMSG_LOCAL_ADDRESS, 0, 0, 0, 0, 0, 0, 0,
            (uint8_t)size_bytes,
        };
        memcpy(at, header, sizeof header);
    }
    memcpy(at + header_bytes, bytes, size_bytes);
    const struct part part = {address, header_bytes + size_bytes, false};
    (void)queue_add(fixture->transmit, &part, 1);
}

void message_service(struct message_fixture *fixture) {
    for (unsigned calls = 0; fixture->hub.type->service(fixture->hub.state); calls++) {
        CHECK(calls < 100);
        if (calls >= 100) {
            break;
        }
    }
}

bool message_take(struct message_fixture *fixture) {
    struct used_entry entry;
    if (!queue_take(fixture->receive, &entry)) {
        return false;
    }
    const uint8_t *at = memory_at(&fixture->base.memory, fixture->pool + SLOT_BYTES * entry.id);
    const uint32_t header_bytes = fixture->framed ? RPMSG_HEADER_BYTES : 0;
    CHECK(entry.length >= header_bytes && entry.length <= sizeof fixture->last);
    fixture->last_bytes = entry.length - header_bytes;
    memcpy(fixture->last, at + header_bytes, fixture->last_bytes);
    CHECK_EQUAL(at[entry.length], 0xEE); /* nothing behind it was touched */
    if (fixture->framed) {
        const bool announcement = fixture->last_bytes == RPMSG_ANNOUNCEMENT_BYTES;
        const uint8_t header[RPMSG_HEADER_BYTES] = {
            RPMSG_LOCAL_ADDRESS,
            0, 0, 0,
            (uint8_t)(announcement ? RPMSG_NAME_SERVICE_ADDRESS : DRIVER_ADDRESS & 0xFFu),
            (uint8_t)(announcement ? 0u : DRIVER_ADDRESS >> 8),
            0, 0, 0, 0, 0, 0,
            (uint8_t)fixture->last_bytes,
        };
        CHECK(memcmp(at, header, sizeof header) == 0);
    }
    return true;
}

unsigned message_returned(struct message_fixture *fixture) {
    struct used_entry entry;
    unsigned count = 0;
    while (queue_take(fixture->transmit, &entry)) {
        CHECK_EQUAL(entry.length, 0);
        count++;
    }
    return count;
}

void message_edge(struct message_fixture *fixture, uint16_t line, uint8_t level) {
    fixture->base.line[line].level = level;
    hub_line_changed(&fixture->hub, line, level);
    hub_flush_events(&fixture->hub);
}

bool message_is(const struct message_fixture *fixture, const uint8_t *bytes, uint32_t size_bytes) {
    if (fixture->last_bytes == size_bytes && memcmp(fixture->last, bytes, size_bytes) == 0) {
        return true;
    }
    fprintf(stderr, "got ");
    for (uint32_t i = 0; i < fixture->last_bytes; i++) {
        fprintf(stderr, "%02x", fixture->last[i]);
    }
    fprintf(stderr, ", wanted ");
    for (uint32_t i = 0; i < size_bytes; i++) {
        fprintf(stderr, "%02x", bytes[i]);
    }
    fprintf(stderr, "\n");
    return false;
}
