/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair of queues of the dialects that exchange messages: queue 0 holds the driver's receive buffers, into which
 * answers and notifications go alike, queue 1 the messages from the driver.
 *
 * A message is taken only together with a receive buffer for its answer, so an answer is never dropped, however
 * few buffers there are; where messages and notifications wait for the same buffer, they take turns. What
 * cannot be sent stays with the caller, who keeps one thing a line and counts them in `owed`.
 */
#ifndef SENSOR_HUB_MESSAGE_QUEUES_H
#define SENSOR_HUB_MESSAGE_QUEUES_H

#include "hub_device.h"

#define MESSAGE_TO_DRIVER_QUEUE 0u
#define MESSAGE_FROM_DRIVER_QUEUE 1u

struct message_queues {
    const struct hub_port *port;
    struct vring_device to_driver;
    struct vring_device from_driver;
    struct vring_chain buffer;  /* taken from to_driver, not used yet */
    struct vring_chain message; /* taken from from_driver, not given back yet */
    uint16_t min_buffer_bytes;
    uint16_t owed; /* what waits for a buffer, but for messages: the caller's count */
    bool has_buffer;
    bool has_message;
    bool serving;       /* the buffer is the message's */
    bool answered_last; /* the buffer before this one was an answer's: a notification's turn */
};

void message_queues_init(struct message_queues *queues, const struct hub_port *port, uint16_t min_buffer_bytes);
bool message_queues_attach(struct message_queues *queues, unsigned queue, const struct vring_place *place,
                           bool event_idx);
/* With pin interrupts kept out. */
void message_queues_reset(struct message_queues *queues);
bool message_queues_broken(const struct message_queues *queues);
/* Chains of both queues that made no sense. */
uint32_t message_queues_faults(const struct message_queues *queues);

/* ---- main loop ---- */

/* vring_allow for both queues: the start of each service. */
void message_queues_allow(struct message_queues *queues);
/*
 * Takes the next message, and a buffer for its answer; false: there is none, or it has to wait for a buffer.
 * After true, message_queues_end is due; before it, at most one message_queues_answer.
 */
bool message_queues_begin(struct message_queues *queues);
/* Copies up to size_bytes of the message; returns how many there were. */
uint32_t message_queues_read(struct message_queues *queues, void *into, uint32_t size_bytes);
/* Gives the message back. A buffer that was not used for an answer is kept for what comes next. */
void message_queues_end(struct message_queues *queues);
/* Publishes, rings, asks for the kicks that are of use; true: there is more to do. The end of each service. */
bool message_queues_rest(struct message_queues *queues);

/* ---- either context, between enter_critical and leave_critical ---- */

/* vring_allow for the receive buffers: the start of each pin interrupt. */
void message_queues_allow_buffers(struct message_queues *queues);
void message_queues_answer(struct message_queues *queues, const void *bytes, uint32_t size_bytes);
/* False: there is no buffer, or it is another one's turn. */
bool message_queues_notify(struct message_queues *queues, const void *bytes, uint32_t size_bytes);
/* Asks to be kicked for buffers; true when there are some already. After message_queues_notify has failed. */
bool message_queues_want_buffers(struct message_queues *queues);
/* Shows the driver what was sent, with at most one doorbell. */
void message_queues_flush(struct message_queues *queues);

#endif
