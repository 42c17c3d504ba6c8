/* SPDX-License-Identifier: Apache-2.0 */
/* The ring by itself: attaching, chains, malformed chains, notifications, index wrap. */
#include <string.h>

#include "fixture.h"

static struct fixture fixture;
static struct vring_device ring;
static struct driver_queue queue;

static void open_ring(uint16_t num, uint16_t start_index, bool event_idx) {
    fixture_open_bare(&fixture);
    queue_open(&queue, &fixture.memory, num, 1, start_index);
    memset(&ring, 0, sizeof ring);
    CHECK(vring_attach(&ring, &fixture.port, &queue.place, event_idx));
}

/* ---- attaching ---- */

static bool attaches(const struct vring_place *place) {
    struct vring_device fresh = {0};
    const bool attached = vring_attach(&fresh, &fixture.port, place, false);
    CHECK_EQUAL(attached, vring_attached(&fresh));
    return attached;
}

static void attach_checks_the_place(void) {
    open_ring(8, 0, false);
    const struct vring_place good = queue.place;
    struct vring_place place = good;
    CHECK(attaches(&place));
    place.num = 0;
    CHECK(!attaches(&place));
    place.num = 6;
    CHECK(!attaches(&place));
    place.num = 65535;
    CHECK(!attaches(&place));
    place.num = 1;
    CHECK(attaches(&place));
    place = good;
    place.descriptors += 2;
    CHECK(!attaches(&place));
    place = good;
    place.available += 1;
    CHECK(!attaches(&place));
    place = good;
    place.used += 2;
    CHECK(!attaches(&place));
    place = good;
    place.used = MEMORY_BASE + fixture.memory.size_bytes - 64; /* needs 70 bytes */
    CHECK(!attaches(&place));
    place = good;
    place.descriptors = 0;
    CHECK(!attaches(&place));
    place = good;
    place.available = UINT64_MAX - 1;
    CHECK(!attaches(&place));
    fixture_close(&fixture);
}

static void the_last_bytes_of_memory_are_usable(void) {
    fixture_open_bare(&fixture);
    memory_close(&fixture.memory);
    memory_open(&fixture.memory, 118); /* 64 descriptors, 14 available, 2 gap, 38 used */
    queue_open(&queue, &fixture.memory, 4, 1, 0);
    CHECK_EQUAL(queue.place.used + 6 + 8 * 4, MEMORY_BASE + fixture.memory.size_bytes);
    CHECK(attaches(&queue.place));
    fixture_close(&fixture);
}

/* ---- sound chains ---- */

static void reads_and_writes_across_parts(void) {
    open_ring(16, 0, false);
    const uint32_t at = memory_allocate(&fixture.memory, 64, 16);
    uint8_t *bytes = memory_at(&fixture.memory, at);
    for (unsigned i = 0; i < 64; i++) {
        bytes[i] = (uint8_t)i;
    }
    const struct part parts[] = {
        {at + 1, 3, false}, {0, 0, false},      {at + 10, 1, false}, {at + 20, 4, false},
        {at + 33, 2, true}, {at + 40, 0, true}, {at + 47, 5, true},
    };
    const uint16_t head = queue_add(&queue, parts, 7);
    struct vring_chain chain;
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.head, head);
    CHECK_EQUAL(chain.readable_bytes, 8);
    CHECK_EQUAL(chain.writable_bytes, 7);
    uint8_t got[16] = {0};
    CHECK_EQUAL(vring_read(&ring, &chain, got, sizeof got), 8);
    static const uint8_t wanted[] = {1, 2, 3, 10, 20, 21, 22, 23};
    CHECK(memcmp(got, wanted, 8) == 0);
    CHECK_EQUAL(vring_read(&ring, &chain, got, 4), 4);
    CHECK_EQUAL(vring_write(&ring, &chain, 1, "abc", 3), 3);
    CHECK(bytes[33] == 33 && bytes[34] == 'a' && bytes[47] == 'b' && bytes[48] == 'c' && bytes[49] == 49);
    CHECK_EQUAL(vring_write(&ring, &chain, 5, NULL, 100), 2);
    CHECK(bytes[50] == 0 && bytes[51] == 0 && bytes[52] == 52);
    CHECK_EQUAL(vring_write(&ring, &chain, 7, "x", 1), 0);
    CHECK(!vring_pop(&ring, &chain));
    fixture_close(&fixture);
}

