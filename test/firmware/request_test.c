/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-gpio requests: the six messages, what they refuse, and their framing. */
#include <string.h>

#include "fixture.h"

static struct fixture fixture;

#define STATUS(type, line, value) fixture_status(&fixture, type, line, value)

static void expect(uint16_t type, uint16_t line, uint32_t value, uint8_t status, uint8_t result) {
    const struct response response = fixture_request(&fixture, type, line, value);
    CHECK(response.answered);
    CHECK_EQUAL(response.status, status);
    CHECK_EQUAL(response.value, result);
    CHECK_EQUAL(response.length, 2);
}

static void config_and_features(void) {
    struct virtio_gpio_config config;
    fixture_open(&fixture, 0);
    virtio_gpio_read_config(&fixture.device, &config);
    CHECK_EQUAL(sizeof config, 8);
    CHECK_EQUAL(config.ngpio, FIXTURE_LINES);
    CHECK_EQUAL(config.padding[0] | config.padding[1], 0);
    CHECK_EQUAL(config.gpio_names_size, FIXTURE_NAMES_BYTES);
    CHECK_EQUAL(virtio_gpio_features() & ~(1u << 29), 0x10001);
    CHECK(!virtio_gpio_negotiate(&fixture.device, 1u << 28, virtio_gpio_features()));
    CHECK(!virtio_gpio_negotiate(&fixture.device, F_STREAM, F_IRQ)); /* this port does not offer it */
    CHECK(virtio_gpio_negotiate(&fixture.device, F_IRQ, F_IRQ));
    fixture_close(&fixture);
}

static void names_in_any_room(void) {
    fixture_open(&fixture, 0);
    const uint32_t at = memory_allocate(&fixture.memory, 8 + 1 + FIXTURE_NAMES_BYTES + 20, 1);
    uint8_t *bytes = memory_at(&fixture.memory, at);
    const uint32_t full = 1 + FIXTURE_NAMES_BYTES;
    for (uint32_t room = 0; room <= full + 9; room++) {
        memset(bytes, 0, 8);
        memset(bytes + 8, 0xEE, full + 20);
        bytes[0] = VIRTIO_GPIO_GET_LINE_NAMES;
        const struct part parts[] = {{at, 8, false}, {at + 8, room, true}};
        struct used_entry entry;
        (void)queue_add(&fixture.request, parts, room == 0 ? 1 : 2);
        fixture_service(&fixture);
        CHECK(queue_take(&fixture.request, &entry));
        if (room >= full) {
            CHECK_EQUAL(entry.length, full);
            CHECK_EQUAL(bytes[8], VIRTIO_GPIO_OK);
            CHECK(memcmp(bytes + 9, FIXTURE_NAMES, FIXTURE_NAMES_BYTES) == 0);
        } else {
            CHECK_EQUAL(entry.length, room);
            CHECK(room == 0 || bytes[8] == VIRTIO_GPIO_ERR);
            CHECK(room < 2 || bytes[9] == 0);
        }
        CHECK_EQUAL(bytes[8 + (room < full ? room : full)], 0xEE);
    }
    fixture_close(&fixture);
}

static void a_device_without_names(void) {
    fixture_open(&fixture, 0);
    fixture.device.names = NULL;
    fixture.device.names_bytes = 0;
    expect(VIRTIO_GPIO_GET_LINE_NAMES, 0, 0, VIRTIO_GPIO_ERR, 0);
    fixture_close(&fixture);
}

static void directions(void) {
    fixture_open(&fixture, 0);
    static const uint8_t order[] = {2, 1, 0, 1, 2, 0, 2};
    expect(VIRTIO_GPIO_GET_DIRECTION, 3, 0, VIRTIO_GPIO_OK, 0);
    for (unsigned i = 0; i < sizeof order; i++) {
        expect(VIRTIO_GPIO_SET_DIRECTION, 3, order[i], VIRTIO_GPIO_OK, 0);
        expect(VIRTIO_GPIO_GET_DIRECTION, 3, 0, VIRTIO_GPIO_OK, order[i]);
        CHECK_EQUAL(fixture.line[3].direction, order[i]);
        expect(VIRTIO_GPIO_GET_DIRECTION, 4, 0, VIRTIO_GPIO_OK, 0);
    }
    fixture_close(&fixture);
}

