/* Command line options of the form --name=value, the same for every program here. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* An option that takes a whole number, a string, or (with neither) is a flag. */
struct option_slot {
  const char *name;   /* with the leading "--" */
  uint64_t *number;   /* where a number goes, or NULL */
  uint64_t least;     /* smallest and largest number accepted */
  uint64_t most;
  const char **text;  /* where a string goes, or NULL */
  bool *flag;         /* set to true when the option is given, or NULL */
};

/* Fills the slots from argv; prints what is wrong and ends the program with 2 when an option is not understood. */
void options_parse(int argc, char **argv, const struct option_slot *slots, int slot_count);

/* Prints "program: message" on stderr and ends the program with 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
