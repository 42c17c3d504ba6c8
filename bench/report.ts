/** Turns measurements into figures, and figures into text. */
import { type Figure, figure, type Target } from './figures.ts';
import type { QuietResult } from './idle.ts';
import type { InterruptResult, LoadResult } from './programs.ts';
import type { Rounds, Sample } from './rounds.ts';
import type { DemoResult } from './standing.ts';
import { median, medianOfRatios } from './statistics.ts';

const MEGABYTE = 1e6;

/** One request at a time, against a wake-up there and one back. */
const POLLED_TARGET: Target = { relation: '<=', value: 0.65 };
const UNPOLLED_TARGET: Target = { relation: '<=', value: 1.4 };
const P99_TARGET: Target = { relation: '<=', value: 3 };
/** 32 outstanding. */
const BATCH_RATE_TARGET: Target = { relation: '>=', value: 2_000_000 };
const YARDSTICK_TARGET: Target = { relation: '>=', value: 0.4 };
const INTERRUPT_RATE_TARGET: Target = { relation: '>=', value: 150_000 };

/** All figures of a run, in the order in which they are printed. */
export function figuresOf(rounds: Rounds, idle: QuietResult, demo: DemoResult): Figure[] {
  const floors = Object.values(rounds).flatMap((samples: readonly Sample<unknown>[]) =>
    samples.map((each) => each.floor),
  );
  return [
    figure('floorMedian', 'us', median(floors.map((each) => each.medianNs)) / 1000),
    figure('floorP99', 'us', median(floors.map((each) => each.p99Ns)) / 1000),
    figure('setMedianOverFloor', 'x floor', overFloor(rounds.set, 'medianNs'), POLLED_TARGET),
    figure('setP99OverFloorP99', 'x floor', overFloor(rounds.set, 'p99Ns'), P99_TARGET),
    ...loadFigures('set', rounds.set),
    figure('getMedianOverFloor', 'x floor', overFloor(rounds.get, 'medianNs'), POLLED_TARGET),
    figure('getP99OverFloorP99', 'x floor', overFloor(rounds.get, 'p99Ns'), P99_TARGET),
    ...loadFigures('get', rounds.get),
    ...unpolledFigures('setUnpolled', rounds.setUnpolled),
    ...unpolledFigures('getUnpolled', rounds.getUnpolled),
    ...loadFigures('set32', rounds.setBatch, BATCH_RATE_TARGET),
    figure('set32OverYardstick', 'x C device', overYardstick(rounds.setBatch, rounds), YARDSTICK_TARGET),
    ...loadFigures('set32NoEventIdx', rounds.setBatchNoEventIdx, BATCH_RATE_TARGET),
    figure(
      'set32NoEventIdxOverYardstick',
      'x C device',
      overYardstick(rounds.setBatchNoEventIdx, rounds),
      YARDSTICK_TARGET,
    ),
    ...loadFigures('set32Yardstick', rounds.setBatchYardstick),
    ...interruptFigures('interrupt1Blocking', rounds.interruptBlocking),
    ...interruptFigures('interrupt1', rounds.interruptOne, INTERRUPT_RATE_TARGET),
    ...interruptFigures('interrupt16', rounds.interruptMany, INTERRUPT_RATE_TARGET),
    figure('wrongAnswers', 'count', wrongAnswers(rounds), { relation: '<=', value: 0 }),
    figure('idleSwitches', `in ${idle.seconds.toFixed(0)} s`, idle.switches, { relation: '<=', value: 10 }),
    figure('idleCpu', 's', idle.cpuSeconds),
    figure('demoResident', 'MB', demo.residentBytes / MEGABYTE, { relation: '<', value: 120 }),
    figure('demoAndFirmwareResident', 'MB', demo.treeResidentBytes / MEGABYTE),
    figure('demoStart', 'ms', demo.startMs),
  ];
}

/** The table of those that fail the run, with a heading; empty when none does. It goes last: the end of a long log is what is read. */
export function failuresOf(figures: readonly Figure[]): string {
  const failures = figures.filter((each) => each.failed);
  return failures.length === 0 ? '' : `bench: these fail the run:\n${tableOf(failures)}\n`;
}

