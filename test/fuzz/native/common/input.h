// What the fuzzer gave, taken from the front. Past its end everything is 0, so that every prefix is an input, too.
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct input {
  const uint8_t *bytes;
  size_t size;
  size_t at;
};

static inline bool input_left(const struct input *input) { return input->at < input->size; }

static inline uint8_t take8(struct input *input) {
  return input->at < input->size ? input->bytes[input->at++] : 0;
}

static inline uint16_t take16(struct input *input) {
  const uint16_t low = take8(input);
  return (uint16_t)(low | take8(input) << 8);
}

static inline uint32_t take32(struct input *input) {
  const uint32_t low = take16(input);
  return low | (uint32_t)take16(input) << 16;
}

static inline uint64_t take64(struct input *input) {
  const uint64_t low = take32(input);
  return low | (uint64_t)take32(input) << 32;
}

static inline uint32_t take_below(struct input *input, uint32_t limit) {
  return limit <= 256 ? take8(input) % limit : take16(input) % limit;
}

// An assertion that is never compiled out, and that says what did not hold.
#define MUST(condition)                                                              \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                       \
    }                                                                                \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
