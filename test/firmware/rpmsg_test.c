/* SPDX-License-Identifier: Apache-2.0 */
/* The rpmsg channel: announcement, headers, buffers; GPIO only as much as it takes to have answers. */
#include <string.h>

#include "message_fixture.h"

static struct message_fixture fixture;

#define GET_VALUE_OF(line) 4, 0, (line), 0, 0, 0, 0, 0

static void open_v14(uint32_t features, uint16_t num, uint16_t start_index) {
    const struct message_options options = {
        .dialect = &rpmsg_gpio_v14, .features = features, .num = num, .start_index = start_index,
    };
    message_open(&fixture, &options);
}

static void announces_its_channel(void) {
    open_v14(F_NS, 4, 0);
    message_give_buffers(&fixture, 2);
    message_service(&fixture);
    uint8_t wanted[40] = "rpmsg-io-0";
    wanted[32] = RPMSG_LOCAL_ADDRESS;
    CHECK(message_take(&fixture));
    CHECK(message_is(&fixture, wanted, sizeof wanted));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.base.doorbells[1], 1);
    message_service(&fixture); /* once */
    EXPECT_NOTHING(&fixture);
    message_close(&fixture);
}

static void each_dialect_has_its_channel(void) {
    static const struct {
        const struct rpmsg_gpio_dialect *dialect;
        const char *name;
    } channels[] = {
        {&rpmsg_gpio_srtm, "rpmsg-io-channel"},
        {&rpmsg_gpio_io, "rpmsg-io"},
        {&rpmsg_gpio_v14, "rpmsg-io-0"},
        {&rpmsg_gpio_kind0, "rpmsg-io-0"},
    };
    for (unsigned i = 0; i < 4; i++) {
        const struct message_options options = {.dialect = channels[i].dialect, .features = F_NS};
        message_open(&fixture, &options);
        message_give_buffers(&fixture, 1);
        message_service(&fixture);
        CHECK(message_take(&fixture));
        CHECK(strcmp((const char *)fixture.last, channels[i].name) == 0);
        message_close(&fixture);
    }
}

static void the_announcement_waits_for_a_buffer(void) {
    open_v14(F_NS, 4, 0);
    message_service(&fixture);
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(queue_used_flags(fixture.receive), 0); /* asks to be kicked for buffers */
    message_post(&fixture, BYTES(GET_VALUE_OF(0)));
    message_service(&fixture);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    CHECK(message_take(&fixture));
    CHECK_EQUAL(fixture.last_bytes, RPMSG_ANNOUNCEMENT_BYTES);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, 1, 0, 0);
    message_close(&fixture);
}

static void nothing_is_announced_without_the_feature(void) {
    open_v14(0, 4, 0);
    message_give_buffers(&fixture, 2);
    message_service(&fixture);
    EXPECT_NOTHING(&fixture);
    SEND(&fixture, GET_VALUE_OF(0));
    EXPECT(&fixture, 1, 0, 0);
    message_close(&fixture);
}

static void the_channel_goes_and_comes_back(void) {
    message_open_ready(&fixture, &rpmsg_gpio_v14, 0, 8);
    rpmsg_set_present(&fixture.rpmsg.rpmsg, false);
    message_service(&fixture);
    CHECK(message_take(&fixture));
    CHECK_EQUAL(fixture.last_bytes, RPMSG_ANNOUNCEMENT_BYTES);
    CHECK_EQUAL(fixture.last[36], RPMSG_DESTROYED);
    SEND(&fixture, GET_VALUE_OF(0));
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(message_returned(&fixture), 1);
    CHECK_EQUAL(fixture.rpmsg.rpmsg.malformed, 1);
    rpmsg_set_present(&fixture.rpmsg.rpmsg, true);
    message_service(&fixture);
    CHECK(message_take(&fixture));
    CHECK_EQUAL(fixture.last[36], 0);
    SEND(&fixture, GET_VALUE_OF(0));
    EXPECT(&fixture, 1, 0, 0);
    message_close(&fixture);
}

