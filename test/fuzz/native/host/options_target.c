// The command line of the hub's host program, and what it lays out in the shared memory for it.
#define main sensor_hub_main
#include "../../../../examples/sensor-hub/host/main.c"
#undef main

#include <sys/mman.h>

#include "../common/input.h"
#include "host_harness.h"

#define MAX_ARGUMENTS 24

static void lay_out_for(const struct options *options, int memory_fd) {
  static struct sensor_hub hub;
  hub = (struct sensor_hub){.options = options, .kick_fd = -1, .call_fd = -1};
  MUST(options->lines > 0 && options->lines <= MAX_LINES && options->device_address % 64 == 0);
  MUST(lines_init(&hub.host.lines, options->lines, &hub.host.dialect.device));
  if (hub_memory_map(&hub.memory, memory_fd, options->device_address)) {
    MUST(dialect_open(&hub.host.dialect, &options->dialect, &hub.host.port, options->lines, hub.host.lines.names,
                      hub.host.lines.names_bytes));
    lay_out(&hub);
    const volatile struct hub_resource_table *table = hub.memory.table;
    MUST(sizeof *table + table->vdev.config_len <= 0x400u);
    MUST((uint64_t)table->buffers.da + table->buffers.len <= (uint64_t)hub.memory.device_address + hub.memory.size_bytes);
    MUST(port_translate(&hub, hub.memory.device_address, hub.memory.size_bytes) == hub.memory.bytes);
    MUST(port_translate(&hub, hub.memory.device_address, hub.memory.size_bytes + 1) == NULL);
    MUST(hub.vdev.num[0] > 0 && hub.vdev.num[1] > 0);
    dialect_close(&hub.host.dialect);
    MUST(munmap(hub.memory.bytes, hub.memory.size_bytes) == 0);
  }
  lines_free(&hub.host.lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static int memory_fd = -1;
  quiet_open();
  if (memory_fd < 0) {
    memory_fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(memory_fd >= 0 && ftruncate(memory_fd, HUB_MEMORY_MIN_BYTES) == 0);
  }
  char *text = malloc(size + 1);
  memcpy(text, bytes, size);
  text[size] = '\0';
  char *arguments[MAX_ARGUMENTS + 1] = {(char[]){"sensor-hub"}};
  int count = 1;
  char *rest = text;
  for (char *next; count < MAX_ARGUMENTS && (next = strsep(&rest, "\n")) != NULL;) arguments[count++] = next;
  struct options options;
  if (parse_options(&options, count, arguments)) {
    MUST(options.pins != NULL && options.memory_fd >= 0 && options.kick_fd >= 0 && options.call_fd >= 0);
    lay_out_for(&options, memory_fd);
  }
  free(text);
  return 0;
}
