/* SPDX-License-Identifier: Apache-2.0 */
/* NXP SRTM, byte by byte. */
#include "message_fixture.h"

static struct message_fixture fixture;

#define COMMAND(type, command, line) 5, 1, 0, type, command, 0, 0, 0, 0, 0, (line) % 8, (line) / 8
/* Padded to 16 bytes, as Linux sends it. */
#define REQUEST(command, line, argument) COMMAND(0, command, line), argument, 0, 0, 0
#define RESPONSE(command, line, code, value) COMMAND(1, command, line), code, value
#define NOTIFICATION(line) COMMAND(2, 0, line)

static void open_srtm(uint8_t options) {
    message_open_ready(&fixture, &rpmsg_gpio_srtm, options, 8);
}

/* Sends and takes the answer. */
static void expect_code(uint8_t command, uint8_t line, uint8_t argument, uint8_t code) {
    message_give_buffers(&fixture, queue_free(fixture.receive) > 0);
    SEND(&fixture, REQUEST(command, line, argument));
    EXPECT(&fixture, RESPONSE(command, line, code, 0));
    CHECK(message_returned(&fixture) > 0);
}

static void outputs(void) {
    open_srtm(0);
    expect_code(1, 3, 1, 0);
    CHECK_EQUAL(fixture.base.line[3].direction, VIRTIO_GPIO_DIRECTION_OUT);
    CHECK_EQUAL(fixture.base.line[3].level, 1);
    expect_code(1, 3, 0, 0);
    CHECK_EQUAL(fixture.base.line[3].level, 0);
    expect_code(1, 3, 2, 1); /* no level */
    fixture.base.line[3].refuses = true;
    expect_code(1, 3, 1, 1);
    message_close(&fixture);
}

static void levels_and_directions(void) {
    open_srtm(0);
    fixture.base.line[2].level = 1;
    SEND(&fixture, REQUEST(2, 2, 0));
    EXPECT(&fixture, RESPONSE(2, 2, 0, 1));
    SEND(&fixture, REQUEST(3, 2, 0));
    EXPECT(&fixture, RESPONSE(3, 2, 0, 1)); /* in */
    expect_code(1, 2, 0, 0);
    SEND(&fixture, REQUEST(3, 2, 0));
    EXPECT(&fixture, RESPONSE(3, 2, 0, 0)); /* out */
    message_close(&fixture);
}

static void older_firmware_has_no_directions(void) {
    open_srtm(RPMSG_GPIO_NO_GET_DIRECTION);
    expect_code(3, 2, 0, 2);
    expect_code(2, 2, 0, 0);
    message_close(&fixture);
}

static void ports_and_pins(void) {
    open_srtm(0);
    /* Eight lines here: port 0 has all of them. */
    SEND(&fixture, COMMAND(0, 2, 0), 0, 0);
    EXPECT(&fixture, RESPONSE(2, 0, 0, 0));
    static const uint8_t places[][2] = {{8, 0}, {0, 1}, {255, 255}, {31, 0}, {0, 9}, {0, 10}};
    for (unsigned i = 0; i < 6; i++) {
        message_give_buffers(&fixture, 1);
        SEND(&fixture, 5, 1, 0, 0, 2, 0, 0, 0, 0, 0, places[i][0], places[i][1], 0, 0);
        EXPECT(&fixture, 5, 1, 0, 1, 2, 0, 0, 0, 0, 0, places[i][0], places[i][1], 1, 0);
    }
    message_close(&fixture);
}

