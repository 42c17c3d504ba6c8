import type { Completion } from './chip.ts';

/** Calls back when all of a number of operations have been answered. */
export class Countdown {
  readonly #done: () => void;
  /** One for those who begin them: answers may come in the same turn. */
  #left = 1;

  constructor(done: () => void) {
    this.#done = done;
  }

  /** The completion of one more operation. */
  one(each?: (result: number) => void): Completion {
    this.#left++;
    return {
      complete: (_token, result) => {
        each?.(result);
        this.begun();
      },
    };
  }

  /** All have been begun. */
  begun(): void {
    this.#left--;
    if (this.#left === 0) this.#done();
  }
}
