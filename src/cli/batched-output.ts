import type { TextSink } from './command.ts';

/** From here on the writer is asked to wait: what one write takes is far less. */
const HIGH_WATER_CHARS = 256 * 1024;

/**
 * Text for a reader that may be slower than we are: one write at a time, and everything that comes meanwhile is the next.
 * A line a write would make tens of thousands of system calls a second.
 */
export class BatchedOutput {
  readonly #stream: TextSink;
  readonly #onFailure: (error: Error) => void;
  #pending = '';
  #isWriting = false;
  #isScheduled = false;
  #failure: Error | null = null;
  #waiting: (() => void)[] = [];

  /** @param onFailure told once, when the reader is gone; nothing is written after that */
  constructor(stream: TextSink, onFailure: (error: Error) => void) {
    this.#stream = stream;
    this.#onFailure = onFailure;
  }

  /** Whether the writer should wait for {@link flushed}. */
  get isFull(): boolean {
    return this.#pending.length >= HIGH_WATER_CHARS;
  }

  write(text: string): void {
    if (this.#failure !== null) return;
    this.#pending += text;
    if (this.#isWriting || this.#isScheduled) return;
    this.#isScheduled = true;
    // What is told of in this turn goes out in one write.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#next();
    });
  }

  /** Resolves when everything so far is written, or can never be. */
  flushed(): Promise<void> {
    if (this.#failure !== null || (!this.#isWriting && this.#pending === '')) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #next(): void {
    if (this.#isWriting || this.#failure !== null) return;
    if (this.#pending === '') {
      for (const resolve of this.#waiting.splice(0)) resolve();
      return;
    }
    const text = this.#pending;
    this.#pending = '';
    this.#isWriting = true;
    this.#stream.write(text, (error) => {
      this.#isWriting = false;
      if (error) this.#fail(error);
      else this.#next();
    });
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#pending = '';
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#onFailure(error);
  }
}
