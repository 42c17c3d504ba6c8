import type { EdgeChoice, LineEdge, LineInfo, ParamsOf } from '../wire/control.ts';
import type { ClientConnection, SubscriptionListener } from './client-connection.ts';
import { ControlError } from './control-error.ts';

/** Edges kept for a loop that does not fetch them; further ones are dropped, and counted. */
export const MAX_QUEUED_EDGES = 65_536;

export interface EdgeOptions {
  /** Default: `both`. */
  readonly edges?: EdgeChoice;
  /** Ends the stream: the loop throws the signal's reason. */
  readonly signal?: AbortSignal;
}

interface Waiter {
  resolve(result: IteratorResult<LineEdge, undefined>): void;
  reject(error: unknown): void;
}

/**
 * Level changes of lines, in their order, from when {@link ready} resolves: `for await (const edge of stream)`. One reader at a
 * time. Leaving the loop ends the stream; so does {@link close}. A connection that breaks makes the loop throw ControlError.
 */
export class EdgeStream implements AsyncIterable<LineEdge>, SubscriptionListener {
  /** Resolves with the lines once the chips have confirmed that they will tell; rejects as the loop does. */
  readonly ready: Promise<readonly LineInfo[]>;
  /** Edges lost so far because this process, or the loop, did not take them in time. */
  dropped = 0;
  /** Told of lost edges at the place in the order where they are missing. */
  onDropped: ((count: number) => void) | null = null;
  readonly #connection: ClientConnection;
  readonly #signal: AbortSignal | undefined;
  /** Edges to be fetched from #first on; a number stands for that many lost ones. */
  #queue: (LineEdge | number)[] = [];
  #first = 0;
  readonly #waiters: Waiter[] = [];
  #subscription: number | null = null;
  #isOver = false;
  /** What the loop throws when the queue is empty, once. */
  #error: unknown = null;
  #rejectReady: (error: unknown) => void = () => {};

  /** Made by `edges()` of a client, chip or line. */
  constructor(connection: ClientConnection, params: Omit<ParamsOf<'watch'>, 'edges'>, options: EdgeOptions) {
    const { edges, signal } = options;
    this.#connection = connection;
    this.#signal = signal;
    this.ready = new Promise((resolve, reject) => {
      this.#rejectReady = reject;
      if (signal?.aborted) return this.#finish(signal.reason);
      signal?.addEventListener('abort', this.#onAbort);
      connection.request('watch', edges === undefined ? params : { ...params, edges }, {
        resolve: ({ subscription, lines }) => {
          this.#subscription = subscription;
          connection.subscribe(subscription, this);
          if (this.#isOver) connection.unsubscribe(subscription);
          resolve(lines);
        },
        reject: (error) => this.#finish(error),
      });
    });
    // Who only loops hears of it from the loop.
    this.ready.catch(() => {});
  }

  readonly #onAbort = (): void => {
    this.#clear();
    this.#finish(this.#signal?.reason);
  };

  /** Not for callers: the connection tells. */
  edges(edges: readonly LineEdge[]): void {
    for (let i = 0; i < edges.length; i++) {
      const edge = edges[i] as LineEdge;
      const waiter = this.#waiters.shift();
      if (waiter !== undefined) waiter.resolve({ value: edge, done: false });
      else if (this.#queue.length - this.#first < MAX_QUEUED_EDGES) this.#queue.push(edge);
      else this.#pushLost(1);
    }
  }

  /** Not for callers: the connection tells. */
  lost(count: number): void {
    if (this.#waiters.length > 0) this.#tellLost(count);
    else this.#pushLost(count);
  }

  /** Not for callers: the connection tells. */
  ended(error: ControlError | null): void {
    this.#subscription = null;
    this.#finish(error);
  }

  #pushLost(count: number): void {
    const last = this.#queue.length - 1;
    if (last >= this.#first && typeof this.#queue[last] === 'number') this.#queue[last] += count;
    else this.#queue.push(count);
  }

  #tellLost(count: number): void {
    this.dropped += count;
    this.onDropped?.(count);
  }

  /** The next edge; lost ones before it are told of. */
  #take(): LineEdge | undefined {
    while (this.#first < this.#queue.length) {
      const next = this.#queue[this.#first] as LineEdge | number;
      this.#first++;
      if (this.#first === this.#queue.length) this.#clear();
      else if (this.#first === MAX_QUEUED_EDGES) {
        // A loop that never catches up must not keep what it has fetched.
        this.#queue = this.#queue.slice(this.#first);
        this.#first = 0;
      }
      if (typeof next !== 'number') return next;
      this.#tellLost(next);
    }
    return undefined;
  }

  #clear(): void {
    this.#queue = [];
    this.#first = 0;
  }

  /** @param error what the loop throws; null = it just ends */
  #finish(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#rejectReady(error ?? new ControlError('ERR_CLOSED', 'the stream was closed before it began'));
    if (this.#subscription !== null) this.#connection.unsubscribe(this.#subscription);
    this.#subscription = null;
    this.#error = error;
    for (const waiter of this.#waiters.splice(0)) {
      if (this.#error === null) waiter.resolve({ value: undefined, done: true });
      else waiter.reject(this.#error);
      this.#error = null;
    }
  }

  #next(): Promise<IteratorResult<LineEdge, undefined>> {
    const edge = this.#take();
    if (edge !== undefined) return Promise.resolve({ value: edge, done: false });
    if (!this.#isOver) return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    const error = this.#error;
    this.#error = null;
    return error === null ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<LineEdge, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve({ value: undefined, done: true });
      },
    };
  }

  /** Ends the stream: what was not fetched is discarded, the loop ends; idempotent. */
  close(): void {
    this.#clear();
    this.#error = null;
    this.#finish(null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
