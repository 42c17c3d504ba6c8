import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  customFormat,
  defaultFormat,
  type EdgeStyle,
  formatDate,
  formatSeconds,
} from '../../src/cli/edge-format.ts';
import { EventClock } from '../../src/cli/event-clock.ts';
import type { LineEdge } from '../../src/wire/control.ts';

const EDGE: LineEdge = {
  chip: 'hub',
  offset: 3,
  name: 'IMU_INT',
  edge: 'rising',
  level: 1,
  seq: 1,
  timestampNs: '12000000345',
  direction: 'in',
};
const PLAIN: EdgeStyle = { clock: 'monotonic', time: 'seconds', isWithChip: false, isUnquoted: false };

/** A clock whose wall time is 2026-01-31 12:00:00 when the monotonic one is 0. */
const clock = { realtimeNs: (ns: bigint) => ns + 1_769_860_800_000_000_000n } as EventClock;

afterEach(() => vi.unstubAllEnvs());

describe('the default format', () => {
  it.each([
    ['a named line', EDGE, {}, '12.000000345\trising\t"IMU_INT"\n'],
    ['falling', { ...EDGE, edge: 'falling' as const }, {}, '12.000000345\tfalling\t"IMU_INT"\n'],
    ['without quotes', EDGE, { isUnquoted: true }, '12.000000345\trising\tIMU_INT\n'],
    ['where a chip was asked for', EDGE, { isWithChip: true }, '12.000000345\trising\thub 3 "IMU_INT"\n'],
    ['a line without a name', { ...EDGE, name: '' }, {}, '12.000000345\trising\thub 3\n'],
    ['UTC', EDGE, { time: 'utc' as const }, '2026-01-31T12:00:12.000000345Z\trising\t"IMU_INT"\n'],
    ['realtime seconds', EDGE, { clock: 'realtime' as const }, '1769860812.000000345\trising\t"IMU_INT"\n'],
    [
      'a name of a hostile firmware',
      { ...EDGE, name: 'a\n\u001bc' },
      {},
      '12.000000345\trising\t"a\\x0a\\x1bc"\n',
    ],
  ])('%s', (_what, edge, style, text) => {
    expect(defaultFormat(clock, { ...PLAIN, ...style })(edge)).toBe(text);
  });
});

describe('a custom format', () => {
  it.each([
    ['%o %l %c %e %E', '3 IMU_INT hub 1 rising\n'],
    ['%S', '12.000000345\n'],
    ['%U', '2026-01-31T12:00:12.000000345Z\n'],
    ['100%% %%l', '100% %l\n'],
    ['%x %', '%x %\n'],
    ['', '\n'],
    ['a\nb', 'a\nb\n'],
    ['%%%', '%%\n'],
  ])('%j', (format, text) => expect(customFormat(format, clock, PLAIN)(EDGE)).toBe(text));

  it('counts falling edges as 2, and says so of lines without a name', () => {
    const edge = { ...EDGE, edge: 'falling' as const, name: '' };
    expect(customFormat('%e %E %l', clock, PLAIN)(edge)).toBe('2 falling unnamed\n');
  });

  it('%L is local time, %S the wall clock where that was asked for', () => {
    vi.stubEnv('TZ', 'Asia/Kolkata');
    expect(customFormat('%L', clock, PLAIN)(EDGE)).toBe('2026-01-31T17:30:12.000000345\n');
    expect(customFormat('%S', clock, { ...PLAIN, clock: 'realtime' })(EDGE)).toBe('1769860812.000000345\n');
  });
});

describe('times', () => {
  it('seconds have nine digits behind the point', () => {
    expect(['0', '1', '999999999', '1000000000', 12_000_000_345n].map(formatSeconds)).toEqual([
      '0.000000000',
      '0.000000001',
      '0.999999999',
      '1.000000000',
      '12.000000345',
    ]);
  });

  it('a date in UTC', () => expect(formatDate(1n, 'utc')).toBe('1970-01-01T00:00:00.000000001Z'));

  it('the wall clock is the one of Date, and follows when it is set', () => {
    const realtime = new EventClock();
    const apartMs = (): number =>
      Number(realtime.realtimeNs(process.hrtime.bigint()) / 1_000_000n) - Date.now();
    expect(Math.abs(apartMs())).toBeLessThanOrEqual(5);
    const { now } = Date;
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
    expect(Math.abs(apartMs())).toBeLessThanOrEqual(5);
    vi.spyOn(Date, 'now').mockImplementation(() => now() - 60_000);
    expect(Math.abs(apartMs())).toBeLessThanOrEqual(5);
    vi.restoreAllMocks();
  });
});
