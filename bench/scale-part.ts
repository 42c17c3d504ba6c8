/** What a service with many guests, and a device with many lines, costs: for each request and edge, to start, in memory. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { residentBytes } from './process-status.ts';
import { type FloorResult, runProgram } from './programs.ts';
import { GUEST_COUNTS, type ManyGuests, type ManyLines, scaleFigures } from './scale-report.ts';
import { type CrowdService, interruptsOf, startCrowdService } from './scale-service.ts';

/** Of each guest. */
const LINES = 64;
const FEW_LINES = 32;
const MANY_LINES = 4096;

/** Of `crowd`, but for the names. */
export interface CrowdResult {
  /** Requests, or events. */
  readonly count: number;
  readonly perSecond: number;
  readonly cpuSeconds: number;
  readonly serviceSeconds: number;
  readonly errors: number;
  /** Of requests. */
  readonly medianNs?: number;
  readonly p99Ns?: number;
  /** Of a flood: answered to one guest. */
  readonly fewest?: number;
  readonly most?: number;
  /** Of edges. */
  readonly lost?: number;
  readonly invented?: number;
  /** Those of the warm-up among them. */
  readonly eventsInAll?: number;
}

/** Of `crowd --mode=names`. */
export interface NamesResult {
  readonly seconds: number;
  readonly names: number;
  readonly errors: number;
}

async function measure({ effort, placement, progress }: PartContext): Promise<PartResult> {
  const crowd = <T = CrowdResult>(service: CrowdService, options: readonly string[]): Promise<T> => {
    const which = [`--socket-prefix=${service.socketPrefix}`, `--guests=${service.guests}`];
    return runProgram<T>('crowd', [...which, `--service-pid=${service.pid}`, ...options], placement.loadCpu);
  };
  const started = new Started();
  /** Events that the guests got. */
  let events = 0;
  const edges = async (service: CrowdService, options: readonly string[]): Promise<CrowdResult> => {
    const result = await crowd(service, options);
    events += result.eventsInAll ?? 0;
    return result;
  };
  try {
    const many: ManyGuests[] = [];
    for (const guests of GUEST_COUNTS) {
      const service = await started.add(startCrowdService(guests, LINES, true, placement.serviceCpu));
      const residentAtStart = residentBytes(service.pid);
      many.push({
        service,
        residentAtStart,
        resident: 0,
        turns: [],
        one: [],
        flood: [],
        busy: [],
        edges: [],
        share: [],
      });
      progress(`${guests} guests: started after ${service.startMs.toFixed(0)} ms`);
    }
    const few = await started.add(startCrowdService(1, FEW_LINES, false, placement.serviceCpu));
    const big = await started.add(startCrowdService(1, MANY_LINES, false, placement.serviceCpu));
    const lines: ManyLines = {
      few: { service: few, requests: [], edges: [] },
      big: { service: big, requests: [], edges: [] },
      names: [],
    };

    const requests = `--requests=${effort.scaleRequests}`;
    const pipelined = [`--requests=${effort.scaleRequests * 30}`, '--outstanding=32'];
    const floorOptions = [`--rounds=${effort.floorRounds}`, `--placement=${placement.name}`];
    const floorsNs: number[] = [];
    // The first round warms up.
    for (let round = 0; round <= effort.scaleRounds; round++) {
      const keep = <T>(into: T[], result: T): void => {
        if (round > 0) into.push(result);
      };
      keep(floorsNs, (await runProgram<FloorResult>('floor', floorOptions, null)).medianNs);
      for (const each of many) {
        const { service } = each;
        keep(each.turns, await crowd(service, ['--mode=turns', requests]));
        keep(each.one, await crowd(service, ['--mode=turns', '--active=1', requests]));
        keep(each.flood, await crowd(service, ['--mode=flood', ...pipelined]));
        keep(each.busy, await crowd(service, ['--mode=flood', `--requests=${effort.scaleRequests * 10}`]));
        const toggles = `--requests=${effort.scaleRequests * 10}`;
        keep(each.edges, await edges(service, ['--mode=edges', '--pairs=8', toggles]));
        const changes = `--requests=${Math.ceil((effort.scaleRequests * 4) / service.guests)}`;
        keep(each.share, await edges(service, ['--mode=share', changes, '--warmup=100']));
        progress(`round ${round}/${effort.scaleRounds}: ${service.guests} guests`);
      }
      for (const [each, count] of [
        [lines.few, FEW_LINES],
        [lines.big, MANY_LINES],
      ] as const) {
        const { service } = each;
        keep(each.requests, await crowd(service, ['--mode=flood', `--lines=${count}`, ...pipelined]));
        const all = ['--mode=edges', `--lines=${count}`, `--pairs=${count / 2}`, '--queue-size=4096'];
        keep(each.edges, await edges(service, [...all, `--requests=${effort.scaleRequests * 10}`]));
      }
      keep(lines.names, await crowd<NamesResult>(big, ['--mode=names', '--queue-size=1024']));
      progress(`round ${round}/${effort.scaleRounds}: ${MANY_LINES} lines`);
    }
    await delay(1000);
    for (const each of many) each.resident = residentBytes(each.service.pid);
    const counted = await Promise.all([...many.map(({ service }) => service), few, big].map(interruptsOf));
    const told = counted.reduce((sum, each) => sum + each, 0);
    return {
      figures: scaleFigures(many, lines, { told, heard: events }, floorsNs),
      raw: { scale: { many, lines, floorsNs } },
    };
  } finally {
    await started.close();
  }
}

export const scalePart: Part = { name: 'scale', measure };