static void a_value_before_the_direction_is_held(void) {
    fixture_open(&fixture, 0);
    expect(VIRTIO_GPIO_SET_VALUE, 2, 1, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(fixture.line[2].level, 0);
    expect(VIRTIO_GPIO_GET_VALUE, 2, 0, VIRTIO_GPIO_OK, 0); /* the wire */
    expect(VIRTIO_GPIO_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_OUT, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(fixture.line[2].level, 1);
    expect(VIRTIO_GPIO_GET_VALUE, 2, 0, VIRTIO_GPIO_OK, 1);
    expect(VIRTIO_GPIO_SET_VALUE, 2, 0, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(fixture.line[2].level, 0);
    /* From out to in and out again the last value counts; after none it starts low. */
    expect(VIRTIO_GPIO_SET_VALUE, 2, 1, VIRTIO_GPIO_OK, 0);
    expect(VIRTIO_GPIO_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_IN, VIRTIO_GPIO_OK, 0);
    fixture.line[2].level = 0;
    expect(VIRTIO_GPIO_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_OUT, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(fixture.line[2].level, 1);
    expect(VIRTIO_GPIO_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_NONE, VIRTIO_GPIO_OK, 0);
    expect(VIRTIO_GPIO_SET_DIRECTION, 2, VIRTIO_GPIO_DIRECTION_OUT, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(fixture.line[2].level, 0);
    fixture_close(&fixture);
}

static void inputs_are_read(void) {
    fixture_open(&fixture, 0);
    expect(VIRTIO_GPIO_SET_DIRECTION, 1, VIRTIO_GPIO_DIRECTION_IN, VIRTIO_GPIO_OK, 0);
    fixture.line[1].level = 1;
    expect(VIRTIO_GPIO_GET_VALUE, 1, 0, VIRTIO_GPIO_OK, 1);
    fixture.line[1].level = 0;
    expect(VIRTIO_GPIO_GET_VALUE, 1, 0, VIRTIO_GPIO_OK, 0);
    fixture_close(&fixture);
}

static void refusals_change_nothing(void) {
    fixture_open(&fixture, F_IRQ);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 0, 3), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 0, 0x10001), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(fixture.line[0].direction, 0);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 0, 1), VIRTIO_GPIO_OK);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_VALUE, 0, 2), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_VALUE, 0, 0xFFFFFFFF), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_VALUE, 0, 0x100), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(fixture.line[0].level, 0);
    for (uint16_t type = VIRTIO_GPIO_GET_DIRECTION; type <= VIRTIO_GPIO_SET_IRQ_TYPE; type++) {
        CHECK_EQUAL(STATUS(type, FIXTURE_LINES, 0), VIRTIO_GPIO_ERR);
        CHECK_EQUAL(STATUS(type, 65535, 0), VIRTIO_GPIO_ERR);
    }
    CHECK_EQUAL(STATUS(0, 0, 0), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(STATUS(7, 0, 0), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(STATUS(0x0104, 0, 0), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(fixture.device.counters.refused, 5 + 10 + 3);
    CHECK_EQUAL(fixture.device.counters.requests, 5 + 10 + 3 + 1);
    fixture_close(&fixture);
}

static void what_the_hardware_refuses_is_an_error(void) {
    fixture_open(&fixture, F_IRQ);
    fixture.line[5].refuses = true;
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 5, 1), VIRTIO_GPIO_ERR);
    expect(VIRTIO_GPIO_GET_DIRECTION, 5, 0, VIRTIO_GPIO_OK, 0);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_IRQ_TYPE, 5, VIRTIO_GPIO_IRQ_BOTH), VIRTIO_GPIO_ERR);
    fixture.line[5].refuses = false;
    /* The refused type was not remembered: another one is no change. */
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_IRQ_TYPE, 5, VIRTIO_GPIO_IRQ_RISING), VIRTIO_GPIO_OK);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_IRQ_TYPE, 5, VIRTIO_GPIO_IRQ_NONE), VIRTIO_GPIO_OK);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 5, 1), VIRTIO_GPIO_OK);
    fixture.line[5].refuses = true;
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_VALUE, 5, 1), VIRTIO_GPIO_ERR);
    fixture.line[5].refuses = false;
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 5, 1), VIRTIO_GPIO_OK);
    CHECK_EQUAL(fixture.line[5].level, 0);
    fixture_close(&fixture);
}

