/* SPDX-License-Identifier: Apache-2.0 */
/* Plain virtio-gpio interrupts: masking, latching, level types, buffers given back. */
#include <string.h>

#include "fixture.h"

#define INVALID VIRTIO_GPIO_EVENT_INVALID
#define VALID VIRTIO_GPIO_EVENT_VALID
#define HELD 0xEE

static struct fixture fixture;

static void set_type(uint16_t line, uint32_t type) {
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, type), VIRTIO_GPIO_OK);
}

static uint8_t try_type(uint16_t line, uint32_t type) {
    return fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, type);
}

static uint8_t at(uint32_t address) {
    return *memory_at(&fixture.memory, address);
}

/* Takes the one buffer that came back. */
static void expect_returned(uint32_t address, uint8_t status) {
    struct used_entry entry;
    CHECK(queue_take(&fixture.event, &entry));
    CHECK_EQUAL(entry.length, 1);
    CHECK_EQUAL(at(address), status);
    CHECK(!queue_take(&fixture.event, &entry));
}

static void expect_held(uint32_t address) {
    struct used_entry entry;
    CHECK(!queue_take(&fixture.event, &entry));
    CHECK_EQUAL(at(address), HELD);
}

static void types_by_direction_and_feature(void) {
    static const uint8_t types[] = {1, 2, 3, 4, 8};
    static const unsigned edges[] = {1, 2, 3, 1, 2};
    fixture_open(&fixture, F_IRQ);
    for (unsigned i = 0; i < 5; i++) {
        set_type(1, types[i]);
        CHECK_EQUAL(fixture.line[1].edges, edges[i]);
        set_type(1, types[i]); /* again: fine */
        CHECK_EQUAL(try_type(1, types[(i + 1) % 5]), VIRTIO_GPIO_ERR);
        CHECK_EQUAL(fixture.line[1].edges, edges[i]);
        set_type(1, 0);
        CHECK_EQUAL(fixture.line[1].edges, 0);
        set_type(1, 0);
    }
    static const uint32_t unknown[] = {5, 6, 7, 9, 0x100, 0x10003, 0xFFFFFFFF};
    for (unsigned i = 0; i < 7; i++) {
        CHECK_EQUAL(try_type(1, unknown[i]), VIRTIO_GPIO_ERR);
    }
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 1, 1), VIRTIO_GPIO_OK);
    CHECK_EQUAL(try_type(1, VIRTIO_GPIO_IRQ_RISING), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 1, 2), VIRTIO_GPIO_OK);
    set_type(1, VIRTIO_GPIO_IRQ_RISING);
    /* And no output while it may interrupt. */
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 1, 1), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(fixture.line[1].direction, 2);
    fixture_close(&fixture);
    fixture_open(&fixture, 0);
    CHECK_EQUAL(try_type(1, VIRTIO_GPIO_IRQ_RISING), VIRTIO_GPIO_ERR);
    CHECK_EQUAL(try_type(1, VIRTIO_GPIO_IRQ_NONE), VIRTIO_GPIO_ERR);
    fixture_close(&fixture);
}

static void an_edge_returns_the_buffer(void) {
    static const struct {
        uint8_t type;
        uint8_t level;
        bool fires;
    } cases[] = {{1, 1, true}, {1, 0, false}, {2, 0, true}, {2, 1, false}, {3, 1, true}, {3, 0, true}};
    for (unsigned i = 0; i < 6; i++) {
        fixture_open(&fixture, F_IRQ);
        fixture.line[4].level = !cases[i].level;
        set_type(4, cases[i].type);
        const uint32_t buffer = fixture_queue_event(&fixture, 4);
        expect_held(buffer);
        fixture_edge(&fixture, 3, cases[i].level); /* another line's edge */
        expect_held(buffer);
        fixture_edge(&fixture, 4, cases[i].level);
        if (cases[i].fires) {
            expect_returned(buffer, VALID);
            CHECK_EQUAL(fixture.doorbells[2], 1);
        } else {
            expect_held(buffer);
            CHECK_EQUAL(fixture.doorbells[2], 0);
        }
        fixture_close(&fixture);
    }
}

static void edges_while_masked_are_latched_once(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    fixture_edge(&fixture, 0, 1);
    fixture_edge(&fixture, 0, 0);
    fixture_edge(&fixture, 0, 1);
    CHECK_EQUAL(fixture.doorbells[2], 0);
    expect_returned(fixture_queue_event(&fixture, 0), VALID);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    expect_held(fixture_queue_event(&fixture, 0)); /* three edges, one latch */
    fixture_close(&fixture);
}

static void a_falling_edge_is_not_latched_for_rising(void) {
    fixture_open(&fixture, F_IRQ);
    fixture.line[0].level = 1;
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    fixture_edge(&fixture, 0, 0);
    expect_held(fixture_queue_event(&fixture, 0));
    fixture_close(&fixture);
}

