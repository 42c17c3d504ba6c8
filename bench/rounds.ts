/** The rounds: in each, every load runs beside a floor of its own (A B A B ...), so that both meet the same machine. */
import { cpuSeconds } from './process-status.ts';
import { type FloorResult, type InterruptResult, type LoadResult, runProgram } from './programs.ts';
import type { Service } from './service.ts';

/** How much is measured. */
export interface Effort {
  readonly rounds: number;
  /** Round trips a floor run. */
  readonly floorRounds: number;
  /** Requests a run, one at a time. */
  readonly requests: number;
  /** Requests a run with 32 outstanding. */
  readonly pipelinedRequests: number;
  /** Toggles a run. */
  readonly toggles: number;
  /** From the last request to the start of the idle measurement. */
  readonly settleSeconds: number;
  readonly idleSeconds: number;
  /** Level changes a run, one at a time, to an MQTT subscriber. */
  readonly latencyEvents: number;
  /** Level changes a run, as fast as it goes, and before them unmeasured. */
  readonly mqttEvents: number;
  readonly mqttWarmup: number;
  /** Requests a run of a guest beside MQTT. */
  readonly guestRequests: number;
  /** How long commands are sent while memory is watched. */
  readonly floodSeconds: number;
  /** Of guests of the co-processor's lines, for each place of the firmware; at most {@link rounds}. */
  readonly hubRounds: number;
  /** Requests, or level changes, a run of a guest of the co-processor's lines. */
  readonly hubRequests: number;
  /** How long the firmware changes levels as fast as it goes. */
  readonly streamSeconds: number;
  /** Of everything at once, while memory is watched. */
  readonly soakSeconds: number;
  /** Level changes a run with a pause before each. */
  readonly hubPausedChanges: number;
  /** Of many guests, and of many lines; after one that warms up. */
  readonly scaleRounds: number;
  /** One at a time; of cheaper loads a multiple. */
  readonly scaleRequests: number;
  /** Of a service that polls and one that does not, for each placement; after one that warms up. */
  readonly pressureRounds: number;
  readonly pressureRequests: number;
  /** Of a guest beside a client of the control socket, for each of its questions. */
  readonly controlRounds: number;
  readonly controlRequests: number;
}

export const FULL: Effort = {
  rounds: 7,
  floorRounds: 20_000,
  requests: 20_000,
  pipelinedRequests: 1_000_000,
  toggles: 20_000,
  settleSeconds: 20,
  idleSeconds: 10,
  latencyEvents: 2_000,
  mqttEvents: 60_000,
  mqttWarmup: 10_000,
  guestRequests: 10_000,
  floodSeconds: 30,
  hubRounds: 7,
  hubRequests: 10_000,
  hubPausedChanges: 1_000,
  scaleRounds: 7,
  scaleRequests: 6_000,
  pressureRounds: 9,
  pressureRequests: 8_000,
  controlRounds: 7,
  controlRequests: 20_000,
  streamSeconds: 10,
  soakSeconds: 600,
};

export const QUICK: Effort = {
  rounds: 5,
  floorRounds: 4_000,
  requests: 4_000,
  pipelinedRequests: 500_000,
  toggles: 4_000,
  settleSeconds: 5,
  idleSeconds: 10,
  latencyEvents: 400,
  mqttEvents: 30_000,
  mqttWarmup: 10_000,
  guestRequests: 3_000,
  floodSeconds: 10,
  hubRounds: 3,
  hubRequests: 2_000,
  hubPausedChanges: 300,
  scaleRounds: 7,
  scaleRequests: 3_000,
  pressureRounds: 5,
  pressureRequests: 4_000,
  controlRounds: 7,
  controlRequests: 8_000,
  streamSeconds: 3,
  soakSeconds: 20,
};

/** Where the parts run: `apart` pins the two sides to different processors, `free` leaves it to the scheduler. */
export interface Placement {
  readonly name: 'apart' | 'free';
  readonly loadCpu: number | null;
  readonly serviceCpu: number | null;
}

/** One load of a round: its own figures, the floor measured just before, and what the service spent. */
export interface Sample<T> {
  readonly floor: FloorResult;
  readonly result: T;
  readonly serviceCpuSeconds: number;
}

export interface Rounds {
  readonly set: Sample<LoadResult>[];
  readonly get: Sample<LoadResult>[];
  readonly setUnpolled: Sample<LoadResult>[];
  readonly getUnpolled: Sample<LoadResult>[];
  readonly setBatch: Sample<LoadResult>[];
  readonly setBatchNoEventIdx: Sample<LoadResult>[];
  readonly setBatchYardstick: Sample<LoadResult>[];
  /** One pair, the guest sleeps as soon as there is nothing to do. */
  readonly interruptBlocking: Sample<InterruptResult>[];
  /** One pair, the guest looks at its rings for a while before it sleeps. */
  readonly interruptOne: Sample<InterruptResult>[];
  readonly interruptMany: Sample<InterruptResult>[];
}

