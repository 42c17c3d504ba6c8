// The pins socket of the hub's host program: clients that send anything, read nothing, come and go, while the firmware
// changes directions. Each reply ends with a line's end, and a place that a client left is as new for the next one.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../../examples/sensor-hub/host/host_dialect.h"
#include "../../../../examples/sensor-hub/host/lines.h"
#include "../../../../examples/sensor-hub/host/pins_server.h"
#include "../common/input.h"
#include "host_harness.h"

#define PEERS (PINS_MAX_CLIENTS + 2)

static struct {
  struct lines lines;
  struct host_dialect dialect;
  struct hub_port port;
  struct pins_server pins;
  int peers[PEERS];
  uint8_t last[PEERS]; // byte that each has read
} hub;

static char folder[] = "/tmp/rproc-gpio-fuzz.XXXXXX";
static char path[sizeof folder + 8];

static void *port_translate(void *context, uint64_t address, uint32_t size) {
  (void)context, (void)address, (void)size;
  return NULL;
}
static void port_ring_doorbell(void *context, uint32_t id) { (void)context, (void)id; }
static uint8_t port_read_level(void *context, uint16_t line) {
  (void)context;
  return hub.lines.line[line].level;
}
static bool port_write_level(void *context, uint16_t line, uint8_t level) {
  (void)context;
  lines_write(&hub.lines, line, level);
  return true;
}
static bool port_set_direction(void *context, uint16_t line, uint8_t direction, uint8_t level) {
  (void)context;
  lines_set_direction(&hub.lines, line, direction, level);
  return true;
}
static bool port_enable_edges(void *context, uint16_t line, unsigned edges) {
  (void)context;
  hub.lines.line[line].edges = edges;
  return true;
}
static uint32_t port_enter_critical(void *context) {
  (void)context;
  return 0;
}
static void port_leave_critical(void *context, uint32_t state) { (void)context, (void)state; }
static uint64_t port_clock_ns(void *context) {
  (void)context;
  return quiet_now_ns;
}

static void restart(void *context) {
  (void)context;
  lines_idle(&hub.lines);
}

static void connect_peer(unsigned which) {
  if (hub.peers[which] >= 0) return;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  hub.peers[which] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  MUST(hub.peers[which] >= 0);
  hub.last[which] = '\n';
  if (connect(hub.peers[which], (const struct sockaddr *)&address, sizeof address) != 0) {
    close(hub.peers[which]);
    hub.peers[which] = -1;
  }
}

static void close_peer(unsigned which) {
  if (hub.peers[which] >= 0) close(hub.peers[which]);
  hub.peers[which] = -1;
}