static void edges_before_the_type_do_not_count(void) {
    fixture_open(&fixture, F_IRQ);
    fixture_edge(&fixture, 0, 1);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    expect_held(fixture_queue_event(&fixture, 0));
    fixture_close(&fixture);
}

static void the_same_type_again_keeps_the_latch(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    fixture_edge(&fixture, 0, 1);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    expect_returned(fixture_queue_event(&fixture, 0), VALID);
    fixture_close(&fixture);
}

static void none_discards_the_latch(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    fixture_edge(&fixture, 0, 1);
    set_type(0, VIRTIO_GPIO_IRQ_NONE);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    expect_held(fixture_queue_event(&fixture, 0));
    fixture_close(&fixture);
}

static void none_gives_the_buffer_back(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_BOTH);
    const uint32_t buffer = fixture_queue_event(&fixture, 0);
    set_type(0, VIRTIO_GPIO_IRQ_NONE);
    expect_returned(buffer, INVALID);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    fixture_edge(&fixture, 0, 1);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    fixture_close(&fixture);
}

static void direction_none_discards_everything(void) {
    fixture_open(&fixture, F_IRQ);
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 0, 2), VIRTIO_GPIO_OK);
    set_type(0, VIRTIO_GPIO_IRQ_BOTH);
    set_type(1, VIRTIO_GPIO_IRQ_BOTH);
    const uint32_t buffer = fixture_queue_event(&fixture, 0);
    const uint32_t other = fixture_queue_event(&fixture, 1);
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 0, 0), VIRTIO_GPIO_OK);
    expect_returned(buffer, INVALID);
    CHECK_EQUAL(at(other), HELD);
    CHECK_EQUAL(fixture.line[0].edges, 0);
    fixture_edge(&fixture, 0, 1);
    expect_returned(fixture_queue_event(&fixture, 0), INVALID); /* not enabled any more */
    set_type(0, VIRTIO_GPIO_IRQ_RISING);                        /* no change of type: it was none */
    expect_held(fixture_queue_event(&fixture, 0));
    fixture_close(&fixture);
}

static void buffers_nobody_can_use_come_back_invalid(void) {
    fixture_open(&fixture, F_IRQ);
    expect_returned(fixture_queue_event(&fixture, 0), INVALID);
    expect_returned(fixture_queue_event(&fixture, FIXTURE_LINES), INVALID);
    expect_returned(fixture_queue_event(&fixture, 65535), INVALID);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    const uint32_t first = fixture_queue_event(&fixture, 0);
    expect_returned(fixture_queue_event(&fixture, 0), INVALID);
    fixture_edge(&fixture, 0, 1);
    expect_returned(first, VALID);
    fixture_close(&fixture);
}

static void malformed_event_buffers(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_RISING);
    const uint32_t bytes = memory_allocate(&fixture.memory, 8, 1);
    const struct {
        struct part parts[2];
        unsigned count;
        uint32_t length;
    } cases[] = {
        {{{bytes, 1, false}, {bytes + 4, 1, true}}, 2, 1}, {{{bytes, 3, false}, {bytes + 4, 1, true}}, 2, 1},
        {{{bytes + 4, 1, true}, {0}}, 1, 1},               {{{bytes, 2, false}, {0}}, 1, 0},
        {{{bytes, 2, false}, {1, 1, true}}, 2, 0},
    };
    for (unsigned i = 0; i < 5; i++) {
        memset(memory_at(&fixture.memory, bytes), 0, 4);
        *memory_at(&fixture.memory, bytes + 4) = 0xEE;
        (void)queue_add(&fixture.event, cases[i].parts, cases[i].count);
        fixture_service(&fixture);
        struct used_entry entry;
        CHECK(queue_take(&fixture.event, &entry));
        CHECK_EQUAL(entry.length, cases[i].length);
        CHECK_EQUAL(at(bytes + 4), cases[i].length == 1 ? INVALID : HELD);
    }
    CHECK_EQUAL(fixture.device.event_queue.faults[VRING_FAULT_SHAPE], 4);
    CHECK_EQUAL(fixture.device.event_queue.faults[VRING_FAULT_ADDRESS], 1);
    expect_held(fixture_queue_event(&fixture, 0)); /* the queue is alive */
    fixture_close(&fixture);
}

