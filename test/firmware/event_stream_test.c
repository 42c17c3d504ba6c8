/* SPDX-License-Identifier: Apache-2.0 */
/* The event stream extension: records in order, counted, with the newest level surviving an overrun. */
#include <string.h>

#include "fixture.h"

struct record {
    uint16_t line;
    uint8_t level;
    uint8_t flags;
    uint32_t seq;
    uint64_t timestamp_ns;
};

static struct fixture fixture;
static uint32_t buffer_of[1024]; /* by head */

static void queue_records(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const uint32_t address = memory_allocate(&fixture.memory, 16, 1);
        memset(memory_at(&fixture.memory, address), 0xEE, 16);
        const struct part part = {address, 16, true};
        buffer_of[queue_add(&fixture.event, &part, 1)] = address;
    }
}

static uint64_t number(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) {
        value = value << 8 | at[bytes];
    }
    return value;
}

static bool take(struct record *record) {
    struct used_entry entry;
    if (!queue_take(&fixture.event, &entry)) {
        return false;
    }
    CHECK_EQUAL(entry.length, 16);
    const uint8_t *at = memory_at(&fixture.memory, buffer_of[entry.id]);
    *record = (struct record){
        .line = (uint16_t)number(at, 2),
        .level = at[2],
        .flags = at[3],
        .seq = (uint32_t)number(at + 4, 4),
        .timestamp_ns = number(at + 8, 8),
    };
    return true;
}

static void expect(uint16_t line, uint8_t level, uint8_t flags, uint32_t seq) {
    struct record record = {0};
    CHECK(take(&record));
    CHECK_EQUAL(record.line, line);
    CHECK_EQUAL(record.level, level);
    CHECK_EQUAL(record.flags, flags);
    CHECK_EQUAL(record.seq, seq);
}

static void expect_none(void) {
    struct record record;
    CHECK(!take(&record));
}

static void subscribe(uint16_t line, uint32_t type) {
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, type), VIRTIO_GPIO_OK);
}

static void open_stream(unsigned records) {
    fixture_open(&fixture, F_IRQ | F_STREAM);
    queue_records(records);
    fixture_service(&fixture);
}

static void every_edge_makes_a_record_in_order(void) {
    open_stream(20);
    subscribe(2, VIRTIO_GPIO_IRQ_BOTH);
    subscribe(7, VIRTIO_GPIO_IRQ_BOTH);
    fixture.clock_ns = UINT64_C(0x1122334455667000);
    fixture_edge(&fixture, 3, 1); /* nobody asked */
    fixture_edge(&fixture, 2, 1);
    fixture_edge(&fixture, 7, 1);
    fixture_edge(&fixture, 2, 0);
    fixture_edge(&fixture, 2, 1);
    struct record record;
    CHECK(take(&record));
    CHECK_EQUAL(record.timestamp_ns, 0x1122334455667000 + 1000);
    CHECK(record.line == 2 && record.level == 1 && record.flags == 0 && record.seq == 0);
    expect(7, 1, 0, 1);
    expect(2, 0, 0, 2);
    expect(2, 1, 0, 3);
    expect_none();
    CHECK_EQUAL(fixture.doorbells[2], 4);
    CHECK_EQUAL(fixture.device.counters.events, 4);
    CHECK_EQUAL(fixture.device.counters.dropped, 0);
    fixture_close(&fixture);
}

static void a_batch_is_one_doorbell(void) {
    open_stream(20);
    subscribe(1, VIRTIO_GPIO_IRQ_BOTH);
    for (unsigned i = 0; i < 10; i++) {
        virtio_gpio_line_changed(&fixture.device, 1, (i + 1) & 1);
    }
    expect_none();
    virtio_gpio_flush_events(&fixture.device);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    for (uint32_t i = 0; i < 10; i++) {
        expect(1, (i + 1) & 1, 0, i);
    }
    fixture_close(&fixture);
}

static void other_types_filter_edges(void) {
    static const struct {
        uint8_t type;
        uint8_t level;
    } cases[] = {{1, 1}, {2, 0}, {4, 1}, {8, 0}};
    for (unsigned i = 0; i < 4; i++) {
        open_stream(4);
        fixture.line[0].level = 1; /* a level that is active already makes no record */
        subscribe(0, cases[i].type);
        fixture_edge(&fixture, 0, 0);
        fixture_edge(&fixture, 0, 1);
        expect(0, cases[i].level, 0, 0);
        expect_none();
        fixture_close(&fixture);
    }
}

