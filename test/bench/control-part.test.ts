import { describe, expect, it } from 'vitest';
import { type ControlRound, controlFigures } from '../../bench/control-part.ts';

function load(medianNs: number, p99Ns: number, errors = 0): ControlRound['alone'] {
  const rest = { requestsPerSecond: 50_000, cpuSeconds: 0.1, requests: 1000, kicks: 0 };
  return { medianNs, p99Ns, p999Ns: 2 * p99Ns, errors, ...rest };
}

function round(beside: number, errors = 0): ControlRound {
  return {
    floor: { medianNs: 40_000, p99Ns: 60_000, roundTripsPerSecond: 25_000 },
    alone: load(20_000, 40_000),
    beside: load(20_000 * beside, 80_000 * beside, errors),
    answersPerSecond: 50,
  };
}

describe('controlFigures', () => {
  it('sets a guest beside the client against the floor and itself alone, each round by itself', () => {
    const figures = controlFigures({
      lines: [round(1), round(1.5), round(9)],
      watch: [round(3)],
      status: [round(6)],
    });
    const named = (name: string) => figures.find((each) => each.name === name);
    expect(named('controlBesideLinesMedian')).toMatchObject({ value: 1.5, target: null });
    expect(named('controlBesideLinesMedianOverFloor')).toMatchObject({ value: 0.75, met: true });
    expect(named('controlBesideLinesP99')).toMatchObject({ value: 3, target: null });
    expect(named('controlBesideLinesP999Us')).toMatchObject({ value: 240 });
    expect(named('controlBesideLinesAloneP99Us')).toMatchObject({ value: 40 });
    expect(named('controlBesideWatchMedianOverFloor')).toMatchObject({
      value: 1.5,
      met: false,
      failed: false,
    });
    expect(named('controlBesideStatusMedianOverFloor')).toMatchObject({ value: 3, met: false, failed: true });
    expect(named('controlWrongAnswers')).toMatchObject({ value: 0, met: true });
  });

  it('fails for a wrong answer', () => {
    const figures = controlFigures({ lines: [round(1)], watch: [round(1, 1)], status: [round(1)] });
    expect(figures.find(({ name }) => name === 'controlWrongAnswers')).toMatchObject({
      value: 1,
      failed: true,
    });
  });
});
