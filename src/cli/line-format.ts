import type { ChipInfo, LineInfo } from '../wire/control.ts';
import { visible } from './visible-text.ts';

/** Name column of libgpiod's gpioinfo. */
const NAME_WIDTH = 16;

const DIRECTIONS = { in: 'input', out: 'output', none: 'none', unknown: 'unknown' } as const;

/** A chip as gpiodetect writes it: `hub [virtio-gpio on hub] (16 lines)`. */
export function formatChip({ name, label, lineCount, available }: ChipInfo): string {
  return `${name} [${visible(label)}] (${lineCount} lines)${available ? '' : ' unavailable'}`;
}

/** A line as gpioinfo writes it behind its chip and offset: name, then the attributes in libgpiod's order. */
export function formatLine(line: LineInfo, isUnquoted: boolean): string {
  const quote = isUnquoted ? '' : '"';
  const name = line.name === '' ? 'unnamed' : `${quote}${visible(line.name)}${quote}`;
  const attributes: string[] = [DIRECTIONS[line.direction]];
  if (line.activeLow) attributes.push('active-low');
  if (line.debounceMs > 0) attributes.push(`debounce-period=${formatMs(line.debounceMs)}`);
  if (line.users.length > 0) {
    attributes.push(`consumer=${quote}${visible(consumers(line).join(', '))}${quote}`);
  }
  if (!line.available) attributes.push('unavailable');
  return `${name.padEnd(NAME_WIDTH)}\t${attributes.join(' ')}`;
}

/** Who drives the line comes first. */
function consumers({ owner, users }: LineInfo): readonly string[] {
  return owner === null ? users : [owner, ...users.filter((user) => user !== owner)];
}

function formatMs(periodMs: number): string {
  return periodMs % 1000 === 0 ? `${periodMs / 1000}s` : `${periodMs}ms`;
}

/** Levels as gpioget writes them: `"A"=active "B"=inactive`, or `1 0`. */
export function formatLevels(
  levels: readonly { readonly text: string; readonly level: 0 | 1 }[],
  { isNumeric, isUnquoted }: { readonly isNumeric: boolean; readonly isUnquoted: boolean },
): string {
  const quote = isUnquoted ? '' : '"';
  return levels
    .map(({ text, level }) =>
      isNumeric ? String(level) : `${quote}${visible(text)}${quote}=${level === 1 ? 'active' : 'inactive'}`,
    )
    .join(' ');
}
