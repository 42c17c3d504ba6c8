import { LEVEL_UNKNOWN } from './chip.ts';
import type { Operation } from './operations.ts';

/** How long an event may be on its way: far more than a chip takes, far less than edges that a person could tell apart. */
const OWED_MS = 50;

/** What an event without a level stands for. */
export const EDGES_NONE = 0;
export const EDGES_ONE = 1;
export const EDGES_BOTH = 2;

/**
 * What the events of a chip that tells no levels stand for. After such an event the level is read, and the parity tells which
 * edges there were. One of these for each line; it begins anew with each subscription.
 */
export class EventParity {
  /** The read that follows an event, while it is under way. */
  reading: Operation | null = null;
  /** Another event came during it. */
  readAgain = false;
  /** It failed once. */
  hasRetried = false;
  /** Whether the last {@link settle} was of an event that could not be told from one accounted for already. */
  wasAmbiguous = false;
  /** When the last event came, and the last of those that {@link reading} is for. */
  #eventAtMs = 0;
  #readForMs = 0;
  /** Until then an event may be for an edge that was accounted for already, see {@link settle}. */
  #owedUntilMs = 0;
  /** Until then an event may be for an edge that came before the first read of the level. */
  #learnedUntilMs = 0;
  /** A level that was read and that no event has told of: when that was first seen, and which. */
  #doubtSinceMs = 0;
  #doubted = LEVEL_UNKNOWN;

  reset(): void {
    this.reading = null;
    this.hasRetried = false;
    this.#owedUntilMs = 0;
    this.#learnedUntilMs = 0;
    this.#doubted = LEVEL_UNKNOWN;
  }

  /** An event came. */
  event(): void {
    this.#doubted = LEVEL_UNKNOWN;
    this.#eventAtMs = performance.now();
  }

  /** The level is read, for all events so far. */
  read(operation: Operation): void {
    this.reading = operation;
    this.readAgain = false;
    this.#readForMs = this.#eventAtMs;
  }

  /**
   * A level that was read while no event was under way. Only events change a known level, and one that is on its way will; but
   * one that does not come in time never will.
   * @returns whether it is to be believed
   */
  learn(known: number, level: number): boolean {
    if (known === level) {
      this.#doubted = LEVEL_UNKNOWN;
      return true;
    }
    const nowMs = performance.now();
    if (known === LEVEL_UNKNOWN) {
      this.#learnedUntilMs = nowMs + OWED_MS;
      return true;
    }
    if (this.#doubted !== level) {
      this.#doubted = level;
      this.#doubtSinceMs = nowMs;
      return false;
    }
    if (nowMs - this.#doubtSinceMs < OWED_MS) return false;
    this.#doubted = LEVEL_UNKNOWN;
    return true;
  }

  /**
   * A level read after an event (which stands for one or more edges, merged by the chip's latch). The parity tells: a changed
   * level means one edge, an unchanged one two. After an unchanged level the chip mostly reports the second edge once more; an
   * event with an unchanged level soon after is taken for that, and counted as ambiguous, so that no edge is delivered which did
   * not happen. The first event after the level was first read may likewise be for an edge before that read: then only the edge
   * is certain that leads to the level now.
   * @returns `EDGES_…`; of both, the one to the level now is the second
   */
  settle(known: number, level: number): number {
    const nowMs = performance.now();
    // When the event came counts, not the answer: a chip that stands still for a while in between has sent no other event.
    const isOwed = this.#readForMs < this.#owedUntilMs;
    const isFirst = known === LEVEL_UNKNOWN || this.#readForMs < this.#learnedUntilMs;
    const unchanged = known === level;
    this.#learnedUntilMs = 0;
    this.#doubted = LEVEL_UNKNOWN;
    this.wasAmbiguous = unchanged && (isFirst || isOwed);
    if (!isFirst && unchanged && isOwed) {
      this.#owedUntilMs = 0;
      return EDGES_NONE;
    }
    if (isFirst || unchanged || isOwed) this.#owedUntilMs = nowMs + OWED_MS;
    return unchanged && !isFirst ? EDGES_BOTH : EDGES_ONE;
  }
}
