/* SPDX-License-Identifier: Apache-2.0 */
/* metux virtio-gpio, byte by byte; few buffers; many. */
#include <string.h>

#include "message_fixture.h"

static struct message_fixture fixture;

#define MESSAGE(type, line, value) type, 0, line, 0, value, 0, 0, 0
#define REPLY(type, line, value) type, 0x80, line, 0, value, 0, 0, 0
#define ERROR_REPLY(type, line, error) type, 0x80, line, 0, (uint8_t)-(error), 0xFF, 0xFF, 0xFF
#define LEVEL(line, value) 0x11, 0, line, 0, value, 0, 0, 0

static void open_metux(unsigned buffers) {
    message_open_ready(&fixture, NULL, 0, buffers);
}

static void requests(void) {
    open_metux(16);
    SEND(&fixture, MESSAGE(1, 3, 0)); /* REQUEST */
    EXPECT(&fixture, REPLY(1, 3, 0));
    SEND(&fixture, MESSAGE(4, 3, 0)); /* GET_DIRECTION: in */
    EXPECT(&fixture, REPLY(4, 3, 1));
    SEND(&fixture, MESSAGE(3, 3, 1)); /* DIRECTION_OUTPUT, high */
    EXPECT(&fixture, REPLY(3, 3, 0));
    CHECK_EQUAL(fixture.base.line[3].direction, VIRTIO_GPIO_DIRECTION_OUT);
    CHECK_EQUAL(fixture.base.line[3].level, 1);
    SEND(&fixture, MESSAGE(4, 3, 0)); /* out */
    EXPECT(&fixture, REPLY(4, 3, 0));
    SEND(&fixture, MESSAGE(5, 3, 0)); /* GET_LEVEL */
    EXPECT(&fixture, REPLY(5, 3, 1));
    SEND(&fixture, MESSAGE(6, 3, 0)); /* SET_LEVEL: the new level */
    EXPECT(&fixture, REPLY(6, 3, 0));
    CHECK_EQUAL(fixture.base.line[3].level, 0);
    SEND(&fixture, MESSAGE(6, 3, 1));
    EXPECT(&fixture, REPLY(6, 3, 1));
    SEND(&fixture, MESSAGE(2, 3, 0)); /* DIRECTION_INPUT */
    EXPECT(&fixture, REPLY(2, 3, 0));
    CHECK_EQUAL(fixture.base.line[3].direction, VIRTIO_GPIO_DIRECTION_IN);
    CHECK_EQUAL(message_returned(&fixture), 8);
    CHECK(fixture.base.doorbells[1] >= 8);
    message_close(&fixture);
}

static void errors_are_linux_numbers(void) {
    open_metux(16);
    for (uint8_t type = 1; type <= 6; type++) {
        SEND(&fixture, MESSAGE(type, 8, 0));
        EXPECT(&fixture, ERROR_REPLY(type, 8, 22));
    }
    SEND(&fixture, MESSAGE(3, 0, 2));
    EXPECT(&fixture, ERROR_REPLY(3, 0, 22));
    SEND(&fixture, MESSAGE(6, 0, 1)); /* on an input */
    EXPECT(&fixture, ERROR_REPLY(6, 0, 1));
    SEND(&fixture, MESSAGE(7, 0, 0));
    EXPECT(&fixture, ERROR_REPLY(7, 0, 38));
    fixture.base.line[0].refuses = true;
    SEND(&fixture, MESSAGE(2, 0, 0));
    EXPECT(&fixture, ERROR_REPLY(2, 0, 5));
    CHECK_EQUAL(fixture.metux.counters.refused, 10);
    CHECK_EQUAL(fixture.metux.counters.requests, 10);
    message_close(&fixture);
}

static void what_is_no_request_gets_no_reply(void) {
    open_metux(4);
    SEND(&fixture, REPLY(5, 0, 0));
    SEND(&fixture, 5, 0xF0, 0, 0, 0, 0, 0, 0);
    SEND(&fixture, LEVEL(0, 1));
    SEND(&fixture, 5, 0, 0, 0, 0, 0, 0); /* 7 bytes */
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(message_returned(&fixture), 4);
    CHECK_EQUAL(fixture.metux.counters.malformed, 4);
    SEND(&fixture, MESSAGE(5, 0, 0), 1, 2, 3, 4); /* longer is fine */
    EXPECT(&fixture, REPLY(5, 0, 0));
    message_close(&fixture);
}

