import type { Socket } from 'node:net';
import { EDGES_END, edgesBegin, encodeDropped } from '../../wire/control-reply.ts';
import type { Subscription } from './control-line.ts';
import type { ControlCounters } from './counters.ts';

/** Output that the client has not taken: then edges are dropped, and nothing is read. Replies are never dropped. */
export const MAX_UNSENT_BYTES = 1024 * 1024;
/** Edges go on when only that much is left: a drop is told of once, not at every other edge. */
const RESUME_UNSENT_BYTES = MAX_UNSENT_BYTES / 2;
/** Of one message of edges. */
const MAX_BATCH_CHARACTERS = 32_768;
/** Who has taken nothing for so long, and has much to take, does not read. */
const STUCK_MS = 5000;

export interface ClientOutputOptions {
  readonly socket: Socket;
  readonly counters: ControlCounters;
  /** There is something to write: {@link ClientOutput.flush} is due at the end of this turn. */
  readonly onPending: () => void;
  /** There is room again. */
  readonly onRoom: () => void;
}

/** What one client is told, in order: edges in batches, one write a turn, and no more than the client takes. */
export class ClientOutput {
  readonly #options: ClientOutputOptions;
  /** To be written at the end of the turn. ASCII: characters are bytes. */
  #text = '';
  /** The subscription whose batch of edges it ends with; null for none. */
  #batch: Subscription | null = null;
  #batchBegin = 0;
  /** Subscriptions that lost edges and were not told; while there are some, all edges are dropped. */
  readonly #dropping = new Set<Subscription>();
  #ended = false;
  /** When the client took something last. */
  #takenAtMs = performance.now();

  constructor(options: ClientOutputOptions) {
    this.#options = options;
  }

  /** Whether the client has to take something before more is made for it. */
  get isFull(): boolean {
    return this.#unsentBytes > MAX_UNSENT_BYTES;
  }

  /** Whether the client leaves so much unread, for so long, that it may be put out for another. */
  get isStuck(): boolean {
    return this.#unsentBytes > RESUME_UNSENT_BYTES && performance.now() - this.#takenAtMs >= STUCK_MS;
  }

  get #unsentBytes(): number {
    return this.#text.length + this.#options.socket.writableLength;
  }

  /** Adds a message. */
  send(text: string): void {
    if (this.#ended) return;
    this.#endBatch();
    this.#text += text;
    this.#options.onPending();
  }

  /** Adds an edge, or counts it as dropped. */
  edge(subscription: Subscription, text: string): void {
    if (this.#ended) return;
    if (this.#dropping.size > 0 || this.#unsentBytes >= MAX_UNSENT_BYTES) {
      this.#dropping.add(subscription);
      subscription.dropped++;
      this.#options.counters.droppedEdges++;
      return;
    }
    if (this.#batch === subscription && this.#text.length - this.#batchBegin < MAX_BATCH_CHARACTERS) {
      this.#text += `,${text}`;
      return;
    }
    this.#endBatch();
    this.#batchBegin = this.#text.length;
    this.#text += edgesBegin(subscription.id) + text;
    this.#batch = subscription;
    this.#options.onPending();
  }

  #endBatch(): void {
    if (this.#batch !== null) this.#text += EDGES_END;
    this.#batch = null;
  }

  /** The subscription ends: what it lost is told before. */
  forget(subscription: Subscription): void {
    this.#tellDropped(subscription);
    this.#dropping.delete(subscription);
  }

  #tellDropped(subscription: Subscription): void {
    if (subscription.dropped > 0) this.send(encodeDropped(subscription.id, subscription.dropped));
    subscription.dropped = 0;
  }

  /** Writes what there is, or lets it wait for the client to take the last: text in one piece costs less than many writes. */
  flush(): void {
    if (this.#options.socket.writableLength === 0) this.#write();
  }

  #write(): void {
    if (this.#ended || this.#text === '') return;
    this.#endBatch();
    const text = this.#text;
    this.#text = '';
    this.#options.socket.write(text, 'latin1', this.#onWritten);
  }

  /** The client, or the kernel for it, has taken something. */
  readonly #onWritten = (error?: Error | null): void => {
    // The connection is over: its owner hears of that otherwise.
    if (error) return;
    this.#takenAtMs = performance.now();
    this.flush();
    if (this.#ended || this.#unsentBytes > RESUME_UNSENT_BYTES) return;
    for (const subscription of this.#dropping) this.#tellDropped(subscription);
    this.#dropping.clear();
    this.#options.onRoom();
  };

  /** Writes what there is, and ends the connection when the client has taken it. */
  end(): void {
    const { socket } = this.#options;
    this.#write();
    this.#ended = true;
    socket.end(() => socket.destroy());
  }

  /** Forgets what there is; idempotent. */
  close(): void {
    this.#ended = true;
    this.#text = '';
    this.#batch = null;
    this.#dropping.clear();
  }
}