static void send_words(struct input *input, unsigned which) {
  static const char *const words[] = {"set",   "get",    "watch", "list", "burst", "stats", "hang", "resume",
                                      "reset", "BUTTON", "*",     "0",    "1",     "5",     "15",   "LOOP_IN",
                                      "300",   "IMU_INT", "\n",   "\n",   " ",     "\r\n",  "crash"};
  char text[600];
  size_t length = 0;
  for (unsigned count = 1 + take8(input) % 8; count > 0; count--) {
    const uint8_t word = take8(input);
    if (word < 224) {
      const char *chosen = words[word % (sizeof words / sizeof words[0])];
      length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", chosen, chosen[0] < '*' ? "" : " ");
    } else if (word < 230) {
      memset(text + length, 'x', 62);
      length += 62;
    } else {
      for (unsigned i = 1 + word % 8; i > 0; i--) text[length++] = (char)take8(input);
    }
  }
  if (hub.peers[which] >= 0) (void)!send(hub.peers[which], text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void read_replies(unsigned which) {
  char text[1024];
  ssize_t count = 0;
  while (hub.peers[which] >= 0 && (count = recv(hub.peers[which], text, sizeof text, MSG_DONTWAIT)) > 0) {
    hub.last[which] = (uint8_t)text[count - 1];
  }
}

static void serve(void) {
  struct pollfd entries[PINS_MAX_POLLS];
  pins_poll_entries(&hub.pins, entries);
  MUST(poll(entries, PINS_MAX_POLLS, 0) >= 0 || errno == EINTR);
  pins_serve(&hub.pins, entries);
  pins_run_bursts(&hub.pins);
  for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
    const struct pins_client *client = &hub.pins.clients[i];
    MUST(client->output_room <= OUTPUT_LIMIT_BYTES && client->output_bytes <= client->output_room);
    MUST(client->fd >= 0 || (client->output == NULL && client->watched == NULL && client->burst_left == 0));
  }
}

static void open_hub(struct input *input) {
  static const char *const dialects[] = {"virtio-gpio", "rpmsg-io", "metux"};
  struct dialect_options options = DIALECT_DEFAULT;
  memset(&hub, 0, sizeof hub);
  quiet_now_ns = 1;
  quiet_crashes = 0;
  for (unsigned i = 0; i < PEERS; i++) hub.peers[i] = -1;
  MUST(dialect_select(&options, dialects[take8(input) % 3]));
  const uint16_t count = (uint16_t)(1 + take8(input) % 40);
  hub.port = (struct hub_port){.translate = port_translate,
                               .ring_doorbell = port_ring_doorbell,
                               .read_level = port_read_level,
                               .write_level = port_write_level,
                               .set_direction = port_set_direction,
                               .enable_edges = port_enable_edges,
                               .enter_critical = port_enter_critical,
                               .leave_critical = port_leave_critical,
                               .clock_ns = port_clock_ns};
  MUST(lines_init(&hub.lines, count, &hub.dialect.device));
  MUST(dialect_open(&hub.dialect, &options, &hub.port, count, hub.lines.names, hub.lines.names_bytes));
  MUST(pins_open(&hub.pins, path, &hub.lines));
  if (take8(input) % 2 == 0) hub.pins.restart = restart;
}

static void step(struct input *input) {
  const uint8_t operation = take8(input);
  const unsigned which = operation >= 192 ? take8(input) % PEERS : (operation >> 4) % 2;
  switch (operation % 12) {
    case 0:
      connect_peer(which);
      break;
    case 1:
      close_peer(which);
      break;
    case 2:
    case 3:
    case 4:
      connect_peer(which);
      send_words(input, which);
      break;
    case 5:
      read_replies(which);
      break;
    case 6:
      quiet_now_ns += take8(input) * UINT64_C(100000);
      break;
    case 7: {
      const uint16_t line = (uint16_t)take_below(input, hub.lines.count);
      lines_set_direction(&hub.lines, line, (uint8_t)take_below(input, 3), take8(input) & 1);
      break;
    }
    default:
      serve();
      break;
  }
}

static void remove_folder(void) { rmdir(folder); }

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct input input = {.bytes = bytes, .size = size};
  quiet_open();
  if (path[0] == '\0') {
    MUST(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/pins", folder);
    atexit(remove_folder);
  }
  open_hub(&input);
  while (input_left(&input)) step(&input);
  // Whoever reads has whole lines in the end.
  for (unsigned turns = 0; turns < 4; turns++) {
    serve();
    for (unsigned i = 0; i < PEERS; i++) read_replies(i);
  }
  for (unsigned i = 0; i < PINS_MAX_CLIENTS; i++) {
    if (hub.pins.clients[i].fd >= 0) continue;
    for (unsigned j = 0; j < PEERS; j++) {
      // One that was cut off may have half a line.
      char end;
      if (hub.peers[j] >= 0 && recv(hub.peers[j], &end, 1, MSG_DONTWAIT | MSG_PEEK) == 0) hub.last[j] = '\n';
    }
  }
  for (unsigned i = 0; i < PEERS; i++) {
    MUST(hub.peers[i] < 0 || hub.last[i] == '\n' || pins_next_due_ns(&hub.pins) == 0);
    close_peer(i);
  }
  pins_close(&hub.pins);
  dialect_close(&hub.dialect);
  lines_free(&hub.lines);
  return 0;
}