static void the_reply_bits_of_2020(void) {
    const struct message_options options = {.reply_bits = METUX_GPIO_REPLY_2020};
    message_open(&fixture, &options);
    message_give_buffers(&fixture, 2);
    SEND(&fixture, MESSAGE(4, 1, 0));
    EXPECT(&fixture, 4, 0xF0, 1, 0, 1, 0, 0, 0);
    message_edge(&fixture, 1, 1);
    EXPECT(&fixture, LEVEL(1, 1));
    message_close(&fixture);
}

static void levels_of_inputs_come_unasked(void) {
    open_metux(8);
    for (unsigned line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(fixture.base.line[line].edges, 3);
    }
    message_edge(&fixture, 6, 1);
    message_edge(&fixture, 6, 0);
    EXPECT(&fixture, LEVEL(6, 1));
    EXPECT(&fixture, LEVEL(6, 0));
    SEND(&fixture, MESSAGE(3, 6, 0)); /* an output: not any more */
    EXPECT(&fixture, REPLY(3, 6, 0));
    CHECK_EQUAL(fixture.base.line[6].edges, 0);
    message_edge(&fixture, 6, 1);
    EXPECT_NOTHING(&fixture);
    SEND(&fixture, MESSAGE(2, 6, 0));
    EXPECT(&fixture, REPLY(2, 6, 0));
    message_edge(&fixture, 6, 0);
    EXPECT(&fixture, LEVEL(6, 0));
    CHECK_EQUAL(fixture.metux.counters.events, 3);
    message_close(&fixture);
}

static bool drive_and_interrupt(void *context, uint16_t line, uint8_t direction, uint8_t level) {
    (void)context;
    (void)direction;
    hub_line_changed(&fixture.hub, line, level);
    return level == 1;
}

static void what_the_device_drives_itself_is_no_news(void) {
    open_metux(8);
    fixture.base.port.set_direction = drive_and_interrupt;
    SEND(&fixture, MESSAGE(3, 2, 1));
    EXPECT(&fixture, REPLY(3, 2, 0));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.base.line[2].edges, 0);
    SEND(&fixture, MESSAGE(3, 4, 0)); /* refused: an input as before */
    EXPECT(&fixture, ERROR_REPLY(3, 4, 5));
    CHECK_EQUAL(fixture.base.line[4].edges, 3);
    message_edge(&fixture, 4, 1);
    EXPECT(&fixture, LEVEL(4, 1));
    message_close(&fixture);
}

static void a_reset_silences_the_lines(void) {
    open_metux(8);
    fixture.hub.type->reset(fixture.hub.state);
    for (unsigned line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(fixture.base.line[line].edges, 0);
    }
    message_edge(&fixture, 6, 1);
    CHECK_EQUAL(fixture.metux.queues.owed, 0);
    CHECK_EQUAL(fixture.metux.counters.events, 0);
    message_close(&fixture);
}

static void the_newest_level_of_each_line_waits(void) {
    open_metux(0);
    for (unsigned i = 0; i < 7; i++) {
        message_edge(&fixture, 1, !(i & 1)); /* ends high */
        message_edge(&fixture, 4, i & 1);    /* ends low */
    }
    CHECK_EQUAL(fixture.metux.counters.dropped, 12);
    CHECK_EQUAL(queue_used_flags(fixture.receive), 0);
    message_give_buffers(&fixture, 4);
    message_service(&fixture);
    EXPECT(&fixture, LEVEL(1, 1));
    EXPECT(&fixture, LEVEL(4, 0));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.base.doorbells[1], 1);
    message_close(&fixture);
}