/** A table for people: name, value, unit, target, and how it went. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map((each) => [
    each.name,
    formatted(each.value),
    each.unit,
    each.target === null ? '' : `${each.target.relation} ${each.target.value}`,
    verdict(each),
  ]);
  const heading = ['figure', 'value', 'unit', 'target', ''];
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  return [heading, ...rows]
    .map((row) =>
      row
        .map((cell, column) => (column === 1 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function verdict(each: Figure): string {
  if (each.value === null) return each.failed ? 'FAILED' : '';
  if (each.failed) return 'FAILED';
  if (each.met === null) return '';
  return each.met ? 'met' : 'missed';
}

function formatted(value: number | null): string {
  if (value === null) return 'not measured';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return value.toLocaleString('en', { maximumSignificantDigits: value >= 1000 ? 6 : 3 });
}

function overFloor(samples: readonly Sample<LoadResult>[], key: 'medianNs' | 'p99Ns'): number {
  return medianOfRatios(
    samples.map((each) => each.result[key]),
    samples.map((each) => each.floor[key]),
  );
}

function overYardstick(samples: readonly Sample<LoadResult>[], { setBatchYardstick }: Rounds): number {
  return medianOfRatios(
    samples.map((each) => each.result.requestsPerSecond),
    setBatchYardstick.map((each) => each.result.requestsPerSecond),
  );
}

function unpolledFigures(name: string, samples: readonly Sample<LoadResult>[]): Figure[] {
  return [
    figure(`${name}MedianOverFloor`, 'x floor', overFloor(samples, 'medianNs'), UNPOLLED_TARGET),
    figure(`${name}P99OverFloorP99`, 'x floor', overFloor(samples, 'p99Ns')),
    ...loadFigures(name, samples),
  ];
}

/** The rate, and beside it what a million requests cost each side. */
function loadFigures(
  name: string,
  samples: readonly Sample<LoadResult>[],
  target: Target | null = null,
): Figure[] {
  const rate = Math.round(median(samples.map((each) => each.result.requestsPerSecond)));
  return [
    figure(`${name}Rate`, 'requests/s', rate, target),
    ...cpuFigures(name, samples, (each) => each.requests),
  ];
}

/** What a million requests or events cost each side, in seconds of processor time. */
function cpuFigures<T extends { readonly cpuSeconds: number }>(
  name: string,
  samples: readonly Sample<T>[],
  countOf: (result: T) => number,
): Figure[] {
  const perMillion = (cpu: (sample: Sample<T>) => number): number =>
    median(samples.map((each) => (cpu(each) / countOf(each.result)) * 1e6));
  return [
    figure(
      `${name}ServiceCpu`,
      's/million',
      perMillion((each) => each.serviceCpuSeconds),
    ),
    figure(
      `${name}LoadCpu`,
      's/million',
      perMillion((each) => each.result.cpuSeconds),
    ),
  ];
}

function interruptFigures(
  name: string,
  samples: readonly Sample<InterruptResult>[],
  target: Target | null = null,
): Figure[] {
  const sum = (key: 'lost' | 'invented'): number =>
    samples.reduce((total, each) => total + each.result[key], 0);
  const rate = Math.round(median(samples.map((each) => each.result.eventsPerSecond)));
  return [
    figure(`${name}Rate`, 'events/s', rate, target),
    figure(`${name}Median`, 'us', median(samples.map((each) => each.result.medianNs)) / 1000),
    ...cpuFigures(name, samples, (each) => each.toggles),
    figure(`${name}Lost`, 'count', sum('lost'), { relation: '<=', value: 0 }),
    figure(`${name}Invented`, 'count', sum('invented'), { relation: '<=', value: 0 }),
  ];
}

function wrongAnswers(rounds: Rounds): number {
  const samples: readonly Sample<{ readonly errors: number }>[] = Object.values(rounds).flat();
  return samples.reduce((total, each) => total + each.result.errors, 0);
}