static void level_types_fire_while_the_level_is_active(void) {
    for (uint8_t high = 0; high <= 1; high++) {
        const uint8_t active = high;
        const uint8_t idle = !high;
        fixture_open(&fixture, F_IRQ);
        fixture.line[2].level = idle;
        set_type(2, high ? VIRTIO_GPIO_IRQ_LEVEL_HIGH : VIRTIO_GPIO_IRQ_LEVEL_LOW);
        uint32_t buffer = fixture_queue_event(&fixture, 2);
        expect_held(buffer);
        fixture_edge(&fixture, 2, active);
        expect_returned(buffer, VALID);
        for (unsigned i = 0; i < 5; i++) {
            expect_returned(fixture_queue_event(&fixture, 2), VALID); /* still active */
        }
        fixture_edge(&fixture, 2, idle);
        buffer = fixture_queue_event(&fixture, 2);
        expect_held(buffer);
        /* Never latched: a pulse while masked leaves nothing. */
        fixture_edge(&fixture, 2, active);
        expect_returned(buffer, VALID);
        fixture_edge(&fixture, 2, idle);
        fixture_edge(&fixture, 2, active);
        fixture_edge(&fixture, 2, idle);
        expect_held(fixture_queue_event(&fixture, 2));
        fixture_close(&fixture);
    }
}

static void a_batch_of_edges_is_one_doorbell(void) {
    fixture_open(&fixture, F_IRQ);
    uint32_t buffers[FIXTURE_LINES];
    for (uint16_t line = 0; line < FIXTURE_LINES; line++) {
        set_type(line, VIRTIO_GPIO_IRQ_BOTH);
        buffers[line] = fixture_queue_event(&fixture, line);
    }
    for (uint16_t line = 0; line < FIXTURE_LINES; line++) {
        virtio_gpio_line_changed(&fixture.device, line, 1);
    }
    virtio_gpio_line_changed(&fixture.device, FIXTURE_LINES, 1); /* no such line */
    CHECK_EQUAL(queue_used_index(&fixture.event), 0);
    virtio_gpio_flush_events(&fixture.device);
    virtio_gpio_flush_events(&fixture.device);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    CHECK_EQUAL(queue_used_index(&fixture.event), FIXTURE_LINES);
    for (uint16_t line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(at(buffers[line]), VALID);
    }
    fixture_close(&fixture);
}

static void a_chain_changed_after_posting_harms_nobody(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_BOTH);
    (void)fixture_queue_event(&fixture, 0);
    const uint16_t head = (uint16_t)fixture.state[0].event_head;
    queue_set_descriptor(&fixture.event, head, 0, 4, 0, 0);
    fixture_edge(&fixture, 0, 1);
    struct used_entry entry;
    CHECK(queue_take(&fixture.event, &entry));
    CHECK_EQUAL(entry.id, head);
    CHECK_EQUAL(entry.length, 0);
    CHECK_EQUAL(fixture.device.event_queue.faults[VRING_FAULT_SHAPE], 1);
    fixture_close(&fixture);
}

static void reset_drops_latches_and_buffers(void) {
    fixture_open(&fixture, F_IRQ);
    set_type(0, VIRTIO_GPIO_IRQ_BOTH);
    set_type(1, VIRTIO_GPIO_IRQ_BOTH);
    (void)fixture_queue_event(&fixture, 0);
    fixture_edge(&fixture, 1, 1);
    virtio_gpio_reset(&fixture.device);
    fixture_edge(&fixture, 0, 1);
    CHECK_EQUAL(queue_used_index(&fixture.event), 0);
    CHECK_EQUAL(fixture.doorbells[2], 0);
    queue_open(&fixture.request, &fixture.memory, 16, 1, 0);
    queue_open(&fixture.event, &fixture.memory, 16, 2, 0);
    CHECK(virtio_gpio_negotiate(&fixture.device, F_IRQ, virtio_gpio_features()));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_REQUEST_QUEUE, &fixture.request.place));
    CHECK(virtio_gpio_attach_queue(&fixture.device, VIRTIO_GPIO_EVENT_QUEUE, &fixture.event.place));
    set_type(1, VIRTIO_GPIO_IRQ_RISING);
    expect_held(fixture_queue_event(&fixture, 1));
    fixture_close(&fixture);
}

void interrupt_tests(void) {
    RUN(types_by_direction_and_feature);
    RUN(an_edge_returns_the_buffer);
    RUN(edges_while_masked_are_latched_once);
    RUN(a_falling_edge_is_not_latched_for_rising);
    RUN(edges_before_the_type_do_not_count);
    RUN(the_same_type_again_keeps_the_latch);
    RUN(none_discards_the_latch);
    RUN(none_gives_the_buffer_back);
    RUN(direction_none_discards_everything);
    RUN(buffers_nobody_can_use_come_back_invalid);
    RUN(malformed_event_buffers);
    RUN(level_types_fire_while_the_level_is_active);
    RUN(a_batch_of_edges_is_one_doorbell);
    RUN(a_chain_changed_after_posting_harms_nobody);
    RUN(reset_drops_latches_and_buffers);
}