static void one_buffer_serves_replies_and_levels_in_turn(void) {
    open_metux(0);
    for (uint8_t i = 0; i < 4; i++) {
        message_post(&fixture, BYTES(MESSAGE(4, i, 0)));
        message_edge(&fixture, i, 1);
    }
    unsigned replies = 0;
    unsigned levels = 0;
    for (unsigned i = 0; i < 8; i++) {
        message_give_buffers(&fixture, 1);
        message_service(&fixture);
        CHECK(message_take(&fixture));
        EXPECT_NOTHING(&fixture);
        if (fixture.last[1] == 0x80) {
            CHECK_EQUAL(fixture.last[2], replies);
            replies++;
        } else {
            CHECK_EQUAL(fixture.last[2], levels);
            levels++;
        }
        CHECK(replies <= levels + 1 && levels <= replies + 1);
    }
    CHECK_EQUAL(replies, 4);
    CHECK_EQUAL(levels, 4);
    CHECK_EQUAL(message_returned(&fixture), 4);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT_NOTHING(&fixture);
    message_edge(&fixture, 0, 0); /* and the buffer is there for the next */
    EXPECT(&fixture, LEVEL(0, 0));
    message_close(&fixture);
}

/* The buffer that is taken for an answer must not go to a LEVEL that comes while the request is served. */
static void an_edge_does_not_take_the_buffer_of_a_reply(void) {
    open_metux(1);
    message_post(&fixture, BYTES(MESSAGE(4, 0, 0)));
    CHECK(message_queues_begin(&fixture.metux.queues));
    hub_line_changed(&fixture.hub, 7, 1);
    CHECK_EQUAL(fixture.metux.queues.owed, 1);
    uint8_t request[8];
    CHECK_EQUAL(message_queues_read(&fixture.metux.queues, request, 8), 8);
    message_queues_answer(&fixture.metux.queues, BYTES(REPLY(4, 0, 1)));
    message_queues_end(&fixture.metux.queues);
    message_service(&fixture);
    EXPECT(&fixture, REPLY(4, 0, 1));
    EXPECT_NOTHING(&fixture);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, LEVEL(7, 1));
    message_close(&fixture);
}

static void an_edge_takes_another_buffer_than_the_reply(void) {
    open_metux(2);
    message_post(&fixture, BYTES(MESSAGE(4, 0, 0)));
    CHECK(message_queues_begin(&fixture.metux.queues));
    hub_line_changed(&fixture.hub, 7, 1);
    CHECK_EQUAL(fixture.metux.queues.owed, 0);
    message_queues_answer(&fixture.metux.queues, BYTES(REPLY(4, 0, 1)));
    message_queues_end(&fixture.metux.queues);
    message_service(&fixture);
    EXPECT(&fixture, LEVEL(7, 1));
    EXPECT(&fixture, REPLY(4, 0, 1));
    message_close(&fixture);
}

static void buffers_of_less_than_a_message(void) {
    open_metux(0);
    struct used_entry entry;
    fixture.buffer_bytes = 7;
    message_give_buffers(&fixture, 2);
    SEND(&fixture, MESSAGE(5, 0, 0));
    for (unsigned i = 0; i < 2; i++) {
        CHECK(queue_take(fixture.receive, &entry));
        CHECK_EQUAL(entry.length, 0);
    }
    fixture.buffer_bytes = 8;
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, REPLY(5, 0, 0));
    message_close(&fixture);
}

static unsigned posts_left;

/* A driver that posts as soon as it hears of a reply, and is not asked to kick. */
static void answer_the_doorbell(void *context, uint32_t notify_id) {
    (void)context;
    if (notify_id == 1 && posts_left > 0) {
        posts_left--;
        message_post(&fixture, BYTES(MESSAGE(4, 0, 0)));
    }
}

static void what_comes_while_no_kick_is_asked_for_is_seen(void) {
    for (unsigned idx = 0; idx <= VRING_EVENT_IDX; idx++) {
        const struct message_options options = {.features = idx != 0 ? F_EVENT_IDX : 0};
        message_open(&fixture, &options);
        message_give_buffers(&fixture, 8);
        fixture.base.port.ring_doorbell = answer_the_doorbell;
        posts_left = 1;
        SEND(&fixture, MESSAGE(4, 0, 0));
        EXPECT(&fixture, REPLY(4, 0, 1));
        EXPECT(&fixture, REPLY(4, 0, 1));
        CHECK_EQUAL(posts_left, 0);
        message_close(&fixture);
    }
}

