/** Bounds of the pause before a co-processor is started again. */
export interface PauseBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** A run is stable when it lasted so many times the shortest pause. */
const STABLE_FACTOR = 10;

/** Pauses that grow with each failure that follows soon on the last, and start anew after a stable run. No timer of its own. */
export class RestartPause {
  readonly #bounds: PauseBounds;
  #lastMs = 0;
  #startedAtMs = Number.POSITIVE_INFINITY;

  constructor(bounds: PauseBounds) {
    this.#bounds = bounds;
  }

  /** It runs. */
  started(nowMs = performance.now()): void {
    this.#startedAtMs = nowMs;
  }

  /** It has failed. @returns how long to wait, in milliseconds */
  next(nowMs = performance.now()): number {
    const { minMs, maxMs } = this.#bounds;
    // A failed attempt to start is no run.
    const wasStable = nowMs - this.#startedAtMs >= STABLE_FACTOR * minMs;
    this.#startedAtMs = Number.POSITIVE_INFINITY;
    this.#lastMs = wasStable || this.#lastMs === 0 ? minMs : Math.min(maxMs, this.#lastMs * 2);
    return this.#lastMs;
  }

  /** Forgets all failures: somebody wants it started now. */
  reset(): void {
    this.#lastMs = 0;
  }
}
