/* SPDX-License-Identifier: Apache-2.0 */
/* The resource table and the status byte: binding, refusing, resetting; and the trace buffer. */
#include <string.h>

#include "../../examples/sensor-hub/lib/remoteproc_vdev.h"
#include "../../examples/sensor-hub/lib/trace.h"
#include "fixture.h"

static struct fixture fixture;
static struct hub_resource_table *table;
static struct remoteproc_vdev vdev;
static const struct hub_device hub = {&virtio_gpio_type, &fixture.device};

#define TABLE_ADDRESS MEMORY_BASE

static void open_vdev(uint32_t request_da, uint32_t event_da) {
    fixture_open_bare(&fixture);
    const struct hub_resource_table filled =
        HUB_RESOURCE_TABLE(RESOURCE_TABLE_VERSION, VIRTIO_GPIO_DEVICE_ID, virtio_gpio_features(),
                           VIRTIO_GPIO_CONFIG_BYTES, MEMORY_BASE + 0x4000, 0x8000, MEMORY_BASE + 0x400, 0x100,
                           request_da, 64, event_da, 256, 64);
    (void)memory_allocate(&fixture.memory, sizeof filled, 16);
    table = (struct hub_resource_table *)memory_at(&fixture.memory, TABLE_ADDRESS);
    memcpy(table, &filled, sizeof filled);
    remoteproc_vdev_init(&vdev, &table->vdev, &fixture.port, &hub);
}

/* The driver's view of a vring that lies at da. */
static void view_queue(struct driver_queue *queue, unsigned index, uint32_t da) {
    memset(queue, 0, sizeof *queue);
    queue->memory = &fixture.memory;
    queue->num = (uint16_t)table->vdev.vrings[index].num;
    queue->place.descriptors = da;
    queue->place.available = da + 16u * queue->num;
    queue->place.used = da + VRING_USED_OFFSET(queue->num, 64u);
    memset(memory_at(&fixture.memory, da), 0, VRING_BYTES(queue->num, 64u));
    fixture.memory.allocated = da - MEMORY_BASE + VRING_BYTES(queue->num, 64u);
}

static void drive(uint32_t features, uint8_t status) {
    table->vdev.gfeatures = features;
    table->vdev.status = status;
    while (remoteproc_vdev_service(&vdev)) {
    }
}

static void the_table_is_laid_out_as_remoteproc_reads_it(void) {
    open_vdev(MEMORY_BASE + 0x1000, MEMORY_BASE + 0x2000);
    const uint8_t *bytes = (const uint8_t *)table;
    static const uint8_t head[] = {1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    CHECK(memcmp(bytes, head, sizeof head) == 0);
    CHECK_EQUAL(table->offset[0], 28);
    CHECK_EQUAL(table->offset[1], 84);
    CHECK_EQUAL(table->offset[2], 132);
    static const uint8_t carveout[] = {0, 0, 0, 0, 0, 0x40, 0, 0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0x80, 0, 0};
    CHECK(memcmp(bytes + 28, carveout, sizeof carveout) == 0);
    CHECK(strcmp((const char *)bytes + 28 + 24, "vdev0buffer") == 0);
    static const uint8_t vdev_head[] = {3, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0};
    CHECK(memcmp(bytes + 132, vdev_head, sizeof vdev_head) == 0);
    CHECK_EQUAL(bytes[132 + 25], 2); /* num_of_vrings */
    static const uint8_t vring[] = {0, 0x10, 0, 0x20, 64, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    CHECK(memcmp(bytes + 132 + 28, vring, sizeof vring) == 0);
    CHECK_EQUAL(bytes[132 + 20], 8);  /* config_len */
    CHECK_EQUAL(sizeof *table, 132 + 28 + 40); /* where the config space begins */
    fixture_close(&fixture);
}

static void binds_at_driver_ok_only(void) {
    const uint32_t request_da = MEMORY_BASE + 0x1000;
    const uint32_t event_da = MEMORY_BASE + 0x2000;
    open_vdev(request_da, event_da);
    view_queue(&fixture.request, 0, request_da);
    for (uint8_t status = 0; status < 4; status++) {
        drive(F_IRQ, status);
        CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_IDLE);
    }
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
    CHECK_EQUAL(fixture.doorbells[0], 0);
    fixture.memory.allocated = 0x4000;
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_DIRECTION, 0, 2), VIRTIO_GPIO_OK);
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, 0, 3), VIRTIO_GPIO_OK);
    CHECK_EQUAL(fixture.doorbells[1], 2);
    fixture_close(&fixture);
}

