/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream proposal's three layouts, byte by byte: 6 bytes, v14, and replies of kind 0. */
#include "message_fixture.h"

static struct message_fixture fixture;

/* ---- 6 bytes ---- */

#define IO_SEND(command, line, value) 0, command, (line) / 8, (line) % 8, value, 0
#define IO_REPLY(command, line, error, value) 1, command, (line) / 8, (line) % 8, error, value
#define IO_NOTIFY(line, trigger) 2, 0, (line) / 8, (line) % 8, trigger, 0

static void expect_error(uint8_t command, uint8_t line, uint8_t value, uint8_t error) {
    message_give_buffers(&fixture, queue_free(fixture.receive) > 0);
    SEND(&fixture, IO_SEND(command, line, value));
    EXPECT(&fixture, IO_REPLY(command, line, error, 0));
    CHECK(message_returned(&fixture) > 0);
}

static void io_directions_and_levels(void) {
    message_open_ready(&fixture, &rpmsg_gpio_io, 0, 8);
    SEND(&fixture, IO_SEND(2, 4, 0));
    EXPECT(&fixture, IO_REPLY(2, 4, 0, 1)); /* never set: in */
    expect_error(5, 4, 1, 0);               /* kept */
    CHECK_EQUAL(fixture.base.line[4].level, 0);
    expect_error(3, 4, 1, 0);
    CHECK_EQUAL(fixture.base.line[4].level, 1);
    expect_error(2, 4, 0, 0); /* out */
    SEND(&fixture, IO_SEND(4, 4, 0));
    EXPECT(&fixture, IO_REPLY(4, 4, 0, 1));
    expect_error(5, 4, 0, 0);
    CHECK_EQUAL(fixture.base.line[4].level, 0);
    expect_error(3, 4, 2, 0);
    SEND(&fixture, IO_SEND(2, 4, 0));
    EXPECT(&fixture, IO_REPLY(2, 4, 0, 1));
    message_close(&fixture);
}

static void io_directions_as_the_driver_reads_them(void) {
    message_open_ready(&fixture, &rpmsg_gpio_io, RPMSG_GPIO_VIRTIO_DIRECTIONS, 8);
    for (uint8_t direction = 0; direction < 3; direction++) {
        expect_error(3, 1, direction, 0);
        SEND(&fixture, IO_SEND(2, 1, 0));
        EXPECT(&fixture, IO_REPLY(2, 1, 0, direction));
    }
    message_close(&fixture);
}

static void io_errors(void) {
    message_open_ready(&fixture, &rpmsg_gpio_io, 0, 8);
    expect_error(4, 8, 0, 5);
    expect_error(4, 255, 0, 5);
    expect_error(3, 0, 3, 5);
    expect_error(5, 0, 2, 5);
    expect_error(6, 0, 5, 5);
    expect_error(1, 0, 0, 2);
    expect_error(7, 0, 0, 2);
    fixture.base.line[0].refuses = true;
    expect_error(3, 0, 1, 1);
    expect_error(6, 0, 1, 1);
    const unsigned returned = message_returned(&fixture);
    SEND(&fixture, 0, 10, 0, 0, 1, 0); /* NOTIFY_REPLY */
    SEND(&fixture, 1, 4, 0, 0, 0, 0);  /* a reply */
    SEND(&fixture, 2, 4, 0, 0, 0, 0);  /* a notification */
    SEND(&fixture, 0, 4, 0, 0, 0);     /* 5 bytes */
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(message_returned(&fixture) + returned, 4);
    CHECK_EQUAL(fixture.rpmsg.counters.malformed, 3);
    message_close(&fixture);
}

static void io_interrupts(void) {
    message_open_ready(&fixture, &rpmsg_gpio_io, 0, 8);
    expect_error(6, 7, 3, 0);
    message_edge(&fixture, 7, 1);
    EXPECT(&fixture, IO_NOTIFY(7, 1));
    message_edge(&fixture, 7, 0);
    EXPECT_NOTHING(&fixture);
    expect_error(6, 7, 3, 0);
    EXPECT(&fixture, IO_NOTIFY(7, 2));
    expect_error(6, 7, 8, 0); /* another type: low level, and it is low */
    EXPECT(&fixture, IO_NOTIFY(7, 8));
    expect_error(3, 7, 1, 5); /* no output while it interrupts */
    expect_error(6, 7, 0, 0);
    expect_error(3, 7, 1, 0);
    expect_error(6, 7, 1, 5); /* no interrupt of an output */
    message_close(&fixture);
}

/* ---- virtio-gpio's requests ---- */

#define REQUEST(type, line, value) type, 0, line, 0, value, 0, 0, 0

static void open_layout(const struct rpmsg_gpio_dialect *dialect) {
    message_open_ready(&fixture, dialect, 0, 8);
}