/**
 * How long the load generator looks at the used rings before it blocks, where a rate is measured. A wake-up for each batch would
 * measure the wake-ups; one at a time it always blocks.
 */
const BATCH_SPIN_US = 50;
const OUTSTANDING = 32;

/** The counterparts of the load generator. */
export interface Subjects {
  readonly backEnd: Service;
  /** A second back-end, with adaptive polling off. */
  readonly unpolled: Service;
  readonly yardstick: Service;
}

/** Runs all rounds; `progress` is told of each finished run. */
export async function measureRounds(
  { backEnd, unpolled, yardstick }: Subjects,
  effort: Effort,
  placement: Placement,
  progress: (line: string) => void,
): Promise<Rounds> {
  const rounds: Rounds = {
    set: [],
    get: [],
    setUnpolled: [],
    getUnpolled: [],
    setBatch: [],
    setBatchNoEventIdx: [],
    setBatchYardstick: [],
    interruptBlocking: [],
    interruptOne: [],
    interruptMany: [],
  };
  const floorOptions = [`--rounds=${effort.floorRounds}`, `--placement=${placement.name}`];
  const sample = async <T extends { readonly medianNs: number }>(
    into: Sample<T>[],
    name: string,
    service: Service,
    options: readonly string[],
  ): Promise<void> => {
    const floor = await runProgram<FloorResult>('floor', floorOptions, null);
    const before = cpuSeconds(service.pid);
    const load = [`--socket-path=${service.socketPath}`, ...options];
    const result = await runProgram<T>('loadgen', load, placement.loadCpu);
    const serviceCpuSeconds = cpuSeconds(service.pid) - before;
    into.push({ floor, result, serviceCpuSeconds });
    progress(`${name}: median ${result.medianNs} ns, floor ${floor.medianNs} ns`);
  };
  const single = [`--requests=${effort.requests}`, '--warmup=0'];
  const batch = [
    '--mode=set',
    `--outstanding=${OUTSTANDING}`,
    `--requests=${effort.pipelinedRequests}`,
    `--spin-us=${BATCH_SPIN_US}`,
    '--warmup=0',
  ];
  const toggles = ['--mode=interrupt', `--requests=${effort.toggles}`, '--warmup=0'];
  for (const service of [backEnd, unpolled]) await warmUp(service, effort, placement);
  for (let round = 1; round <= effort.rounds; round++) {
    const name = `round ${round}/${effort.rounds}`;
    await sample(rounds.set, `${name} set`, backEnd, ['--mode=set', ...single]);
    await sample(rounds.get, `${name} get`, backEnd, ['--mode=get', ...single]);
    await sample(rounds.setUnpolled, `${name} set without polling`, unpolled, ['--mode=set', ...single]);
    await sample(rounds.getUnpolled, `${name} get without polling`, unpolled, ['--mode=get', ...single]);
    await sample(rounds.setBatch, `${name} set x32`, backEnd, batch);
    await sample(rounds.setBatchYardstick, `${name} set x32 in C`, yardstick, batch);
    await sample(rounds.setBatchNoEventIdx, `${name} set x32 without EVENT_IDX`, backEnd, [
      ...batch,
      '--no-event-idx',
    ]);
    await sample(rounds.interruptBlocking, `${name} interrupts`, backEnd, [...toggles, '--pairs=1']);
    await sample(rounds.interruptOne, `${name} interrupts, looking`, backEnd, [
      ...toggles,
      '--pairs=1',
      `--spin-us=${BATCH_SPIN_US}`,
    ]);
    await sample(rounds.interruptMany, `${name} interrupts x16`, backEnd, [...toggles, '--pairs=16']);
  }
  return rounds;
}

/** Every kind of load once, unmeasured: the service compiles its hot paths as it would in its first second of work. */
async function warmUp(backEnd: Service, effort: Effort, placement: Placement): Promise<void> {
  const loads = [
    ['--mode=set', `--requests=${effort.requests}`],
    ['--mode=get', `--requests=${effort.requests}`],
    ['--mode=set', `--outstanding=${OUTSTANDING}`, `--requests=${effort.pipelinedRequests}`],
    [
      '--mode=set',
      `--outstanding=${OUTSTANDING}`,
      `--requests=${effort.pipelinedRequests}`,
      '--no-event-idx',
    ],
    ['--mode=interrupt', `--requests=${effort.toggles}`, '--pairs=16'],
  ];
  for (const load of loads) {
    await runProgram('loadgen', [`--socket-path=${backEnd.socketPath}`, ...load], placement.loadCpu);
  }
}
