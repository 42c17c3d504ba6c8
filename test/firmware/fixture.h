/* SPDX-License-Identifier: Apache-2.0 */
/* A device on a fake port, and the driver's two queues towards it. */
#ifndef FIRMWARE_TEST_FIXTURE_H
#define FIRMWARE_TEST_FIXTURE_H

#include "../../examples/sensor-hub/lib/virtio_gpio_device.h"
#include "check.h"
#include "driver_queue.h"

#define FIXTURE_LINES 8
#define FIXTURE_NAMES "ALPHA\0BRAVO\0CHARLIE\0\0ECHO\0FOXTROT\0GOLF\0HOTEL"
#define FIXTURE_NAMES_BYTES ((uint32_t)sizeof(FIXTURE_NAMES))

#define F_IRQ (1u << VIRTIO_GPIO_F_IRQ_BIT)
#define F_STREAM (1u << VIRTIO_GPIO_F_EVENT_STREAM_BIT)
#define F_EVENT_IDX ((uint32_t)VRING_EVENT_IDX << VRING_F_EVENT_IDX_BIT)

struct fake_line {
    uint8_t level;
    uint8_t direction;
    unsigned edges;
    bool refuses; /* every call but read_level answers false */
};

struct fixture {
    struct shared_memory memory;
    struct hub_port port;
    struct virtio_gpio_device device;
    struct virtio_gpio_line *state;
    struct fake_line line[FIXTURE_LINES];
    struct driver_queue request;
    struct driver_queue event;
    unsigned doorbells[3]; /* by notifyid: 0 vdev, 1 requestq, 2 eventq */
    int critical;
    uint64_t clock_ns;
    /* Called from translate, in the middle of the device's walks. */
    void (*disturb)(struct fixture *fixture);
    uint64_t random;
};

struct response {
    bool answered;
    uint8_t status;
    uint8_t value;
    uint32_t length;
};

/* Port and device, no queues. */
void fixture_open_bare(struct fixture *fixture);
/* With both queues attached at index 0. */
void fixture_open(struct fixture *fixture, uint32_t features);
void fixture_open_at(struct fixture *fixture, uint32_t features, uint16_t request_num, uint16_t event_num,
                     uint16_t start_index);
void fixture_close(struct fixture *fixture);

/* Runs the device until it is idle. */
void fixture_service(struct fixture *fixture);
/* One request in the usual framing, answered at once. */
struct response fixture_request(struct fixture *fixture, uint16_t type, uint16_t line, uint32_t value);
uint8_t fixture_status(struct fixture *fixture, uint16_t type, uint16_t line, uint32_t value);

/* A plain eventq buffer for a line; returns the device address of its status byte (0xEE now). */
uint32_t fixture_queue_event(struct fixture *fixture, uint16_t line);
/* An event stream buffer; returns its device address. */
uint32_t fixture_queue_record(struct fixture *fixture);
/* The wire changes, with everything that an interrupt would do. */
void fixture_edge(struct fixture *fixture, uint16_t line, uint8_t level);

#endif