static void v14_requests(void) {
    open_layout(&rpmsg_gpio_v14);
    SEND(&fixture, REQUEST(5, 3, 1)); /* SET_VALUE, kept */
    EXPECT(&fixture, 1, 0, 0);
    SEND(&fixture, REQUEST(3, 3, 1)); /* SET_DIRECTION(out) */
    EXPECT(&fixture, 1, 0, 0);
    CHECK_EQUAL(fixture.base.line[3].level, 1);
    SEND(&fixture, REQUEST(2, 3, 0));
    EXPECT(&fixture, 1, 0, 1);
    SEND(&fixture, REQUEST(4, 3, 0));
    EXPECT(&fixture, 1, 0, 1);
    SEND(&fixture, REQUEST(3, 3, 0)); /* none: forgets the level */
    EXPECT(&fixture, 1, 0, 0);
    SEND(&fixture, REQUEST(3, 3, 1));
    EXPECT(&fixture, 1, 0, 0);
    CHECK_EQUAL(fixture.base.line[3].level, 0);
    SEND(&fixture, REQUEST(16, 3, 1)); /* SET_WAKEUP */
    EXPECT(&fixture, 1, 0, 0);
    SEND(&fixture, REQUEST(16, 3, 2));
    EXPECT(&fixture, 1, 1, 0);
    message_close(&fixture);
}

static void v14_errors(void) {
    static const uint8_t bad[][8] = {
        {REQUEST(1, 0, 0)},       {REQUEST(0, 0, 0)},       {REQUEST(7, 0, 0)}, {REQUEST(4, 8, 0)},
        {4, 0, 0, 1, 0, 0, 0, 0}, {4, 1, 0, 0, 0, 0, 0, 0}, {REQUEST(3, 0, 3)}, {REQUEST(5, 0, 2)},
        {5, 0, 0, 0, 1, 1, 0, 0}, {3, 0, 0, 0, 1, 0, 0, 1}, {REQUEST(6, 0, 5)}, {6, 0, 0, 0, 1, 0, 1, 0},
    };
    open_layout(&rpmsg_gpio_v14);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        message_give_buffers(&fixture, 1);
        message_post(&fixture, bad[i], 8);
        message_service(&fixture);
        EXPECT(&fixture, 1, 1, 0);
        CHECK_EQUAL(message_returned(&fixture), 1);
    }
    CHECK_EQUAL(fixture.rpmsg.counters.refused, sizeof bad / sizeof bad[0]);
    message_close(&fixture);
}

static void v14_notifications(void) {
    open_layout(&rpmsg_gpio_v14);
    SEND(&fixture, REQUEST(6, 2, 1));
    EXPECT(&fixture, 1, 0, 0);
    message_edge(&fixture, 2, 1);
    EXPECT(&fixture, 2, 2, 1);
    message_edge(&fixture, 2, 0);
    message_edge(&fixture, 2, 1);
    EXPECT_NOTHING(&fixture);
    SEND(&fixture, REQUEST(6, 2, 1));
    EXPECT(&fixture, 1, 0, 0);
    EXPECT(&fixture, 2, 2, 1);
    SEND(&fixture, REQUEST(6, 2, 4)); /* a type change; high now */
    EXPECT(&fixture, 1, 0, 0);
    EXPECT(&fixture, 2, 2, 4);
    message_close(&fixture);
}

static void kind_0(void) {
    open_layout(&rpmsg_gpio_kind0);
    fixture.base.line[7].level = 1;
    SEND(&fixture, REQUEST(4, 7, 0));
    EXPECT(&fixture, 0, 0, 1);
    SEND(&fixture, REQUEST(16, 7, 1)); /* not there yet */
    EXPECT(&fixture, 0, 1, 0);
    SEND(&fixture, REQUEST(6, 7, 2));
    EXPECT(&fixture, 0, 0, 0);
    message_edge(&fixture, 7, 0);
    EXPECT(&fixture, 1, 7, 0);
    EXPECT_NOTHING(&fixture);
    message_close(&fixture);
}

static void lines_of_later_ports(void) {
    uint8_t bytes[RPMSG_GPIO_MAX_BYTES] = {0};
    CHECK_EQUAL(rpmsg_gpio_srtm.notification(bytes, 79, 1), 12);
    CHECK_EQUAL(bytes[10], 7);
    CHECK_EQUAL(bytes[11], 9);
    CHECK_EQUAL(rpmsg_gpio_io.notification(bytes, 17, 2), 6);
    CHECK(bytes[2] == 2 && bytes[3] == 1 && bytes[4] == 2);
    CHECK_EQUAL(rpmsg_gpio_v14.notification(bytes, 31, 8), 3);
    CHECK(bytes[0] == 2 && bytes[1] == 31 && bytes[2] == 8);
    CHECK_EQUAL(rpmsg_gpio_kind0.notification(bytes, 31, 8), 3);
    CHECK(bytes[0] == 1 && bytes[1] == 31 && bytes[2] == 0);
}

void rpmsg_io_tests(void) {
    RUN(io_directions_and_levels);
    RUN(io_directions_as_the_driver_reads_them);
    RUN(io_errors);
    RUN(io_interrupts);
    RUN(v14_requests);
    RUN(v14_errors);
    RUN(v14_notifications);
    RUN(kind_0);
    RUN(lines_of_later_ports);
}