static void one_sided_chains(void) {
    open_ring(4, 0, false);
    const uint32_t at = memory_allocate(&fixture.memory, 8, 1);
    const struct part readable = {at, 8, false};
    const struct part writable = {at, 8, true};
    struct vring_chain chain;
    uint8_t got[8];
    (void)queue_add(&queue, &readable, 1);
    (void)queue_add(&queue, &writable, 1);
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.writable_bytes, 0);
    CHECK_EQUAL(vring_write(&ring, &chain, 0, "x", 1), 0);
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.readable_bytes, 0);
    CHECK_EQUAL(vring_read(&ring, &chain, got, 8), 0);
    CHECK_EQUAL(vring_write(&ring, &chain, 0, "x", 1), 1);
    fixture_close(&fixture);
}

static void a_chain_may_be_as_long_as_the_queue(void) {
    open_ring(32, 0, false);
    struct part parts[32];
    const uint32_t at = memory_allocate(&fixture.memory, 32, 1);
    for (uint16_t i = 0; i < 32; i++) {
        parts[i] = (struct part){at + i, 1, i >= 16};
    }
    (void)queue_add(&queue, parts, 32);
    struct vring_chain chain;
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.readable_bytes, 16);
    CHECK_EQUAL(chain.writable_bytes, 16);
    fixture_close(&fixture);
}

/* ---- malformed chains ---- */

static void expect_fault(enum vring_fault fault, uint16_t head) {
    struct vring_chain chain;
    struct used_entry entry;
    const uint32_t before = ring.faults[fault];
    queue_post(&queue, head);
    vring_allow(&ring);
    CHECK(!vring_pop(&ring, &chain));
    CHECK_EQUAL(ring.faults[fault], before + 1);
    vring_publish(&ring);
    if (fault == VRING_FAULT_HEAD) {
        CHECK(!queue_take(&queue, &entry));
    } else {
        CHECK(queue_take(&queue, &entry));
        CHECK_EQUAL(entry.id, head);
        CHECK_EQUAL(entry.length, 0);
    }
    CHECK(!ring.broken);
}

static void malformed_chains_are_completed_and_counted(void) {
    open_ring(8, 0, false);
    const uint32_t end = MEMORY_BASE + fixture.memory.size_bytes;
    expect_fault(VRING_FAULT_HEAD, 8);
    expect_fault(VRING_FAULT_HEAD, 65535);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 1, VRING_FLAG_NEXT, 8);
    expect_fault(VRING_FAULT_NEXT, 0);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 1, VRING_FLAG_NEXT, 0);
    expect_fault(VRING_FAULT_LOOP, 0);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 1, VRING_FLAG_NEXT, 1);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 1, VRING_FLAG_NEXT, 0);
    expect_fault(VRING_FAULT_LOOP, 1);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 16, VRING_FLAG_INDIRECT, 0);
    expect_fault(VRING_FAULT_INDIRECT, 0);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 1, VRING_FLAG_NEXT | VRING_FLAG_WRITE, 1);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 1, 0, 0);
    expect_fault(VRING_FAULT_ORDER, 0);
    queue_set_descriptor(&queue, 0, MEMORY_BASE - 1, 1, 0, 0);
    expect_fault(VRING_FAULT_ADDRESS, 0);
    queue_set_descriptor(&queue, 0, end - 3, 4, VRING_FLAG_WRITE, 0);
    expect_fault(VRING_FAULT_ADDRESS, 0);
    queue_set_descriptor(&queue, 0, UINT64_MAX - 1, 4, 0, 0);
    expect_fault(VRING_FAULT_ADDRESS, 0);
    queue_set_descriptor(&queue, 0, UINT64_C(0x100000000) + MEMORY_BASE, 4, 0, 0);
    expect_fault(VRING_FAULT_ADDRESS, 0);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, UINT32_MAX, 0, 0);
    expect_fault(VRING_FAULT_ADDRESS, 0);
    fixture_close(&fixture);
}

