/** Level changes as fast as firmware and service go, with everybody attached: what comes through, and whether all agree in the end. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import type { ServiceStatus } from '../src/wire/control.ts';
import type { Broker } from './broker.ts';
import { EVENT_LINES, type HubMqttService } from './hub-service.ts';
import { Pins } from './pins.ts';
import { cpuSeconds, processorWaitMs } from './process-status.ts';
import { launchProgram } from './programs.ts';
import { SERVICE_COMMAND } from './service.ts';

/** The eventq: 16 ms of changes. The firmware makes up for 4 ms, so the service may be away for {@link BRIDGED_MS}. */
export const STREAM_FIRMWARE = ['--event-num=4096', '--vrings=any'];
/** Who waits for a processor for longer than that loses changes, and no fault of his; who does not must lose none. */
export const BRIDGED_MS = 10;
/** Inputs that the firmware changes, and how often each in a period. */
const DRIVEN = EVENT_LINES.slice(0, 2);
const AT_ONCE = 110;
const PERIOD_US = 1000;
const SETTLE_LIMIT_MS = 10_000;
const LOOK_MS = 50;
const WAIT_LOOK_MS = 5;

/** Of `loadgen --mode=watch`. */
interface WatchResult {
  readonly events: number;
  readonly errors: number;
  readonly cpuSeconds: number;
  readonly levels: readonly number[];
}

export interface StreamResult {
  /** Changes that the firmware made. */
  readonly changes: number;
  readonly seconds: number;
  /** Of them, those that the service heard of. */
  readonly edges: number;
  /** Missing in `seq`, as the service counts them; and what else it found wrong with the stream. */
  readonly gaps: number;
  readonly malformed: number;
  /** Changes that the firmware merged for want of a buffer, as it counts them. */
  readonly firmwareDropped: number;
  /** Longest time that the service's main thread was ready and had no processor. */
  readonly longestWaitMs: number;
  readonly guest: WatchResult;
  readonly mqttPublished: number;
  readonly mqttDropped: number;
  readonly cpuSeconds: { readonly service: number; readonly firmware: number; readonly broker: number };
  /** Where a level is not what the firmware has at the end: `guest LINE`, `mqtt LINE`, `control LINE`. */
  readonly wrongLevels: readonly string[];
}

export async function measureStream(
  broker: Broker,
  service: HubMqttService,
  seconds: number,
): Promise<StreamResult> {
  const guest = launchProgram<WatchResult>(
    'loadgen',
    ['--mode=watch', `--socket-path=${service.eventSocketPath}`, `--lines=${EVENT_LINES.length}`],
    null,
  );
  const pins = await Promise.all(DRIVEN.map(() => Pins.connect(service.pinsPath)));
  try {
    await guest.ready;
    const pids = { service: service.pid, firmware: service.firmwarePid, broker: broker.pid };
    const spent = (): StreamResult['cpuSeconds'] => ({
      service: cpuSeconds(pids.service),
      firmware: cpuSeconds(pids.firmware),
      broker: cpuSeconds(pids.broker),
    });
    const before = { status: await statusOf(service), dropped: await droppedBy(pins[0]!), cpu: spent() };
    // One line ends high, the other low.
    const counts = DRIVEN.map((_, i) => Math.round((seconds * 1e6) / PERIOD_US) * AT_ONCE + ((i + 1) % 2));
    const changes = counts.reduce((sum, count) => sum + count, 0);
    const waits = watchWaits(pids.service);
    const started = performance.now();
    const driven = DRIVEN.map((line, i) =>
      pins[i]!.ask(`burst ${line} ${counts[i]} ${PERIOD_US} ${AT_ONCE}`),
    );
    const answers = await Promise.all(driven);
    const took = (performance.now() - started) / 1000;
    const longestWaitMs = waits.end();
    for (const answer of answers) if (answer !== 'ok') throw new Error(`a burst was answered '${answer}'`);
    const after = await statusOf(service);
    const cpu = spent();
    const edges = streamOf(after).edges - streamOf(before.status).edges;
    const count = (name: string): number =>
      (streamOf(after).counters?.[name] ?? Number.NaN) - (streamOf(before.status).counters?.[name] ?? 0);
    const levels = await Promise.all(EVENT_LINES.map((line) => pins[0]!.ask(`get ${line}`)));
    const wrong = (who: string, seen: readonly (number | string | undefined)[]): string[] =>
      EVENT_LINES.filter((_, i) => String(seen[i]) !== levels[i]).map((line) => `${who} ${line}`);
    const control = await controlLevels(service);
    const mqtt = await mqttLevels(broker, service, levels);
    guest.end();
    const watched = await guest.result;
    return {
      changes,
      seconds: took,
      edges,
      gaps: count('droppedEvents'),
      malformed: count('malformedEvents') + count('badUsed'),
      firmwareDropped: (await droppedBy(pins[0]!)) - before.dropped,
      longestWaitMs,
      guest: watched,
      mqttPublished: published(after) - published(before.status),
      mqttDropped:
        (after.mqtt?.counters.eventsDropped ?? 0) - (before.status.mqtt?.counters.eventsDropped ?? 0),
      cpuSeconds: {
        service: cpu.service - before.cpu.service,
        firmware: cpu.firmware - before.cpu.firmware,
        broker: cpu.broker - before.cpu.broker,
      },
      wrongLevels: [...wrong('guest', watched.levels), ...wrong('mqtt', mqtt), ...wrong('control', control)],
    };
  } finally {
    guest.end();
    for (const each of pins) each.close();
  }
}