static void on_overrun_the_newest_level_survives(void) {
    open_stream(2);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    subscribe(1, VIRTIO_GPIO_IRQ_BOTH);
    subscribe(2, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1); /* 0 sent */
    fixture_edge(&fixture, 0, 0); /* 1 sent */
    fixture_edge(&fixture, 2, 1); /* 2 dropped */
    fixture_edge(&fixture, 0, 1); /* 3 kept */
    fixture_edge(&fixture, 2, 0); /* 4 dropped */
    fixture_edge(&fixture, 1, 1); /* 5 kept */
    fixture_edge(&fixture, 2, 1); /* 6 kept */
    expect(0, 1, 0, 0);
    expect(0, 0, 0, 1);
    expect_none();
    CHECK_EQUAL(fixture.device.counters.dropped, 2);
    /* One buffer returns, then the rest: oldest first, marked, one doorbell a batch. */
    fixture.doorbells[2] = 0;
    queue_records(1);
    fixture_service(&fixture);
    expect(0, 1, VIRTIO_GPIO_RECORD_DROPPED, 3);
    expect_none();
    queue_records(5);
    fixture_service(&fixture);
    expect(1, 1, VIRTIO_GPIO_RECORD_DROPPED, 5);
    expect(2, 1, VIRTIO_GPIO_RECORD_DROPPED, 6);
    expect_none();
    CHECK_EQUAL(fixture.doorbells[2], 2);
    fixture_edge(&fixture, 1, 0);
    expect(1, 0, 0, 7);
    CHECK_EQUAL(fixture.device.counters.dropped, 2);
    fixture_close(&fixture);
}

static void kept_edges_go_before_a_new_one(void) {
    open_stream(0);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    subscribe(1, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1);
    queue_records(1); /* no kick: the next edge finds it */
    fixture_edge(&fixture, 1, 1);
    expect(0, 1, VIRTIO_GPIO_RECORD_DROPPED, 0);
    expect_none();
    queue_records(2);
    fixture_edge(&fixture, 0, 0);
    expect(1, 1, VIRTIO_GPIO_RECORD_DROPPED, 1);
    expect(0, 0, 0, 2);
    fixture_close(&fixture);
}

static void kept_edges_are_ordered_across_the_wrap_of_seq(void) {
    open_stream(0);
    for (uint16_t line = 0; line < 3; line++) {
        subscribe(line, VIRTIO_GPIO_IRQ_BOTH);
    }
    fixture.device.next_seq = UINT32_MAX;
    fixture_edge(&fixture, 2, 1);
    fixture_edge(&fixture, 0, 1);
    fixture_edge(&fixture, 1, 1);
    queue_records(3);
    fixture_service(&fixture);
    expect(2, 1, VIRTIO_GPIO_RECORD_DROPPED, UINT32_MAX);
    expect(0, 1, VIRTIO_GPIO_RECORD_DROPPED, 0);
    expect(1, 1, VIRTIO_GPIO_RECORD_DROPPED, 1);
    fixture_close(&fixture);
}

static void kept_timestamps_are_of_the_edge(void) {
    open_stream(0);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    fixture.clock_ns = 5000;
    fixture_edge(&fixture, 0, 1);
    fixture.clock_ns = 900000;
    queue_records(1);
    fixture_service(&fixture);
    struct record record = {0};
    CHECK(take(&record));
    CHECK_EQUAL(record.timestamp_ns, 6000);
    fixture_close(&fixture);
}

static void unsubscribing_drops_what_was_kept(void) {
    open_stream(0);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    subscribe(1, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1);
    fixture_edge(&fixture, 1, 1);
    subscribe(0, VIRTIO_GPIO_IRQ_NONE);
    CHECK_EQUAL(fixture.device.counters.dropped, 1);
    queue_records(4);
    fixture_service(&fixture);
    expect(1, 1, VIRTIO_GPIO_RECORD_DROPPED, 1);
    expect_none();
    fixture_edge(&fixture, 0, 0);
    expect_none();
    /* No eventq buffer belongs to a line, so none came back. */
    CHECK_EQUAL(queue_free(&fixture.event), 64 - 3);
    fixture_close(&fixture);
}

static void useless_buffers_are_returned_empty(void) {
    open_stream(0);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    const uint32_t address = memory_allocate(&fixture.memory, 48, 1);
    const struct part too_short = {address, 15, true};
    const struct part both[] = {{address, 16, false}, {address + 16, 16, true}};
    const struct part readable = {address, 16, false};
    (void)queue_add(&fixture.event, &too_short, 1);
    (void)queue_add(&fixture.event, both, 2);
    (void)queue_add(&fixture.event, &readable, 1);
    const struct part pieces[] = {{address, 5, true}, {address + 5, 20, true}};
    const uint16_t good = queue_add(&fixture.event, pieces, 2);
    fixture_edge(&fixture, 0, 1);
    struct used_entry entry;
    for (unsigned i = 0; i < 3; i++) {
        CHECK(queue_take(&fixture.event, &entry));
        CHECK_EQUAL(entry.length, 0);
    }
    CHECK(queue_take(&fixture.event, &entry));
    CHECK_EQUAL(entry.id, good);
    CHECK_EQUAL(entry.length, 16);
    CHECK_EQUAL(fixture.device.event_queue.faults[VRING_FAULT_SHAPE], 3);
    fixture_close(&fixture);
}

