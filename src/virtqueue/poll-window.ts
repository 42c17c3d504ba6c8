/** Outcomes that it takes to give polling up. */
const MOST_CREDIT = 8;
/** Doorbells between two attempts, at most. */
const MOST_PAUSE = 1024;
/** Doorbells until the next attempt where processor time is rationed. */
const RATIONED_PAUSE = 4096;

/**
 * Whether polling pays for one queue's owner, by what came of it. It does where the other side runs meanwhile and answers soon. It does
 * not where nothing comes within the time, and it even delays the other side where that waits for this very processor: then nothing is
 * found by looking, for whoever was called runs before the call returns, or not until this side sleeps.
 *
 * Like the polling of KVM before it halts (halt_poll_ns): shrinks with each failure, is tried again when a doorbell shows that it might have
 * paid, and ever more rarely the more often that failed.
 */
export class PollWindow {
  #credit = MOST_CREDIT;
  /** Doorbells to wait for, after the next failure. */
  #pause = 1;
  #left = 0;

  /** Whether to poll. */
  get isOpen(): boolean {
    return this.#credit > 0;
  }

  /** Work was found by looking, within the time. */
  found(): void {
    if (this.#credit < MOST_CREDIT) this.#credit++;
    if (this.#pause > 1) this.#pause >>= 1;
  }

  /** Nothing came within the time. */
  gaveUp(): void {
    if (this.#credit === 0 || --this.#credit > 0) return;
    this.#left = this.#pause;
    this.#pause = Math.min(2 * this.#pause, MOST_PAUSE);
  }

  /** The doorbell rang so soon after the notifications were enabled that polling would have found the work. */
  missed(): void {
    if (this.#credit > 0) return;
    if (this.#left-- <= 0) this.#credit = 1;
  }

  /** The processor was taken away while polling: what is used up by looking is missing for the work. */
  rationed(): void {
    this.#credit = 0;
    this.#pause = MOST_PAUSE;
    this.#left = RATIONED_PAUSE;
  }
}