/* A GET_VALUE of a high line, cut into readable and writable pieces at every place. */
static void any_framing(void) {
    fixture_open(&fixture, 0);
    fixture.line[6].level = 1;
    const uint32_t at = memory_allocate(&fixture.memory, 32, 1) + 1; /* unaligned as well */
    uint8_t *bytes = memory_at(&fixture.memory, at);
    for (unsigned cuts = 0; cuts < 256; cuts++) {
        struct part parts[10];
        unsigned count = 0;
        memset(bytes, 0, 8);
        bytes[0] = VIRTIO_GPIO_GET_VALUE;
        bytes[2] = 6;
        bytes[8] = bytes[9] = bytes[10] = 0xEE;
        for (unsigned i = 0; i < 10; i++) {
            const bool cut = i == 0 || i == 8 || (i < 8 ? cuts >> (i - 1) & 1 : cuts >> 7 & 1);
            if (cut) {
                parts[count++] = (struct part){at + i, 0, i >= 8};
            }
            parts[count - 1].size_bytes++;
        }
        struct used_entry entry;
        const uint16_t head = queue_add(&fixture.request, parts, count);
        fixture_service(&fixture);
        CHECK(queue_take(&fixture.request, &entry));
        CHECK_EQUAL(entry.id, head);
        CHECK_EQUAL(entry.length, 2);
        CHECK_EQUAL(bytes[8], VIRTIO_GPIO_OK);
        CHECK_EQUAL(bytes[9], 1);
        CHECK_EQUAL(bytes[10], 0xEE);
    }
    fixture_close(&fixture);
}

static void wrong_sizes(void) {
    fixture_open(&fixture, 0);
    fixture.line[0].level = 1;
    const uint32_t at = memory_allocate(&fixture.memory, 64, 1);
    uint8_t *bytes = memory_at(&fixture.memory, at);
    for (uint32_t readable = 0; readable <= 12; readable++) {
        for (uint32_t writable = 0; writable <= 4; writable++) {
            if (readable + writable == 0) {
                continue;
            }
            memset(bytes, 0, 16);
            bytes[0] = VIRTIO_GPIO_GET_VALUE;
            memset(bytes + 16, 0xEE, 8);
            struct part parts[2];
            unsigned count = 0;
            if (readable > 0) {
                parts[count++] = (struct part){at, readable, false};
            }
            if (writable > 0) {
                parts[count++] = (struct part){at + 16, writable, true};
            }
            const uint32_t faults = fixture.device.request_queue.faults[VRING_FAULT_SHAPE];
            struct used_entry entry;
            (void)queue_add(&fixture.request, parts, count);
            fixture_service(&fixture);
            CHECK(queue_take(&fixture.request, &entry));
            CHECK_EQUAL(entry.length, writable < 2 ? writable : 2);
            const bool sound = readable == 8 && writable >= 2;
            CHECK(writable < 1 || bytes[16] == (sound ? VIRTIO_GPIO_OK : VIRTIO_GPIO_ERR));
            CHECK(writable < 2 || bytes[17] == (sound ? 1 : 0));
            CHECK_EQUAL(bytes[16 + (writable < 2 ? writable : 2)], 0xEE);
            CHECK_EQUAL(fixture.device.request_queue.faults[VRING_FAULT_SHAPE], faults + (writable == 0));
        }
    }
    fixture_close(&fixture);
}

