/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same as hostile_test.c for the message dialects: a driver that writes anything anywhere, in rings and
 * messages, also while the device looks. The device must stay inside the shared memory, return, and work after a reset.
 */
#include <string.h>

#include "message_fixture.h"

static struct message_fixture fixture;
static struct message_options options;

static uint32_t pick(uint32_t limit) {
    return random_below(&fixture.base.random, limit);
}

static uint64_t pick_address(void) {
    switch (pick(8)) {
    case 0:
        return (uint64_t)random_next(&fixture.base.random) << 32 | random_next(&fixture.base.random);
    case 1:
        return MEMORY_BASE + fixture.base.memory.size_bytes - pick(32);
    case 2:
        return UINT64_MAX - pick(64);
    default:
        return MEMORY_BASE + pick(fixture.base.memory.size_bytes);
    }
}

static void scribble_descriptor(void) {
    static const uint32_t sizes[] = {0, 1, 7, 8, 15, 16, 24, 30, 55, 56, 512, UINT32_MAX};
    const struct driver_queue *queue = pick(2) == 0 ? fixture.receive : fixture.transmit;
    queue_set_descriptor(queue, (uint16_t)pick(queue->num), pick_address(), sizes[pick(12)],
                         (uint16_t)(pick(10) == 0 ? pick(65536) : pick(4)),
                         (uint16_t)(pick(10) == 0 ? pick(65536) : pick(queue->num)));
}

static void scribble_in_the_middle(struct fixture *base) {
    if (pick(3) == 0) {
        scribble_descriptor();
    }
    if (pick(20) == 0) {
        base->memory.bytes[pick(base->memory.size_bytes)] = (uint8_t)pick(256);
    }
}

/* A message that is sound more often than not; the dialect's bytes are noise near to what it knows. */
static void plant_message(uint32_t address, uint32_t *size_bytes) {
    uint8_t *at = memory_at(&fixture.base.memory, address);
    uint8_t *payload = at;
    *size_bytes = 8;
    if (fixture.framed) {
        memset(at, 0, RPMSG_HEADER_BYTES);
        at[1] = DRIVER_ADDRESS >> 8;
        at[4] = pick(10) == 0 ? (uint8_t)pick(256) : RPMSG_LOCAL_ADDRESS;
        at[12] = pick(10) == 0 ? (uint8_t)pick(256) : 16;
        at[13] = pick(20) == 0 ? (uint8_t)pick(256) : 0;
        payload += RPMSG_HEADER_BYTES;
        *size_bytes = RPMSG_HEADER_BYTES + 16;
    }
    for (unsigned i = 0; i < 16; i++) {
        payload[i] = pick(12) == 0 ? (uint8_t)pick(256) : 0;
    }
    if (options.dialect == &rpmsg_gpio_srtm) {
        payload[0] = 5;
        payload[1] = 1;
        payload[4] = (uint8_t)pick(4);
        payload[10] = (uint8_t)pick(9);
        payload[12] = (uint8_t)pick(7);
    } else if (options.dialect == &rpmsg_gpio_io) {
        payload[0] = 0;
        payload[1] = (uint8_t)(2 + pick(5));
        payload[3] = (uint8_t)pick(9);
        payload[4] = (uint8_t)pick(9);
    } else {
        payload[0] = (uint8_t)(1 + pick(6));
        payload[2] = (uint8_t)pick(FIXTURE_LINES + 1);
        payload[4] = (uint8_t)(pick(2) == 0 ? pick(2) : pick(9));
    }
}

static uint16_t room_of(const struct driver_queue *queue, const struct vring_device *ring) {
    return (uint16_t)(queue->num - (uint16_t)(queue->available_index - ring->next_available));
}

static struct message_queues *queues_of_device(void) {
    return fixture.framed ? &fixture.rpmsg.rpmsg.queues : &fixture.metux.queues;
}

static void post_some(struct driver_queue *queue, const struct vring_device *ring) {
    if (pick(200) == 0) {
        queue_set_available_index(queue, (uint16_t)pick(65536));
        return;
    }
    const uint16_t room = room_of(queue, ring);
    for (uint32_t i = room <= queue->num ? pick(1u + room) : 0; i > 0; i--) {
        const uint16_t head = (uint16_t)pick(queue->num);
        if (pick(4) != 0) {
            const uint32_t address = fixture.pool + 1024u * pick(2u * queue->num);
            uint32_t size_bytes = 64u + pick(448);
            if (queue == fixture.transmit) {
                plant_message(address, &size_bytes);
            }
            queue_set_descriptor(queue, head, address, size_bytes,
                                 queue == fixture.receive ? (uint16_t)VRING_FLAG_WRITE : 0, 0);
        }
        queue_post(queue, pick(20) == 0 ? (uint16_t)pick(65536) : head);
    }
}

