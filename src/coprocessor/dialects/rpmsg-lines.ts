import { CoprocessorError } from '../coprocessor-error.ts';

/** A line of the chip, as the firmware knows it. */
export interface RpmsgLine {
  /** 0 where the dialect has no ports. */
  readonly port: number;
  /** The line's number within the port. */
  readonly pin: number;
  /** '' for none. */
  readonly name: string;
}

/** What a dialect can address. */
export interface LineSpace {
  readonly ports: number;
  readonly pins: number;
}

/** Which line of the chip is which port and pin, and the other way round. */
export class RpmsgLineMap {
  readonly lines: readonly RpmsgLine[];
  readonly #pins: number;
  readonly #offsets: Int32Array;

  /**
   * @param lines in the order of the chip's offsets
   * @throws CoprocessorError ERR_RPMSG for no lines, a line that the dialect cannot address, and one that is there twice
   */
  constructor(where: string, dialect: string, space: LineSpace, lines: readonly RpmsgLine[]) {
    const refuse = (text: string): never => {
      throw new CoprocessorError('ERR_RPMSG', `${where}: ${text}`);
    };
    if (lines.length === 0)
      refuse(`no lines are configured; ${dialect} does not tell which there are, so at least 1 is needed`);
    this.lines = lines;
    this.#pins = space.pins;
    this.#offsets = new Int32Array(space.ports * space.pins).fill(-1);
    const names = new Set<string>();
    for (const [offset, { port, pin, name }] of lines.entries()) {
      const isThere = isBelow(port, space.ports) && isBelow(pin, space.pins);
      if (!isThere)
        refuse(
          `line ${offset} is port ${port}, pin ${pin}; ${dialect} has ports 0 to ${space.ports - 1} with pins 0 to ${space.pins - 1}`,
        );
      const other = this.offsetOf(port, pin);
      if (other >= 0) refuse(`lines ${other} and ${offset} are both port ${port}, pin ${pin}`);
      if (name !== '' && names.has(name))
        refuse(`line ${offset} is named "${name}", as another line is already; names are unique in a chip`);
      names.add(name);
      this.#offsets[port * this.#pins + pin] = offset;
    }
  }

  /** @returns -1 when the chip has no such line */
  offsetOf(port: number, pin: number): number {
    // A pin beyond the port would be another port's.
    return pin < this.#pins ? (this.#offsets[port * this.#pins + pin] ?? -1) : -1;
  }

  port(offset: number): number {
    return this.lines[offset]?.port ?? 0;
  }

  pin(offset: number): number {
    return this.lines[offset]?.pin ?? 0;
  }
}

function isBelow(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit;
}
