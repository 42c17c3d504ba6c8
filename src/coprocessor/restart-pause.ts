/** Bounds of the pause before a co-processor is started again. */
export interface PauseBounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** A run is stable when it lasted so many times the pause before it, and at least so many times the shortest. */
const STABLE_FACTOR = 10;

/** Pauses that grow with each failure that follows soon on the last, and start anew after a stable run. No timer of its own. */
export class RestartPause {
  readonly #bounds: PauseBounds;
  #lastMs = 0;
  #startedAtMs = Number.NEGATIVE_INFINITY;

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
    const stableMs = STABLE_FACTOR * Math.max(minMs, this.#lastMs);
    const wasStable = nowMs - this.#startedAtMs >= stableMs;
    // Failed attempts to start are no run.
    const isRun = this.#startedAtMs > Number.NEGATIVE_INFINITY;
    this.#startedAtMs = Number.NEGATIVE_INFINITY;
    this.#lastMs = (isRun && wasStable) || this.#lastMs === 0 ? minMs : Math.min(maxMs, this.#lastMs * 2);
    return this.#lastMs;
  }

  /** Forgets all failures: somebody wants it started now. */
  reset(): void {
    this.#lastMs = 0;
  }
}
