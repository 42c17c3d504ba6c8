/* SPDX-License-Identifier: Apache-2.0 */
/* A test is a function; it passes when none of its checks fails. */
#ifndef FIRMWARE_TEST_CHECK_H
#define FIRMWARE_TEST_CHECK_H

#include <stdbool.h>

void check_failed(const char *file, int line, const char *text, long long left, long long right);

#define CHECK(condition)                                                \
    do {                                                                \
        if (!(condition)) {                                             \
            check_failed(__FILE__, __LINE__, #condition, 0, 1);         \
        }                                                               \
    } while (0)

#define CHECK_EQUAL(left, right)                                                     \
    do {                                                                             \
        const long long left_value = (long long)(left);                              \
        const long long right_value = (long long)(right);                            \
        if (left_value != right_value) {                                             \
            check_failed(__FILE__, __LINE__, #left " == " #right, left_value, right_value); \
        }                                                                            \
    } while (0)

void run_test(const char *name, void (*test)(void));
#define RUN(test) run_test(#test, test)

/* One function a file; each runs its tests. */
void vring_tests(void);
void request_tests(void);
void interrupt_tests(void);
void event_stream_tests(void);
void vdev_tests(void);
void random_tests(void);
void hostile_tests(void);
void rpmsg_tests(void);
void srtm_tests(void);
void rpmsg_io_tests(void);
void metux_tests(void);
void message_hostile_tests(void);

#endif
