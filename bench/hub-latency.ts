/** What a guest of the co-processor's lines waits for: the way through the service to the firmware's process, and back. */
import { EVENT_LINES, GUEST_LINES, type HubService, LOOP_LINES } from './hub-service.ts';
import { cpuSeconds } from './process-status.ts';
import {
  type ChangeResult,
  type FloorResult,
  type InterruptResult,
  type LoadResult,
  runProgram,
} from './programs.ts';
import type { Effort, Placement, Sample } from './rounds.ts';
import { pinProcess } from './service.ts';

/**
 * With which of the two sides the firmware shares a processor. On a board it has one of its own. Where there are two in all, the
 * guest's is the nearer to that: the guest sleeps while the firmware works, the service looks for the answer meanwhile.
 */
export const FIRMWARE_PLACES = ['guest', 'service'] as const;
export type FirmwarePlace = (typeof FIRMWARE_PLACES)[number];

/** One firmware placement. */
export interface HubRounds {
  /** SET_VALUE on outputs of the firmware. */
  readonly set: Sample<LoadResult>[];
  /** A level change, in one go with the next. */
  readonly change: Sample<ChangeResult>[];
  /** A level change after a pause, in which everybody went to sleep; so did the threads of its floor. */
  readonly changeAfterPause: Sample<ChangeResult>[];
  /** GET_VALUE of a subscribed input. */
  readonly get: Sample<LoadResult>[];
  /** SET_VALUE on an output that is wired to an input, and that one's event. */
  readonly loop: Sample<InterruptResult>[];
}

/** Longer than anybody polls. */
const PAUSE_US = 2000;
const WARMUP = 500;
/**
 * Changes after a pause are measured that few at a time, a floor of as many before each: how deep a processor sleeps goes up and
 * down within seconds, and the floor with it.
 */
const PAUSED_AT_ONCE = 50;
const PAUSED_WARMUP = 10;

/** Runs the rounds with the firmware at each of its places in turn; `progress` is told of each finished run. */
export async function measureHubRounds(
  service: HubService,
  effort: Effort,
  placement: Placement,
  progress: (line: string) => void,
): Promise<Record<FirmwarePlace, HubRounds>> {
  const places = { guest: noRounds(), service: noRounds() };
  const { loadCpu, serviceCpu } = placement;
  if (serviceCpu !== null) pinProcess(service.pid, serviceCpu);
  const cpus = { guest: loadCpu, service: serviceCpu };
  const count = Math.min(effort.rounds, effort.hubRounds);
  for (let round = 1; round <= count; round++) {
    for (const place of FIRMWARE_PLACES) {
      const cpu = cpus[place];
      if (cpu !== null) pinProcess(service.firmwarePid, cpu);
      const name = `round ${round}/${count}, firmware with the ${place},`;
      await measureRound(service, effort, placement, places[place], (line) => progress(`${name} ${line}`));
    }
  }
  return places;
}

function noRounds(): HubRounds {
  return { set: [], change: [], changeAfterPause: [], get: [], loop: [] };
}

async function measureRound(
  service: HubService,
  effort: Effort,
  placement: Placement,
  rounds: HubRounds,
  progress: (line: string) => void,
): Promise<void> {
  const floorPlacement = `--placement=${placement.name}`;
  const floorOptions = [`--rounds=${effort.floorRounds}`, floorPlacement];
  const sample = async <T extends { readonly medianNs: number; readonly p99Ns: number }>(
    into: Sample<T>[],
    name: string,
    options: readonly string[],
    floorCount = floorOptions,
    warmup = WARMUP,
  ): Promise<void> => {
    const floor = await runProgram<FloorResult>('floor', floorCount, null);
    const before = cpuSeconds(service.pid);
    const result = await runProgram<T>('loadgen', [...options, `--warmup=${warmup}`], placement.loadCpu);
    into.push({ floor, result, serviceCpuSeconds: cpuSeconds(service.pid) - before });
    progress(`${name}: median ${result.medianNs} ns, p99 ${result.p99Ns} ns, floor ${floor.medianNs} ns`);
  };
  const requests = `--requests=${effort.hubRequests}`;
  const change = [
    `--socket-path=${service.eventSocketPath}`,
    '--mode=change',
    `--pins=${service.pinsPath}`,
    `--pins-line=${EVENT_LINES[0]}`,
    '--line=0',
  ];
  const set = [
    '--mode=set',
    `--socket-path=${service.hubSocketPath}`,
    `--lines=${GUEST_LINES.length}`,
    requests,
  ];
  const loop = [`--socket-path=${service.loopSocketPath}`, requests];
  await sample(rounds.set, 'set', set);
  await sample(rounds.change, 'change', [...change, requests]);
  const paused = [`--pause-us=${PAUSE_US}`];
  for (let made = 0; made < effort.hubPausedChanges; made += PAUSED_AT_ONCE) {
    await sample(
      rounds.changeAfterPause,
      'change after a pause',
      [...change, `--requests=${PAUSED_AT_ONCE}`, ...paused],
      [`--rounds=${PAUSED_AT_ONCE}`, `--warmup=${PAUSED_WARMUP}`, floorPlacement, ...paused],
      PAUSED_WARMUP,
    );
  }
  await sample(rounds.get, 'get', ['--mode=get', '--subscribed', `--lines=${LOOP_LINES.length}`, ...loop]);
  await sample(rounds.loop, 'loop', ['--mode=interrupt', '--pairs=1', ...loop]);
}
