/** How many request timeouts long a co-processor may be silent. */
const SILENT_TIMEOUTS = 3;
/** How many requests have to have gone unanswered at least: one may have met a firmware that was busy. */
const MIN_TIMEOUTS = 3;

/**
 * Tells a co-processor that hangs from one that was late: it does not answer when all requests of the last three timeouts, and
 * at least three, went unanswered. One for each device that is asked; no timer of its own.
 */
export class AnswerWatch {
  readonly #requestTimeoutMs: number;
  /** Requests that went unanswered since something was answered last. */
  #count = 0;
  /** When the first of them was sent. */
  #sinceMs = 0;

  constructor(requestTimeoutMs: number) {
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  /** Something was answered, in time or not. */
  answered(): void {
    this.#count = 0;
  }

  /**
   * Requests timed out.
   * @returns whether it is to be taken for hung
   */
  timedOut(count: number, nowMs = performance.now()): boolean {
    if (this.#count === 0) this.#sinceMs = nowMs - this.#requestTimeoutMs;
    this.#count += count;
    // Timers are exact to a millisecond.
    const isLong = nowMs - this.#sinceMs >= SILENT_TIMEOUTS * this.#requestTimeoutMs - 1;
    return this.#count >= MIN_TIMEOUTS && isLong;
  }

  /** For the reason: what was waited for. */
  get text(): string {
    return `does not answer: the last ${this.#count} requests got no answer within ${this.#requestTimeoutMs} ms`;
  }
}