static void hostile_round(void) {
    const struct message_queues *queues = queues_of_device();
    for (unsigned i = pick(4); i > 0; i--) {
        scribble_descriptor();
    }
    post_some(fixture.receive, &queues->to_driver);
    post_some(fixture.transmit, &queues->from_driver);
    for (unsigned i = pick(5); i > 0; i--) {
        message_edge(&fixture, (uint16_t)pick(FIXTURE_LINES), (uint8_t)pick(2));
    }
    if (fixture.framed && pick(50) == 0) {
        rpmsg_set_present(&fixture.rpmsg.rpmsg, pick(2) == 0);
    }
    message_service(&fixture);
    CHECK_EQUAL(fixture.base.critical, 0);
    CHECK(queues->owed <= FIXTURE_LINES + 1);
}

/* After all that, a well-behaved driver is served. */
static void revive(void) {
    const struct hub_device *hub = &fixture.hub;
    fixture.base.disturb = NULL;
    fixture.base.memory.allocated = 0;
    hub->type->reset(hub->state);
    CHECK_EQUAL(queues_of_device()->owed, 0);
    memset(fixture.base.memory.bytes, 0, fixture.base.memory.size_bytes);
    queue_open(fixture.receive, &fixture.base.memory, 16, 1, 0);
    queue_open(fixture.transmit, &fixture.base.memory, 16, 2, 0);
    fixture.pool = memory_allocate(&fixture.base.memory, 32 * 1024, 16);
    CHECK_EQUAL(hub->type->negotiate(hub->state, options.features, options.features), 2);
    CHECK(hub->type->attach_queue(hub->state, 0, &fixture.receive->place));
    CHECK(hub->type->attach_queue(hub->state, 1, &fixture.transmit->place));
    for (unsigned line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(fixture.base.line[line].edges, 0);
    }
    if (fixture.framed) {
        rpmsg_set_present(&fixture.rpmsg.rpmsg, true);
        message_give_buffers(&fixture, 1);
        message_service(&fixture);
        CHECK(message_take(&fixture));
        CHECK_EQUAL(fixture.last_bytes, RPMSG_ANNOUNCEMENT_BYTES);
    }
    message_give_buffers(&fixture, 1);
    if (options.dialect == &rpmsg_gpio_srtm) {
        SEND(&fixture, 5, 1, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0);
        EXPECT(&fixture, 5, 1, 0, 1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0);
    } else if (options.dialect == &rpmsg_gpio_io) {
        SEND(&fixture, 0, 6, 0, 3, 0, 0);
        EXPECT(&fixture, 1, 6, 0, 3, 0, 0);
    } else if (fixture.framed) {
        SEND(&fixture, 6, 0, 3, 0, 0, 0, 0, 0);
        EXPECT(&fixture, 1, 0, 0);
    } else {
        SEND(&fixture, 1, 0, 3, 0, 0, 0, 0, 0);
        EXPECT(&fixture, 1, 0x80, 3, 0, 0, 0, 0, 0);
    }
}

static void hostile(const struct rpmsg_gpio_dialect *dialect, uint32_t more_features, uint64_t seed, bool in_the_middle) {
    const unsigned rounds = 5000;
    options = (struct message_options){
        .dialect = dialect, .features = (dialect != NULL ? F_NS : 0) | more_features,
    };
    message_open(&fixture, &options);
    fixture.base.random = seed;
    for (unsigned round = 0; round < rounds; round++) {
        fixture.base.disturb = in_the_middle ? scribble_in_the_middle : NULL;
        hostile_round();
        if (fixture.hub.type->broken(fixture.hub.state) || round % 1000 == 999) {
            revive();
        }
    }
    struct hub_counters counters;
    fixture.hub.type->read_counters(fixture.hub.state, &counters);
    CHECK(counters.requests > counters.refused && counters.refused > 0);
    CHECK(counters.events > 0 && counters.dropped > 0);
    for (unsigned i = 0; i < VRING_FAULT_KINDS; i++) {
        const struct message_queues *queues = queues_of_device();
        /* All kinds were met; only 4 GiB need a memory of that size. */
        CHECK(i == VRING_FAULT_LENGTH || queues->to_driver.faults[i] + queues->from_driver.faults[i] > 0);
    }
    CHECK(fixture.framed ? fixture.rpmsg.rpmsg.malformed > 0 : fixture.metux.counters.malformed > 0);
    message_close(&fixture);
}

static void all_dialects(uint64_t seed, bool in_the_middle) {
    static const struct rpmsg_gpio_dialect *const dialects[] = {
        NULL, &rpmsg_gpio_srtm, &rpmsg_gpio_io, &rpmsg_gpio_v14,
    };
    for (unsigned i = 0; i < 4; i++) {
        hostile(dialects[i], 0, seed + i, in_the_middle);
        hostile(dialects[i], F_EVENT_IDX, seed + 10 + i, in_the_middle);
    }
}

static void hostile_messages(void) {
    all_dialects(61, false);
}

static void messages_that_change_under_the_device(void) {
    all_dialects(81, true);
}

void message_hostile_tests(void) {
    RUN(hostile_messages);
    RUN(messages_that_change_under_the_device);
}
