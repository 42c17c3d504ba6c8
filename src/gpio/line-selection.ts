import type { ChipLines } from './chip-lines.ts';
import type { Line } from './line.ts';
import type { Access } from './line-handle.ts';

/** What a configuration says of the lines of an exported device. */
export type LineSelector = string | { readonly line: string; readonly name?: string; readonly access?: Access };

export interface SelectedLine {
  readonly line: Line;
  readonly name: string;
  readonly access: Access;
}

/** A selector selects nothing, or the selection cannot be one device. */
export class LineSelectionError extends Error {
  readonly code = 'ERR_LINES';
  /** Index of the selector at fault. */
  readonly selector: number;
  constructor(selector: number, message: string) {
    super(message);
    this.name = 'LineSelectionError';
    this.selector = selector;
  }
}

/** Turns a glob (`*` any run, `?` one character, `[a-c]` a set) into a regular expression over a whole name. */
export function globToRegExp(glob: string): RegExp {
  const source = glob.replace(/\[!?[^\]]+\]|[.*+?^${}()|[\]\\]/g, (part) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    if (part.length > 1) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\');
    return `\\${part}`;
  });
  return new RegExp(`^${source}$`);
}

function matches(pattern: string, line: Line): boolean {
  const slash = pattern.indexOf('/');
  if (slash < 0) return false;
  if (!globToRegExp(pattern.slice(0, slash)).test(line.lines.name)) return false;
  const rest = pattern.slice(slash + 1);
  if (/^#\d+$/.test(rest)) return line.offset === Number(rest.slice(1));
  return globToRegExp(rest).test(line.name);
}

/**
 * The lines of an exported device, in order: each selector adds what it matches and what no earlier one took, in the
 * order of chips and offsets.
 * @throws LineSelectionError when a selector matches nothing, renames several lines, or two lines get one name (virtio 1.2,
 * section 5.18.6.1: names are unique in a device)
 */
export function selectLines(chips: readonly ChipLines[], selectors: readonly LineSelector[]): SelectedLine[] {
  const selected = new Map<Line, SelectedLine>();
  const all = chips.flatMap((chip) => chip.lines);
  selectors.forEach((selector, at) => {
    const { line: pattern, name, access } = typeof selector === 'string' ? { line: selector } : { ...selector };
    const found = all.filter((line) => matches(pattern, line));
    if (found.length === 0) throw new LineSelectionError(at, noSuchLine(pattern, chips));
    if (name !== undefined && found.length > 1) {
      throw new LineSelectionError(at, `'${pattern}' matches ${found.length} lines, and one name '${name}' cannot serve them all; name one line`);
    }
    for (const line of found) {
      if (!selected.has(line)) selected.set(line, { line, name: name ?? line.name, access: access ?? 'write' });
    }
  });
  const names = new Map<string, Line>();
  for (const { line, name } of selected.values()) {
    const other = names.get(name);
    if (name !== '' && other !== undefined) {
      throw new LineSelectionError(
        0,
        `${other.path} and ${line.path} would both be named '${name}', and names are unique in a device; rename one: { line: ${line.path}, name: … }`,
      );
    }
    names.set(name, line);
  }
  return [...selected.values()];
}

function noSuchLine(pattern: string, chips: readonly ChipLines[]): string {
  const slash = pattern.indexOf('/');
  const chip = chips.find((candidate) => candidate.name === pattern.slice(0, slash));
  if (chip === undefined) {
    return `no line '${pattern}': chips are ${chips.map((candidate) => candidate.name).join(', ') || 'none'}`;
  }
  const names = chip.lines.filter((line) => line.name !== '').map((line) => line.name);
  const shown = names.slice(0, 20).join(', ') + (names.length > 20 ? ', …' : '');
  return `no line '${pattern}': ${chip.name} has ${chip.lines.length} lines: ${shown}`;
}
