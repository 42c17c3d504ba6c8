import { describe, expect, it } from 'vitest';
import { exitStatus } from '../../bench/figures.ts';
import type { InterruptResult, LoadResult } from '../../bench/programs.ts';
import { failuresOf, figuresOf, tableOf } from '../../bench/report.ts';
import type { Rounds, Sample } from '../../bench/rounds.ts';

const idle = { switches: 3, byThread: { 'node/1': 3 }, cpuSeconds: 0, seconds: 10.01 };
const demo = { residentBytes: 70e6, treeResidentBytes: 72e6, startMs: 200 };

function load(medianNs: number, floorNs: number, requestsPerSecond = 1e6): Sample<LoadResult> {
  const result = {
    medianNs,
    p99Ns: medianNs * 2,
    requestsPerSecond,
    errors: 0,
    cpuSeconds: 0.1,
    requests: 1e6,
    kicks: 1,
  };
  const floor = { medianNs: floorNs, p99Ns: floorNs * 3, roundTripsPerSecond: 1e9 / floorNs };
  return { floor, result, serviceCpuSeconds: 0.25 };
}

function interrupts(lost: number): Sample<InterruptResult> {
  const { floor, result, serviceCpuSeconds } = load(1, 1);
  return {
    floor,
    serviceCpuSeconds,
    result: { ...result, eventsPerSecond: 2e5, toggles: 1e5, refused: 0, lost, invented: 0 },
  };
}

function rounds(changes: Partial<Rounds> = {}): Rounds {
  const loads = [load(20, 40), load(30, 50), load(20, 30)];
  const batches = [load(1, 1, 2e6), load(1, 1, 2e6), load(1, 1, 2e6)];
  return {
    set: loads,
    get: loads,
    setUnpolled: loads,
    getUnpolled: loads,
    setBatch: batches,
    setBatchNoEventIdx: batches,
    setBatchYardstick: [load(1, 1, 4e6), load(1, 1, 8e6), load(1, 1, 4e6)],
    interruptBlocking: [interrupts(0)],
    interruptOne: [interrupts(0)],
    interruptMany: [interrupts(0)],
    ...changes,
  };
}

function valueNamed(name: string, all: Rounds): number | null | undefined {
  return figuresOf(all, idle, demo).find((each) => each.name === name)?.value;
}

describe('figuresOf', () => {
  it('takes the median of the rounds’ ratios', () => {
    expect(valueNamed('setMedianOverFloor', rounds())).toBe(0.6);
    expect(valueNamed('set32OverYardstick', rounds())).toBe(0.5);
  });

  it('gives processor time for a million requests', () => {
    expect(valueNamed('setServiceCpu', rounds())).toBe(0.25);
    expect(valueNamed('setLoadCpu', rounds())).toBe(0.1);
    expect(valueNamed('interrupt1ServiceCpu', rounds())).toBe(2.5);
    expect(valueNamed('interrupt1LoadCpu', rounds())).toBe(1);
  });

  it('adds lost events up over the rounds, and one of them fails the run', () => {
    const some = rounds({ interruptMany: [interrupts(0), interrupts(1), interrupts(0)] });
    expect(valueNamed('interrupt16Lost', some)).toBe(1);
    expect(exitStatus(figuresOf(some, idle, demo))).toBe(1);
    expect(exitStatus(figuresOf(rounds(), idle, demo))).toBe(0);
  });

  it('judges what the issue sets targets for', () => {
    const judged = figuresOf(rounds(), idle, demo).filter((each) => each.target !== null);
    expect(judged.map((each) => each.name)).toEqual([
      'setMedianOverFloor',
      'setP99OverFloorP99',
      'getMedianOverFloor',
      'getP99OverFloorP99',
      'setUnpolledMedianOverFloor',
      'getUnpolledMedianOverFloor',
      'set32Rate',
      'set32OverYardstick',
      'set32NoEventIdxRate',
      'set32NoEventIdxOverYardstick',
      'interrupt1BlockingLost',
      'interrupt1BlockingInvented',
      'interrupt1Rate',
      'interrupt1Lost',
      'interrupt1Invented',
      'interrupt16Rate',
      'interrupt16Lost',
      'interrupt16Invented',
      'wrongAnswers',
      'idleSwitches',
      'demoResident',
    ]);
    expect(judged.every((each) => each.met === true)).toBe(true);
  });
});

describe('tableOf', () => {
  it('prints a line a figure with its target and verdict', () => {
    const table = tableOf(figuresOf(rounds(), { ...idle, switches: 15 }, { ...demo, residentBytes: 300e6 }));
    expect(table).toMatch(/^figure +value +unit +target$/m);
    expect(table).toMatch(/^setMedianOverFloor +0\.6 +x floor +<= 0\.65 +met$/m);
    expect(table).toMatch(/^idleSwitches +15 +in 10 s +<= 10 +missed$/m);
    expect(table).toMatch(/^demoResident +300 +MB +< 120 +FAILED$/m);
  });
});

describe('failuresOf', () => {
  it('names what fails the run, and nothing else', () => {
    const slow = [load(60, 40)];
    const all = figuresOf(rounds({ set: slow, interruptOne: [interrupts(2)] }), idle, demo);
    const text = failuresOf(all);
    expect(text).toMatch(/^bench: these fail the run:\n/);
    expect(text).toMatch(/^setMedianOverFloor +1\.5 +x floor +<= 0\.65 +FAILED$/m);
    expect(text).toMatch(/^interrupt1Lost +2 +count +<= 0 +FAILED$/m);
    expect(text.trimEnd().split('\n')).toHaveLength(1 + 1 + all.filter((each) => each.failed).length);
  });

  it('is empty where none does', () => {
    const all = figuresOf(rounds(), idle, demo).filter((each) => !each.failed);
    expect(failuresOf(all)).toBe('');
  });
});