static void resets_and_binds_again(void) {
    const uint32_t request_da = MEMORY_BASE + 0x1000;
    open_vdev(request_da, MEMORY_BASE + 0x2000);
    for (unsigned round = 1; round <= 3; round++) {
        view_queue(&fixture.request, 0, request_da);
        fixture.memory.allocated = 0x4000;
        drive(F_IRQ, 7);
        CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
        CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_SET_IRQ_TYPE, 1, 3), VIRTIO_GPIO_OK);
        CHECK_EQUAL(fixture.line[1].edges, 3);
        drive(0, 0);
        CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_IDLE);
        CHECK_EQUAL(fixture.line[1].edges, 0);
        CHECK_EQUAL(fixture.doorbells[0], round);
        drive(0, 0); /* no second doorbell */
        CHECK_EQUAL(fixture.doorbells[0], round);
        CHECK_EQUAL(table->vdev.status, 0);
    }
    fixture_close(&fixture);
}

static void vrings_at_any_address(void) {
    open_vdev(RESOURCE_ADDRESS_ANY, RESOURCE_ADDRESS_ANY);
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_REFUSED); /* nobody wrote addresses back */
    CHECK_EQUAL(table->vdev.status, 7 | VDEV_STATUS_NEEDS_RESET);
    drive(0, 0);
    table->vdev.vrings[0].da = MEMORY_BASE + 0x5000;
    table->vdev.vrings[1].da = MEMORY_BASE + 0x6000;
    table->vdev.vrings[0].notifyid = 2; /* Linux hands out its own */
    view_queue(&fixture.request, 0, MEMORY_BASE + 0x5000);
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
    fixture.memory.allocated = 0x8000;
    CHECK_EQUAL(fixture_status(&fixture, VIRTIO_GPIO_GET_VALUE, 0, 0), VIRTIO_GPIO_OK);
    CHECK_EQUAL(fixture.doorbells[2], 1);
    fixture_close(&fixture);
}

static void expect_refused(uint32_t features) {
    const unsigned doorbells = fixture.doorbells[0];
    drive(features, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_REFUSED);
    CHECK_EQUAL(table->vdev.status, 7 | VDEV_STATUS_NEEDS_RESET);
    CHECK_EQUAL(fixture.doorbells[0], doorbells + 1);
    drive(features, table->vdev.status); /* stays so, quietly */
    CHECK_EQUAL(fixture.doorbells[0], doorbells + 1);
    drive(0, 0);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_IDLE);
}

static void refuses_what_it_cannot_use(void) {
    open_vdev(MEMORY_BASE + 0x1000, MEMORY_BASE + 0x2000);
    struct resource_vring *vring = &table->vdev.vrings[0];
    const struct resource_vring good = *vring;
    expect_refused(F_IRQ | 1u << 1);
    expect_refused(1u << 28);
    table->vdev.dfeatures |= 1u << 28; /* the driver cannot change what we offered */
    expect_refused(1u << 28);
    static const uint32_t nums[] = {0, 3, 65536, 0x80000000u, 65537};
    for (unsigned i = 0; i < 5; i++) {
        vring->num = nums[i];
        remoteproc_vdev_init(&vdev, &table->vdev, &fixture.port, &hub);
        expect_refused(0);
    }
    *vring = good;
    static const uint32_t aligns[] = {0, 3, 0x20000, 0xFFFFFFFF};
    for (unsigned i = 0; i < 4; i++) {
        vring->align = aligns[i];
        remoteproc_vdev_init(&vdev, &table->vdev, &fixture.port, &hub);
        expect_refused(0);
    }
    *vring = good;
    remoteproc_vdev_init(&vdev, &table->vdev, &fixture.port, &hub);
    static const uint32_t addresses[] = {0, MEMORY_BASE - 16, MEMORY_BASE + 2, MEMORY_BASE + 65536 - 1024, 0xFFFFFFF0u};
    for (unsigned i = 0; i < 5; i++) {
        vring->da = addresses[i];
        expect_refused(0);
    }
    *vring = good;
    table->vdev.vrings[1].da = 0;
    expect_refused(F_IRQ);
    drive(0, 7); /* without F_IRQ there is no eventq */
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
    fixture_close(&fixture);
}

