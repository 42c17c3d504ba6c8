/**
 * Topics of which only the last message counts: a topic is dirty when there may be something newer to say, waits in a queue
 * until it is its turn, and has at most one message on its way. What it says is looked up when it is sent.
 */
export class StateTopics {
  readonly #isDirty: Uint8Array;
  readonly #isQueued: Uint8Array;
  readonly #isSending: Uint8Array;
  /** As sent on this connection: the same once more says nothing. */
  readonly #said: (string | null)[];
  readonly #queue: Uint32Array;
  #head = 0;
  #length = 0;
  /** Topics of the round after a connect that were not sent yet. */
  #roundLeft = 0;

  constructor(count: number) {
    this.#isDirty = new Uint8Array(count);
    this.#isQueued = new Uint8Array(count);
    this.#isSending = new Uint8Array(count);
    this.#said = new Array<string | null>(count).fill(null);
    this.#queue = new Uint32Array(count);
  }

  get count(): number {
    return this.#queue.length;
  }

  /** There may be something newer to say. */
  mark(topic: number): void {
    if (this.#isDirty[topic] === 1) return;
    this.#isDirty[topic] = 1;
    this.#enqueue(topic);
  }

  #enqueue(topic: number): void {
    if (this.#isQueued[topic] === 1 || this.#isSending[topic] === 1) return;
    this.#isQueued[topic] = 1;
    this.#queue[(this.#head + this.#length) % this.#queue.length] = topic;
    this.#length++;
  }

  /** The topic whose turn it is; -1 when there is none. It has to be {@link sent} or {@link skipped} then. */
  next(): number {
    if (this.#length === 0) return -1;
    const topic = this.#queue[this.#head] as number;
    this.#head = (this.#head + 1) % this.#queue.length;
    this.#length--;
    this.#isQueued[topic] = 0;
    this.#isDirty[topic] = 0;
    if (this.#roundLeft > 0) this.#roundLeft--;
    return topic;
  }

  /** Whether it is news on this connection. */
  isNews(topic: number, payload: string): boolean {
    return this.#said[topic] !== payload;
  }

  sent(topic: number, payload: string): void {
    this.#said[topic] = payload;
    this.#isSending[topic] = 1;
  }

  /** It has arrived (or was refused): the next message may go. */
  arrived(topic: number): void {
    this.#isSending[topic] = 0;
    if (this.#isDirty[topic] === 1) this.#enqueue(topic);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** A message of the topic is on its way, or has to be. */
  isPending(topic: number): boolean {
    return this.#isSending[topic] === 1 || this.#isDirty[topic] === 1;
  }

  /** Not every topic has been sent since the connect. */
  get isFirstRound(): boolean {
    return this.#roundLeft > 0;
  }

  /** A new connection: everything is to be said, in order, before anything newer. */
  restart(): void {
    this.clear();
    this.#said.fill(null);
    for (let topic = 0; topic < this.count; topic++) this.mark(topic);
    this.#roundLeft = this.count;
  }

  /** The same on the same connection: for those who forgot. What is on its way is said again after it. */
  repeat(): void {
    this.#said.fill(null);
    for (let topic = 0; topic < this.count; topic++) this.mark(topic);
  }

  /** Nothing is to be said. */
  clear(): void {
    this.#isDirty.fill(0);
    this.#isQueued.fill(0);
    this.#isSending.fill(0);
    this.#head = 0;
    this.#length = 0;
    this.#roundLeft = 0;
  }
}
