/* SPDX-License-Identifier: Apache-2.0 */
/* A random driver against the device, with a model of what the device must answer, beyond index wrap. */
#include <string.h>

#include "fixture.h"

static struct fixture fixture;

/* ---- requests ---- */

struct model_line {
    uint8_t direction;
    uint8_t held;
    uint8_t irq_type;
};

static struct model_line model[FIXTURE_LINES];

struct request {
    uint16_t type;
    uint16_t line;
    uint32_t value;
};

static uint32_t pick(uint32_t limit) {
    return random_below(&fixture.random, limit);
}

static struct request pick_request(void) {
    static const uint32_t values[] = {0, 1, 2, 3, 4, 8, 5, 0x10001, 0xFFFFFFFF};
    return (struct request){
        .type = (uint16_t)(pick(40) == 0 ? pick(65536) : 2 + pick(5)),
        .line = (uint16_t)(pick(20) == 0 ? pick(65536) : pick(FIXTURE_LINES)),
        .value = values[pick(pick(4) == 0 ? 9 : 4)],
    };
}

static bool known_irq_type(uint32_t value) {
    return value <= 4 || value == 8;
}

/* The rules once more, in other words than the device's. */
static void answer_of_model(const struct request *request, uint8_t *status, uint8_t *value) {
    *status = VIRTIO_GPIO_ERR;
    *value = 0;
    if (request->line >= FIXTURE_LINES || request->type < 2 || request->type > 6) {
        return;
    }
    struct model_line *line = &model[request->line];
    bool good = true;
    if (request->type == VIRTIO_GPIO_GET_DIRECTION) {
        *value = line->direction;
    } else if (request->type == VIRTIO_GPIO_GET_VALUE) {
        *value = fixture.line[request->line].level;
    } else if (request->type == VIRTIO_GPIO_SET_VALUE) {
        good = request->value <= 1;
        if (good) {
            line->held = (uint8_t)request->value;
        }
    } else if (request->type == VIRTIO_GPIO_SET_DIRECTION) {
        good = request->value == 0 || request->value == 2 || (request->value == 1 && line->irq_type == 0);
        if (good) {
            line->direction = (uint8_t)request->value;
            if (request->value == 0) {
                line->held = 0;
                line->irq_type = 0;
            }
        }
    } else {
        good = known_irq_type(request->value) && line->direction != 1 &&
               (request->value == 0 || line->irq_type == 0 || line->irq_type == request->value);
        if (good) {
            line->irq_type = (uint8_t)request->value;
        }
    }
    *status = good ? VIRTIO_GPIO_OK : VIRTIO_GPIO_ERR;
}

/* Posts a request in random pieces; returns its head. The message lies at `address`, 10 bytes. */
static uint16_t post(const struct request *request, uint32_t address) {
    const uint8_t message[10] = {
        (uint8_t)request->type,          (uint8_t)(request->type >> 8),   (uint8_t)request->line,
        (uint8_t)(request->line >> 8),   (uint8_t)request->value,         (uint8_t)(request->value >> 8),
        (uint8_t)(request->value >> 16), (uint8_t)(request->value >> 24), 0xEE,
        0xEE,
    };
    memcpy(memory_at(&fixture.memory, address), message, sizeof message);
    struct part parts[10];
    unsigned count = 0;
    uint32_t room = queue_free(&fixture.request);
    for (uint32_t i = 0; i < 10; i++) {
        const bool spare = count + 2 < room; /* the response needs one */
        if (i == 0 || i == 8 || (spare && pick(6) == 0)) {
            parts[count++] = (struct part){address + i, 0, i >= 8};
        }
        parts[count - 1].size_bytes++;
    }
    return queue_add(&fixture.request, parts, count);
}

