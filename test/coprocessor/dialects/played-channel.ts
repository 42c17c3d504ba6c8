import type { RpmsgEndpoint, RpmsgTransport } from '../../../src/coprocessor/rpmsg/endpoint.ts';
import type { ChipListener, Completion, Edge } from '../../../src/gpio/chip.ts';

/** An rpmsg channel whose other end a test plays. */
export class PlayedChannel implements RpmsgEndpoint, RpmsgTransport {
  readonly maxPayloadBytes = 496;
  readonly counters = {};
  /** What was sent, oldest first. */
  readonly sent: Uint8Array[] = [];
  /** Answers at once, before `send` returns. */
  onSent: ((message: Uint8Array) => void) | null = null;
  /** The endpoint's send queue is full. */
  isFull = false;
  opened = 0;
  closes = 0;
  readonly name: string;
  #onMessage: ((payload: Uint8Array) => void) | null = null;
  #onGone: ((reason: string) => void) | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get channels(): string[] {
    return [this.name, 'rpmsg-tty'];
  }

  async open(channel: string | RegExp): Promise<RpmsgEndpoint> {
    const matches = typeof channel === 'string' ? channel === this.name : channel.test(this.name);
    if (!matches) throw new Error(`no free rpmsg channel ${channel}`);
    this.opened++;
    return this;
  }

  send(payload: Uint8Array): boolean {
    if (this.isFull) return false;
    const message = Uint8Array.from(payload);
    this.sent.push(message);
    this.onSent?.(message);
    return true;
  }

  onMessage(listener: (payload: Uint8Array) => void): void {
    this.#onMessage = listener;
  }

  onGone(listener: (reason: string) => void): void {
    this.#onGone = listener;
  }

  onLost(): void {}

  close(): void {
    this.closes++;
    this.#onMessage = null;
    this.#onGone = null;
  }

  /** The other end sends; the bytes are overwritten afterwards, as a bus does. */
  receive(...bytes: readonly number[]): void {
    const payload = Uint8Array.from(bytes);
    this.#onMessage?.(payload);
    payload.fill(0xee);
  }

  /** The channel is destroyed. */
  go(reason: string): void {
    const listener = this.#onGone;
    this.close();
    listener?.(reason);
  }

  /** Takes {@link sent} away, as lists of bytes. */
  taken(): number[][] {
    return this.sent.splice(0).map((message) => [...message]);
  }
}

/** Answers in the order in which they came, as `token: result value`. */
export class Answers implements Completion {
  readonly list: string[] = [];

  complete(token: number, result: number, value: number): void {
    this.list.push(`${token}: ${result} ${value}`);
  }

  taken(): string[] {
    return this.list.splice(0);
  }
}

/** What a chip tells, in words. */
export class Heard implements ChipListener {
  readonly list: string[] = [];

  edge(edge: Edge): void {
    this.list.push(`edge ${edge.offset} ${edge.level}`);
  }

  availability(available: boolean, reason: string): void {
    this.list.push(`${available ? 'back' : 'gone'}: ${reason}`);
  }
}

/** The counters that are not 0. */
export function counted({
  counters,
}: {
  counters: Readonly<Record<string, number>>;
}): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).filter(([, value]) => value !== 0));
}
