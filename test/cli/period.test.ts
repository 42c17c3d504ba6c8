import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/command.ts';
import { parsePeriodMs, parsePeriodUs } from '../../src/cli/period.ts';

describe('periods', () => {
  it.each([
    ['0', 0],
    ['10', 10_000],
    ['500us', 500],
    ['10ms', 10_000],
    ['1s', 1_000_000],
    ['1.5s', 1_500_000],
    ['2m', 120_000_000],
  ])('%s are %d microseconds', (text, us) => expect(parsePeriodUs(text, '--duration')).toBe(us));

  it.each([
    ['1us', 1],
    ['999us', 1],
    ['1001us', 2],
    ['0.1', 1],
    ['1m', 60_000],
    ['0us', 0],
  ])('%s are %d milliseconds, rounded up', (text, ms) => expect(parsePeriodMs(text, '--duration')).toBe(ms));

  it.each([
    '',
    'ms',
    '-1',
    '+1',
    '1h',
    '1 s',
    '0x10',
    '1e3',
    '1.ms',
    '99999999999999999s',
    'NaN',
    'toString',
  ])('%j is none', (text) => {
    expect(() => parsePeriodUs(text, '--duration')).toThrow(UsageError);
    expect(() => parsePeriodUs(text, '--duration')).toThrow(
      `--duration=${text}: expected a period such as 500us`,
    );
  });

  it('any text is a period or a usage error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(parsePeriodMs(text, '-d')).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});
