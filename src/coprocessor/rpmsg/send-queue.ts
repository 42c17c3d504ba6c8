/** A message that found no free buffer. */
export interface WaitingMessage {
  readonly source: number;
  readonly destination: number;
  /** A copy of the sender's bytes. */
  readonly payload: Uint8Array;
  /** Clock of `performance.now()`. */
  readonly deadlineMs: number;
}

/** Messages that wait for a transmit buffer, in the order in which they were sent; bounded in number and time. */
export class SendQueue {
  /** Messages that had to wait. */
  queued = 0;
  /** Messages refused because too many waited already. */
  full = 0;
  /** Messages that waited too long and were given up. */
  timeouts = 0;
  /** Messages given up with their channel. */
  dropped = 0;
  readonly #limit: number;
  readonly #timeoutMs: number;
  #waiting: WaitingMessage[] = [];

  constructor(limit: number, timeoutMs: number) {
    this.#limit = limit;
    this.#timeoutMs = timeoutMs;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** @returns false when the queue is full */
  add(source: number, destination: number, payload: Uint8Array): boolean {
    if (this.#waiting.length >= this.#limit) {
      this.full++;
      return false;
    }
    this.queued++;
    const deadlineMs = performance.now() + this.#timeoutMs;
    this.#waiting.push({ source, destination, payload: Uint8Array.from(payload), deadlineMs });
    return true;
  }

  /** The oldest message, which stays. */
  first(): WaitingMessage | undefined {
    return this.#waiting[0];
  }

  removeFirst(): void {
    this.#waiting.shift();
  }

  /** Gives up what has waited too long: who sent it takes it for lost by now, and must not see it done later. */
  expire(): void {
    const now = performance.now();
    for (let first = this.first(); first !== undefined && first.deadlineMs <= now; first = this.first()) {
      this.#waiting.shift();
      this.timeouts++;
    }
  }

  /** Gives up what was sent from an address. */
  drop(source: number): void {
    const kept = this.#waiting.filter((message) => message.source !== source);
    this.dropped += this.#waiting.length - kept.length;
    this.#waiting = kept;
  }

  clear(): void {
    this.dropped += this.#waiting.length;
    this.#waiting = [];
  }
}
