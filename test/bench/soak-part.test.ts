import { describe, expect, it } from 'vitest';
import type { SoakResult } from '../../bench/soak.ts';
import { soakFigures } from '../../bench/soak-part.ts';
import { slope } from '../../bench/statistics.ts';

function soak(residentAt: (second: number) => number, seconds = 600): SoakResult {
  const samples = Array.from({ length: seconds }, (_, second) => ({
    second,
    residentBytes: residentAt(second),
    descriptors: 40 + (second % 7 === 0 ? 1 : 0),
  }));
  const counts = {
    requests: 6e8,
    toggles: 6e6,
    changes: 1.2e7,
    events: 1e6,
    controlRequests: 6000,
    controlEdges: 6e6,
    refusals: 0,
  };
  return { ...counts, samples, seconds, faults: 0 };
}

const measured = (result: SoakResult, name: string) => soakFigures(result).find((each) => each.name === name);

describe('soakFigures', () => {
  it('lets memory settle in the first quarter, and asks for less than 5 % after the second', () => {
    const settling = soak((second) => (second < 150 ? 50e6 : 100e6));
    expect(measured(settling, 'soakGrowth')).toMatchObject({ value: 0, met: true });
    expect(measured(settling, 'soakSlope')?.value).toBeCloseTo(0);
    const growing = soak((second) => 100e6 + second * 50e3);
    expect(measured(growing, 'soakGrowth')).toMatchObject({ met: false });
    expect(measured(growing, 'soakSlope')?.value).toBeCloseTo(180);
    expect(measured(growing, 'soakRequestRate')?.value).toBe(1e6);
  });

  it('does not judge growth of some seconds', () => {
    const brief = soak((second) => 100e6 + second * 1e6, 20);
    expect(measured(brief, 'soakGrowth')).toMatchObject({ target: null, met: null });
  });

  it('does not take a guest that connects anew for a leak, but a descriptor that stays', () => {
    expect(
      measured(
        soak(() => 1e8),
        'soakDescriptorsGrowth',
      ),
    ).toMatchObject({ value: 0, met: true });
    const { samples, ...rest } = soak(() => 1e8);
    const leaking = samples.map((each) => ({ ...each, descriptors: 40 + Math.floor(each.second / 10) }));
    expect(measured({ ...rest, samples: leaking }, 'soakDescriptorsGrowth')).toMatchObject({ failed: true });
  });

  it('fails for one fault', () => {
    expect(measured({ ...soak(() => 1e8), faults: 1 }, 'soakFaults')).toMatchObject({ failed: true });
  });
});

describe('slope', () => {
  it('finds a line, and the best one for what is none', () => {
    expect(slope([0, 1, 2], [5, 7, 9])).toBe(2);
    expect(slope([0, 1, 2, 3], [0, 1, 0, 1])).toBeCloseTo(0.2);
    expect(() => slope([1], [1])).toThrow(RangeError);
  });
});
