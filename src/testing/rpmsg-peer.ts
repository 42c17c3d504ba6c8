import type { DescriptorChain } from '../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../virtqueue/device-queue.ts';
import {
  DESTINATION_OFFSET,
  encodeAnnouncement,
  encodeHeader,
  HEADER_SIZE,
  LENGTH_OFFSET,
  NAME_SERVICE_ADDRESS,
  RECEIVE_QUEUE,
  SOURCE_OFFSET,
  TRANSMIT_QUEUE,
} from '../wire/rpmsg.ts';

/** A message from Linux. */
export interface RpmsgMessage {
  readonly source: number;
  readonly destination: number;
  readonly payload: Uint8Array;
}

/** Takes messages that Linux sends to an address; may send at once. */
export type RpmsgListener = (payload: Uint8Array, source: number) => void;

export interface RpmsgPeerOptions {
  /** vring 0: to Linux. */
  readonly toLinux: DeviceQueue;
  /** vring 1: from Linux. */
  readonly fromLinux: DeviceQueue;
  /** Rings the doorbell of a queue, when the driver wants it. */
  readonly call: (queueIndex: number) => void;
}

/**
 * The co-processor's side of rpmsg over its device ends of both vrings, as firmware plays it: towards our bus in tests, and towards
 * Linux's own over vhost-user. It trusts the driver, as firmware does: a chain that makes no sense throws.
 */
export class RpmsgPeer {
  readonly #toLinux: DeviceQueue;
  readonly #fromLinux: DeviceQueue;
  readonly #call: (queueIndex: number) => void;
  readonly #listeners = new Map<number, RpmsgListener>();
  readonly #held: DescriptorChain[] = [];
  /** Messages for addresses that nobody listens at, oldest first. */
  readonly messages: RpmsgMessage[] = [];
  /** Messages that found no buffer of Linux's. */
  lost = 0;

  constructor(options: RpmsgPeerOptions) {
    this.#toLinux = options.toLinux;
    this.#fromLinux = options.fromLinux;
    this.#call = options.call;
  }

  /** Has an endpoint at an address of ours, or with null no longer. */
  listen(address: number, listener: RpmsgListener | null): void {
    if (listener === null) this.#listeners.delete(address);
    else this.#listeners.set(address, listener);
  }

  /** Tells Linux of a channel with an endpoint at `address`. @returns false when Linux has no buffer left */
  create(name: string, address: number): boolean {
    return this.send(address, NAME_SERVICE_ADDRESS, encodeAnnouncement({ name, address, destroyed: false }));
  }

  /** Takes a channel back. @returns false when Linux has no buffer left */
  destroy(name: string, address: number): boolean {
    return this.send(address, NAME_SERVICE_ADDRESS, encodeAnnouncement({ name, address, destroyed: true }));
  }

  /** Sends a message, and calls. @returns false when Linux has no buffer left: the message is lost */
  send(source: number, destination: number, payload: Uint8Array): boolean {
    if (!this.push(source, destination, payload)) return false;
    this.publish();
    return true;
  }

  /** As {@link send}, but Linux does not see it before {@link publish}. */
  push(source: number, destination: number, payload: Uint8Array): boolean {
    const message = new Uint8Array(HEADER_SIZE + payload.length);
    encodeHeader({ source, destination, length: payload.length, flags: 0 }, message);
    message.set(payload, HEADER_SIZE);
    return this.pushRaw(message);
  }

  /**
   * Sends any bytes as a message, header and all.
   * @param usedBytes what the used ring says of them
   */
  pushRaw(message: Uint8Array, usedBytes = message.length): boolean {
    const chain = this.#toLinux.pop();
    if (chain === null) {
      this.lost++;
      return false;
    }
    if (chain.fault !== 0 || chain.readableBytes !== 0 || chain.writableBytes < message.length) {
      throw new Error(
        `a receive buffer with ${chain.readableBytes} readable and ${chain.writableBytes} writable bytes (fault ${chain.fault}), for a message of ${message.length}`,
      );
    }
    chain.write(0, message);
    this.#toLinux.push(chain, usedBytes);
    return true;
  }

  publish(): void {
    if (this.#toLinux.publish()) this.#call(RECEIVE_QUEUE);
  }

  /** Takes what Linux has sent, gives the buffers back, and hands the messages to the listeners or to {@link messages}. */
  serve(): void {
    const taken: RpmsgMessage[] = [];
    for (let chain = this.#fromLinux.pop(); chain !== null; chain = this.#fromLinux.pop()) {
      taken.push(this.#read(chain));
      this.#fromLinux.push(chain, 0);
    }
    if (this.#fromLinux.publish()) this.#call(TRANSMIT_QUEUE);
    for (const message of taken) {
      const listener = this.#listeners.get(message.destination);
      if (listener === undefined) this.messages.push(message);
      else listener(message.payload, message.source);
    }
  }

  /** Takes what Linux has sent and keeps the buffers, as firmware does that is too busy to return them. */
  hold(): RpmsgMessage[] {
    const taken: RpmsgMessage[] = [];
    for (let chain = this.#fromLinux.pop(); chain !== null; chain = this.#fromLinux.pop()) {
      taken.push(this.#read(chain));
      this.#held.push(chain);
    }
    return taken;
  }

  /**
   * Gives held buffers back, oldest first.
   * @param quiet without ringing, as rpmsg-lite does
   */
  release(count = this.#held.length, quiet = false): void {
    for (const chain of this.#held.splice(0, count)) this.#fromLinux.push(chain, 0);
    if (this.#fromLinux.publish() && !quiet) this.#call(TRANSMIT_QUEUE);
  }

  #read(chain: DescriptorChain): RpmsgMessage {
    const length = chain.readableBytes >= HEADER_SIZE ? chain.readU16(LENGTH_OFFSET) : 0;
    if (chain.fault !== 0 || chain.writableBytes !== 0 || chain.readableBytes < HEADER_SIZE + length) {
      throw new Error(
        `a transmit buffer with ${chain.readableBytes} readable and ${chain.writableBytes} writable bytes (fault ${chain.fault}), its length ${length}`,
      );
    }
    const payload = new Uint8Array(length);
    for (let i = 0; i < length; i++) payload[i] = chain.readU8(HEADER_SIZE + i);
    return { source: chain.readU32(SOURCE_OFFSET), destination: chain.readU32(DESTINATION_OFFSET), payload };
  }

  /** Takes {@link messages} away. */
  taken(): RpmsgMessage[] {
    return this.messages.splice(0);
  }

  /** As firmware does before it sleeps: asks for a kick with the next message. @returns whether one lies there already */
  enableKicks(): boolean {
    this.#fromLinux.enableKicks();
    return this.#fromLinux.hasWork();
  }

  /** After a message found no buffer: asks for a kick with the next one. @returns whether there are some already */
  awaitBuffers(): boolean {
    this.#toLinux.enableKicks();
    return this.#toLinux.hasWork();
  }
}
