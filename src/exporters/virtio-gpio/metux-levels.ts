import { LEVEL_UNKNOWN } from '../../gpio/chip.ts';

/** Levels of which a metux driver is still to be told: of each line the newest only, in the order in which lines changed. */
export class MetuxLevels {
  /** Changes that were told of with a later one only, for want of buffers. */
  merged = 0;
  readonly #newest: Int8Array;
  /** Last level known to the driver by LEVEL, or from which it began. */
  readonly #told: Int8Array;
  readonly #owed = new Set<number>();

  constructor(lineCount: number) {
    this.#newest = new Int8Array(lineCount);
    this.#told = new Int8Array(lineCount).fill(LEVEL_UNKNOWN);
  }

  get isOwed(): boolean {
    return this.#owed.size > 0;
  }

  /** The line changed. */
  changed(line: number, level: number): void {
    if (this.#owed.has(line)) this.merged++;
    this.#newest[line] = level;
    this.#owed.add(line);
  }

  /** The level is known without a change of which anybody heard: one is owed if it is another than told. */
  observed(line: number, level: number): void {
    const told = this.#told[line] as number;
    if (told === LEVEL_UNKNOWN) this.#told[line] = level;
    else if (this.#owed.has(line)) this.#newest[line] = level;
    else if (told !== level) this.changed(line, level);
  }

  /** The line that waits longest, or -1. It is taken as told. */
  take(): number {
    for (const line of this.#owed) {
      this.#owed.delete(line);
      this.#told[line] = this.#newest[line] as number;
      return line;
    }
    return -1;
  }

  /** The level to tell of a line that was taken. */
  level(line: number): number {
    return this.#newest[line] as number;
  }

  /** Nothing of the line is owed, nor known to the driver: it drives it itself. */
  forget(line: number): void {
    this.#owed.delete(line);
    this.#told[line] = LEVEL_UNKNOWN;
  }

  clear(): void {
    this.#owed.clear();
    this.#told.fill(LEVEL_UNKNOWN);
  }
}