static void the_driver_cannot_change_the_size_of_a_ring(void) {
    open_vdev(MEMORY_BASE + 0x1000, MEMORY_BASE + 0x2000);
    table->vdev.vrings[0].num = 1024;
    table->vdev.vrings[0].align = 4096;
    table->vdev.vrings[1].num = 0;
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
    CHECK_EQUAL(fixture.device.request_queue.num, 64);
    CHECK_EQUAL(fixture.device.event_queue.num, 256);
    CHECK(fixture.device.request_queue.used == memory_at(&fixture.memory, MEMORY_BASE + 0x1000 + VRING_USED_OFFSET(64u, 64u)));
    fixture_close(&fixture);
}

static void a_broken_ring_needs_a_reset_and_the_other_lives(void) {
    const uint32_t event_da = MEMORY_BASE + 0x2000;
    open_vdev(MEMORY_BASE + 0x1000, event_da);
    view_queue(&fixture.request, 0, MEMORY_BASE + 0x1000);
    view_queue(&fixture.event, 1, event_da);
    fixture.memory.allocated = 0x6000;
    drive(F_IRQ, 7);
    queue_set_available_index(&fixture.event, 257);
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_REFUSED);
    CHECK_EQUAL(table->vdev.status, 7 | VDEV_STATUS_NEEDS_RESET);
    CHECK_EQUAL(fixture.doorbells[0], 1);
    const uint32_t address = memory_allocate(&fixture.memory, 10, 1);
    *memory_at(&fixture.memory, address) = VIRTIO_GPIO_GET_DIRECTION;
    const struct part parts[] = {{address, 8, false}, {address + 8, 2, true}};
    (void)queue_add(&fixture.request, parts, 2);
    drive(F_IRQ, table->vdev.status);
    CHECK_EQUAL(queue_used_index(&fixture.request), 1);
    drive(0, 0);
    view_queue(&fixture.event, 1, event_da);
    view_queue(&fixture.request, 0, MEMORY_BASE + 0x1000);
    drive(F_IRQ, 7);
    CHECK_EQUAL(vdev.state, REMOTEPROC_VDEV_BOUND);
    fixture_close(&fixture);
}

static void the_trace_starts_over_when_full(void) {
    char text[16 + 1];
    struct trace trace;
    memset(text, 'x', sizeof text);
    trace_init(&trace, text, 16);
    CHECK(strcmp(text, "") == 0);
    trace_line(&trace, "one");
    trace_line(&trace, "two");
    trace_line(&trace, "three");
    CHECK(strcmp(text, "one\ntwo\nthree\n") == 0);
    trace_line(&trace, "four");
    CHECK(strcmp(text, "four\n") == 0);
    trace_line(&trace, "much longer than the buffer is");
    CHECK(strcmp(text, "much longer th\n") == 0);
    CHECK_EQUAL(text[16], 'x');
}

void vdev_tests(void) {
    RUN(the_table_is_laid_out_as_remoteproc_reads_it);
    RUN(binds_at_driver_ok_only);
    RUN(resets_and_binds_again);
    RUN(vrings_at_any_address);
    RUN(refuses_what_it_cannot_use);
    RUN(the_driver_cannot_change_the_size_of_a_ring);
    RUN(a_broken_ring_needs_a_reset_and_the_other_lives);
    RUN(the_trace_starts_over_when_full);
}