static void *boundless_translate(void *context, uint64_t address, uint32_t size_bytes) {
    (void)size_bytes;
    return address < MEMORY_BASE ? NULL : ((struct fixture *)context)->memory.bytes + (address - MEMORY_BASE);
}

static void a_chain_of_4_gib_is_malformed(void) {
    open_ring(8, 0, false);
    fixture.port.translate = boundless_translate; /* as if the memory were that big */
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 0x80000000u, VRING_FLAG_NEXT, 1);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 0x80000000u, 0, 0);
    expect_fault(VRING_FAULT_LENGTH, 0);
    struct vring_chain chain;
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 0x7FFFFFFFu, 0, 0);
    queue_post(&queue, 0);
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.readable_bytes, 0xFFFFFFFFll);
    fixture_close(&fixture);
}

static void sound_chains_behind_malformed_ones_are_served(void) {
    open_ring(8, 0, false);
    struct vring_chain chain;
    queue_set_descriptor(&queue, 0, 0, 4, 0, 0);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 4, 0, 0);
    queue_post(&queue, 0);
    queue_post(&queue, 9);
    queue_post(&queue, 1);
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.head, 1);
    fixture_close(&fixture);
}

static void an_index_jump_breaks_the_ring(void) {
    open_ring(8, 0, false);
    struct vring_chain chain;
    queue_set_available_index(&queue, 8);
    CHECK(vring_arm(&ring));
    CHECK(!ring.broken);
    queue_set_available_index(&queue, 9);
    CHECK(!vring_pop(&ring, &chain));
    CHECK(ring.broken);
    queue_set_available_index(&queue, 1);
    CHECK(!vring_pop(&ring, &chain));
    CHECK(!vring_arm(&ring));
    CHECK_EQUAL(queue_used_index(&queue), 0);
    CHECK(vring_attach(&ring, &fixture.port, &queue.place, false));
    CHECK(!ring.broken);
    fixture_close(&fixture);
}

/* ---- what a driver can make us do in one call ---- */

static void chains_that_share_descriptors_use_up_the_allowance(void) {
    open_ring(64, 0, false);
    struct vring_chain chain;
    for (uint16_t i = 0; i < 64; i++) {
        /* One chain of the whole table, and 64 heads into it. */
        queue_set_descriptor(&queue, i, MEMORY_BASE, 4, i < 63 ? VRING_FLAG_NEXT : 0, (uint16_t)(i + 1));
        queue_post(&queue, 0);
    }
    unsigned calls = 0;
    for (unsigned taken = 0; taken < 64; calls++) {
        unsigned together = 0;
        vring_allow(&ring);
        while (vring_pop(&ring, &chain)) {
            CHECK_EQUAL(chain.parts, 64);
            vring_complete(&ring, chain.head, 0);
            together++;
        }
        CHECK(together > 0 && together <= 2);
        taken += together;
        CHECK(taken == 64 || vring_arm(&ring)); /* there is more to do */
        if (together == 0) {
            break;
        }
    }
    CHECK(calls >= 32);
    /* The same with loops, which are malformed. */
    queue_set_descriptor(&queue, 63, MEMORY_BASE, 4, VRING_FLAG_NEXT, 0);
    for (uint16_t i = 0; i < 64; i++) {
        queue_post(&queue, i);
    }
    vring_allow(&ring);
    CHECK(!vring_pop(&ring, &chain));
    CHECK_EQUAL(ring.faults[VRING_FAULT_LOOP], 1);
    CHECK(!vring_pop(&ring, &chain));
    CHECK_EQUAL(ring.faults[VRING_FAULT_LOOP], 1);
    CHECK(vring_arm(&ring));
    vring_allow(&ring);
    CHECK(!vring_pop(&ring, &chain));
    CHECK_EQUAL(ring.faults[VRING_FAULT_LOOP], 2);
    fixture_close(&fixture);
}