static void kicks_are_asked_for_only_on_overrun(void) {
    fixture_open(&fixture, F_IRQ | F_STREAM);
    queue_records(2);
    fixture_service(&fixture);
    CHECK_EQUAL(queue_used_flags(&fixture.event), VRING_USED_NO_NOTIFY);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1);
    fixture_edge(&fixture, 0, 0);
    CHECK_EQUAL(queue_used_flags(&fixture.event), VRING_USED_NO_NOTIFY);
    fixture_edge(&fixture, 0, 1);
    CHECK_EQUAL(queue_used_flags(&fixture.event), 0);
    queue_records(1);
    fixture_service(&fixture);
    CHECK_EQUAL(queue_used_flags(&fixture.event), VRING_USED_NO_NOTIFY);
    fixture_close(&fixture);
    if (!VRING_EVENT_IDX) {
        return;
    }
    fixture_open(&fixture, F_IRQ | F_STREAM | F_EVENT_IDX);
    queue_records(2);
    fixture_service(&fixture);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1);
    fixture_edge(&fixture, 0, 0);
    CHECK_EQUAL(queue_available_event(&fixture.event), 0);
    fixture_edge(&fixture, 0, 1);
    CHECK_EQUAL(queue_available_event(&fixture.event), 2);
    fixture_close(&fixture);
}

/* What the header promises: the answer is visible before the record of a later edge. */
static unsigned used_at_edge;

static void edge_in_the_middle(struct fixture *at) {
    /* The port's read_level has run when the response is written: an interrupt wants to come now. */
    if (at->critical == 0) {
        used_at_edge = queue_used_index(&at->request);
    }
}

static void get_value_is_answered_with_interrupts_kept_out(void) {
    fixture_open(&fixture, F_IRQ | F_STREAM);
    used_at_edge = 0;
    fixture.disturb = edge_in_the_middle;
    const uint32_t address = memory_allocate(&fixture.memory, 32, 1);
    uint8_t *bytes = memory_at(&fixture.memory, address);
    bytes[0] = bytes[16] = VIRTIO_GPIO_GET_VALUE;
    for (uint32_t i = 0; i < 2; i++) {
        const struct part parts[] = {{address + 16 * i, 8, false}, {address + 16 * i + 8, 2, true}};
        (void)queue_add(&fixture.request, parts, 2);
    }
    fixture_service(&fixture);
    /* While the second was looked at, outside of the critical section, the first was out already. */
    CHECK_EQUAL(used_at_edge, 1);
    CHECK_EQUAL(queue_used_index(&fixture.request), 2);
    CHECK_EQUAL(fixture.doorbells[1], 1);
    fixture_close(&fixture);
}

static void seq_starts_again_after_a_reset(void) {
    open_stream(4);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 1);
    virtio_gpio_reset(&fixture.device);
    queue_open(&fixture.request, &fixture.memory, 16, 1, 0);
    queue_open(&fixture.event, &fixture.memory, 16, 2, 0);
    CHECK(virtio_gpio_negotiate(&fixture.device, F_IRQ | F_STREAM, virtio_gpio_features()));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_REQUEST_QUEUE, &fixture.request.place));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_EVENT_QUEUE, &fixture.event.place));
    queue_records(4);
    subscribe(0, VIRTIO_GPIO_IRQ_BOTH);
    fixture_edge(&fixture, 0, 0);
    expect(0, 0, 0, 0);
    fixture_close(&fixture);
}

void event_stream_tests(void) {
    RUN(every_edge_makes_a_record_in_order);
    RUN(a_batch_is_one_doorbell);
    RUN(other_types_filter_edges);
    RUN(on_overrun_the_newest_level_survives);
    RUN(kept_edges_go_before_a_new_one);
    RUN(kept_edges_are_ordered_across_the_wrap_of_seq);
    RUN(kept_timestamps_are_of_the_edge);
    RUN(unsubscribing_drops_what_was_kept);
    RUN(useless_buffers_are_returned_empty);
    RUN(kicks_are_asked_for_only_on_overrun);
    RUN(get_value_is_answered_with_interrupts_kept_out);
    RUN(seq_starts_again_after_a_reset);
}
