import { VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_VALUE, STATUS_OK } from '../../../src/wire/virtio-gpio.ts';

/** Longest that any answer may take while a co-processor is away. */
const ANSWER_LIMIT_MS = 500;

/** A guest that toggles an output without a pause, whatever becomes of the co-processor behind it. */
export class PersistentGuest {
  readonly frontEnd: VhostUserFrontEnd;
  /** The longest that an answer took. */
  slowestMs = 0;
  /** The level that was answered OK last. */
  level = 0;
  readonly #output: number;

  private constructor(frontEnd: VhostUserFrontEnd, output: number) {
    this.frontEnd = frontEnd;
    this.#output = output;
  }

  /** Connects and makes the line an output. @throws Error when that is refused */
  static async drive(socketPath: string, output: number): Promise<PersistentGuest> {
    const frontEnd = await VhostUserFrontEnd.connect({ socketPath, timeoutMs: 10_000 });
    const guest = new PersistentGuest(frontEnd, output);
    await frontEnd.request(MSG_SET_VALUE, output, 0);
    const { status } = await frontEnd.request(MSG_SET_DIRECTION, output, 1);
    if (status !== STATUS_OK) throw new Error(`line ${output} cannot be made an output`);
    return guest;
  }

  /** Sets the other level. @returns whether that was answered OK @throws Error when it takes too long */
  async toggle(): Promise<boolean> {
    const startedAtMs = performance.now();
    const { status } = await this.frontEnd.request(MSG_SET_VALUE, this.#output, 1 - this.level);
    const tookMs = performance.now() - startedAtMs;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    if (tookMs > ANSWER_LIMIT_MS) throw new Error(`an answer took ${Math.round(tookMs)} ms`);
    if (status === STATUS_OK) this.level = 1 - this.level;
    return status === STATUS_OK;
  }

  /** Goes on for a while. @throws Error when anything is refused */
  async toggleFor(durationMs: number): Promise<void> {
    const endMs = performance.now() + durationMs;
    while (performance.now() < endMs) {
      if (!(await this.toggle())) throw new Error('a request was refused while the co-processor was there');
    }
  }

  /** Goes on until it was refused, and then not any more. @returns how long after `sinceMs` that was */
  async toggleUntilServed(sinceMs: number, limitMs: number): Promise<number> {
    let wasRefused = false;
    for (;;) {
      const isServed = await this.toggle();
      const tookMs = performance.now() - sinceMs;
      if (isServed && wasRefused) return tookMs;
      if (!isServed) wasRefused = true;
      if (tookMs > limitMs)
        throw new Error(`not served again after ${limitMs} ms; ${wasRefused ? '' : 'never '}refused`);
    }
  }

  /** The level of any line. @throws Error when that is refused */
  async get(offset: number): Promise<number> {
    const { status, value } = await this.frontEnd.request(MSG_GET_VALUE, offset);
    if (status !== STATUS_OK) throw new Error(`reading line ${offset} was refused`);
    return value;
  }

  close(): void {
    this.frontEnd.close();
  }
}
