import type { ChipLines } from '../../gpio/chip-lines.ts';
import type { Line } from '../../gpio/line.ts';

/** Most names that a message lists. */
const MAX_SHOWN = 20;

function some(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  return names.slice(0, MAX_SHOWN).join(', ') + (names.length > MAX_SHOWN ? ', …' : '');
}

function byOffset(line: Line): string {
  return `${line.lines.name}/#${line.offset}`;
}

/** Finds lines by what people call them: `NAME`, `CHIP/NAME`, `CHIP/#OFFSET`. Of one set of chips. */
export class LineIndex {
  readonly chips: readonly ChipLines[];
  readonly #chips = new Map<string, ChipLines>();
  readonly #byName = new Map<string, Line[]>();

  constructor(chips: readonly ChipLines[]) {
    this.chips = chips;
    for (const chip of chips) {
      this.#chips.set(chip.name, chip);
      for (const line of chip.lines) {
        if (line.name === '') continue;
        const same = this.#byName.get(line.name);
        if (same === undefined) this.#byName.set(line.name, [line]);
        else same.push(line);
      }
    }
  }

  /** Whether it was made of these chips. */
  isOf(chips: readonly ChipLines[]): boolean {
    return chips.length === this.chips.length && chips.every((chip, at) => chip === this.chips[at]);
  }

  get all(): readonly Line[] {
    return this.chips.flatMap(({ lines }) => lines);
  }

  /** @returns the chip, or why there is none */
  chip(name: string): ChipLines | string {
    return this.#chips.get(name) ?? `there is no chip '${name}'; chips are ${some([...this.#chips.keys()])}`;
  }

  /** @returns the line, or why it is none */
  find(reference: string): Line | string {
    const slash = reference.indexOf('/');
    const chip = slash < 0 ? undefined : this.#chips.get(reference.slice(0, slash));
    if (chip !== undefined) return this.#findIn(chip, reference.slice(slash + 1));
    // A name may hold a slash, too.
    const named = this.#byName.get(reference) ?? [];
    if (named.length === 1) return named[0] as Line;
    if (named.length > 1) return this.#ambiguous(reference, named);
    if (slash >= 0) return this.chip(reference.slice(0, slash)) as string;
    return `there is no line '${reference}'; lines are ${some([...this.#byName.keys()])}`;
  }

  #findIn(chip: ChipLines, rest: string): Line | string {
    if (/^#\d{1,9}$/.test(rest)) {
      const line = chip.lines[Number(rest.slice(1))];
      const { length } = chip.lines;
      return line ?? `${chip.name} has ${length} lines, #0 to #${length - 1}, and no ${rest}`;
    }
    const named = (this.#byName.get(rest) ?? []).filter(({ lines }) => lines === chip);
    if (named.length === 1) return named[0] as Line;
    if (named.length > 1) return this.#ambiguous(`${chip.name}/${rest}`, named);
    const names = chip.lines.map(({ name }) => name).filter((name) => name !== '');
    return `${chip.name} has no line '${rest}'; it has ${some(names)}`;
  }

  #ambiguous(reference: string, named: readonly Line[]): string {
    const isOfOneChip = named.every(({ lines }) => lines === named[0]?.lines);
    const candidates = named.map((line) => (isOfOneChip ? byOffset(line) : line.path));
    return `'${reference}' names ${named.length} lines; say which: ${some([...new Set(candidates)])}`;
  }
}
