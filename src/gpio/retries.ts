/** Pause before what failed is tried again. */
const PAUSE_MS = 1000;

/**
 * What a chip failed to do and what cannot be left at that: the level of a line that somebody watches, an output that was given
 * up and still drives. A timer runs only while there is something to try again.
 */
export class Retries {
  readonly #work = new Map<string, () => void>();
  readonly #canRun: () => boolean;
  #timer: NodeJS.Timeout | null = null;

  /** @param canRun whether the chip can be asked at all; while it cannot, the work waits for {@link run} */
  constructor(canRun: () => boolean) {
    this.#canRun = canRun;
  }

  /** @param subject what the work is about: one piece of work each, the last one counts */
  add(subject: string, work: () => void): void {
    this.#work.set(subject, work);
    if (this.#timer !== null || !this.#canRun()) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.run();
    }, PAUSE_MS);
    // Nobody stays alive for this.
    this.#timer.unref();
  }

  /** Tries everything now, if the chip can be asked. */
  run(): void {
    this.#stop();
    if (!this.#canRun()) return;
    const work = [...this.#work.values()];
    this.#work.clear();
    for (const again of work) again();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