static void a_change_of_mind_announces_nothing(void) {
    message_open_ready(&fixture, &rpmsg_gpio_v14, 0, 0);
    rpmsg_set_present(&fixture.rpmsg.rpmsg, false);
    message_service(&fixture); /* no buffer */
    rpmsg_set_present(&fixture.rpmsg.rpmsg, true);
    message_service(&fixture);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT_NOTHING(&fixture);
    CHECK_EQUAL(fixture.rpmsg.rpmsg.queues.owed, 0);
    message_close(&fixture);
}

static void unknown_features_are_refused(void) {
    open_v14(F_NS, 4, 0);
    const struct hub_device *hub = &fixture.hub;
    CHECK_EQUAL(hub->type->negotiate(hub->state, 1u << 1, rpmsg_features()), 0);
    CHECK_EQUAL(hub->type->negotiate(hub->state, F_NS, 0), 0);
    CHECK_EQUAL(hub->type->negotiate(hub->state, 0, rpmsg_features()), 2);
    message_close(&fixture);
}

/* A message whose header says what the caller wants, in a descriptor of descriptor_bytes. */
static void post_header(uint32_t to, uint16_t length, uint32_t descriptor_bytes) {
    const uint32_t address = fixture.pool + 1024u * fixture.receive->num;
    uint8_t *at = memory_at(&fixture.base.memory, address);
    memset(at, 0, 64);
    at[1] = DRIVER_ADDRESS >> 8;
    at[4] = (uint8_t)to;
    at[12] = (uint8_t)length;
    at[13] = (uint8_t)(length >> 8);
    at[16] = 4;
    const struct part part = {address, descriptor_bytes, false};
    (void)queue_add(fixture.transmit, &part, 1);
    message_service(&fixture);
    CHECK_EQUAL(message_returned(&fixture), 1);
}

static void malformed_messages_are_dropped_and_counted(void) {
    message_open_ready(&fixture, &rpmsg_gpio_v14, 0, 4);
    struct hub_counters counters;
    static const struct {
        uint32_t to;
        uint16_t length;
        uint32_t descriptor_bytes;
    } bad[] = {
        {RPMSG_LOCAL_ADDRESS, 8, 15},    /* no header */
        {RPMSG_LOCAL_ADDRESS, 8, 23},    /* a byte more than there is */
        {RPMSG_LOCAL_ADDRESS, 65535, 512},
        {RPMSG_LOCAL_ADDRESS + 1, 8, 24}, /* nobody's address */
        {RPMSG_NAME_SERVICE_ADDRESS, 40, 56},
        {RPMSG_LOCAL_ADDRESS, 7, 23}, /* sound, but no request */
        {RPMSG_LOCAL_ADDRESS, 0, 16},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        post_header(bad[i].to, bad[i].length, bad[i].descriptor_bytes);
        EXPECT_NOTHING(&fixture);
        fixture.hub.type->read_counters(fixture.hub.state, &counters);
        CHECK_EQUAL(counters.malformed, i + 1);
    }
    post_header(RPMSG_LOCAL_ADDRESS, 8, 24);
    EXPECT(&fixture, 1, 0, 0);
    post_header(RPMSG_LOCAL_ADDRESS, 8, 512); /* the descriptor may be larger */
    EXPECT(&fixture, 1, 0, 0);
    post_header(RPMSG_LOCAL_ADDRESS, 496, 512); /* and the message longer than we know */
    EXPECT(&fixture, 1, 0, 0);
    fixture.hub.type->read_counters(fixture.hub.state, &counters);
    CHECK_EQUAL(counters.requests, 3);
    message_close(&fixture);
}

