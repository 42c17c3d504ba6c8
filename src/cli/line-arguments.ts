import { nearest } from '../config/suggestion.ts';
import { UsageError } from './command.ts';
import { visible } from './visible-text.ts';

/** Options with which a line argument is read, as libgpiod's tools have them; for parseArgs. */
export const LINE_OPTIONS = {
  chip: { type: 'string', short: 'c' },
  'by-name': { type: 'boolean' },
  strict: { type: 'boolean', short: 's' },
} as const;

/** A line for usage texts. */
export const LINE_USAGE = `LINE is NAME, CHIP/NAME, CHIP/#OFFSET, or with --chip a name or an offset there.
`;

/** Values of {@link LINE_OPTIONS}. */
export interface LineScope {
  readonly chip?: string | undefined;
  readonly 'by-name'?: boolean | undefined;
}

/** A line as the user wrote it, and as the service is asked for it: `NAME`, `CHIP/NAME` or `CHIP/#OFFSET`. */
export interface LineArgument {
  readonly text: string;
  readonly reference: string;
}

/** A line as the service lists it. */
export interface NamedLine {
  readonly chip: string;
  readonly offset: number;
  readonly name: string;
}

/**
 * Reads line arguments. With `--chip` a number is an offset, unless `--by-name`; without, lines have names.
 * @throws UsageError when there is none, or the same one twice
 */
export function parseLines(command: string, texts: readonly string[], scope: LineScope): LineArgument[] {
  if (texts.length === 0) throw new UsageError(`${command}: at least one LINE is needed`);
  const lines = texts.map((text) => parseLine(command, text, scope));
  refuseTwice(command, lines);
  return lines;
}

/** One line argument. @throws UsageError when it is empty */
export function parseLine(
  command: string,
  text: string,
  { chip, 'by-name': byName }: LineScope,
): LineArgument {
  if (text === '') throw new UsageError(`${command}: a line's name is empty`);
  if (chip === undefined) return { text, reference: text };
  const isOffset = byName !== true && /^\d{1,9}$/.test(text);
  return { text, reference: `${chip}/${isOffset ? `#${Number(text)}` : text}` };
}

/** A line and the value it gets. */
export interface LineValue extends LineArgument {
  readonly level: 0 | 1;
}

const VALUES: ReadonlyMap<string, 0 | 1> = new Map([
  ['1', 1],
  ['active', 1],
  ['on', 1],
  ['true', 1],
  ['0', 0],
  ['inactive', 0],
  ['off', 0],
  ['false', 0],
]);

/**
 * Reads `LINE=VALUE` arguments. A quoted name (`"A=B"=1`, as `get` prints it) loses its quotes.
 * @param fallback the value of an argument without one; undefined means that one is needed
 * @throws UsageError
 */
export function parseLineValues(
  command: string,
  texts: readonly string[],
  scope: LineScope,
  { fallback, isActiveLow = false }: { readonly fallback?: 0 | 1; readonly isActiveLow?: boolean } = {},
): LineValue[] {
  if (texts.length === 0) {
    throw new UsageError(`${command}: at least one LINE${fallback === undefined ? '=VALUE' : ''} is needed`);
  }
  const lines = texts.map((text) => {
    const { name, value } = split(text);
    if (name === '') throw new UsageError(`${command}: ${text}: a line's name is empty`);
    const active = value === undefined ? fallback : VALUES.get(value);
    if (active === undefined) {
      throw new UsageError(
        `${command}: ${text}: expected LINE=VALUE with a value of ${[...VALUES.keys()].join(', ')}`,
      );
    }
    const level: 0 | 1 = isActiveLow ? (active === 1 ? 0 : 1) : active;
    return { ...parseLine(command, name, scope), level };
  });
  refuseTwice(command, lines);
  return lines;
}

/** Values hold no `=`, names might. */
function split(text: string): { readonly name: string; readonly value: string | undefined } {
  const quoted = /^"(.*)"(?:=([^=]*))?$/s.exec(text);
  if (quoted !== null) return { name: quoted[1] as string, value: quoted[2] };
  const end = text.lastIndexOf('=');
  return end < 0
    ? { name: text, value: undefined }
    : { name: text.slice(0, end), value: text.slice(end + 1) };
}

function refuseTwice(command: string, lines: readonly LineArgument[]): void {
  const seen = new Set<string>();
  for (const { text, reference } of lines) {
    if (seen.has(reference)) throw new UsageError(`${command}: line '${visible(text)}' is given twice`);
    seen.add(reference);
  }
}

/** The lines that a reference means: none, one, or several where a name is not unique. */
export function findLines<T extends NamedLine>(reference: string, lines: readonly T[]): T[] {
  const named = lines.filter(({ name }) => name !== '' && name === reference);
  if (named.length > 0) return named;
  return lines.filter(
    ({ chip, name, offset }) =>
      reference.startsWith(`${chip}/`) &&
      (reference === `${chip}/#${offset}` || (name !== '' && reference === `${chip}/${name}`)),
  );
}

/** For each line the shortest reference that means no other: what completion offers. */
export function shortReferences(lines: readonly NamedLine[]): string[] {
  const uses = new Map<string, number>();
  const count = (text: string): void => void uses.set(text, (uses.get(text) ?? 0) + 1);
  for (const { chip, name } of lines) {
    count(name);
    count(`${chip}/${name}`);
  }
  return lines.map(({ chip, offset, name }) => {
    const isUnique = (text: string): boolean => name !== '' && uses.get(text) === 1;
    return [name, `${chip}/${name}`].find(isUnique) ?? `${chip}/#${offset}`;
  });
}

/** Why a reference does not mean one line, and what would; null when it does. */
export function lineFault(reference: string, lines: readonly NamedLine[]): string | null {
  const found = findLines(reference, lines);
  if (found.length === 1) return null;
  if (found.length > 1) {
    const candidates = found.map(({ chip, name, offset }, index) =>
      found.findIndex((other) => other.chip === chip) === index &&
      found.findLastIndex((other) => other.chip === chip) === index
        ? `${chip}/${name}`
        : `${chip}/#${offset}`,
    );
    return `several lines are named '${visible(reference)}': ${candidates.map(visible).join(', ')}`;
  }
  const chips = [...new Set(lines.map(({ chip }) => chip))];
  const chip = chips.find((name) => reference.startsWith(`${name}/`));
  if (chip === undefined) return unknownLine(reference, lines, chips);
  const rest = reference.slice(chip.length + 1);
  const ofChip = lines.filter((line) => line.chip === chip);
  if (/^#\d+$/.test(rest)) {
    return `chip ${chip} has no line at offset ${rest.slice(1)}; its lines are 0 to ${ofChip.length - 1}`;
  }
  return `no line of chip ${chip} is named '${visible(rest)}'${hint(
    rest,
    ofChip.map(({ name }) => name),
  )}`;
}

function unknownLine(reference: string, lines: readonly NamedLine[], chips: readonly string[]): string {
  const slash = reference.indexOf('/');
  const names = lines.map(({ name }) => name);
  if (slash > 0) {
    const chip = reference.slice(0, slash);
    const meant = nearest(chip, chips);
    return `there is no chip '${visible(chip)}'${meant === undefined ? `; chips: ${chips.join(', ')}` : `; did you mean ${meant}?`}`;
  }
  return `no line is named '${visible(reference)}'${hint(reference, names)}`;
}

function hint(word: string, names: readonly string[]): string {
  const meant = nearest(
    word,
    names.filter((name) => name !== ''),
  );
  return meant === undefined ? "; 'rproc-gpio info' lists them" : `; did you mean ${visible(meant)}?`;
}
