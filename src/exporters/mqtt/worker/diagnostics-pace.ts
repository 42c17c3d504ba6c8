/** Counters change with every edge; they are for a glance now and then. */
export const DIAGNOSTICS_EVERY_MS = 10_000;

/** Says when a chip's counters are due: after a change, and at most so often. The timer runs only while one is due later. */
export class DiagnosticsPace {
  readonly #due: (chip: number) => void;
  readonly #dueAtMs: Float64Array;
  readonly #isWaiting: Uint8Array;
  #timer: NodeJS.Timeout | null = null;

  constructor(chipCount: number, due: (chip: number) => void) {
    this.#due = due;
    this.#dueAtMs = new Float64Array(chipCount);
    this.#isWaiting = new Uint8Array(chipCount);
  }

  changed(chip: number): void {
    if (this.#isWaiting[chip] === 1) return;
    this.#isWaiting[chip] = 1;
    this.#tell();
  }

  /** The counters of all chips are being published anyway. */
  told(): void {
    this.#isWaiting.fill(0);
    this.#dueAtMs.fill(performance.now() + DIAGNOSTICS_EVERY_MS);
  }

  #tell(): void {
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (let chip = 0; chip < this.#isWaiting.length; chip++) {
      if (this.#isWaiting[chip] === 0) continue;
      const dueAtMs = this.#dueAtMs[chip] as number;
      if (dueAtMs > nowMs) {
        nextMs = Math.min(nextMs, dueAtMs);
        continue;
      }
      this.#isWaiting[chip] = 0;
      this.#dueAtMs[chip] = nowMs + DIAGNOSTICS_EVERY_MS;
      this.#due(chip);
    }
    if (nextMs === Number.POSITIVE_INFINITY || this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#tell();
      },
      Math.max(1, nextMs - nowMs),
    );
  }

  /** Idempotent. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
