import { describe, expect, it } from 'vitest';
import { exitStatus } from '../../bench/figures.ts';
import type { CrowdResult } from '../../bench/scale-part.ts';
import { type LineLoads, type ManyGuests, type ManyLines, scaleFigures } from '../../bench/scale-report.ts';
import type { CrowdService } from '../../bench/scale-service.ts';

/** Half of it is 100 ns: less than any load takes here. */
const FLOORS_NS = [200, 200, 200];

function service(guests: number, startMs: number): CrowdService {
  const paths = { socketPath: '', socketPrefix: '', controlSocketPath: '' };
  return { pid: 1, ...paths, guests, startMs, close: () => Promise.resolve() };
}

function load(serviceSeconds: number, medianNs = 20_000): CrowdResult {
  const each = { count: 1000, perSecond: 1e5, cpuSeconds: 0.01, errors: 0, lost: 0, invented: 0 };
  return { ...each, serviceSeconds, medianNs, p99Ns: 2 * medianNs, fewest: 90, most: 100 };
}

function guests(
  count: number,
  startMs: number,
  resident: number,
  changes: Partial<ManyGuests> = {},
): ManyGuests {
  const all = { turns: [load(0.02)], one: [load(0.02)], flood: [load(0.0002)], edges: [load(0.001)] };
  const busy = [load(0.001, 500 * count)];
  const residentAtStart = 70e6;
  const of = service(count, startMs);
  return { service: of, residentAtStart, resident, ...all, busy, share: [load(0.001)], ...changes };
}

const many = (changes: Partial<ManyGuests> = {}): ManyGuests[] => [
  guests(1, 300, 80e6),
  guests(8, 350, 84e6),
  guests(64, 930, 111.5e6, changes),
];

function lineLoads(startMs: number, serviceSeconds: number): LineLoads {
  return { service: service(1, startMs), requests: [load(serviceSeconds)], edges: [load(serviceSeconds)] };
}

function lines(edges: CrowdResult[] = [load(0.002)]): ManyLines {
  const big = { ...lineLoads(500, 0.0012), edges };
  return { few: lineLoads(300, 0.001), big, names: [{ seconds: 0.001, names: 4096, errors: 0 }] };
}

const EVENTS = { told: 1000, heard: 1000 };

function valueNamed(name: string, of = many(), with4096 = lines()): number | null | undefined {
  return scaleFigures(of, with4096, EVENTS, FLOORS_NS).find((each) => each.name === name)?.value;
}

describe('scaleFigures', () => {
  it('tells what a guest more costs, between the fewest and the most', () => {
    expect(valueNamed('scaleStartPerGuest')).toBeCloseTo(10);
    expect(valueNamed('scaleResidentPerGuest')).toBeCloseTo(0.5);
  });

  it('tells how the cost of a request and of an edge grows, round by round', () => {
    const grown = many({ flood: [load(0.0004), load(0.0006), load(0.0008)] });
    (grown[0] as { flood: CrowdResult[] }).flood = [load(0.0004), load(0.0002), load(0.0004)];
    expect(valueNamed('scaleFloodGrowth', grown)).toBeCloseTo(2);
    expect(valueNamed('scale64FloodCpu', grown)).toBeCloseTo(0.6);
    expect(valueNamed('lines4096EdgeGrowth')).toBeCloseTo(2);
    expect(valueNamed('lines4096RequestGrowth')).toBeCloseTo(1.2);
  });

  it('takes the latency of a guest beside busy ones for a share of all turns', () => {
    expect(valueNamed('scaleBusyMedianShare')).toBeCloseTo(1);
    expect(valueNamed('scaleOneMedianGrowth')).toBeCloseTo(1);
    expect(valueNamed('scaleFairness')).toBeCloseTo(0.9);
  });

  it('fails for a single lost event, and for guests that are starved', () => {
    expect(exitStatus(scaleFigures(many(), lines(), EVENTS, FLOORS_NS))).toBe(0);
    const lost = { ...load(0.001), lost: 1 };
    expect(valueNamed('scaleFaults', many({ share: [lost] }))).toBe(1);
    expect(exitStatus(scaleFigures(many({ share: [lost] }), lines(), EVENTS, FLOORS_NS))).toBe(1);
    expect(
      exitStatus(scaleFigures(many({ flood: [{ ...load(0.0002), fewest: 2 }] }), lines(), EVENTS, FLOORS_NS)),
    ).toBe(1);
  });

  it('takes half a floor for what one request of one guest takes at the least', () => {
    const grown = many({ turns: [load(0.03)], one: [load(0.001, 30_000)] });
    const first = grown[0] as { turns: CrowdResult[]; one: CrowdResult[] };
    first.turns = [load(0.004)];
    first.one = [load(0.001, 4_000)];
    const figures = scaleFigures(grown, lines(), EVENTS, [40_000]);
    const named = (name: string) => figures.find((each) => each.name === name)?.value;
    expect(named('scaleTurnsGrowth')).toBeCloseTo(1.5);
    expect(named('scaleOneMedianGrowth')).toBeCloseTo(1.5);
  });

  it('fails when the service and its guests count different numbers of events', () => {
    expect(exitStatus(scaleFigures(many(), lines(), { told: 1001, heard: 1000 }, FLOORS_NS))).toBe(1);
  });
});
