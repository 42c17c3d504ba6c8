import { UsageError } from './command.ts';

/** Microseconds of each unit that libgpiod's tools take; a number alone is milliseconds, as there. */
const UNITS_US: Readonly<Record<string, number>> = {
  '': 1000,
  us: 1,
  ms: 1000,
  s: 1_000_000,
  m: 60_000_000,
};

/**
 * Reads a period such as `500us`, `10ms`, `1.5s`, `2m` or `10` (milliseconds).
 * @param option where it was given, for the message
 * @returns microseconds
 * @throws UsageError
 */
export function parsePeriodUs(text: string, option: string): number {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(us|ms|s|m)?$/.exec(text);
  const unitUs = UNITS_US[match?.[2] ?? ''];
  const periodUs = match === null || unitUs === undefined ? Number.NaN : Number(match[1]) * unitUs;
  if (!Number.isSafeInteger(Math.ceil(periodUs))) {
    throw new UsageError(`${option}=${text}: expected a period such as 500us, 10ms, 1s or 2m`);
  }
  return periodUs;
}

/** The same in whole milliseconds; a part of one counts as one. */
export function parsePeriodMs(text: string, option: string): number {
  return Math.ceil(parsePeriodUs(text, option) / 1000);
}