static void a_batch_is_answered_in_order_with_one_doorbell(void) {
    fixture_open(&fixture, F_EVENT_IDX);
    const uint32_t at = memory_allocate(&fixture.memory, 16 * 20, 1);
    uint16_t heads[20];
    for (uint32_t i = 0; i < 20; i++) {
        uint8_t *bytes = memory_at(&fixture.memory, at + 16 * i);
        bytes[0] = i % 3 == 0 ? VIRTIO_GPIO_GET_VALUE : VIRTIO_GPIO_SET_VALUE;
        const struct part parts[] = {{at + 16 * i, 8, false}, {at + 16 * i + 8, 2, true}};
        heads[i] = queue_add(&fixture.request, parts, 2);
    }
    fixture_service(&fixture);
    CHECK_EQUAL(fixture.doorbells[1], 1);
    CHECK_EQUAL(fixture.doorbells[2], 0);
    for (uint32_t i = 0; i < 20; i++) {
        struct used_entry entry;
        CHECK(queue_take(&fixture.request, &entry));
        CHECK_EQUAL(entry.id, heads[i]);
    }
    fixture_close(&fixture);
}

/* While one request is looked at, the driver posts it again. */
static void post_again(struct fixture *at) {
    const uint16_t ahead = (uint16_t)(at->request.available_index - at->device.request_queue.next_available);
    if (ahead < at->request.num) {
        queue_post(&at->request, 0);
    }
}

static void a_driver_without_end_is_served_a_queue_at_a_time(void) {
    fixture_open_at(&fixture, 0, 4, 4, 0);
    const struct part part = {MEMORY_BASE, 4, true};
    (void)queue_add(&fixture.request, &part, 1);
    fixture.disturb = post_again;
    for (uint16_t call = 1; call <= 5; call++) {
        CHECK(virtio_gpio_service(&fixture.device));
        CHECK_EQUAL(queue_used_index(&fixture.request), 4 * call);
    }
    fixture.disturb = NULL;
    fixture_service(&fixture);
    CHECK(!virtio_gpio_broken(&fixture.device));
    fixture_close(&fixture);
}

static void reset_forgets_queues_but_not_lines(void) {
    fixture_open(&fixture, F_IRQ);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_VALUE, 1, 1), VIRTIO_GPIO_OK);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_DIRECTION, 1, 1), VIRTIO_GPIO_OK);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_IRQ_TYPE, 2, VIRTIO_GPIO_IRQ_BOTH), VIRTIO_GPIO_OK);
    CHECK_EQUAL(fixture.line[2].edges, 3);
    virtio_gpio_reset(&fixture.device);
    CHECK_EQUAL(fixture.line[2].edges, 0);
    CHECK_EQUAL(fixture.line[1].direction, 1);
    CHECK_EQUAL(fixture.line[1].level, 1);
    CHECK(!fixture_request(&fixture, VIRTIO_GPIO_GET_VALUE, 1, 0).answered);
    CHECK(!virtio_gpio_service(&fixture.device));
    /* Bound again, on fresh rings and without interrupts. */
    queue_open(&fixture.request, &fixture.memory, 16, 1, 0);
    CHECK(virtio_gpio_negotiate(&fixture.device, 0, virtio_gpio_features()));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_REQUEST_QUEUE, &fixture.request.place));
    expect(VIRTIO_GPIO_GET_DIRECTION, 1, 0, VIRTIO_GPIO_OK, 1);
    expect(VIRTIO_GPIO_GET_VALUE, 1, 0, VIRTIO_GPIO_OK, 1);
    CHECK_EQUAL(STATUS(VIRTIO_GPIO_SET_IRQ_TYPE, 2, VIRTIO_GPIO_IRQ_BOTH), VIRTIO_GPIO_ERR);
    fixture_close(&fixture);
}

void request_tests(void) {
    RUN(config_and_features);
    RUN(names_in_any_room);
    RUN(a_device_without_names);
    RUN(directions);
    RUN(a_value_before_the_direction_is_held);
    RUN(inputs_are_read);
    RUN(refusals_change_nothing);
    RUN(what_the_hardware_refuses_is_an_error);
    RUN(any_framing);
    RUN(wrong_sizes);
    RUN(a_batch_is_answered_in_order_with_one_doorbell);
    RUN(a_driver_without_end_is_served_a_queue_at_a_time);
    RUN(reset_forgets_queues_but_not_lines);
}
