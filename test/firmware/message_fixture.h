/* SPDX-License-Identifier: Apache-2.0 */
/* A device of the message dialects on a fake port, and the driver's pools of buffers towards it. */
#ifndef FIRMWARE_TEST_MESSAGE_FIXTURE_H
#define FIRMWARE_TEST_MESSAGE_FIXTURE_H

#include "../../examples/sensor-hub/lib/metux_gpio.h"
#include "../../examples/sensor-hub/lib/rpmsg_gpio.h"
#include "fixture.h"

#define DRIVER_ADDRESS 1024u /* of the driver's rpmsg endpoint */
#define RPMSG_BUFFER_BYTES 512u
#define METUX_BUFFER_BYTES 888u /* as the driver of June 2021 announces; 8 are written */
#define F_NS (1u << RPMSG_F_NS_BIT)

struct message_fixture {
    struct fixture base;
    union {
        struct rpmsg_gpio rpmsg;
        struct metux_gpio metux;
    };
    struct rpmsg_gpio_line rpmsg_lines[FIXTURE_LINES];
    struct metux_gpio_line metux_lines[FIXTURE_LINES];
    struct hub_device hub;
    bool framed; /* rpmsg */
    uint32_t buffer_bytes;
    struct driver_queue *receive;  /* queue 0, doorbell 1 */
    struct driver_queue *transmit; /* queue 1, doorbell 2 */
    uint32_t pool; /* memory of the buffers: a slot a descriptor of either queue */
    uint8_t last[RPMSG_BUFFER_BYTES];
    uint32_t last_bytes;
};

struct message_options {
    const struct rpmsg_gpio_dialect *dialect; /* NULL: metux */
    uint8_t options;
    uint16_t reply_bits;
    uint32_t features;
    uint16_t num; /* of both queues; 0: 16 */
    uint16_t start_index;
};

/* The queues are attached, no buffer is posted, nothing is announced yet. */
void message_open(struct message_fixture *fixture, const struct message_options *options);
/* The same, announced (and the announcement taken), with `buffers` receive buffers posted. */
void message_open_ready(struct message_fixture *fixture, const struct rpmsg_gpio_dialect *dialect, uint8_t options,
                        unsigned buffers);
void message_close(struct message_fixture *fixture);

void message_give_buffers(struct message_fixture *fixture, unsigned count);
/* Puts a message into the queue; for rpmsg with its header. The device does not run. */
void message_post(struct message_fixture *fixture, const uint8_t *bytes, uint32_t size_bytes);
/* Runs the device until it is idle. */
void message_service(struct message_fixture *fixture);
/* Takes the next message from the device into `last`, without its header; false: there is none. */
bool message_take(struct message_fixture *fixture);
/* Messages that the device gave back. */
unsigned message_returned(struct message_fixture *fixture);
/* The wire changes, with everything that an interrupt would do. */
void message_edge(struct message_fixture *fixture, uint16_t line, uint8_t level);

bool message_is(const struct message_fixture *fixture, const uint8_t *bytes, uint32_t size_bytes);

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
/* Posts and serves. */
#define SEND(fixture, ...)                               \
    do {                                                 \
        message_post(fixture, BYTES(__VA_ARGS__));       \
        message_service(fixture);                        \
    } while (0)
#define EXPECT(fixture, ...)                             \
    do {                                                 \
        CHECK(message_take(fixture));                    \
        CHECK(message_is(fixture, BYTES(__VA_ARGS__)));  \
    } while (0)
#define EXPECT_NOTHING(fixture) CHECK(!message_take(fixture))

#endif
