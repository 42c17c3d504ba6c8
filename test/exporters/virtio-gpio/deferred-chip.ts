import type { Chip, ChipListener, Completion } from '../../../src/gpio/chip.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';

/** A simulated chip whose answers wait until the test lets them go, as a co-processor's do. */
export class DeferredChip implements Chip {
  readonly name = 'slow';
  readonly label = 'deferred';
  readonly lineCount: number;
  readonly streamsLevels = false;
  readonly available = true;
  readonly inner: SimulatedChip;
  /** Operations that wait, as `get 3` or `set 3 1`, oldest first. */
  readonly waiting: string[] = [];
  readonly #answers: (() => void)[] = [];

  constructor(lineCount: number) {
    this.lineCount = lineCount;
    this.inner = new SimulatedChip('slow', lineCount);
  }

  #later(what: string, answer: () => void): void {
    this.waiting.push(what);
    this.#answers.push(answer);
  }

  /** Lets the operation at a place of {@link waiting} go; default the oldest. */
  answer(at = 0): void {
    this.waiting.splice(at, 1);
    this.#answers.splice(at, 1)[0]?.();
  }

  /** Lets all operations go, also those that come of it. */
  answerAll(): void {
    while (this.#answers.length > 0) this.answer();
  }

  lineName(offset: number): string {
    return this.inner.lineName(offset);
  }

  getDirection(offset: number, done: Completion, token: number): void {
    this.#later(`direction ${offset}`, () => this.inner.getDirection(offset, done, token));
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    this.#later(`direction ${offset} ${direction}`, () =>
      this.inner.setDirection(offset, direction, done, token),
    );
  }

  getValue(offset: number, done: Completion, token: number): void {
    this.#later(`get ${offset}`, () => this.inner.getValue(offset, done, token));
  }

  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#later(`set ${offset} ${level}`, () => this.inner.setValue(offset, level, done, token));
  }

  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    this.#later(`irq ${offset} ${type}`, () => this.inner.setIrqType(offset, type, done, token));
  }

  flush(): void {
    // Nothing is batched.
  }

  listen(listener: ChipListener): void {
    this.inner.listen(listener);
  }

  close(): void {
    this.inner.close();
  }
}
