import type { RpmsgEndpoint } from './endpoint.ts';

/** What an endpoint needs of its bus. */
export interface EndpointOwner {
  readonly maxPayloadBytes: number;
  /** @throws CoprocessorError ERR_RPMSG for a payload that fits no buffer */
  send(endpoint: BusEndpoint, payload: Uint8Array): boolean;
  /** The endpoint was closed by its user; the channel stays. */
  closed(endpoint: BusEndpoint): void;
}

/** The Linux end of a channel on our bus. */
export class BusEndpoint implements RpmsgEndpoint {
  readonly name: string;
  readonly maxPayloadBytes: number;
  /** On our side: what the co-processor sends to. */
  readonly localAddress: number;
  /** On the co-processor's side, as it was announced. */
  readonly remoteAddress: number;
  readonly #owner: EndpointOwner;
  #onMessage: ((payload: Uint8Array) => void) | null = null;
  #onGone: ((reason: string) => void) | null = null;
  /** Why it ended, in words; null while it is alive. */
  #gone: string | null = null;

  constructor(owner: EndpointOwner, name: string, localAddress: number, remoteAddress: number) {
    this.#owner = owner;
    this.name = name;
    this.maxPayloadBytes = owner.maxPayloadBytes;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
  }

  send(payload: Uint8Array): boolean {
    return this.#owner.send(this, payload);
  }

  onMessage(listener: (payload: Uint8Array) => void): void {
    this.#onMessage = listener;
  }

  onGone(listener: (reason: string) => void): void {
    if (this.#gone !== null) listener(this.#gone);
    else this.#onGone = listener;
  }

  get alive(): boolean {
    return this.#gone === null;
  }

  /** Hands a message on. @returns false when nobody listens */
  deliver(payload: Uint8Array): boolean {
    const listener = this.#onMessage;
    if (listener === null) return false;
    listener(payload);
    return true;
  }

  /** The bus says that the other end is gone; told once. */
  end(reason: string): void {
    if (this.#gone !== null) return;
    this.#gone = reason;
    this.#onMessage = null;
    const listener = this.#onGone;
    this.#onGone = null;
    listener?.(reason);
  }

  /** Gives the channel back to the bus: it may be opened again. Nobody is told. Idempotent. */
  close(): void {
    if (this.#gone !== null) return;
    this.#gone = `the endpoint of channel "${this.name}" was closed`;
    this.#onMessage = null;
    this.#onGone = null;
    this.#owner.closed(this);
  }
}
