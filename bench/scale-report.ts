/** Turns measurements of many guests, and of many lines, into figures: what each costs, and how that grows. */
import { type Figure, figure, type Target } from './figures.ts';
import type { CrowdResult, NamesResult } from './scale-part.ts';
import type { CrowdService } from './scale-service.ts';
import { LEAST_OF_FLOOR, median, medianOfRatios } from './statistics.ts';

const MEGABYTE = 1e6;

export const GUEST_COUNTS = [1, 8, 64] as const;

/** What was measured with so many guests. */
export interface ManyGuests {
  readonly service: CrowdService;
  readonly residentAtStart: number;
  /** After all loads. */
  resident: number;
  /** One request at a time, one guest after the other. */
  readonly turns: CrowdResult[];
  /** One request at a time of one guest, the others idle. */
  readonly one: CrowdResult[];
  /** 32 outstanding of each guest. */
  readonly flood: CrowdResult[];
  /** One outstanding of each guest. */
  readonly busy: CrowdResult[];
  readonly edges: CrowdResult[];
  /** Edges of one line to all guests. */
  readonly share: CrowdResult[];
}

/** What was measured with one guest that has so many lines. */
export interface LineLoads {
  readonly service: CrowdService;
  readonly requests: CrowdResult[];
  readonly edges: CrowdResult[];
}

export interface ManyLines {
  readonly few: LineLoads;
  readonly big: LineLoads;
  readonly names: NamesResult[];
}

/** Of all services and all loads. */
export interface EventCounts {
  /** Interrupts that the services delivered, as they count them. */
  readonly told: number;
  /** Events that the guests got. */
  readonly heard: number;
}

/**
 * Flat is 1. What grows without a fault of ours is what the processor's caches hold: the lines and rings of 64 guests are some
 * megabytes.
 */
const FLAT: Target = { relation: '<=', value: 1.5 };
const NONE: Target = { relation: '<=', value: 0 };

/** The kinds of load of which the cost for each request or event is told, and what a million of them cost the service. */
const LOADS = ['turns', 'flood', 'edges', 'share'] as const;
/** Those without pauses, in which the service would look for work. */
const BUSY_LOADS = ['flood', 'edges', 'share'] as const;

/** @param floorsNs medians of the floor, one of each round */
export function scaleFigures(
  many: readonly ManyGuests[],
  lines: ManyLines,
  events: EventCounts,
  floorsNs: readonly number[],
): Figure[] {
  const [first, last] = [many[0]!, many.at(-1)!];
  const leastNs = floorsNs.map((each) => each * LEAST_OF_FLOOR);
  const leastOf = (valuesNs: readonly number[]): number[] =>
    valuesNs.map((each, round) => Math.max(each, leastNs[round]!));
  const most = last.service.guests;
  const perGuest = (value: (of: ManyGuests) => number): number =>
    (value(last) - value(first)) / (most - first.service.guests);
  return [
    ...many.flatMap(guestFigures),
    figure(
      'scaleStartPerGuest',
      'ms',
      perGuest((each) => each.service.startMs),
      { relation: '<=', value: 20 },
    ),
    figure('scaleResidentPerGuest', 'MB', perGuest((each) => each.resident) / MEGABYTE, {
      relation: '<=',
      value: 1.5,
    }),
    figure(
      'scaleTurnsGrowth',
      `x at ${most} guests`,
      medianOfRatios(costsNs(last.turns), leastOf(costsNs(first.turns))),
      FLAT,
    ),
    ...BUSY_LOADS.map((load) =>
      figure(`scale${capital(load)}Growth`, `x at ${most} guests`, growth(first[load], last[load]), FLAT),
    ),
    figure(
      'scaleOneMedianGrowth',
      `x at ${most} guests`,
      medianOfRatios(
        last.one.map(({ medianNs }) => medianNs!),
        leastOf(first.one.map(({ medianNs }) => medianNs!)),
      ),
      FLAT,
    ),
    figure(
      'scaleBusyMedianShare',
      `x ${most} turns`,
      medianOfRatios(
        last.busy.map(({ medianNs }) => medianNs! / most),
        first.busy.map(({ medianNs }) => medianNs!),
      ),
      FLAT,
    ),
    figure('scaleFairness', 'fewest/most', median(last.flood.map((each) => each.fewest! / each.most!)), {
      relation: '>=',
      value: 0.8,
    }),
    figure('lines32Start', 'ms', lines.few.service.startMs),
    figure('lines4096Start', 'ms', lines.big.service.startMs, { relation: '<=', value: 1000 }),
    figure('lines4096Names', 'ms', median(lines.names.map((each) => each.seconds * 1000))),
    figure('lines4096RequestCpu', 's/million', perMillion(lines.big.requests)),
    figure('lines4096RequestGrowth', 'x 32 lines', growth(lines.few.requests, lines.big.requests), FLAT),
    figure('lines4096EdgeCpu', 's/million', perMillion(lines.big.edges)),
    figure('lines4096EdgeGrowth', 'x 32 lines', growth(lines.few.edges, lines.big.edges), FLAT),
    figure('scaleFaults', 'count', faults(many, lines), NONE),
    figure('scaleEventsHeard', 'count', events.heard),
    figure('scaleEventsMiscounted', 'count', Math.abs(events.told - events.heard), NONE),
  ];
}

function guestFigures(each: ManyGuests): Figure[] {
  const name = `scale${each.service.guests}`;
  return [
    figure(`${name}Start`, 'ms', each.service.startMs),
    figure(`${name}ResidentAtStart`, 'MB', each.residentAtStart / MEGABYTE),
    figure(`${name}Resident`, 'MB', each.resident / MEGABYTE),
    ...LOADS.map((load) => figure(`${name}${capital(load)}Cpu`, 's/million', perMillion(each[load]))),
    figure(
      `${name}FloodRate`,
      'requests/s',
      Math.round(median(each.flood.map(({ perSecond }) => perSecond))),
    ),
    figure(`${name}EdgesRate`, 'events/s', Math.round(median(each.edges.map(({ perSecond }) => perSecond)))),
    figure(`${name}OneMedian`, 'us', median(each.one.map(({ medianNs }) => medianNs! / 1000))),
    figure(`${name}BusyMedian`, 'us', median(each.busy.map(({ medianNs }) => medianNs! / 1000))),
  ];
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function cost({ serviceSeconds, count }: CrowdResult): number {
  return serviceSeconds / count;
}

function costsNs(results: readonly CrowdResult[]): number[] {
  return results.map((each) => cost(each) * 1e9);
}

function perMillion(results: readonly CrowdResult[]): number {
  return median(results.map(cost)) * 1e6;
}

function growth(from: readonly CrowdResult[], to: readonly CrowdResult[]): number {
  return medianOfRatios(to.map(cost), from.map(cost));
}

function faults(many: readonly ManyGuests[], { few, big, names }: ManyLines): number {
  const loads = many.flatMap(({ turns, one, flood, busy, edges, share }) => [
    turns,
    one,
    flood,
    busy,
    edges,
    share,
  ]);
  const results = [...loads, few.requests, few.edges, big.requests, big.edges].flat();
  return [...results, ...names].reduce((sum, each) => {
    const { lost = 0, invented = 0 } = each as Partial<CrowdResult>;
    return sum + each.errors + lost + invented;
  }, 0);
}
