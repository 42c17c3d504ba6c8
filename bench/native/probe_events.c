/*
 * Level changes as fast as they arrive: the subscriber, and the source where it is the firmware. The source is paced by
 * the subscriber: no more than a window of changes is under way, so what is measured is what can be kept up.
 */
#include <stdio.h>
#include <unistd.h>

#include "event_tally.h"
#include "measure.h"
#include "options.h"
#include "pins_client.h"
#include "probe.h"

/* Commands that the firmware has not answered: one that runs and one that waits keep it busy. */
enum { MOST_COMMANDS = 8 };
/* The window at the start. */
enum { FIRST_CHUNKS = 2 };

struct run {
  const struct probe_options *options;
  struct mqtt_connection connection;
  struct event_tally tally;
  struct pins_client *pins; /* NULL: somebody else is the source */
  struct samples ages;
  uint64_t total;  /* with the warm-up; UINT64_MAX: until told to end */
  uint64_t driven; /* level changes ordered, or to be expected from somebody else */
  uint64_t counted_ns; /* when the last one of the warm-up came, or the first one of all */
  uint64_t last_ns;
};

static uint64_t outstanding(const struct run *run) {
  uint64_t arrived = run->tally.received + run->tally.missing;
  return run->driven > arrived ? run->driven - arrived : 0;
}

/*
 * The window opens with what has arrived: the firmware has room for 256 changes that the service has not taken, and a
 * service that was asleep needs a while.
 */
static uint64_t window(const struct run *run) {
  const uint64_t opened = FIRST_CHUNKS * run->options->chunk + run->tally.received / 4;
  return opened < run->options->window ? opened : run->options->window;
}

/* Goes round the lines. */
static void drive(struct run *run) {
  const struct probe_options *options = run->options;
  while (run->pins->unanswered < MOST_COMMANDS && run->driven < run->total &&
         outstanding(run) + options->chunk <= window(run)) {
    uint64_t left = run->total - run->driven, count = left < options->chunk ? left : options->chunk;
    const char *line = run->tally.lines[run->driven / options->chunk % run->tally.line_count].name;
    pins_client_send(run->pins, "burst %s %llu", line, (unsigned long long)count);
    run->driven += count;
  }
}

static void take_events(struct run *run) {
  struct mqtt_message message;
  struct event event;
  mqtt_receive(&run->connection);
  const uint64_t now = now_ns();
  while (mqtt_next(&run->connection, &message)) {
    if (!event_tally_take(&run->tally, &message, &event)) continue;
    run->last_ns = now;
    if (run->tally.received <= 1 || run->tally.received <= run->options->warmup)
      run->counted_ns = now;
    else if (now > event.timestamp_ns)
      samples_add(&run->ages, now - event.timestamp_ns);
  }
  mqtt_flush(&run->connection);
}

/* Until all have come, or nothing has for so long that nothing will. */
static void follow(struct run *run, int end_fd) {
  bool ending = false;
  for (;;) {
    if (run->pins && !ending) drive(run);
    bool complete = run->driven == run->total || ending;
    bool unanswered = run->pins && run->pins->unanswered;
    if (complete && !outstanding(run) && !unanswered) return;
    struct pollfd entries[] = {
        {.fd = run->connection.fd, .events = POLLIN},
        {.fd = unanswered ? run->pins->fd : -1, .events = POLLIN},
        {.fd = ending ? -1 : end_fd, .events = POLLIN},
    };
    if (!probe_poll(entries, 3, run->options->patience_ms * 1000)) return;
    if (entries[2].revents) {
      ending = true;
      if (!run->pins) return;
    }
    if (entries[1].revents) pins_client_receive(run->pins);
    if (!entries[0].revents) continue;
    if (run->options->nap_us) usleep((useconds_t)run->options->nap_us);
    take_events(run);
  }
}

static uint64_t report(struct run *run, double cpu, uint64_t dropped) {
  const struct event_tally *tally = &run->tally;
  const uint64_t before = run->options->warmup ? run->options->warmup : 1;
  const uint64_t measured = tally->received > before ? tally->received - before : 0;
  const double seconds = (double)(run->last_ns - run->counted_ns) / 1e9;
  const uint64_t expected = run->driven == UINT64_MAX ? tally->received : run->driven;
  const uint64_t lost = expected > tally->received ? expected - tally->received : 0;
  const uint64_t invented = tally->received > expected ? tally->received - expected : 0;
  samples_sort(&run->ages);
  printf("{\"events\":%llu,\"seconds\":%.3f,\"eventsPerSecond\":%.0f,\"received\":%llu,\"lost\":%llu,\"invented\":%llu,"
         "\"gaps\":%llu,\"missing\":%llu,\"merged\":%llu,\"malformed\":%llu,\"dropped\":%llu,\"ageMedianNs\":%u,"
         "\"ageP99Ns\":%u,\"cpuSeconds\":%.3f}\n",
         (unsigned long long)measured, seconds, seconds > 0 ? (double)measured / seconds : 0.0,
         (unsigned long long)tally->received, (unsigned long long)lost, (unsigned long long)invented,
         (unsigned long long)tally->gaps, (unsigned long long)tally->missing, (unsigned long long)tally->merged,
         (unsigned long long)tally->malformed, (unsigned long long)dropped, samples_percentile(&run->ages, 50),
         samples_percentile(&run->ages, 99), cpu);
  return lost + invented + tally->gaps + tally->merged + tally->malformed;
}

static uint64_t probe_events(const struct probe_options *options, struct pins_client *pins) {
  struct run run = {.options = options, .pins = pins};
  const int end_fd = probe_end_fd();
  event_tally_open(&run.tally, options->lines);
  samples_open(&run.ages, options->events ? options->events : 1000000);
  run.total = options->events ? options->events + options->warmup : UINT64_MAX;
  if (!pins) run.driven = run.total;
  probe_subscribe(&run.connection, options, "event");
  run.connection.acknowledges_at_once = options->nap_us > 0;
  const uint64_t dropped = pins ? pins_client_dropped(pins) : 0;
  probe_is_subscribed();
  double cpu = cpu_seconds();
  follow(&run, end_fd);
  cpu = cpu_seconds() - cpu;
  mqtt_close(&run.connection);
  uint64_t faults = report(&run, cpu, pins ? pins_client_dropped(pins) - dropped : 0);
  samples_close(&run.ages);
  close(end_fd);
  return faults;
}

uint64_t probe_count(const struct probe_options *options) { return probe_events(options, NULL); }

uint64_t probe_drive(const struct probe_options *options) {
  struct pins_client pins;
  pins_client_open(&pins, options->pins);
  uint64_t faults = probe_events(options, &pins);
  pins_client_close(&pins);
  return faults;
}