static void what_is_no_request_gets_no_answer(void) {
    open_srtm(0);
    SEND(&fixture, 4, 1, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* another category */
    SEND(&fixture, 5, 2, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* another major version */
    SEND(&fixture, COMMAND(1, 2, 0), 0, 0);                   /* a response */
    SEND(&fixture, COMMAND(0, 2, 0), 0);                      /* 13 bytes */
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(message_returned(&fixture), 4);
    CHECK_EQUAL(fixture.rpmsg.counters.malformed, 4);
    expect_code(4, 0, 0, 2);
    expect_code(255, 0, 0, 2);
    SEND(&fixture, 5, 1, 0, 0, 2, 9, 1, 2, 3, 4, 0, 0, 0, 0); /* an older minor; the rest comes back as it was */
    EXPECT(&fixture, 5, 1, 0, 1, 2, 9, 1, 2, 3, 4, 0, 0, 0, 0);
    message_close(&fixture);
}

static void an_event_masks_until_the_next_input_init(void) {
    open_srtm(0);
    expect_code(0, 5, 1, 0); /* rising */
    CHECK_EQUAL(fixture.base.line[5].direction, VIRTIO_GPIO_DIRECTION_IN);
    message_edge(&fixture, 5, 0);
    EXPECT_NOTHING(&fixture);
    message_edge(&fixture, 5, 1);
    EXPECT(&fixture, NOTIFICATION(5));
    message_edge(&fixture, 5, 0);
    EXPECT_NOTHING(&fixture); /* masked, and not its edge */
    expect_code(0, 5, 1, 0);
    message_edge(&fixture, 5, 1);
    EXPECT(&fixture, NOTIFICATION(5));
    message_edge(&fixture, 5, 0);
    message_edge(&fixture, 5, 1); /* masked: remembered */
    EXPECT_NOTHING(&fixture);
    expect_code(0, 5, 1, 0);
    EXPECT(&fixture, NOTIFICATION(5)); /* after the answer */
    EXPECT_NOTHING(&fixture);
    expect_code(0, 5, 0, 0); /* off */
    message_edge(&fixture, 5, 1);
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.base.line[5].edges, 0);
    message_close(&fixture);
}

static void masked_edges_may_be_lost(void) {
    open_srtm(RPMSG_GPIO_LOSES_MASKED_EDGES);
    expect_code(0, 5, 3, 0);
    message_edge(&fixture, 5, 1);
    EXPECT(&fixture, NOTIFICATION(5));
    message_edge(&fixture, 5, 0);
    expect_code(0, 5, 3, 0);
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.rpmsg.counters.dropped, 1);
    message_edge(&fixture, 5, 1);
    EXPECT(&fixture, NOTIFICATION(5));
    message_close(&fixture);
}

static void level_events_are_4_low_and_5_high(void) {
    open_srtm(0);
    fixture.base.line[6].level = 1;
    expect_code(0, 6, 4, 0); /* low */
    EXPECT_NOTHING(&fixture);
    message_edge(&fixture, 6, 0);
    EXPECT(&fixture, NOTIFICATION(6));
    EXPECT_NOTHING(&fixture);
    expect_code(0, 6, 4, 0); /* still low: again */
    EXPECT(&fixture, NOTIFICATION(6));
    message_edge(&fixture, 6, 1);
    expect_code(0, 6, 4, 0); /* not any more */
    EXPECT_NOTHING(&fixture);
    expect_code(0, 6, 5, 0); /* high: at once */
    EXPECT(&fixture, NOTIFICATION(6));
    expect_code(0, 6, 6, 1); /* no such event */
    message_close(&fixture);
}

static void becoming_an_output_ends_the_interrupt(void) {
    open_srtm(0);
    expect_code(0, 1, 3, 0);
    expect_code(1, 1, 0, 0);
    CHECK_EQUAL(fixture.base.line[1].edges, 0);
    message_edge(&fixture, 1, 1);
    EXPECT_NOTHING(&fixture);
    expect_code(0, 1, 3, 0);
    message_edge(&fixture, 1, 0);
    EXPECT(&fixture, NOTIFICATION(1));
    message_close(&fixture);
}