static void receive_buffers_are_used_as_long_as_they_are(void) {
    open_v14(F_NS, 8, 0);
    struct used_entry entry;
    fixture.buffer_bytes = 55; /* an announcement needs 56 */
    message_give_buffers(&fixture, 2);
    message_service(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(queue_take(fixture.receive, &entry));
        CHECK_EQUAL(entry.length, 0);
    }
    CHECK_EQUAL(fixture.rpmsg.rpmsg.queues.to_driver.faults[VRING_FAULT_SHAPE], 2);
    fixture.buffer_bytes = 56;
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    CHECK(message_take(&fixture));
    CHECK_EQUAL(fixture.last_bytes, 40);
    /* Readable parts are nothing that a receive buffer has. */
    const struct part parts[] = {{fixture.pool, 16, false}, {fixture.pool + 16, 512, true}};
    (void)queue_add(fixture.receive, parts, 2);
    SEND(&fixture, GET_VALUE_OF(0));
    CHECK(queue_take(fixture.receive, &entry));
    CHECK_EQUAL(entry.length, 0);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, 1, 0, 0);
    message_close(&fixture);
}

static void a_request_waits_for_a_buffer(void) {
    message_open_ready(&fixture, &rpmsg_gpio_v14, 0, 0);
    fixture.base.line[0].direction = VIRTIO_GPIO_DIRECTION_NONE;
    SEND(&fixture, 3, 0, 0, 0, 1, 0, 0, 0); /* SET_DIRECTION(out) */
    CHECK_EQUAL(message_returned(&fixture), 0);
    CHECK_EQUAL(fixture.base.line[0].direction, VIRTIO_GPIO_DIRECTION_NONE); /* nothing is done that cannot be told */
    CHECK_EQUAL(queue_used_flags(fixture.receive), 0);
    message_give_buffers(&fixture, 1);
    message_service(&fixture);
    EXPECT(&fixture, 1, 0, 0);
    CHECK_EQUAL(message_returned(&fixture), 1);
    CHECK_EQUAL(fixture.base.line[0].direction, VIRTIO_GPIO_DIRECTION_OUT);
    message_close(&fixture);
}

/* Every queue size from every start: each message is answered, in order, also beyond the wrap of the indices. */
static void every_queue_size_wraps(void) {
    for (unsigned idx = 0; idx <= VRING_EVENT_IDX; idx++) {
        for (uint16_t num = 1; num <= 16; num = (uint16_t)(num * 2)) {
            open_v14(F_NS | (idx != 0 ? F_EVENT_IDX : 0), num, (uint16_t)(65536u - 5u));
            message_give_buffers(&fixture, 1);
            message_service(&fixture);
            CHECK(message_take(&fixture));
            for (unsigned round = 0; round < 40; round++) {
                fixture.base.line[round % FIXTURE_LINES].level = round & 1;
                message_give_buffers(&fixture, 1);
                SEND(&fixture, GET_VALUE_OF((uint8_t)(round % FIXTURE_LINES)));
                EXPECT(&fixture, 1, 0, round & 1);
                CHECK_EQUAL(message_returned(&fixture), 1);
            }
            message_close(&fixture);
        }
    }
}

static void a_new_endpoint_of_the_driver_gets_the_answers(void) {
    message_open_ready(&fixture, &rpmsg_gpio_v14, 0, 4);
    message_post(&fixture, BYTES(GET_VALUE_OF(0)));
    uint8_t *header = memory_at(&fixture.base.memory, fixture.pool + 1024u * fixture.receive->num);
    header[0] = 7; /* source 1031 */
    message_service(&fixture);
    struct used_entry entry;
    CHECK(queue_take(fixture.receive, &entry));
    const uint8_t *answer = memory_at(&fixture.base.memory, fixture.pool + 1024u * entry.id);
    CHECK_EQUAL(answer[4], 7);
    CHECK_EQUAL(answer[5], DRIVER_ADDRESS >> 8);
    message_close(&fixture);
}

void rpmsg_tests(void) {
    RUN(announces_its_channel);
    RUN(each_dialect_has_its_channel);
    RUN(the_announcement_waits_for_a_buffer);
    RUN(nothing_is_announced_without_the_feature);
    RUN(the_channel_goes_and_comes_back);
    RUN(a_change_of_mind_announces_nothing);
    RUN(unknown_features_are_refused);
    RUN(malformed_messages_are_dropped_and_counted);
    RUN(receive_buffers_are_used_as_long_as_they_are);
    RUN(a_request_waits_for_a_buffer);
    RUN(every_queue_size_wraps);
    RUN(a_new_endpoint_of_the_driver_gets_the_answers);
}
