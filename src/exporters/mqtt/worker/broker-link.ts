import type { MqttOptions } from '../mqtt-options.ts';
import { RetryPause } from '../retry-pause.ts';
import { redact } from '../secrets.ts';
import type { Log } from '../worker-messages.ts';
import { connectOptions } from './connect-options.ts';
import { Connection, type Incoming } from './connection.ts';
import { failureText } from './failure-text.ts';

/** A connection that lasted so long was a good one: the next pause is short again. */
const STABLE_MS = 10_000;

export interface BrokerLinkListener {
  connected(connection: Connection): void;
  disconnected(): void;
  message(message: Incoming): void;
  received(packetId: number, reasonCode: number): void;
  confirmed(packetId: number, reasonCode: number): void;
  /** The state changed, or the reason why there is no connection: each is told once. */
  state(connected: boolean, reason: string): void;
}

/** Keeps a connection to the broker: tries again with growing pauses, and says each change of state once. */
export class BrokerLink {
  readonly #options: MqttOptions;
  readonly #url: URL;
  readonly #willTopic: string;
  readonly #listener: BrokerLinkListener;
  readonly #onLog: Log;
  readonly #pause: RetryPause;
  /** Under way or open. */
  #connection: Connection | null = null;
  #isConnected = false;
  #connectedAtMs = 0;
  #timer: NodeJS.Timeout | null = null;
  /** As last said; null before the first. */
  #reason: string | null = null;
  #isClosed = false;

  constructor(options: MqttOptions, url: URL, willTopic: string, listener: BrokerLinkListener, onLog: Log) {
    this.#options = options;
    this.#url = url;
    this.#willTopic = willTopic;
    this.#listener = listener;
    this.#onLog = onLog;
    this.#pause = new RetryPause(options.retry.minMs, options.retry.maxMs);
  }

  /** The broker, for people. */
  get #name(): string {
    return this.#options.broker === 'embedded' ? 'the embedded broker' : redact(this.#options.broker);
  }

  get connection(): Connection | null {
    return this.#isConnected ? this.#connection : null;
  }

  start(): void {
    this.#timer = null;
    try {
      const options = connectOptions(this.#url, this.#options, this.#willTopic);
      this.#connection = new Connection(this.#options, options, {
        opened: () => this.#opened(),
        message: (message) => this.#listener.message(message),
        received: (packetId, reasonCode) => this.#listener.received(packetId, reasonCode),
        confirmed: (packetId, reasonCode) => this.#listener.confirmed(packetId, reasonCode),
        closed: (reason) => this.#closed(reason),
      });
    } catch (error) {
      this.#closed(failureText(error as Error, this.#options));
    }
  }

  #opened(): void {
    this.#isConnected = true;
    this.#connectedAtMs = performance.now();
    this.#reason = '';
    this.#onLog('info', `connected to ${this.#name}`);
    this.#listener.state(true, '');
    this.#listener.connected(this.#connection as Connection);
  }

  #closed(reason: string): void {
    const wasConnected = this.#isConnected;
    this.#isConnected = false;
    this.#connection = null;
    if (wasConnected) {
      if (performance.now() - this.#connectedAtMs >= STABLE_MS) this.#pause.reset();
      this.#listener.disconnected();
    }
    if (this.#isClosed) return;
    if (reason !== this.#reason) {
      this.#reason = reason;
      const what = wasConnected ? 'lost' : 'no connection to';
      this.#onLog('warn', `${what} ${this.#name}: ${reason}; trying again, with growing pauses`);
      this.#listener.state(false, reason);
    }
    this.#timer = setTimeout(() => this.start(), this.#pause.next());
  }

  /** No further attempt. An open connection stays. */
  stop(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#isConnected) this.#connection?.destroy();
  }

  /** Ends it, in order where there is a connection; idempotent. */
  close(done: () => void): void {
    this.stop();
    const connection = this.connection;
    this.#connection = null;
    this.#isConnected = false;
    if (connection === null) return done();
    connection.end(done);
  }
}