static void a_line_that_cannot_interrupt(void) {
    open_srtm(0);
    expect_code(0, 1, 0, 0);
    fixture.base.line[1].refuses = true;
    expect_code(0, 1, 1, 1);
    fixture.base.line[1].refuses = false;
    message_edge(&fixture, 1, 1);
    EXPECT_NOTHING(&fixture);
    message_close(&fixture);
}

static void notifications_wait_for_buffers_one_a_line(void) {
    message_open_ready(&fixture, &rpmsg_gpio_srtm, 0, 0);
    for (uint8_t line = 0; line < 3; line++) {
        expect_code(0, line, 3, 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        message_edge(&fixture, 2, !(i & 1));
        message_edge(&fixture, 0, !(i & 1));
    }
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(queue_used_flags(fixture.receive), 0);
    CHECK_EQUAL(fixture.rpmsg.counters.dropped, 8);
    message_give_buffers(&fixture, 1);
    message_edge(&fixture, 1, 1); /* those that wait go first */
    EXPECT(&fixture, NOTIFICATION(2));
    message_give_buffers(&fixture, 3);
    message_service(&fixture);
    EXPECT(&fixture, NOTIFICATION(0));
    EXPECT(&fixture, NOTIFICATION(1));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.rpmsg.rpmsg.queues.owed, 0);
    message_close(&fixture);
}

static void a_notification_that_waits_ends_with_its_interrupt(void) {
    message_open_ready(&fixture, &rpmsg_gpio_srtm, 0, 0);
    expect_code(0, 1, 3, 0);
    message_edge(&fixture, 1, 1);
    message_post(&fixture, BYTES(REQUEST(0, 1, 0)));
    message_give_buffers(&fixture, 2);
    message_service(&fixture);
    /* It was its turn. */
    EXPECT(&fixture, NOTIFICATION(1));
    EXPECT(&fixture, RESPONSE(0, 1, 0, 0));
    expect_code(0, 1, 3, 0);
    message_edge(&fixture, 1, 0);
    fixture.hub.type->reset(fixture.hub.state);
    CHECK_EQUAL(fixture.base.line[1].edges, 0);
    CHECK_EQUAL(fixture.rpmsg.rpmsg.queues.owed, 0);
    message_close(&fixture);
}

/* The driver unmasks for an earlier notification while a newer one waits: that one still comes, once. */
static void an_unmasking_that_crosses_a_notification(void) {
    message_open_ready(&fixture, &rpmsg_gpio_srtm, 0, 0);
    expect_code(0, 1, 3, 0);
    expect_code(0, 2, 3, 0);
    message_give_buffers(&fixture, 1);
    message_edge(&fixture, 2, 1);
    EXPECT(&fixture, NOTIFICATION(2)); /* the next buffer is a message's */
    SEND(&fixture, REQUEST(0, 1, 3));  /* waits for a buffer */
    message_edge(&fixture, 1, 1);     /* so does this */
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, RESPONSE(0, 1, 0, 0));
    message_edge(&fixture, 1, 0);
    message_give_buffers(&fixture, 3);
    message_edge(&fixture, 1, 1);
    message_service(&fixture);
    EXPECT(&fixture, NOTIFICATION(1));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.rpmsg.rpmsg.queues.owed, 0);
    message_edge(&fixture, 1, 0);
    EXPECT_NOTHING(&fixture); /* masked */
    message_close(&fixture);
}

void srtm_tests(void) {
    RUN(outputs);
    RUN(levels_and_directions);
    RUN(older_firmware_has_no_directions);
    RUN(ports_and_pins);
    RUN(what_is_no_request_gets_no_answer);
    RUN(an_event_masks_until_the_next_input_init);
    RUN(masked_edges_may_be_lost);
    RUN(level_events_are_4_low_and_5_high);
    RUN(becoming_an_output_ends_the_interrupt);
    RUN(a_line_that_cannot_interrupt);
    RUN(notifications_wait_for_buffers_one_a_line);
    RUN(an_unmasking_that_crosses_a_notification);
    RUN(a_notification_that_waits_ends_with_its_interrupt);
}
