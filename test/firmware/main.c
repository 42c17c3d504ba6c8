/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "check.h"

static unsigned passed;
static unsigned failed;
static unsigned checks_failed;

void check_failed(const char *file, int line, const char *text, long long left, long long right) {
    /* The first few say enough; a random test could fail a million times. */
    if (checks_failed++ < 20) {
        fprintf(stderr, "%s:%d: %s (%lld, %lld)\n", file, line, text, left, right);
    }
}

void run_test(const char *name, void (*test)(void)) {
    checks_failed = 0;
    test();
    if (checks_failed == 0) {
        passed++;
    } else {
        failed++;
        fprintf(stderr, "FAILED %s: %u checks\n", name, checks_failed);
    }
}

int main(void) {
    vring_tests();
    request_tests();
    interrupt_tests();
    event_stream_tests();
    vdev_tests();
    random_tests();
    hostile_tests();
    rpmsg_tests();
    srtm_tests();
    rpmsg_io_tests();
    metux_tests();
    message_hostile_tests();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