/** The most that the waits of a process' main thread grow from one look to the next: a wait counts when it is over. */
function watchWaits(pid: number): { end(): number } {
  let before = processorWaitMs(pid);
  let longest = 0;
  const look = (): void => {
    const now = processorWaitMs(pid);
    longest = Math.max(longest, now - before);
    before = now;
  };
  const timer = setInterval(look, WAIT_LOOK_MS);
  return {
    end: () => {
      clearInterval(timer);
      look();
      return longest;
    },
  };
}

function streamOf(status: ServiceStatus): ServiceStatus['chips'][number] {
  const chip = status.chips.find((each) => each.coprocessor === 'hub');
  if (chip === undefined) throw new Error('the service has no chip of the co-processor');
  return chip;
}

function published(status: ServiceStatus): number {
  return status.mqtt?.counters.published ?? 0;
}

async function droppedBy(pins: Pins): Promise<number> {
  const answer = await pins.ask('stats');
  const found = / dropped (\d+) /.exec(answer);
  if (found === null) throw new Error(`stats was answered '${answer}'`);
  return Number(found[1]);
}

async function command(service: HubMqttService, ...words: readonly string[]): Promise<string> {
  const options = [...words, `--socket=${service.controlSocketPath}`];
  return (await promisify(execFile)(SERVICE_COMMAND, options)).stdout.trim();
}

async function statusOf(service: HubMqttService): Promise<ServiceStatus> {
  return JSON.parse(await command(service, 'status', '--json')) as ServiceStatus;
}

async function controlLevels(service: HubMqttService): Promise<string[]> {
  const lines = EVENT_LINES.map((line) => `hub/${line}`);
  return (await command(service, 'get', '--numeric', ...lines)).split(/\s+/);
}

/** Retained states, once they are what they should be, or do not get so. */
async function mqttLevels(
  broker: Broker,
  service: HubMqttService,
  expected: readonly string[],
): Promise<(string | undefined)[]> {
  const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`);
  const topics = EVENT_LINES.map((line) => `${service.topicPrefix}/${line}/state`);
  const seen: (string | undefined)[] = EVENT_LINES.map(() => undefined);
  client.on('message', (topic, payload) => {
    seen[topics.indexOf(topic)] = String(payload) === 'ON' ? '1' : '0';
  });
  try {
    await client.subscribeAsync(topics);
    const limit = performance.now() + SETTLE_LIMIT_MS;
    while (seen.some((level, i) => level !== expected[i]) && performance.now() < limit) await delay(LOOK_MS);
    return seen;
  } finally {
    await client.endAsync(true);
  }
}
