/** How long the requests of all connections may take of one turn of the event loop: guests wait for that long at most. */
const TURN_MS = 0.25;

/** Somebody with requests to carry out and output to write. */
export interface TurnTaker {
  /** Does a little. @returns whether there is more to do now */
  step(): boolean;
  /** Writes what is to be written. */
  flush(): void;
}

/**
 * Shares the event loop: all connections together do a bounded piece of their work in a turn, one after the other, and
 * write once. Between turns everything else runs: a client that asks without end does not hold up a guest.
 */
export class Turns {
  readonly #working = new Set<TurnTaker>();
  readonly #writing = new Set<TurnTaker>();
  #immediate: NodeJS.Immediate | null = null;
  #closed = false;

  /** There is something to do; it begins in this turn of the loop, after what has arrived. */
  work(taker: TurnTaker): void {
    this.#working.add(taker);
    this.#schedule();
  }

  /** There is something to write at the end of this turn. */
  write(taker: TurnTaker): void {
    this.#writing.add(taker);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#closed) this.#immediate ??= setImmediate(() => this.#run());
  }

  #run(): void {
    this.#immediate = null;
    const untilMs = performance.now() + TURN_MS;
    for (const taker of this.#working) {
      // Behind the others, if there is more: a Set visits what is added while it is being visited.
      this.#working.delete(taker);
      if (taker.step()) this.#working.add(taker);
      if (performance.now() >= untilMs) break;
    }
    for (const taker of this.#writing) taker.flush();
    this.#writing.clear();
    if (this.#working.size > 0) this.#schedule();
  }

  /** Does nothing any more; idempotent. */
  close(): void {
    this.#closed = true;
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
  }
}
