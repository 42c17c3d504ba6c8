import type { ChipLines } from './chip-lines.ts';
import type { Line } from './line.ts';
import type { Access, Role } from './line-settings.ts';

/** What a configuration says of the lines of an exported device. */
export type LineSelector =
  | string
  | {
      readonly line: string;
      readonly name?: string | undefined;
      readonly access?: Access | undefined;
      readonly role?: Role | undefined;
      readonly debounceMs?: number | undefined;
    };

export interface SelectedLine {
  readonly line: Line;
  readonly name: string;
  readonly access: Access;
  readonly role: Role;
  /** undefined = the line's own. */
  readonly debounceMs: number | undefined;
  /** Index of the selector that took the line. */
  readonly selector: number;
}

export interface SelectionOptions {
  /** A selector that matches nothing is no fault. */
  readonly mayBeEmpty?: boolean;
  /** Within what names must be unique; default: the whole device. */
  readonly uniqueNames?: 'device' | 'chip';
}

/** A selector selects nothing, or the selection cannot be one device. */
export class LineSelectionError extends Error {
  readonly code = 'ERR_LINES';
  /** Index of the selector at fault. */
  readonly selector: number;
  /** What would be right. */
  readonly remedy: string;
  constructor(selector: number, message: string, remedy: string) {
    super(message);
    this.name = 'LineSelectionError';
    this.selector = selector;
    this.remedy = remedy;
  }
}

/** Whether a name matches a glob of `*` (any run) and `?` (one character), without backtracking beyond the last star. */
export function matchesGlob(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Lines of each chip by name, made when a name is first asked for: whole devices are written out name by name. */
const linesByName = new WeakMap<ChipLines, Map<string, Line[]>>();

function linesNamed(chip: ChipLines, name: string): readonly Line[] {
  let byName = linesByName.get(chip);
  if (byName === undefined) {
    byName = new Map();
    for (const line of chip.lines) {
      const same = byName.get(line.name);
      if (same === undefined) byName.set(line.name, [line]);
      else same.push(line);
    }
    linesByName.set(chip, byName);
  }
  return byName.get(name) ?? [];
}

/** In the order of chips and offsets. */
function matching(pattern: string, chips: readonly ChipLines[]): readonly Line[] {
  if (pattern === '*') return chips.flatMap((chip) => chip.lines);
  const slash = pattern.indexOf('/');
  if (slash < 0) return [];
  const [chipPattern, rest] = [pattern.slice(0, slash), pattern.slice(slash + 1)];
  return chips
    .filter((chip) => matchesGlob(chipPattern, chip.name))
    .flatMap((chip) => {
      if (/^#\d+$/.test(rest)) return chip.lines[Number(rest.slice(1))] ?? [];
      if (/[*?]/.test(rest)) return chip.lines.filter((line) => matchesGlob(rest, line.name));
      return linesNamed(chip, rest);
    });
}

/**
 * The lines of an exported device, in order: each selector adds what it matches and what no earlier one took, in the
 * order of chips and offsets.
 * @throws LineSelectionError when a selector matches nothing, renames several lines, or two lines get one name (virtio 1.2,
 * section 5.18.6.1: names are unique in a device)
 */
export function selectLines(
  chips: readonly ChipLines[],
  selectors: readonly LineSelector[],
  { mayBeEmpty = false, uniqueNames = 'device' }: SelectionOptions = {},
): SelectedLine[] {
  const selected = new Map<Line, SelectedLine>();
  selectors.forEach((selector, at) => {
    const {
      line: pattern,
      name,
      access = 'write',
      role = 'any',
      debounceMs,
    } = typeof selector === 'string' ? { line: selector } : { ...selector };
    const found = matching(pattern, chips);
    if (found.length === 0 && !mayBeEmpty) {
      throw new LineSelectionError(at, `no line matches '${pattern}'`, whatThereIs(pattern, chips));
    }
    if (name !== undefined && found.length > 1) {
      throw new LineSelectionError(
        at,
        `'${pattern}' matches ${found.length} lines, which cannot all be named '${name}'`,
        'name one line',
      );
    }
    for (const line of found) {
      if (!selected.has(line))
        selected.set(line, { line, name: name ?? line.name, access, role, debounceMs, selector: at });
    }
  });
  const names = new Map<string, Line>();
  for (const { line, name, selector } of selected.values()) {
    const key = uniqueNames === 'chip' ? `${line.lines.name}/${name}` : name;
    const other = names.get(key);
    if (name !== '' && other !== undefined) {
      throw new LineSelectionError(
        selector,
        `${other.path} and ${line.path} would both be named '${name}'`,
        `names are unique in a ${uniqueNames}: rename one with { line: ${line.path}, name: … }`,
      );
    }
    names.set(key, line);
  }
  return [...selected.values()];
}

function whatThereIs(pattern: string, chips: readonly ChipLines[]): string {
  const chip = chips.find((candidate) => candidate.name === pattern.slice(0, pattern.indexOf('/')));
  if (chip === undefined) return `chips are ${chips.map((candidate) => candidate.name).join(', ') || 'none'}`;
  const names = chip.lines.filter((line) => line.name !== '').map((line) => line.name);
  const shown = names.slice(0, 20).join(', ') + (names.length > 20 ? ', …' : '');
  return `${chip.name} has ${chip.lines.length} lines: ${shown}`;
}
