import { connect as connectMqtt, type MqttClient } from 'mqtt';
import { type Client, connect } from '../../src/client/client.ts';
import { LineSocket } from '../e2e/lab/line-socket.ts';
import type { ToldEdge, Wires } from './killing-edges.ts';
import { type Journal, nowNs } from './killing-journal.ts';

/** How long somebody whom nobody listens to waits before the next attempt. */
const RETRY_PAUSE_MS = 20;

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
}

/** Drives the firmware's inputs from outside, through every life of the firmware. */
export class PinsDriver {
  readonly #path: string;
  readonly #wires: Wires;
  readonly #journal: Journal;
  #socket: LineSocket | null = null;
  #isClosed = false;
  /** When the firmware was known to live. */
  #livesNs = 0;
  #turn: Promise<unknown> = Promise.resolve();
  lives = 0;
  changes = 0;

  constructor(path: string, wires: Wires, journal: Journal) {
    this.#path = path;
    this.#wires = wires;
    this.#journal = journal;
    void this.#keep();
  }

  get isConnected(): boolean {
    return this.#socket !== null;
  }

  async #keep(): Promise<void> {
    const endedReason = (): string | undefined => (this.#isClosed ? 'closed' : undefined);
    while (!this.#isClosed) {
      let socket: LineSocket;
      try {
        socket = await LineSocket.open('pins', this.#path, { limitMs: 3_600_000, endedReason });
      } catch {
        return;
      }
      if (this.#isClosed) return socket.close();
      this.#livesNs = nowNs();
      this.#socket = socket;
      this.lives++;
      this.#journal.note('pins', 'connected');
      await new Promise<void>((resolve) =>
        socket.received.follow(
          () => {},
          () => resolve(),
        ),
      );
      this.#socket = null;
      this.#journal.note('pins', 'the firmware is gone');
      this.#wires.restart(this.#livesNs);
    }
  }

  /** @returns the lines of the answer; null when the firmware does not live to tell it */
  command(text: string, lastLine = /^/): Promise<string[] | null> {
    const asked = this.#turn.then(() => this.#command(text, lastLine));
    this.#turn = asked;
    return asked;
  }

  async #command(text: string, lastLine: RegExp): Promise<string[] | null> {
    const socket = this.#socket;
    if (socket === null) return null;
    const from = socket.received.lines.length;
    this.#journal.note('pins', text);
    socket.send(text);
    try {
      await socket.received.waitFor(lastLine, { from });
      this.#livesNs = nowNs();
      return socket.received.lines.slice(from);
    } catch {
      return null;
    }
  }

  /** @returns whether the firmware lived to say so */
  async drive(line: string, level: 0 | 1): Promise<boolean> {
    if (this.#socket === null) return false;
    this.#wires.drive(line, level, nowNs());
    this.changes++;
    return (await this.command(`set ${line} ${level}`)) !== null;
  }

  /** Changes a line as fast as the firmware can. */
  async burst(line: string, count: number): Promise<void> {
    if (this.#socket === null) return;
    const fromNs = nowNs();
    for (let i = 0; i < count; i++) this.#wires.drive(line, this.#wires.level(line) === 1 ? 0 : 1, fromNs);
    this.changes += count;
    await this.command(`burst ${line} ${count} 50`);
  }

  /** The levels on the wires, by offset. */
  async levels(): Promise<number[] | null> {
    const lines = await this.command('list', /^\.$/);
    return lines?.slice(0, -1).map((line) => Number(line.split(' ').at(-1))) ?? null;
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#socket?.close();
  }
}

/** Who watches on the control socket, as `rproc-gpio mon` does, and starts anew when the service does. */
export class ControlObserver {
  readonly #path: string;
  readonly #lines: readonly string[];
  readonly #journal: Journal;
  #client: Client | null = null;
  #isClosed = false;
  sessions = 0;
  edges: ToldEdge[] = [];
  count = 0;

  constructor(path: string, lines: readonly string[], journal: Journal) {
    this.#path = path;
    this.#lines = lines;
    this.#journal = journal;
    void this.#keep();
  }

  /** Null while there is none that watches. */
  get client(): Client | null {
    return this.#client;
  }

  async #keep(): Promise<void> {
    while (!this.#isClosed) {
      let client: Client | null = null;
      try {
        client = await connect({ socket: this.#path });
        const stream = client.edges(this.#lines.map((line) => `hub/${line}`));
        await stream.ready;
        if (this.#isClosed) return client.close();
        this.sessions++;
        this.#client = client;
        this.#journal.note('control', 'watches');
        for await (const { name, level, timestampNs, merged, seq } of stream) {
          this.#journal.note(
            'control',
            `${name} ${level} seq ${seq} ${timestampNs}${merged ? ' merged' : ''}`,
          );
          this.count++;
          this.edges.push({
            line: name,
            level,
            atNs: nowNs(),
            edgeNs: Number(timestampNs),
            merged: merged === true,
            seq,
            session: String(this.sessions),
          });
        }
      } catch (error) {
        if (this.#client !== null) this.#journal.note('control', `lost: ${error}`);
        await pause();
      } finally {
        this.#client = null;
        client?.close();
      }
    }
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#client?.close();
  }
}

export const TOPIC = 'rproc-gpio/kill';

/** A subscriber that comes back whenever the broker does. */
export class MqttObserver {
  readonly #client: MqttClient;
  /** The last payload of each topic since it came back. */
  latest = new Map<string, string>();
  edges: ToldEdge[] = [];
  count = 0;
  /** All payloads of `status` topics, in order. */
  readonly statuses: { readonly topic: string; readonly payload: string; readonly ns: number }[] = [];
  results = 0;
  #sessions = 0;
  #isSubscribed = false;

  constructor(port: number, journal: Journal, name = 'mqtt') {
    this.#client = connectMqtt({
      host: '127.0.0.1',
      port,
      protocol: 'mqtt',
      protocolVersion: 5,
      reconnectPeriod: 50,
      connectTimeout: 3000,
      resubscribe: false,
      queueQoSZero: false,
    });
    this.#client.on('connect', () => {
      this.latest = new Map();
      this.#sessions++;
      journal.note(name, 'connected');
      this.#client.subscribe(`${TOPIC}/#`, { qos: 1 }, (error) => {
        if (!error) this.#isSubscribed = true;
      });
    });
    this.#client.on('close', () => {
      if (this.#isSubscribed) journal.note(name, 'lost');
      this.#isSubscribed = false;
    });
    // 'close' follows.
    this.#client.on('error', () => {});
    this.#client.on('message', (topic, bytes, { retain }) => {
      const payload = bytes.toString();
      if (!topic.endsWith('/set'))
        journal.note(name, `${topic.slice(TOPIC.length + 1)} ${payload}${retain ? ' (kept)' : ''}`);
      this.#message(topic, payload, retain);
    });
  }

  get isConnected(): boolean {
    return this.#isSubscribed;
  }

  #message(topic: string, payload: string, retained: boolean): void {
    this.latest.set(topic, payload);
    const [line = '', kind] = topic.split('/').slice(-2);
    if (topic.endsWith('/status')) {
      this.statuses.push({ topic, payload, ns: nowNs() });
      // What a service says first.
      if (topic === `${TOPIC}/status` && payload === 'online' && !retained) this.#sessions++;
    } else if (kind === 'result') this.results++;
    else if (kind === 'event') this.#event(line, payload);
  }

  #event(line: string, payload: string): void {
    const event = JSON.parse(payload) as { seq: number; level: 0 | 1; timestampNs: string; merged?: boolean };
    this.count++;
    this.edges.push({
      line,
      level: event.level,
      atNs: nowNs(),
      edgeNs: Number(event.timestampNs),
      merged: event.merged === true,
      seq: event.seq,
      session: String(this.#sessions),
    });
  }

  publish(topic: string, payload: string): void {
    if (this.#isSubscribed) this.#client.publish(`${TOPIC}/${topic}`, payload, { qos: 0 });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}
