/* virtio-gpio requests, responses and events (virtio 1.2, section 5.18). */
#ifndef BENCH_GPIO_MESSAGES_H
#define BENCH_GPIO_MESSAGES_H

#include <stdint.h>

enum {
  GPIO_GET_LINE_NAMES = 1,
  GPIO_GET_DIRECTION = 2,
  GPIO_SET_DIRECTION = 3,
  GPIO_GET_VALUE = 4,
  GPIO_SET_VALUE = 5,
  GPIO_SET_IRQ_TYPE = 6,
};

enum { GPIO_DIRECTION_NONE = 0, GPIO_DIRECTION_OUT = 1, GPIO_DIRECTION_IN = 2 };
enum { GPIO_IRQ_NONE = 0, GPIO_IRQ_RISING = 1, GPIO_IRQ_FALLING = 2, GPIO_IRQ_BOTH = 3 };
enum { GPIO_OK = 0, GPIO_ERR = 1 };
enum { GPIO_EVENT_INVALID = 0, GPIO_EVENT_VALID = 1 };

struct gpio_request {
  uint16_t type;
  uint16_t line;
  uint32_t value;
};

struct gpio_response {
  uint8_t status;
  uint8_t value;
};

struct gpio_config {
  uint16_t line_count;
  uint8_t padding[2];
  uint32_t names_size;
};

#endif
