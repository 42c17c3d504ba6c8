#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static void refuse(const char *argument, const char *why) {
  fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, argument, why);
  exit(2);
}

_Noreturn void fail(const char *format, ...) {
  va_list arguments;
  fprintf(stderr, "%s: ", program_invocation_short_name);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void store(const struct option_slot *slot, const char *argument, const char *value) {
  if (slot->flag) {
    if (value) refuse(argument, "takes no value");
    *slot->flag = true;
    return;
  }
  if (!value || !*value) refuse(argument, "needs a value: --name=value");
  if (slot->text) {
    *slot->text = value;
    return;
  }
  char *end;
  errno = 0;
  unsigned long long number = strtoull(value, &end, 10);
  if (errno || *end || *value == '-') refuse(argument, "is not a whole number");
  if (number < slot->least || number > slot->most) {
    char why[96];
    snprintf(why, sizeof why, "must be %llu to %llu", (unsigned long long)slot->least, (unsigned long long)slot->most);
    refuse(argument, why);
  }
  *slot->number = number;
}

void options_parse(int argc, char **argv, const struct option_slot *slots, int slot_count) {
  for (int i = 1; i < argc; i++) {
    const char *equals = strchr(argv[i], '=');
    size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
    const struct option_slot *slot = NULL;
    for (int s = 0; s < slot_count && !slot; s++)
      if (strlen(slots[s].name) == length && strncmp(slots[s].name, argv[i], length) == 0) slot = &slots[s];
    if (!slot) refuse(argv[i], "unknown option");
    store(slot, argv[i], equals ? equals + 1 : NULL);
  }
}
