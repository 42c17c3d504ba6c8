/** What guests and memory feel of MQTT. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Broker } from './broker.ts';
import { GUEST_LINES, type HubMqttService, SIM_LINES } from './hub-service.ts';
import { COMMAND_RATE, commandOptions } from './mqtt-probe.ts';
import { residentBytes } from './process-status.ts';
import { type CommandsResult, type LoadResult, type RunningProgram, runProgram } from './programs.ts';
import type { Placement } from './rounds.ts';
import { pinMainThread } from './service.ts';

/** Two guests of one service: of simulated lines, and of lines of the co-processor. */
export interface GuestLatency {
  readonly sim: LoadResult;
  readonly hub: LoadResult;
}

export interface GuestRound<T> {
  readonly unloaded: GuestLatency;
  readonly loaded: GuestLatency;
  /** What the load reached meanwhile. */
  readonly load: T;
}

export interface CommandFlood {
  readonly result: CommandsResult;
  /** Of the service: before it, the most while it went on, and a second after its end. */
  readonly residentBefore: number;
  readonly residentMost: number;
  readonly residentAfter: number;
}

/** For a load to get going, before guests are measured under it. */
const RAMP_MS = 300;
const RESIDENT_PERIOD_MS = 100;
const WARMUP_REQUESTS = 500;

/** Guests without the load, then with it. */
export async function guestRound<T>(
  service: HubMqttService,
  requests: number,
  placement: Placement,
  launch: () => RunningProgram<T>,
): Promise<GuestRound<T>> {
  const { loadCpu, serviceCpu } = placement;
  if (serviceCpu !== null) pinMainThread(service.pid, [serviceCpu]);
  const guest = (socketPath: string, lines: number): Promise<LoadResult> => {
    const count = [`--requests=${requests}`, `--warmup=${WARMUP_REQUESTS}`];
    return runProgram('loadgen', [`--socket-path=${socketPath}`, `--lines=${lines}`, ...count], loadCpu);
  };
  const guests = async (): Promise<GuestLatency> => ({
    sim: await guest(service.simSocketPath, SIM_LINES),
    hub: await guest(service.hubSocketPath, GUEST_LINES.length),
  });
  const unloaded = await guests();
  const load = launch();
  try {
    await load.ready;
    await delay(RAMP_MS);
    const loaded = await guests();
    load.end();
    return { unloaded, loaded, load: await load.result };
  } finally {
    load.end();
  }
}

/** Commands for some seconds, and the service's memory meanwhile. */
export async function commandFlood(
  broker: Broker,
  service: HubMqttService,
  seconds: number,
): Promise<CommandFlood> {
  const residentBefore = residentBytes(service.pid);
  let residentMost = residentBefore;
  const sampling = setInterval(() => {
    residentMost = Math.max(residentMost, residentBytes(service.pid));
  }, RESIDENT_PERIOD_MS);
  try {
    const options = commandOptions(broker, service, seconds * COMMAND_RATE);
    const result = await runProgram<CommandsResult>('mqttprobe', options, null);
    await delay(1000);
    return { result, residentBefore, residentMost, residentAfter: residentBytes(service.pid) };
  } finally {
    clearInterval(sampling);
  }
}
