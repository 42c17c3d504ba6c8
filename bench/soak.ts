/** Everything at once for a long time: does memory stay where it is, do descriptors, does anything go wrong? */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '../src/client/client.ts';
import { EVENT_LINES, type HubMqttService, SIM_LINES } from './hub-service.ts';
import { Pins } from './pins.ts';
import { residentBytes } from './process-status.ts';
import { type InterruptResult, type LoadResult, launchProgram, type RunningProgram } from './programs.ts';

/** Each second. */
export interface SoakSample {
  readonly second: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

export interface SoakResult {
  readonly samples: readonly SoakSample[];
  readonly seconds: number;
  /** Requests of the guest with 32 outstanding. */
  readonly requests: number;
  /** Toggles of the guest with interrupts. */
  readonly toggles: number;
  /** Level changes that the firmware made besides, and events of them at the guest that watches. */
  readonly changes: number;
  readonly events: number;
  /** Requests of the control client that were answered, and level changes that it was told of. */
  readonly controlRequests: number;
  readonly controlEdges: number;
  /** ERR answers to, and guests that gave up on, firmware that did not get a processor for a tenth of a second. */
  readonly refusals: number;
  /** Wrong answers, events lost or invented. */
  readonly faults: number;
}

const SAMPLE_MS = 1000;
/** A guest connects anew after each run. */
const BATCH_REQUESTS = 5_000_000;
const BATCH_TOGGLES = 20_000;
/** On each of two lines, a burst; 20,000 changes a second in all. */
const BURST = { periodUs: 1000, atOnce: 10, count: 10_000 };
/** More than these are no accident of a busy machine. */
const MOST_REFUSALS = 20;
const CONTROL_PAUSE_MS = 100;

/** @param progress told once a minute */
export async function measureSoak(
  service: HubMqttService,
  seconds: number,
  progress: (line: string) => void,
): Promise<SoakResult> {
  const started = performance.now();
  const until = started + seconds * 1000;
  const counts = {
    requests: 0,
    toggles: 0,
    changes: 0,
    controlRequests: 0,
    controlEdges: 0,
    refusals: 0,
    faults: 0,
  };
  let failure: unknown = null;
  const goesOn = (): boolean => failure === null && performance.now() < until;
  const fault = (count: number, who: string, result: object): void => {
    counts.faults += count;
    if (count > 0) progress(`soak: fault of ${who}: ${JSON.stringify(result)}`);
  };
  const running = new Set<RunningProgram<unknown>>();
  /** Null: the guest gave up, as a request was answered with ERR or not at all; it comes back after a second. */
  const run = async <T>(options: readonly string[]): Promise<T | null> => {
    const program = launchProgram<T>('loadgen', options, null);
    running.add(program);
    try {
      return await program.result;
    } catch (error) {
      progress(`soak: ${error instanceof Error ? error.message : error}`);
      if (++counts.refusals > MOST_REFUSALS) throw error;
      await delay(SAMPLE_MS);
      return null;
    } finally {
      running.delete(program);
    }
  };
  const requests = async (): Promise<void> => {
    const options = ['--mode=set', '--outstanding=32', '--spin-us=50', `--lines=${SIM_LINES}`];
    while (goesOn()) {
      const count = `--requests=${BATCH_REQUESTS}`;
      const result = await run<LoadResult>([`--socket-path=${service.simSocketPath}`, ...options, count]);
      if (result === null) continue;
      counts.requests += result.requests;
      fault(result.errors, 'requests', result);
    }
  };
  const interrupts = async (): Promise<void> => {
    const options = ['--mode=interrupt', '--pairs=1', `--requests=${BATCH_TOGGLES}`];
    while (goesOn()) {
      const result = await run<InterruptResult>([`--socket-path=${service.loopSocketPath}`, ...options]);
      if (result === null) continue;
      counts.toggles += BATCH_TOGGLES;
      // Firmware that got no processor in time is answered for; the edge comes all the same.
      counts.refusals += result.refused;
      fault(result.errors - result.refused + result.lost + result.invented, 'interrupts', result);
    }
  };
  const changes = async (line: string): Promise<void> => {
    const pins = await Pins.connect(service.pinsPath);
    try {
      while (goesOn()) {
        const answer = await pins.ask(`burst ${line} ${BURST.count} ${BURST.periodUs} ${BURST.atOnce}`);
        if (answer !== 'ok') throw new Error(`a burst was answered '${answer}'`);
        counts.changes += BURST.count;
      }
    } finally {
      pins.close();
    }
  };
  const control = async (): Promise<void> => {
    const client = await connect(service.controlSocketPath);
    try {
      const edges = client.edges([`hub/${EVENT_LINES[0]}`]);
      const watching = (async () => {
        for await (const _ of edges) counts.controlEdges++;
      })();
      while (goesOn()) {
        await client.status();
        await client.get(EVENT_LINES.map((line) => `hub/${line}`));
        counts.controlRequests += 2;
        await delay(CONTROL_PAUSE_MS);
      }
      client.close();
      await watching.catch(() => undefined);
    } finally {
      client.close();
    }
  };
  const samples: SoakSample[] = [];
  const sampling = async (): Promise<void> => {
    for (let second = 0; goesOn(); second++) {
      const resident = residentBytes(service.pid);
      samples.push({ second, residentBytes: resident, descriptors: descriptorsOf(service.pid) });
      if (second % 60 === 0) progress(`soak: ${second} s, ${(resident / 1e6).toFixed(1)} MB`);
      await delay(Math.max(0, started + (second + 1) * SAMPLE_MS - performance.now()));
    }
  };
  const watch = launchProgram<{ events: number; errors: number }>(
    'loadgen',
    ['--mode=watch', `--socket-path=${service.eventSocketPath}`, `--lines=${EVENT_LINES.length}`],
    null,
  );
  try {
    await watch.ready;
    const work = [
      requests,
      interrupts,
      () => changes(EVENT_LINES[0]!),
      () => changes(EVENT_LINES[1]!),
      control,
      sampling,
    ];
    await Promise.all(
      work.map((each) =>
        each().catch((error: unknown) => {
          failure ??= error;
        }),
      ),
    );
    if (failure !== null) throw failure;
    watch.end();
    const watched = await watch.result;
    fault(watched.errors, 'events', watched);
    return { ...counts, samples, seconds: (performance.now() - started) / 1000, events: watched.events };
  } finally {
    watch.end();
    for (const program of running) program.end();
  }
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