/* Whether the driver kicks for the chain that it has just posted. */
static bool kicks(const struct driver_queue *queue, bool event_idx) {
    if (!event_idx) {
        return (queue_used_flags(queue) & VRING_USED_NO_NOTIFY) == 0;
    }
    return queue_available_event(queue) == (uint16_t)(queue->available_index - 1u);
}

/*
 * Requests, edges, and buffers as they come, and the device runs only when it is kicked: every request has its reply, in order, and in the end the last LEVEL
 * of each line tells what is on its wire.
 */
static void random_course(uint64_t seed, uint16_t num, uint32_t features) {
    const struct message_options options = {.num = num, .features = features, .start_index = (uint16_t)(seed * 13)};
    message_open(&fixture, &options);
    message_service(&fixture);
    uint8_t told[FIXTURE_LINES] = {0};
    uint32_t sent = 0;
    uint32_t replied = 0;
    bool due = false;
    fixture.base.random = seed;
    for (unsigned step = 0; step < 4000 || replied < sent || fixture.metux.queues.owed > 0; step++) {
        CHECK(step < 20000);
        if (step >= 20000) {
            break;
        }
        const uint32_t choice = random_below(&fixture.base.random, 8);
        if (choice < 2 && step < 4000 && queue_free(fixture.transmit) > 0) {
            /* The line tells which request it was. */
            message_post(&fixture, BYTES(MESSAGE(4, (uint8_t)(sent % FIXTURE_LINES), 0)));
            sent++;
            due = kicks(fixture.transmit, (features & F_EVENT_IDX) != 0) || due;
        } else if (choice < 4 && step < 4000) {
            const uint16_t line = (uint16_t)random_below(&fixture.base.random, FIXTURE_LINES);
            message_edge(&fixture, line, !fixture.base.line[line].level);
        } else if (choice < 6 && queue_free(fixture.receive) > 0) {
            message_give_buffers(&fixture, 1);
            due = kicks(fixture.receive, (features & F_EVENT_IDX) != 0) || due;
        } else if (due) {
            due = fixture.hub.type->service(fixture.hub.state);
        }
        while (message_take(&fixture)) {
            if (fixture.last[1] == 0x80) {
                CHECK_EQUAL(fixture.last[2], replied % FIXTURE_LINES);
                replied++;
            } else {
                CHECK_EQUAL(fixture.last[0], METUX_GPIO_LEVEL);
                CHECK(fixture.last[2] < FIXTURE_LINES);
                told[fixture.last[2] % FIXTURE_LINES] = fixture.last[4];
            }
        }
        (void)message_returned(&fixture);
    }
    for (unsigned line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(told[line], fixture.base.line[line].level);
    }
    CHECK_EQUAL(replied, sent);
    CHECK(sent > 100);
    CHECK(!fixture.hub.type->broken(fixture.hub.state));
    message_close(&fixture);
}

static void any_course_of_things(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_course(seed, (uint16_t)(1u << seed % 5), 0);
        random_course(seed + 100, (uint16_t)(1u << seed % 5), F_EVENT_IDX);
    }
}

void metux_tests(void) {
    RUN(requests);
    RUN(errors_are_linux_numbers);
    RUN(what_is_no_request_gets_no_reply);
    RUN(the_reply_bits_of_2020);
    RUN(levels_of_inputs_come_unasked);
    RUN(what_the_device_drives_itself_is_no_news);
    RUN(a_reset_silences_the_lines);
    RUN(the_newest_level_of_each_line_waits);
    RUN(one_buffer_serves_replies_and_levels_in_turn);
    RUN(an_edge_does_not_take_the_buffer_of_a_reply);
    RUN(an_edge_takes_another_buffer_than_the_reply);
    RUN(buffers_of_less_than_a_message);
    RUN(what_comes_while_no_kick_is_asked_for_is_seen);
    RUN(any_course_of_things);
}
