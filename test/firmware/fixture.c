/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static void *fake_translate(void *context, uint64_t address, uint32_t size_bytes) {
    struct fixture *fixture = context;
    if (fixture->disturb != NULL) {
        fixture->disturb(fixture);
    }
    if (address < MEMORY_BASE || address - MEMORY_BASE > fixture->memory.size_bytes ||
        size_bytes > fixture->memory.size_bytes - (address - MEMORY_BASE)) {
        return NULL;
    }
    return memory_at(&fixture->memory, address);
}

static void fake_ring_doorbell(void *context, uint32_t notify_id) {
    struct fixture *fixture = context;
    CHECK(notify_id < 3);
    CHECK(fixture->critical > 0);
    fixture->doorbells[notify_id % 3]++;
}

static uint8_t fake_read_level(void *context, uint16_t line) {
    return ((struct fixture *)context)->line[line].level;
}

static bool fake_write_level(void *context, uint16_t line, uint8_t level) {
    struct fake_line *fake = &((struct fixture *)context)->line[line];
    CHECK(level <= 1);
    CHECK_EQUAL(fake->direction, VIRTIO_GPIO_DIRECTION_OUT);
    if (fake->refuses) {
        return false;
    }
    fake->level = level;
    return true;
}

static bool fake_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
    struct fake_line *fake = &((struct fixture *)context)->line[line];
    CHECK(direction <= VIRTIO_GPIO_DIRECTION_IN);
    if (fake->refuses) {
        return false;
    }
    fake->direction = direction;
    if (direction == VIRTIO_GPIO_DIRECTION_OUT) {
        fake->level = level;
    }
    return true;
}

static bool fake_enable_edges(void *context, uint16_t line, unsigned edges) {
    struct fake_line *fake = &((struct fixture *)context)->line[line];
    if (fake->refuses) {
        return false;
    }
    fake->edges = edges;
    return true;
}

static uint32_t fake_enter_critical(void *context) {
    return (uint32_t)((struct fixture *)context)->critical++;
}

static void fake_leave_critical(void *context, uint32_t state) {
    struct fixture *fixture = context;
    fixture->critical--;
    CHECK_EQUAL(fixture->critical, state);
}

static uint64_t fake_clock_ns(void *context) {
    return ((struct fixture *)context)->clock_ns += 1000;
}

void fixture_open_bare(struct fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    memory_open(&fixture->memory, 65536);
    fixture->port = (struct hub_port){
        .context = fixture,
        .translate = fake_translate,
        .ring_doorbell = fake_ring_doorbell,
        .read_level = fake_read_level,
        .write_level = fake_write_level,
        .set_direction = fake_set_direction,
        .enable_edges = fake_enable_edges,
        .enter_critical = fake_enter_critical,
        .leave_critical = fake_leave_critical,
        .clock_ns = fake_clock_ns,
    };
    fixture->state = calloc(FIXTURE_LINES, sizeof *fixture->state);
    virtio_gpio_init(&fixture->device, &fixture->port, fixture->state, FIXTURE_LINES, FIXTURE_NAMES,
                     FIXTURE_NAMES_BYTES);
}

void fixture_open_at(struct fixture *fixture, uint32_t features, uint16_t request_num, uint16_t event_num,
                     uint16_t start_index) {
    fixture_open_bare(fixture);
    queue_open(&fixture->request, &fixture->memory, request_num, 1, start_index);
    queue_open(&fixture->event, &fixture->memory, event_num, 2, start_index);
    CHECK(virtio_gpio_negotiate(&fixture->device, features, virtio_gpio_features()));
    CHECK(virtio_gpio_attach_queue(&fixture->device, VIRTIO_GPIO_REQUEST_QUEUE, &fixture->request.place));
    CHECK(virtio_gpio_attach_queue(&fixture->device, VIRTIO_GPIO_EVENT_QUEUE, &fixture->event.place));
}

void fixture_open(struct fixture *fixture, uint32_t features) {
    fixture_open_at(fixture, features, 64, 64, 0);
}

void fixture_close(struct fixture *fixture) {
    CHECK_EQUAL(fixture->critical, 0);
    memory_close(&fixture->memory);
    free(fixture->state);
}

void fixture_service(struct fixture *fixture) {
    while (virtio_gpio_service(&fixture->device)) {
    }
}

struct response fixture_request(struct fixture *fixture, uint16_t type, uint16_t line, uint32_t value) {
    const uint32_t mark = fixture->memory.allocated;
    const uint32_t address = memory_allocate(&fixture->memory, 10, 1);
    uint8_t *bytes = memory_at(&fixture->memory, address);
    const uint8_t message[10] = {
        (uint8_t)type,         (uint8_t)(type >> 8),   (uint8_t)line,         (uint8_t)(line >> 8), (uint8_t)value,
        (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24), 0xEE,                0xEE,
    };
    memcpy(bytes, message, sizeof message);
    const struct part parts[] = {{address, 8, false}, {address + 8, 2, true}};
    const uint16_t head = queue_add(&fixture->request, parts, 2);
    fixture_service(fixture);
    struct used_entry entry;
    struct response response = {0};
    if (queue_take(&fixture->request, &entry)) {
        CHECK_EQUAL(entry.id, head);
        response = (struct response){true, bytes[8], bytes[9], entry.length};
    }
    fixture->memory.allocated = mark;
    return response;
}

uint8_t fixture_status(struct fixture *fixture, uint16_t type, uint16_t line, uint32_t value) {
    const struct response response = fixture_request(fixture, type, line, value);
    CHECK(response.answered);
    CHECK_EQUAL(response.length, 2);
    return response.status;
}

uint32_t fixture_queue_event(struct fixture *fixture, uint16_t line) {
    const uint32_t address = memory_allocate(&fixture->memory, 3, 1);
    uint8_t *bytes = memory_at(&fixture->memory, address);
    bytes[0] = (uint8_t)line;
    bytes[1] = (uint8_t)(line >> 8);
    bytes[2] = 0xEE;
    const struct part parts[] = {{address, 2, false}, {address + 2, 1, true}};
    (void)queue_add(&fixture->event, parts, 2);
    fixture_service(fixture);
    return address + 2;
}

uint32_t fixture_queue_record(struct fixture *fixture) {
    const uint32_t address = memory_allocate(&fixture->memory, 16, 8);
    const struct part part = {address, 16, true};
    (void)queue_add(&fixture->event, &part, 1);
    return address;
}

void fixture_edge(struct fixture *fixture, uint16_t line, uint8_t level) {
    fixture->line[line].level = level;
    virtio_gpio_line_changed(&fixture->device, line, level);
    virtio_gpio_flush_events(&fixture->device);
}
