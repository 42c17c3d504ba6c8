import { LEVEL_UNKNOWN } from './chip.ts';

/** How an edge is told to a consumer whose chip was away. */
export const TELL_NOTHING = 0;
export const TELL_EDGE = 1;
/** The opposite edge first: the line changed twice, once while the chip was away. */
export const TELL_BOTH = 2;

/**
 * What a chip's absence owes to one consumer of one line: an edge if the level now is another one than that told last, and
 * nothing else. Reads and edges come over different queues, so the first read after the return may be ahead of the first edge:
 * what the one has told, the other must not tell again.
 */
export class Absence {
  /** Not settled yet: edges and reads are looked at. */
  isOpen = false;
  /** Told last before the chip went away; -1 once the level after it is known. */
  #before = LEVEL_UNKNOWN;
  /** Read after the return, until the first edge. */
  #after = LEVEL_UNKNOWN;
  /** That read was told as an edge. */
  #wasEdge = false;

  /** The chip went away. @param level told last; -1 = none, then nothing is owed */
  begin(level: number): void {
    if (this.isAwaited) return;
    this.#before = level;
    this.#after = LEVEL_UNKNOWN;
    this.isOpen = level !== LEVEL_UNKNOWN;
  }

  /** The level after the return is not known yet. */
  get isAwaited(): boolean {
    return this.isOpen && this.#before !== LEVEL_UNKNOWN;
  }

  /** The consumer does not want to know any more, or starts anew. */
  end(): void {
    this.isOpen = false;
    this.#before = LEVEL_UNKNOWN;
  }

  /** The line is subscribed anew: edges to come are later than what was read. */
  resubscribed(): void {
    if (!this.isAwaited) this.isOpen = false;
  }

  /** The level was read. @returns whether that is an edge */
  read(level: number): boolean {
    this.#wasEdge = level !== this.#before;
    this.#before = LEVEL_UNKNOWN;
    this.#after = level;
    return this.#wasEdge;
  }

  /** The first edge after the return. @returns `TELL_…` */
  edge(level: number): number {
    this.isOpen = false;
    if (this.#before !== LEVEL_UNKNOWN) {
      // No read came before it: it was at the opposite level, by a change that nobody told of if that is not the one known.
      const told = this.#before;
      this.#before = LEVEL_UNKNOWN;
      return told === level ? TELL_BOTH : TELL_EDGE;
    }
    if (level !== this.#after) return TELL_EDGE;
    return this.#wasEdge ? TELL_NOTHING : TELL_BOTH;
  }
}
