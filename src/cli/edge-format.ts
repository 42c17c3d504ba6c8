import type { LineEdge } from '../wire/control.ts';
import type { EventClock } from './event-clock.ts';
import { visible } from './visible-text.ts';

/** How a time is written: seconds of a clock, or a date and time in UTC or local time. */
export type TimeStyle = 'seconds' | 'utc' | 'localtime';

/** What decides how an edge is written. */
export interface EdgeStyle {
  /** Of the time in the default format and of `%S`: of the monotonic clock, as libgpiod's tools, or of the wall clock. */
  readonly clock: 'monotonic' | 'realtime';
  readonly time: TimeStyle;
  /** With chip and offset before the name: libgpiod's tools do so when a chip was asked for. */
  readonly isWithChip: boolean;
  readonly isUnquoted: boolean;
}

/** `12.000000345` */
export function formatSeconds(ns: bigint | string): string {
  const digits = String(ns).padStart(10, '0');
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/** `2026-01-31T12:00:00.000000345Z`; without the Z in local time. */
export function formatDate(realtimeNs: bigint, style: 'utc' | 'localtime'): string {
  const date = new Date(Number(realtimeNs / 1_000_000_000n) * 1000);
  const fraction = String(realtimeNs % 1_000_000_000n).padStart(9, '0');
  if (style === 'utc') return `${date.toISOString().slice(0, 19)}.${fraction}Z`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  const time = [two(date.getHours()), two(date.getMinutes()), two(date.getSeconds())].join(':');
  return `${day}T${time}.${fraction}`;
}

/** The time of an edge as `style` wants it. */
export function formatTime(edge: LineEdge, clock: EventClock, { clock: source, time }: EdgeStyle): string {
  if (time !== 'seconds') return formatDate(clock.realtimeNs(BigInt(edge.timestampNs)), time);
  return formatSeconds(
    source === 'monotonic' ? edge.timestampNs : clock.realtimeNs(BigInt(edge.timestampNs)),
  );
}

/** The line of an edge as libgpiod's gpiomon writes it: `hub 3`, `"IMU_INT"` or `hub 3 "IMU_INT"`. */
export function formatLineId(
  line: { readonly chip: string; readonly offset: number; readonly name: string },
  { isWithChip, isUnquoted }: Pick<EdgeStyle, 'isWithChip' | 'isUnquoted'>,
): string {
  const place = `${line.chip} ${line.offset}`;
  if (line.name === '') return place;
  const name = isUnquoted ? visible(line.name) : `"${visible(line.name)}"`;
  return isWithChip ? `${place} ${name}` : name;
}

type Writer = (edge: LineEdge) => string;

/** Writes an edge as gpiomon does without `--format`: time, edge, line, with tabs between. */
export function defaultFormat(clock: EventClock, style: EdgeStyle): Writer {
  return (edge) => `${formatTime(edge, clock, style)}\t${edge.edge}\t${formatLineId(edge, style)}\n`;
}

/**
 * Writes an edge by a format of gpiomon: `%o` offset, `%l` name, `%c` chip, `%e` 1 for rising and 2 for falling, `%E` the
 * word, `%S` `%U` `%L` the time as seconds, in UTC and in local time, `%%`. Anything else stands for itself.
 */
export function customFormat(format: string, clock: EventClock, style: EdgeStyle): Writer {
  const parts = (format.match(/%[\s\S]?|[^%]+/g) ?? []).map((part) => specifier(part, clock, style));
  return (edge) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : part(edge);
    return `${text}\n`;
  };
}

function specifier(part: string, clock: EventClock, style: EdgeStyle): string | Writer {
  switch (part) {
    case '%o':
      return ({ offset }) => String(offset);
    case '%l':
      return ({ name }) => (name === '' ? 'unnamed' : visible(name));
    case '%c':
      return ({ chip }) => chip;
    case '%e':
      return ({ edge }) => (edge === 'rising' ? '1' : '2');
    case '%E':
      return ({ edge }) => edge;
    case '%S':
      return (edge) => formatTime(edge, clock, { ...style, time: 'seconds' });
    case '%U':
      return (edge) => formatTime(edge, clock, { ...style, time: 'utc' });
    case '%L':
      return (edge) => formatTime(edge, clock, { ...style, time: 'localtime' });
    case '%%':
      return '%';
    default:
      return part;
  }
}
