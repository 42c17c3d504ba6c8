import { Readable } from 'node:stream';

/** Bounds of what is kept for those who subscribe later. */
export const MAX_RETAINED_MESSAGES = 20_000;
export const MAX_RETAINED_BYTES = 32 << 20;

interface Packet {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly messageId?: number | undefined;
}
interface ClientId {
  readonly id: string;
}

/**
 * An answer that is there at once. aedes only calls `then`, and goes on in the same turn: with real promises it sends a message
 * that is not retained before a retained one that came earlier, and then takes the earlier one for a duplicate of it and drops it
 * (aedes 1.2: `dedupe` in lib/client.js; tried: none of ten retained QoS 0 messages arrived).
 */
class Settled<T> {
  readonly #value: T;
  constructor(value: T) {
    this.#value = value;
  }
  // biome-ignore lint/suspicious/noThenProperty: being a thenable is what it is for
  then(fulfilled: (value: T) => unknown): void {
    fulfilled(this.#value);
  }
}
const DONE = new Settled<undefined>(undefined);
const NO_SUBSCRIPTIONS = new Settled<readonly never[]>([]);

/**
 * What the embedded broker remembers, in the form that aedes wants its persistence to have: retained messages up to a bound,
 * wills, and which QoS 2 messages of a client are not released yet (without their payloads: they have been delivered).
 * Sessions are not kept (every client is made a clean one), so that there are no messages for clients that are away.
 */
export class BrokerStore {
  readonly #retained = new Map<string, Packet>();
  readonly #wills = new Map<string, Packet & { brokerId?: string; clientId?: string }>();
  readonly #unreleased = new Map<string, Set<number>>();
  readonly #onFull: () => void;
  #retainedBytes = 0;
  #brokerId = '';

  /** @param onFull a message could not be retained */
  constructor(onFull: () => void) {
    this.#onFull = onFull;
  }

  async setup(broker: { readonly id: string }): Promise<void> {
    this.#brokerId = broker.id;
  }

  /** Number of retained messages. */
  get retainedCount(): number {
    return this.#retained.size;
  }

  storeRetained(packet: Packet): Settled<undefined> {
    const { topic } = packet;
    const before = this.#retained.get(topic);
    const keptBytes = this.#retainedBytes - (before === undefined ? 0 : sizeOf(before));
    if (packet.payload.length === 0) {
      this.#retained.delete(topic);
      this.#retainedBytes = keptBytes;
      return DONE;
    }
    const sizeBytes = sizeOf(packet);
    const isFull = before === undefined && this.#retained.size >= MAX_RETAINED_MESSAGES;
    if (isFull || keptBytes + sizeBytes > MAX_RETAINED_BYTES) {
      // An old message would be wrong: the topic has none then.
      this.#retained.delete(topic);
      this.#retainedBytes = keptBytes;
      this.#onFull();
      return DONE;
    }
    // A copy of the payload: it is a part of a larger piece of memory, all of which would stay.
    this.#retained.set(topic, { ...packet, payload: Buffer.from(packet.payload) });
    this.#retainedBytes = keptBytes + sizeBytes;
    return DONE;
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retainedFor(filters));
  }

  *#retainedFor(filters: readonly string[]): Generator<Packet> {
    for (const filter of filters) {
      const levels = filter.split('/');
      for (const [topic, packet] of this.#retained) {
        if (matches(levels, topic)) yield packet;
      }
    }
  }

  async addSubscriptions(): Promise<void> {}

  async removeSubscriptions(): Promise<void> {}

  async subscriptionsByClient(): Promise<readonly never[]> {
    return [];
  }

  async cleanSubscriptions(): Promise<void> {}

  /** Of clients that are away. */
  subscriptionsByTopic(): Settled<readonly never[]> {
    return NO_SUBSCRIPTIONS;
  }

  async outgoingEnqueue(): Promise<void> {}

  outgoingEnqueueCombi(): Settled<undefined> {
    return DONE;
  }

  async outgoingUpdate(): Promise<void> {}

  async outgoingClearMessageId(): Promise<undefined> {
    return undefined;
  }

  outgoingStream(): Readable {
    return Readable.from([]);
  }

  async incomingStorePacket(client: ClientId, packet: Packet): Promise<void> {
    const unreleased = this.#unreleased.get(client.id) ?? new Set<number>();
    this.#unreleased.set(client.id, unreleased.add(packet.messageId!));
  }

  async incomingGetPacket(client: ClientId, packet: Packet): Promise<Packet> {
    if (this.#unreleased.get(client.id)?.has(packet.messageId!) !== true) throw new Error('no such packet');
    return packet;
  }

  async incomingDelPacket(client: ClientId, packet: Packet): Promise<void> {
    if (this.#unreleased.get(client.id)?.delete(packet.messageId!) !== true)
      throw new Error('no such packet');
  }

  async cleanIncoming(client: ClientId): Promise<void> {
    this.#unreleased.delete(client.id);
  }

  async putWill(client: ClientId, will: Packet): Promise<void> {
    this.#wills.set(client.id, Object.assign(will, { brokerId: this.#brokerId, clientId: client.id }));
  }

  async getWill(client: ClientId): Promise<Packet | undefined> {
    return this.#wills.get(client.id);
  }

  async delWill(client: ClientId): Promise<Packet | undefined> {
    const will = this.#wills.get(client.id);
    this.#wills.delete(client.id);
    return will;
  }

  /** Wills of other brokers, which there are not. */
  streamWill(): Readable {
    return Readable.from([]);
  }

  async destroy(): Promise<void> {
    this.#retained.clear();
    this.#wills.clear();
    this.#unreleased.clear();
    this.#retainedBytes = 0;
  }
}

function sizeOf({ topic, payload }: Packet): number {
  return 2 * topic.length + payload.length;
}

/** Whether a subscription takes a topic: MQTT 3.1.1, section 4.7, with the exception of topics that begin with `$`. */
export function matches(filterLevels: readonly string[], topic: string): boolean {
  const levels = topic.split('/');
  const first = filterLevels[0];
  if (topic.startsWith('$') && (first === '+' || first === '#')) return false;
  for (let at = 0; at < filterLevels.length; at++) {
    const wanted = filterLevels[at];
    if (wanted === '#') return true;
    if (at >= levels.length || (wanted !== '+' && wanted !== levels[at])) return false;
  }
  return filterLevels.length === levels.length;
}
