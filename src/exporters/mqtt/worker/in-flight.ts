/** What a packet identifier stands for. */
export const SENT_STATE = 1;
export const SENT_EVENT = 2;
export const SENT_MESSAGE = 3;

/** Our own bound, where the broker names no lower one (MQTT 5.0, section 3.1.2.11.3). */
export const MAX_IN_FLIGHT = 1000;

/**
 * Messages of QoS 1 and 2 that the broker has not confirmed, by packet identifier: 1 to {@link MAX_IN_FLIGHT}. mqtt.js takes
 * its own identifiers from above.
 */
export class InFlight {
  readonly #kinds = new Uint8Array(MAX_IN_FLIGHT + 1);
  /** The state's topic, or the event's position. */
  readonly #references = new Float64Array(MAX_IN_FLIGHT + 1);
  readonly #free: number[] = [];
  #window = MAX_IN_FLIGHT;
  #used = 0;

  constructor() {
    this.clear(MAX_IN_FLIGHT);
  }

  /** A new connection, whose broker takes that many at a time. */
  clear(window: number): void {
    this.#kinds.fill(0);
    this.#used = 0;
    this.#window = Math.max(1, Math.min(window, MAX_IN_FLIGHT));
    this.#free.length = 0;
    for (let id = this.#window; id >= 1; id--) this.#free.push(id);
  }

  get isFull(): boolean {
    return this.#used >= this.#window;
  }

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  /** @returns the packet identifier. Only while it is not full. */
  add(kind: number, reference: number): number {
    const id = this.#free.pop() as number;
    this.#kinds[id] = kind;
    this.#references[id] = reference;
    this.#used++;
    return id;
  }

  /** What the identifier stands for; 0 when for nothing: a broker may say anything. */
  kindOf(id: number): number {
    return id <= MAX_IN_FLIGHT ? (this.#kinds[id] as number) : 0;
  }

  referenceOf(id: number): number {
    return this.#references[id] as number;
  }

  /** The broker has it, or refused it. */
  remove(id: number): void {
    this.#kinds[id] = 0;
    this.#used--;
    this.#free.push(id);
  }
}
