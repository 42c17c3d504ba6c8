import { LEVEL_BIT, MERGED_BIT } from '../line-ring.ts';

const SECOND_NS = 1_000_000_000;
/** Seconds as text: the same for all events of a second. */
let second = -1;
let secondText = '';

/**
 * The message of a level change. Written by hand: JSON.stringify of an object takes three times as long.
 * @param timeNs CLOCK_MONOTONIC; a string in the message, as its nanoseconds outgrow the numbers of JSON readers
 */
export function eventPayload(what: number, seq: number, timeNs: number): string {
  const edge =
    (what & LEVEL_BIT) !== 0
      ? ',"edge":"rising","level":1,"timestampNs":"'
      : ',"edge":"falling","level":0,"timestampNs":"';
  const end = (what & MERGED_BIT) !== 0 ? '","merged":true}' : '"}';
  return `{"seq":${seq}${edge}${nanosecondsText(timeNs)}${end}`;
}

/** A whole number of nanoseconds in decimal. In two parts, as small integers have the fast way to text. */
export function nanosecondsText(timeNs: number): string {
  const wholeNs = Math.round(timeNs);
  let seconds = Math.floor(wholeNs / SECOND_NS);
  let nanoseconds = wholeNs - seconds * SECOND_NS;
  // The quotient of a large number may have been rounded up to the next whole one.
  if (nanoseconds < 0) {
    seconds--;
    nanoseconds += SECOND_NS;
  }
  if (seconds === 0) return `${nanoseconds}`;
  if (seconds !== second) {
    second = seconds;
    secondText = `${seconds}`;
  }
  if (nanoseconds >= 100_000_000) return secondText + nanoseconds;
  return secondText + `${nanoseconds}`.padStart(9, '0');
}