static void random_requests(uint16_t num, uint32_t features, uint64_t seed) {
    fixture_open_at(&fixture, features, num, 4, 0);
    fixture.random = seed;
    memset(model, 0, sizeof model);
    const uint32_t area = memory_allocate(&fixture.memory, 16 * 64, 1);
    for (uint32_t served = 0; served < 70000;) {
        struct {
            uint16_t head;
            uint32_t address;
            uint8_t status;
            uint8_t value;
        } wanted[64];
        unsigned batch = 0;
        /* Answers are modelled one by one, so a batch must not read what it changes: outputs apply at once. */
        const unsigned most = 1 + pick(num / 2 < 64 ? num / 2 : 64);
        const unsigned doorbells = fixture.doorbells[1];
        const uint16_t used_before = queue_used_index(&fixture.request);
        const uint16_t event = (uint16_t)(used_before + pick(6) - 2);
        queue_set_used_event(&fixture.request, event);
        const bool quiet = pick(3) == 0;
        queue_set_available_flags(&fixture.request, quiet ? VRING_AVAIL_NO_INTERRUPT : 0);
        uint8_t levels[FIXTURE_LINES];
        for (unsigned i = 0; i < FIXTURE_LINES; i++) {
            if (model[i].direction != 1) {
                fixture.line[i].level = (uint8_t)pick(2);
            }
            levels[i] = fixture.line[i].level;
        }
        while (batch < most && queue_free(&fixture.request) >= 2) {
            const struct request request = pick_request();
            wanted[batch].address = area + 16 * batch;
            wanted[batch].head = post(&request, wanted[batch].address);
            answer_of_model(&request, &wanted[batch].status, &wanted[batch].value);
            if (request.type == VIRTIO_GPIO_GET_VALUE && request.line < FIXTURE_LINES) {
                wanted[batch].value = levels[request.line];
            }
            for (unsigned i = 0; i < FIXTURE_LINES; i++) {
                if (model[i].direction == 1) {
                    levels[i] = model[i].held;
                }
            }
            batch++;
        }
        fixture_service(&fixture);
        for (unsigned i = 0; i < batch; i++) {
            struct used_entry entry = {0};
            CHECK(queue_take(&fixture.request, &entry));
            CHECK_EQUAL(entry.id, wanted[i].head);
            CHECK_EQUAL(entry.length, 2);
            const uint8_t *response = memory_at(&fixture.memory, wanted[i].address + 8);
            CHECK_EQUAL(response[0], wanted[i].status);
            CHECK_EQUAL(response[1], wanted[i].value);
        }
        const uint16_t used_after = queue_used_index(&fixture.request);
        const bool passed = (uint16_t)(used_after - event - 1) < (uint16_t)(used_after - used_before);
        const bool rings = (features & F_EVENT_IDX) != 0 ? passed : !quiet;
        CHECK_EQUAL(fixture.doorbells[1] - doorbells, rings ? 1 : 0);
        served += batch;
    }
    for (unsigned i = 0; i < FIXTURE_LINES; i++) {
        CHECK_EQUAL(fixture.line[i].direction, model[i].direction);
        CHECK(model[i].direction != 1 || fixture.line[i].level == model[i].held);
    }
    fixture_close(&fixture);
}

static void requests_beyond_the_wrap(void) {
    static const uint16_t nums[] = {2, 4, 64, 256};
    for (unsigned i = 0; i < 4; i++) {
        random_requests(nums[i], F_IRQ, 1 + i);
        random_requests(nums[i], F_IRQ | F_EVENT_IDX, 100 + i);
    }
}

/* ---- plain interrupts ---- */

struct model_irq {
    uint8_t type;
    uint8_t level;
    bool latched;
    uint32_t buffer; /* 0: masked */
};

static struct model_irq irqs[FIXTURE_LINES];
static uint8_t returned_status[1024]; /* what the model says of a buffer, by slot */
static unsigned returns_due;

static bool active(const struct model_irq *irq) {
    return irq->type == 4 ? irq->level == 1 : irq->type == 8 && irq->level == 0;
}

static void model_return(struct model_irq *irq, uint8_t status) {
    returned_status[irq->buffer % 1024] = status;
    irq->buffer = 0;
    returns_due++;
}

static void model_edge(struct model_irq *irq, uint8_t level) {
    irq->level = level;
    const bool matches = (irq->type == 1 && level == 1) || (irq->type == 2 && level == 0) || irq->type == 3;
    if (irq->buffer != 0 && (matches || active(irq))) {
        model_return(irq, VIRTIO_GPIO_EVENT_VALID);
    } else if (matches) {
        irq->latched = true;
    }
}

static void model_queue(struct model_irq *irq, uint32_t buffer) {
    if (irq->type == 0 || irq->buffer != 0) {
        returned_status[buffer % 1024] = VIRTIO_GPIO_EVENT_INVALID;
        returns_due++;
        return;
    }
    irq->buffer = buffer;
    if (irq->latched || active(irq)) {
        irq->latched = false;
        model_return(irq, VIRTIO_GPIO_EVENT_VALID);
    }
}

static void model_type(struct model_irq *irq, uint8_t type) {
    irq->type = type;
    if (type == 0) {
        irq->latched = false;
        if (irq->buffer != 0) {
            model_return(irq, VIRTIO_GPIO_EVENT_INVALID);
        }
    }
}

/* Buffers lie in slots of 4 bytes from `area` on, one a head. */
static void step_interrupts(uint32_t area) {
    const uint16_t line = (uint16_t)pick(FIXTURE_LINES);
    struct model_irq *irq = &irqs[line];
    const uint32_t choice = pick(10);
    if (choice < 5) {
        const uint8_t level = !fixture.line[line].level;
        fixture_edge(&fixture, line, level);
        model_edge(irq, level);
    } else if (choice < 9 && queue_free(&fixture.event) >= 2) {
        static uint32_t next_slot;
        const uint32_t slot = area + 4 * (1 + next_slot++ % 1000);
        uint8_t *bytes = memory_at(&fixture.memory, slot);
        bytes[0] = (uint8_t)line;
        bytes[1] = 0;
        bytes[2] = 0xEE;
        const struct part parts[] = {{slot, 2, false}, {slot + 2, 1, true}};
        (void)queue_add(&fixture.event, parts, 2);
        fixture_service(&fixture);
        model_queue(irq, slot);
    } else {
        static const uint8_t types[] = {1, 2, 3, 4, 8};
        const uint8_t type = irq->type != 0 ? 0 : types[pick(5)];
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, type), VIRTIO_GPIO_OK);
        model_type(irq, type);
    }
}

