import { describe, expect, it } from 'vitest';
import type { HubRounds } from '../../bench/hub-latency.ts';
import { hubLatencyFigures, streamFigures } from '../../bench/hub-report.ts';

const floor = { medianNs: 20_000, p99Ns: 50_000, roundTripsPerSecond: 50_000 };

function rounds(medianNs: number, faults = 0): HubRounds {
  const result = {
    medianNs,
    p99Ns: 2 * medianNs,
    requestsPerSecond: 1000,
    errors: faults,
    cpuSeconds: 0.1,
    requests: 1000,
    kicks: 0,
    changes: 1000,
    toggles: 1000,
    refused: 0,
    eventsPerSecond: 1000,
    lost: 0,
    invented: faults,
  };
  const samples = [{ floor, result, serviceCpuSeconds: 0.02 }];
  return { set: samples, change: samples, changeAfterPause: samples, get: samples, loop: samples };
}

describe('hubLatencyFigures', () => {
  it('sets each median against its own floor, and asks it of the firmware beside the guest', () => {
    const figures = hubLatencyFigures({ guest: rounds(30_000), service: rounds(80_000) });
    const named = (name: string) => figures.find((each) => each.name === name);
    expect(named('hubSetMedianOverFloor')).toMatchObject({ value: 1.5, met: true });
    expect(named('hubChangeMedianOverFloor')).toMatchObject({ value: 1.5, met: true });
    expect(named('hubGetMedianOverFloor')).toMatchObject({ value: 1.5, met: false, failed: true });
    expect(named('hubSetP99OverFloorP99')).toMatchObject({ value: 1.2, target: null });
    expect(named('hubSetServiceCpu')).toMatchObject({ value: 20 });
    expect(named('hubSetBesideServiceMedianOverFloor')).toMatchObject({ value: 4, target: null, met: null });
    expect(named('hubWrongAnswers')).toMatchObject({ value: 0, met: true });
  });

  it('fails for a single wrong answer or event, wherever it came', () => {
    const figures = hubLatencyFigures({ guest: rounds(30_000), service: rounds(30_000, 1) });
    const faults = figures.filter((each) => each.failed).map(({ name, value }) => [name, value]);
    expect(faults).toContainEqual(['hubWrongAnswers', 5]);
    expect(faults).toContainEqual(['hubEventFaults', 3]);
  });
});

describe('streamFigures', () => {
  const stream = {
    changes: 1_000_000,
    seconds: 4,
    edges: 1_000_000,
    gaps: 0,
    malformed: 0,
    firmwareDropped: 0,
    longestWaitMs: 3,
    guest: { events: 8000, errors: 0, cpuSeconds: 0.1, levels: [1, 0] },
    mqttPublished: 900_000,
    mqttDropped: 100_000,
    cpuSeconds: { service: 2, firmware: 0.2, broker: 3 },
    wrongLevels: [],
  };
  const judged = (changed: Partial<typeof stream>) =>
    streamFigures({ ...stream, ...changed })
      .filter((each) => each.met === false)
      .map(({ name, value, failed }) => ({ name, value, failed }));

  it('has nothing to say against a stream of which all came through', () => {
    expect(judged({})).toEqual([]);
    expect(streamFigures(stream).find(({ name }) => name === 'streamServiceCpu')?.value).toBe(2);
  });

  it('misses the target with any gap, and fails when a service that had a processor has many', () => {
    expect(judged({ edges: 999_999, gaps: 1, firmwareDropped: 1 })).toEqual([
      { name: 'streamGaps', value: 1, failed: false },
    ]);
    expect(judged({ edges: 940_000, gaps: 60_000, firmwareDropped: 60_000 })).toEqual([
      { name: 'streamGaps', value: 60_000, failed: true },
    ]);
  });

  it('misses the target with a gap of a service that waited for one, and fails when there are too many', () => {
    const longestWaitMs = 20;
    expect(judged({ edges: 999_990, gaps: 10, firmwareDropped: 10, longestWaitMs })).toEqual([
      { name: 'streamGaps', value: 10, failed: false },
    ]);
    const many = judged({ edges: 390_000, gaps: 610_000, firmwareDropped: 610_000, longestWaitMs });
    expect(many.map(({ name, failed }) => [name, failed])).toEqual([
      ['streamRate', true],
      ['streamGaps', true],
    ]);
  });

  it('fails for a change that is missing and that nobody counted, and for a wrong level', () => {
    expect(judged({ edges: 999_999 })).toEqual([{ name: 'streamFaults', value: 1, failed: true }]);
    expect(judged({ wrongLevels: ['mqtt IMU_INT'] as never[] })).toEqual([
      { name: 'streamWrongLevels', value: 1, failed: true },
    ]);
  });
});