static void sound_chains_of_one_descriptor_cost_nothing(void) {
    open_ring(8, 0, false);
    struct vring_chain chain;
    struct used_entry entry;
    const struct part part = {MEMORY_BASE, 4, true};
    for (unsigned i = 0; i < 100; i++) { /* more than the table has, without another vring_allow */
        (void)queue_add(&queue, &part, 1);
        CHECK(vring_pop(&ring, &chain));
        vring_complete(&ring, chain.head, 0);
        vring_publish(&ring);
        CHECK(queue_take(&queue, &entry));
    }
    for (unsigned i = 0; i < 8; i++) { /* those that are of no use do */
        (void)queue_add(&queue, &part, 1);
        CHECK(vring_pop(&ring, &chain));
        vring_refuse(&ring, &chain);
        vring_publish(&ring);
        CHECK(queue_take(&queue, &entry));
        CHECK_EQUAL(entry.length, 0);
    }
    CHECK_EQUAL(ring.faults[VRING_FAULT_SHAPE], 8);
    (void)queue_add(&queue, &part, 1);
    CHECK(!vring_pop(&ring, &chain));
    fixture_close(&fixture);
}

static void a_chain_that_grows_is_walked_no_further(void) {
    open_ring(8, 0, false);
    struct vring_chain chain;
    uint8_t bytes[8];
    memset(memory_at(&fixture.memory, MEMORY_BASE), 0x55, 8);
    queue_set_descriptor(&queue, 0, MEMORY_BASE, 2, VRING_FLAG_NEXT, 1);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 2, 0, 2);
    queue_set_descriptor(&queue, 2, MEMORY_BASE, 2, 0, 0);
    queue_post(&queue, 0);
    CHECK(vring_pop(&ring, &chain));
    CHECK_EQUAL(chain.parts, 2);
    queue_set_descriptor(&queue, 1, MEMORY_BASE, 2, VRING_FLAG_NEXT, 2);
    CHECK_EQUAL(vring_read(&ring, &chain, bytes, 8), 4);
    CHECK(!vring_reopen(&ring, 0, 2, &chain));
    CHECK(vring_reopen(&ring, 0, 3, &chain));
    fixture_close(&fixture);
}

static void an_index_that_goes_back_breaks_the_ring(void) {
    open_ring(8, 100, false);
    struct vring_chain chain;
    queue_set_available_index(&queue, 99);
    CHECK(!vring_pop(&ring, &chain));
    CHECK(ring.broken);
    fixture_close(&fixture);
}

/* ---- notifications ---- */

static uint16_t complete_some(unsigned count) {
    struct vring_chain chain;
    const struct part part = {MEMORY_BASE, 4, true};
    for (unsigned i = 0; i < count; i++) {
        struct used_entry entry;
        (void)queue_add(&queue, &part, 1);
        CHECK(vring_pop(&ring, &chain));
        vring_complete(&ring, chain.head, i);
        CHECK(!queue_take(&queue, &entry)); /* unseen until published */
    }
    vring_publish(&ring);
    for (unsigned i = 0; i < count; i++) {
        struct used_entry entry;
        CHECK(queue_take(&queue, &entry));
        CHECK_EQUAL(entry.length, i);
    }
    return queue_used_index(&queue);
}

