/** Events sent and not yet confirmed: bounds what a broker may owe us, and what is kept to be sent again. */
export const SENT_CAPACITY = 4096;

/** Events in a ring: what (as in line-ring.ts), sequence number, time. Positions count up for ever. */
class EventStore {
  readonly capacity: number;
  readonly what: Uint32Array;
  readonly seq: Uint32Array;
  readonly timeNs: Float64Array;
  head = 0;
  tail = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.what = new Uint32Array(capacity);
    this.seq = new Uint32Array(capacity);
    this.timeNs = new Float64Array(capacity);
  }

  get length(): number {
    return this.tail - this.head;
  }
}

/**
 * Events on their way to the broker, in order: first those that wait, of which the oldest go when there are too many; then
 * those that were sent, until they are confirmed. What was sent and not confirmed when the connection ended is sent again,
 * before everything else.
 */
export class EventQueue {
  readonly #waiting: EventStore;
  readonly #sent = new EventStore(SENT_CAPACITY);
  readonly #isConfirmed = new Uint8Array(SENT_CAPACITY);
  /** Position in `#sent` of what has to be sent again; its tail when nothing has. */
  #again = 0;

  /** @param limit events that may wait */
  constructor(limit: number) {
    this.#waiting = new EventStore(limit);
  }

  /** @returns false when the oldest one had to go for it */
  push(what: number, seq: number, timeNs: number): boolean {
    const waiting = this.#waiting;
    const hasRoom = waiting.length < waiting.capacity;
    if (!hasRoom) waiting.head++;
    const slot = waiting.tail % waiting.capacity;
    waiting.what[slot] = what;
    waiting.seq[slot] = seq;
    waiting.timeNs[slot] = timeNs;
    waiting.tail++;
    return hasRoom;
  }

  /** Nothing is to be sent. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#again === this.#sent.tail;
  }

  /** Waiting, not counting those that were sent. */
  get waiting(): number {
    return this.#waiting.length + this.#sent.tail - this.#again;
  }

  /** Sent, and not confirmed. */
  get unconfirmed(): number {
    return this.#again - this.#sent.head;
  }

  /**
   * The next event is being sent.
   * @returns its position, for {@link whatAt} and {@link confirm}; -1 when there is none, or too many are unconfirmed
   */
  next(): number {
    const sent = this.#sent;
    if (this.#again < sent.tail) return this.#again++;
    const waiting = this.#waiting;
    if (waiting.length === 0 || sent.length >= SENT_CAPACITY) return -1;
    const from = waiting.head % waiting.capacity;
    const to = sent.tail % SENT_CAPACITY;
    sent.what[to] = waiting.what[from] as number;
    sent.seq[to] = waiting.seq[from] as number;
    sent.timeNs[to] = waiting.timeNs[from] as number;
    this.#isConfirmed[to] = 0;
    waiting.head++;
    this.#again = sent.tail + 1;
    return sent.tail++;
  }

  whatAt(position: number): number {
    return this.#sent.what[position % SENT_CAPACITY] as number;
  }

  seqAt(position: number): number {
    return this.#sent.seq[position % SENT_CAPACITY] as number;
  }

  timeNsAt(position: number): number {
    return this.#sent.timeNs[position % SENT_CAPACITY] as number;
  }

  /** The broker has it. Brokers confirm in order; those that do not are borne with. */
  confirm(position: number): void {
    const sent = this.#sent;
    if (position < sent.head || position >= this.#again) return;
    this.#isConfirmed[position % SENT_CAPACITY] = 1;
    while (sent.head < this.#again && this.#isConfirmed[sent.head % SENT_CAPACITY] === 1) sent.head++;
  }

  /** The connection has ended: what is not confirmed has to be sent again. */
  sendAgain(): void {
    const sent = this.#sent;
    // Confirmed ones between unconfirmed ones go: the others move up, in order.
    let to = sent.head;
    for (let at = sent.head; at < sent.tail; at++) {
      const from = at % SENT_CAPACITY;
      if (this.#isConfirmed[from] === 1) continue;
      const slot = to % SENT_CAPACITY;
      sent.what[slot] = sent.what[from] as number;
      sent.seq[slot] = sent.seq[from] as number;
      sent.timeNs[slot] = sent.timeNs[from] as number;
      to++;
    }
    sent.tail = to;
    for (let at = sent.head; at < to; at++) this.#isConfirmed[at % SENT_CAPACITY] = 0;
    this.#again = sent.head;
  }
}
