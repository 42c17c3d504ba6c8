/* The line rules (virtio 1.2, section 5.18), as far as edge interrupts need them. */
#include <string.h>

#include "cdevice.h"

void cdevice_reset(struct cdevice *device) {
  memset(device->lines, 0, sizeof device->lines);
  for (int i = 0; i < CDEVICE_MOST_LINES; i++) device->lines[i].buffer = NO_BUFFER;
}

static uint8_t level_of(const struct cdevice *device, uint16_t line) {
  const struct cdevice_line *own = &device->lines[line];
  if (own->direction == GPIO_DIRECTION_OUT) return own->value;
  if ((line ^ 1) >= device->line_count) return 0;
  const struct cdevice_line *partner = &device->lines[line ^ 1];
  return partner->direction == GPIO_DIRECTION_OUT ? partner->value : 0;
}

static void give_back(struct cdevice *device, struct cdevice_line *line, uint8_t status) {
  if (line->buffer == NO_BUFFER) return;
  *line->status = status;
  device_ring_push(&device->rings[1], (uint16_t)line->buffer, 1);
  line->buffer = NO_BUFFER;
}

static void notify(struct cdevice *device, uint16_t line, uint8_t before) {
  struct cdevice_line *it = &device->lines[line];
  uint8_t level = level_of(device, line);
  if (level == before || it->direction == GPIO_DIRECTION_OUT) return;
  if (!(it->irq_type & (level ? GPIO_IRQ_RISING : GPIO_IRQ_FALLING))) return;
  if (device->lose_every && ++device->events % device->lose_every == 0) return;
  it->latched = it->buffer == NO_BUFFER;
  give_back(device, it, GPIO_EVENT_VALID);
}

static uint8_t set_irq_type(struct cdevice *device, struct cdevice_line *line, uint32_t type) {
  if (type > GPIO_IRQ_BOTH || line->direction == GPIO_DIRECTION_OUT) return GPIO_ERR;
  if (type != GPIO_IRQ_NONE && line->irq_type != GPIO_IRQ_NONE && line->irq_type != type) return GPIO_ERR;
  line->irq_type = (uint8_t)type;
  if (type != GPIO_IRQ_NONE) return GPIO_OK;
  line->latched = false;
  give_back(device, line, GPIO_EVENT_INVALID);
  return GPIO_OK;
}

static struct gpio_response answer(struct cdevice *device, struct gpio_request request) {
  struct gpio_response wrong = {GPIO_ERR, 0}, right = {GPIO_OK, 0};
  if (request.line >= device->line_count) return wrong;
  struct cdevice_line *line = &device->lines[request.line];
  uint16_t partner = request.line ^ 1;
  uint8_t before = partner < device->line_count ? level_of(device, partner) : 0;
  switch (request.type) {
    case GPIO_GET_DIRECTION:
      right.value = line->direction;
      return right;
    case GPIO_GET_VALUE:
      right.value = level_of(device, request.line);
      return right;
    case GPIO_SET_DIRECTION:
      if (request.value > GPIO_DIRECTION_IN) return wrong;
      line->direction = (uint8_t)request.value;
      break;
    case GPIO_SET_VALUE:
      if (request.value > 1) return wrong;
      line->value = (uint8_t)request.value;
      break;
    case GPIO_SET_IRQ_TYPE:
      right.status = set_irq_type(device, line, request.value);
      return right;
    default:
      return wrong;
  }
  if (partner < device->line_count) notify(device, partner, before);
  return right;
}

static void take_buffer(struct cdevice *device, const struct device_chain *chain) {
  uint16_t number = *(const uint16_t *)chain->readable;
  struct cdevice_line *line = number < device->line_count ? &device->lines[number] : NULL;
  if (!line || line->irq_type == GPIO_IRQ_NONE || line->buffer != NO_BUFFER) {
    *(uint8_t *)chain->writable = GPIO_EVENT_INVALID;
    device_ring_push(&device->rings[1], chain->head, 1);
    return;
  }
  line->buffer = chain->head;
  line->status = chain->writable;
  if (line->latched) give_back(device, line, GPIO_EVENT_VALID);
  line->latched = false;
}

bool cdevice_serve(struct cdevice *device) {
  struct device_chain chain;
  bool some = false;
  while (device_ring_pop(&device->rings[1], &chain, sizeof(uint16_t), sizeof(uint8_t))) {
    take_buffer(device, &chain);
    some = true;
  }
  while (device_ring_pop(&device->rings[0], &chain, sizeof(struct gpio_request), sizeof(struct gpio_response))) {
    struct gpio_response response = answer(device, *(const struct gpio_request *)chain.readable);
    if (device->wrong_every && ++device->responses % device->wrong_every == 0) response.value ^= 1;
    *(struct gpio_response *)chain.writable = response;
    device_ring_push(&device->rings[0], chain.head, sizeof(struct gpio_response));
    some = true;
  }
  device_ring_publish(&device->rings[0]);
  device_ring_publish(&device->rings[1]);
  return some;
}