static uint32_t buffer_of_head(uint32_t head) {
    const uint8_t *at = memory_at(&fixture.memory, fixture.event.place.descriptors) + 16 * head;
    return (uint32_t)(at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
}

static void random_interrupts(uint32_t features, uint64_t seed) {
    fixture_open_at(&fixture, features, 16, 32, 65000);
    fixture.random = seed;
    memset(irqs, 0, sizeof irqs);
    returns_due = 0;
    const uint32_t area = memory_allocate(&fixture.memory, 4 * 1024, 4);
    for (unsigned step = 0; step < 150000; step++) {
        step_interrupts(area);
        for (; returns_due > 0; returns_due--) {
            struct used_entry entry = {0};
            CHECK(queue_take(&fixture.event, &entry));
            CHECK_EQUAL(entry.length, 1);
            const uint32_t buffer = buffer_of_head(entry.id);
            CHECK_EQUAL(*memory_at(&fixture.memory, buffer + 2), returned_status[buffer % 1024]);
        }
        struct used_entry entry;
        CHECK(!queue_take(&fixture.event, &entry));
        queue_set_used_event(&fixture.event, queue_used_index(&fixture.event));
    }
    fixture_close(&fixture);
}

static void interrupts_beyond_the_wrap(void) {
    random_interrupts(F_IRQ, 7);
    random_interrupts(F_IRQ | F_EVENT_IDX, 8);
}

/* ---- the event stream ---- */

static void random_stream(uint32_t features, uint64_t seed) {
    fixture_open_at(&fixture, features, 16, 32, 65000);
    fixture.random = seed;
    const uint32_t area = memory_allocate(&fixture.memory, 16 * 32, 16);
    uint8_t seen[FIXTURE_LINES] = {0};
    uint32_t next_seq = 0;
    uint32_t edges = 0;
    uint32_t records = 0;
    uint32_t gaps = 0;
    unsigned settled = 0;
    for (uint16_t line = 0; line < FIXTURE_LINES; line++) {
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, line, VIRTIO_GPIO_IRQ_BOTH), VIRTIO_GPIO_OK);
    }
    for (unsigned round = 0; round < 30000; round++) {
        for (uint32_t i = pick(1 + pick(60)); i > 0; i--) {
            const uint16_t line = (uint16_t)pick(FIXTURE_LINES);
            fixture.line[line].level ^= 1;
            virtio_gpio_line_changed(&fixture.device, line, fixture.line[line].level);
            edges++;
        }
        virtio_gpio_flush_events(&fixture.device);
        const bool last = round % 100 == 99;
        for (uint32_t i = last ? queue_free(&fixture.event) : pick(1u + queue_free(&fixture.event)); i > 0; i--) {
            const struct part part = {area, 16, true}; /* the address is set when the head is known */
            const uint16_t head = queue_add(&fixture.event, &part, 1);
            queue_set_descriptor(&fixture.event, head, area + 16u * head, 16, VRING_FLAG_WRITE, 0);
        }
        fixture_service(&fixture);
        struct used_entry entry;
        while (queue_take(&fixture.event, &entry)) {
            const uint8_t *at = memory_at(&fixture.memory, area + 16 * entry.id);
            const uint32_t seq = at[4] | (uint32_t)at[5] << 8 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 24;
            CHECK_EQUAL(entry.length, 16);
            CHECK(seq >= next_seq);
            CHECK(seq == next_seq || (at[3] & VIRTIO_GPIO_RECORD_DROPPED) != 0); /* no gap without the flag */
            gaps += seq - next_seq;
            next_seq = seq + 1;
            seen[at[0]] = at[2];
            records++;
        }
        queue_set_used_event(&fixture.event, queue_used_index(&fixture.event));
        if (last && queue_free(&fixture.event) < 32) { /* there was room for all that was kept */
            settled++;
            CHECK_EQUAL(next_seq, edges);
            CHECK_EQUAL(records + gaps, edges);
            CHECK_EQUAL(fixture.device.counters.dropped, gaps);
            for (unsigned line = 0; line < FIXTURE_LINES; line++) {
                CHECK_EQUAL(seen[line], fixture.line[line].level);
            }
        }
    }
    CHECK(gaps > 1000 && records > 100000 && settled > 100);
    CHECK_EQUAL(fixture.device.counters.events, records);
    fixture_close(&fixture);
}

static void streams_beyond_the_wrap(void) {
    random_stream(F_IRQ | F_STREAM, 21);
    random_stream(F_IRQ | F_STREAM | F_EVENT_IDX, 22);
}

void random_tests(void) {
    RUN(requests_beyond_the_wrap);
    RUN(interrupts_beyond_the_wrap);
    RUN(streams_beyond_the_wrap);
}
