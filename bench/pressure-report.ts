/** Turns measurements of polling under pressure into figures: polled over unpolled, round by round. */
import { type Figure, figure, type Target } from './figures.ts';
import type { InterruptResult, LoadResult } from './programs.ts';
import { median, medianOfRatios } from './statistics.ts';

/**
 * Where the two sides run: `one`, both on one processor; `oneBusy`, with a third process on it that never sleeps; `apart`, each on its
 * own, with such a process on each.
 */
export const PRESSURE_PLACES = ['one', 'oneBusy', 'apart'] as const;
/** One at a time; 32 outstanding, the guest sleeping whenever there is nothing to do; interrupts on one pair, likewise. */
export const PRESSURE_LOADS = ['set', 'batch', 'interrupt'] as const;

type Place = (typeof PRESSURE_PLACES)[number];
type Load = (typeof PRESSURE_LOADS)[number];
type Result = LoadResult | InterruptResult;

/** The same load against a service that polls, and one that does not. */
export interface Pair {
  readonly polled: Result;
  readonly unpolled: Result;
}

export type PressureRounds = Readonly<Record<Place, Readonly<Record<Load, Pair[]>>>>;

/** Polling must not make anything slower by more than a tenth: the median, and the time for each (one over the rate). */
const NOT_SLOWER: Target = { relation: '<=', value: 1.1 };
const NONE: Target = { relation: '<=', value: 0 };

export function pressureFigures(rounds: PressureRounds): Figure[] {
  const all = PRESSURE_PLACES.flatMap((place) => PRESSURE_LOADS.flatMap((load) => rounds[place][load]));
  return [
    ...PRESSURE_PLACES.flatMap((place) =>
      PRESSURE_LOADS.flatMap((load) =>
        loadFigures(`pressure${capital(place)}${capital(load)}`, rounds[place][load], place !== 'apart'),
      ),
    ),
    figure(
      'pressureFaults',
      'count',
      all.reduce((sum, each) => sum + faults(each.polled) + faults(each.unpolled), 0),
      NONE,
    ),
  ];
}

/** @param isTimeJudged not where two processors are busy: which of the two sides waits for a time slice is chance, six-fold */
function loadFigures(name: string, pairs: readonly Pair[], isTimeJudged: boolean): Figure[] {
  const over = (value: (result: Result) => number): number =>
    medianOfRatios(
      pairs.map(({ polled }) => value(polled)),
      pairs.map(({ unpolled }) => value(unpolled)),
    );
  return [
    figure(`${name}Median`, 'us', median(pairs.map(({ polled }) => polled.medianNs / 1000))),
    figure(`${name}UnpolledMedian`, 'us', median(pairs.map(({ unpolled }) => unpolled.medianNs / 1000))),
    figure(
      `${name}MedianOverUnpolled`,
      'x unpolled',
      over((result) => result.medianNs),
      NOT_SLOWER,
    ),
    figure(
      `${name}TimeOverUnpolled`,
      'x unpolled',
      leastTime(pairs, 'polled') / leastTime(pairs, 'unpolled'),
      isTimeJudged ? NOT_SLOWER : null,
    ),
    figure(
      `${name}P99OverUnpolled`,
      'x unpolled',
      over((result) => result.p99Ns),
    ),
  ];
}

/** For one request or event, in the best round: whatever else runs on the machine only ever adds. */
function leastTime(pairs: readonly Pair[], of: keyof Pair): number {
  return Math.min(...pairs.map((pair) => 1 / rate(pair[of])));
}

function rate(result: Result): number {
  return 'eventsPerSecond' in result ? result.eventsPerSecond : result.requestsPerSecond;
}

function faults(result: Result): number {
  return result.errors + ('lost' in result ? result.lost + result.invented : 0);
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
