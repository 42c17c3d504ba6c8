/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that writes anything anywhere, also while the device looks: the device must stay inside the
 * shared memory (the address sanitizer watches its ends), return, and work again after a reset.
 */
#include <string.h>

#include "fixture.h"

static struct fixture fixture;

static uint32_t pick(uint32_t limit) {
    return random_below(&fixture.random, limit);
}

static const struct driver_queue *pick_queue(void) {
    return pick(2) == 0 ? &fixture.request : &fixture.event;
}

/* Values that reach past the first check more often than plain noise does. */
static uint64_t pick_address(void) {
    switch (pick(8)) {
    case 0:
        return (uint64_t)random_next(&fixture.random) << 32 | random_next(&fixture.random);
    case 1:
        return MEMORY_BASE + fixture.memory.size_bytes - pick(32);
    case 2:
        return MEMORY_BASE - pick(32);
    case 3:
        return UINT64_MAX - pick(64);
    default:
        return MEMORY_BASE + pick(fixture.memory.size_bytes);
    }
}

static uint32_t pick_size(void) {
    static const uint32_t sizes[] = {0, 1, 2, 8, 16, 64, 65536, UINT32_MAX};
    return sizes[pick(8)] + (pick(4) == 0 ? pick(16) : 0);
}

static void scribble_descriptor(void) {
    const struct driver_queue *queue = pick_queue();
    queue_set_descriptor(queue, (uint16_t)pick(queue->num), pick_address(), pick_size(),
                         (uint16_t)(pick(10) == 0 ? pick(65536) : pick(4)),
                         (uint16_t)(pick(10) == 0 ? pick(65536) : pick(queue->num)));
}

static void scribble_in_the_middle(struct fixture *at) {
    (void)at;
    if (pick(3) == 0) {
        scribble_descriptor();
    }
    if (pick(50) == 0) {
        fixture.memory.bytes[pick(fixture.memory.size_bytes)] = (uint8_t)pick(256);
    }
}

/* Sound requests and buffers among the rest, so that interrupts get enabled and lines get buffers. */
static void plant_message(uint32_t address) {
    uint8_t *bytes = memory_at(&fixture.memory, address);
    memset(bytes, 0, 8);
    bytes[0] = (uint8_t)(1 + pick(6));
    bytes[2] = (uint8_t)pick(FIXTURE_LINES);
    bytes[4] = (uint8_t)pick(9);
}

static void hostile_round(uint32_t area) {
    struct driver_queue *queues[] = {&fixture.request, &fixture.event};
    for (unsigned i = pick(6); i > 0; i--) {
        scribble_descriptor();
    }
    for (unsigned q = 0; q < 2; q++) {
        struct driver_queue *queue = queues[q];
        if (pick(200) == 0) {
            queue_set_available_index(queue, (uint16_t)pick(65536));
            continue;
        }
        /* Not more than fit, or every round would break the ring at once. */
        uint16_t room = (uint16_t)(queue->num - (uint16_t)(queue->available_index - fixture.device.request_queue.next_available));
        if (q == 1) {
            room = (uint16_t)(queue->num - (uint16_t)(queue->available_index - fixture.device.event_queue.next_available));
        }
        for (uint32_t i = room <= queue->num ? pick(1u + room) : 0; i > 0; i--) {
            const uint16_t head = (uint16_t)pick(queue->num);
            if (pick(2) == 0) {
                const uint32_t at = area + 16 * pick(64);
                const uint16_t next = (uint16_t)((head + 1) % queue->num);
                plant_message(at);
                queue_set_descriptor(queue, head, at, q == 0 ? 8 : 2, VRING_FLAG_NEXT, next);
                queue_set_descriptor(queue, next, at + 8, 16, VRING_FLAG_WRITE, 0);
            }
            queue_post(queue, pick(20) == 0 ? (uint16_t)pick(65536) : head);
        }
    }
    for (unsigned i = pick(5); i > 0; i--) {
        fixture_edge(&fixture, (uint16_t)pick(FIXTURE_LINES + 1) % FIXTURE_LINES, (uint8_t)pick(2));
    }
    for (unsigned calls = 0; virtio_gpio_service(&fixture.device); calls++) {
        CHECK(calls < 10); /* nothing is posted meanwhile, so it has to come to an end */
        if (calls >= 10) {
            break;
        }
    }
    CHECK_EQUAL(fixture.critical, 0);
}

/* After all that, a well-behaved driver is served. */
static void revive(uint32_t features) {
    fixture.disturb = NULL;
    fixture.memory.allocated = 0;
    virtio_gpio_reset(&fixture.device);
    memset(fixture.memory.bytes, 0, fixture.memory.size_bytes);
    queue_open(&fixture.request, &fixture.memory, 16, 1, 0);
    queue_open(&fixture.event, &fixture.memory, 32, 2, 0);
    CHECK(virtio_gpio_negotiate(&fixture.device, features, virtio_gpio_features()));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_REQUEST_QUEUE, &fixture.request.place));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_EVENT_QUEUE, &fixture.event.place));
    for (uint16_t line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, line, 2), VIRTIO_GPIO_OK);
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, 3), VIRTIO_GPIO_OK);
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, line, 0), VIRTIO_GPIO_OK);
    }
}

static void hostile(uint32_t features, uint64_t seed, unsigned rounds, bool in_the_middle) {
    fixture_open_at(&fixture, features, 16, 32, 0);
    fixture.random = seed;
    uint32_t area = memory_allocate(&fixture.memory, 16 * 66, 16);
    uint32_t faults[VRING_FAULT_KINDS] = {0};
    for (unsigned round = 0; round < rounds; round++) {
        fixture.disturb = in_the_middle ? scribble_in_the_middle : NULL;
        hostile_round(area);
        if (virtio_gpio_broken(&fixture.device) || round + 1 == rounds) {
            revive(features);
            area = memory_allocate(&fixture.memory, 16 * 66, 16);
        }
    }
    for (unsigned i = 0; i < VRING_FAULT_KINDS; i++) {
        faults[i] = fixture.device.request_queue.faults[i] + fixture.device.event_queue.faults[i];
        /* All kinds were met; only 4 GiB need a memory of that size. */
        CHECK(i == VRING_FAULT_LENGTH || faults[i] > 0);
    }
    CHECK(fixture.device.counters.requests > fixture.device.counters.refused);
    fixture_close(&fixture);
}

static void hostile_rings(void) {
    hostile(F_IRQ, 31, 20000, false);
    hostile(F_IRQ | F_EVENT_IDX, 32, 20000, false);
    hostile(F_IRQ | F_STREAM, 33, 20000, false);
    hostile(F_IRQ | F_STREAM | F_EVENT_IDX, 34, 20000, false);
}

static void rings_that_change_under_the_device(void) {
    hostile(F_IRQ, 41, 20000, true);
    hostile(F_IRQ | F_EVENT_IDX, 42, 20000, true);
    hostile(F_IRQ | F_STREAM, 43, 20000, true);
    hostile(F_IRQ | F_STREAM | F_EVENT_IDX, 44, 20000, true);
}

void hostile_tests(void) {
    RUN(hostile_rings);
    RUN(rings_that_change_under_the_device);
}
