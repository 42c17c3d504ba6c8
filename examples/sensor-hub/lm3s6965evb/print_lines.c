/* SPDX-License-Identifier: Apache-2.0 */
/* Runs on the build machine: prints the line table as lines.json. */
#include <stdio.h>

#include "line_table.h"

int main(void) {
    const char *separator = "";
    printf("[\n");
#define HUB_LINE(offset, name, port, base, bit)                                                               \
    printf("%s  { \"offset\": %d, \"name\": \"%s\", \"port\": \"%s\", \"baseAddress\": %u, \"bit\": %d }",    \
           separator, offset, name, #port, base, bit);                                                        \
    separator = ",\n";
    HUB_LINES
#undef HUB_LINE
    printf("\n]\n");
    return 0;
}