static void flags_suppress_doorbells(void) {
    open_ring(8, 65530, false);
    CHECK(!vring_wants_doorbell(&ring));
    (void)complete_some(3);
    CHECK(vring_wants_doorbell(&ring));
    CHECK(!vring_wants_doorbell(&ring));
    queue_set_available_flags(&queue, VRING_AVAIL_NO_INTERRUPT);
    (void)complete_some(5);
    CHECK(!vring_wants_doorbell(&ring));
    queue_set_available_flags(&queue, 0);
    CHECK(!vring_wants_doorbell(&ring)); /* it was decided then; the driver looks by itself */
    fixture_close(&fixture);
}

static void event_idx_suppresses_doorbells(void) {
    if (!VRING_EVENT_IDX) {
        return;
    }
    open_ring(8, 65533, true);
    queue_set_available_flags(&queue, VRING_AVAIL_NO_INTERRUPT); /* means nothing here */
    queue_set_used_event(&queue, 65533);
    CHECK_EQUAL(complete_some(2), 65535);
    CHECK(vring_wants_doorbell(&ring)); /* 65533 was passed */
    (void)complete_some(1);
    CHECK(!vring_wants_doorbell(&ring)); /* still asks for 65533 */
    queue_set_used_event(&queue, 2);
    CHECK_EQUAL(complete_some(2), 2);
    CHECK(!vring_wants_doorbell(&ring));
    CHECK_EQUAL(complete_some(1), 3);
    CHECK(vring_wants_doorbell(&ring));
    fixture_close(&fixture);
}

static void kicks_are_asked_for_and_declined(void) {
    open_ring(8, 7, false);
    const struct part part = {MEMORY_BASE, 4, true};
    struct vring_chain chain;
    vring_disarm(&ring);
    CHECK_EQUAL(queue_used_flags(&queue), VRING_USED_NO_NOTIFY);
    CHECK(!vring_arm(&ring));
    CHECK_EQUAL(queue_used_flags(&queue), 0);
    (void)queue_add(&queue, &part, 1);
    CHECK(vring_arm(&ring)); /* came in between */
    fixture_close(&fixture);
    if (!VRING_EVENT_IDX) {
        return;
    }
    open_ring(8, 7, true);
    CHECK(!vring_arm(&ring));
    CHECK_EQUAL(queue_available_event(&queue), 7);
    (void)queue_add(&queue, &part, 1);
    CHECK(vring_pop(&ring, &chain));
    vring_disarm(&ring);
    CHECK_EQUAL(queue_available_event(&queue), 7);
    CHECK_EQUAL(queue_used_flags(&queue), 0);
    CHECK(!vring_arm(&ring));
    CHECK_EQUAL(queue_available_event(&queue), 8);
    fixture_close(&fixture);
}

static void every_queue_size_wraps(void) {
    for (uint16_t num = 1; num <= 256; num = (uint16_t)(num * 2)) {
        open_ring(num, (uint16_t)(65536 - num * 3 / 2), false);
        for (unsigned i = 0; i < 5u; i++) {
            (void)complete_some(num);
        }
        CHECK(!ring.broken);
        CHECK_EQUAL(ring.chains, 5u * num);
        fixture_close(&fixture);
    }
}

void vring_tests(void) {
    RUN(attach_checks_the_place);
    RUN(the_last_bytes_of_memory_are_usable);
    RUN(reads_and_writes_across_parts);
    RUN(one_sided_chains);
    RUN(a_chain_may_be_as_long_as_the_queue);
    RUN(malformed_chains_are_completed_and_counted);
    RUN(a_chain_of_4_gib_is_malformed);
    RUN(sound_chains_behind_malformed_ones_are_served);
    RUN(an_index_jump_breaks_the_ring);
    RUN(chains_that_share_descriptors_use_up_the_allowance);
    RUN(sound_chains_of_one_descriptor_cost_nothing);
    RUN(a_chain_that_grows_is_walked_no_further);
    RUN(an_index_that_goes_back_breaks_the_ring);
    RUN(flags_suppress_doorbells);
    RUN(event_idx_suppresses_doorbells);
    RUN(kicks_are_asked_for_and_declined);
    RUN(every_queue_size_wraps);
}
