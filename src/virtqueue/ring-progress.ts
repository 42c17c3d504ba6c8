/**
 * Whether the other side's work in a ring is being served, for a watchdog that looks now and then. Costs the data path nothing: what
 * is compared are indices that the ring has anyway.
 */

/** Part of a service whose work has to go on. */
export interface Progress {
  /**
   * Looks for work that lay there at the last look already and was not taken up, and gives what lies there another push.
   * @returns what is stuck; null when all goes on
   */
  stuck(): string | null;
}

/** What of a ring is looked at. */
export interface RingState {
  /** The ring itself: another one has nothing to do with what was seen before. */
  readonly ring: object;
  /** How far the other side's work was taken. */
  readonly position: number;
  /** Something is there to be taken. */
  readonly hasWork: boolean;
}

/** What one ring's looks have found. */
export class RingProgress {
  #ring: object | null = null;
  #position = -1;

  /**
   * @param state null: there is no ring, or nobody wants what is in it
   * @returns `idle`; `waiting`: work is there, and was not at the last look; `stuck`: it was, and none of it was taken since
   */
  look(state: RingState | null): 'idle' | 'waiting' | 'stuck' {
    if (state === null || !state.hasWork) {
      this.#ring = null;
      return 'idle';
    }
    const isStuck = this.#ring === state.ring && this.#position === state.position;
    this.#ring = state.ring;
    this.#position = state.position;
    return isStuck ? 'stuck' : 'waiting';
  }
}

/** Whether answers that are owed come within their time. */
export class AnswerProgress {
  readonly #limitMs: number;
  #ring: object | null = null;
  #returned = -1;
  #sinceMs = 0;

  /** @param limitMs how long the oldest answer may take, as far as the looks can tell */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /**
   * @param ring null: no answer is owed
   * @param returned counts what was answered
   * @returns for how long, in milliseconds, nothing was answered though something is owed; 0 while that is within the limit
   */
  look(ring: object | null, returned: number, nowMs = performance.now()): number {
    if (ring === null || ring !== this.#ring || returned !== this.#returned) {
      this.#ring = ring;
      this.#returned = returned;
      this.#sinceMs = nowMs;
      return 0;
    }
    const silentMs = nowMs - this.#sinceMs;
    return silentMs > this.#limitMs ? silentMs : 0;
  }
}
