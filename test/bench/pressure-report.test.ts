import { describe, expect, it } from 'vitest';
import { exitStatus } from '../../bench/figures.ts';
import { type Pair, type PressureRounds, pressureFigures } from '../../bench/pressure-report.ts';
import type { InterruptResult, LoadResult } from '../../bench/programs.ts';

function load(medianNs: number, requestsPerSecond = 1e5): LoadResult {
  return {
    medianNs,
    p99Ns: 3 * medianNs,
    requestsPerSecond,
    errors: 0,
    cpuSeconds: 0.1,
    requests: 1e4,
    kicks: 1,
  };
}

function interrupts(eventsPerSecond: number, lost = 0): InterruptResult {
  return {
    medianNs: 1000,
    p99Ns: 3000,
    eventsPerSecond,
    toggles: 1e4,
    refused: 0,
    errors: 0,
    lost,
    invented: 0,
    cpuSeconds: 0.1,
  };
}

function rounds(
  set: Pair[],
  interrupt: Pair[] = [{ polled: interrupts(1e5), unpolled: interrupts(1e5) }],
): PressureRounds {
  const each = { set, batch: set, interrupt };
  return { one: each, oneBusy: each, apart: each };
}

const EVEN: Pair[] = [{ polled: load(5000), unpolled: load(5000) }];

function valueNamed(name: string, of: PressureRounds): number | null | undefined {
  return pressureFigures(of).find((each) => each.name === name)?.value;
}

describe('pressureFigures', () => {
  it('compares the medians round by round', () => {
    const pairs = [
      { polled: load(5000), unpolled: load(10_000) },
      { polled: load(22_000), unpolled: load(20_000) },
      { polled: load(10_000), unpolled: load(10_000) },
    ];
    expect(valueNamed('pressureOneSetMedianOverUnpolled', rounds(pairs))).toBe(1);
  });

  it('compares the best times: what else runs only ever adds to them', () => {
    const pairs = [
      { polled: load(5000, 100), unpolled: load(5000, 1e5) },
      { polled: load(5000, 8e4), unpolled: load(5000, 3e4) },
    ];
    expect(valueNamed('pressureApartBatchTimeOverUnpolled', rounds(pairs))).toBeCloseTo(1.25);
  });

  it('takes the rate of events for that of interrupts', () => {
    const pairs = [{ polled: interrupts(5e4), unpolled: interrupts(1e5) }];
    expect(valueNamed('pressureOneBusyInterruptTimeOverUnpolled', rounds(EVEN, pairs))).toBe(2);
  });

  it('fails for a lost event, and where polling more than doubles the time', () => {
    expect(exitStatus(pressureFigures(rounds(EVEN)))).toBe(0);
    const lost = [{ polled: interrupts(1e5, 1), unpolled: interrupts(1e5) }];
    expect(exitStatus(pressureFigures(rounds(EVEN, lost)))).toBe(1);
    const slow = [{ polled: load(5000, 1e4), unpolled: load(5000, 1e5) }];
    expect(exitStatus(pressureFigures(rounds(slow)))).toBe(1);
  });
});
