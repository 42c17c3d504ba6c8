/** Pauses between attempts: they double, and differ by a quarter, so that many gateways do not come back at once. */
export class RetryPause {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #nextMs: number;

  constructor(minMs: number, maxMs: number, random: () => number = Math.random) {
    this.#minMs = minMs;
    this.#maxMs = Math.max(minMs, maxMs);
    this.#random = random;
    this.#nextMs = minMs;
  }

  /** How long to wait before the next attempt. */
  next(): number {
    const pauseMs = this.#nextMs;
    this.#nextMs = Math.min(pauseMs * 2, this.#maxMs);
    return Math.min(pauseMs * (0.75 + this.#random() / 2), this.#maxMs);
  }

  /** All is well again. */
  reset(): void {
    this.#nextMs = this.#minMs;
  }
}
