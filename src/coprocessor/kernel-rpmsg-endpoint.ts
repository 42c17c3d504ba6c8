import { RPMSG_DESTROY_EPT_IOCTL } from '../wire/rpmsg-uapi.ts';
import type { KernelChannel } from './kernel-rpmsg-channels.ts';
import type { RpmsgKernel } from './kernel-rpmsg-kernel.ts';
import type { RpmsgEndpoint } from './rpmsg/endpoint.ts';

const EAGAIN = 11;
const ENOMEM = 12;
const EPIPE = 32;
/** Messages taken in one turn, so that a co-processor that floods leaves time for the others. */
const BATCH = 64;
/** What may have gathered before the device was opened; the rest is taken for news. */
const MAX_STALE = 65_536;
/** More than any rpmsg transport carries in a message: none is cut. */
const MESSAGE_SIZE = 8192;

/** An open `/dev/rpmsgN`. */
export interface OpenDevice {
  readonly fd: number;
  /** For messages. */
  readonly path: string;
  /** It was made for us, or for somebody who left it: it ends with the endpoint. */
  readonly isMade: boolean;
}

/** What an endpoint needs of its transport. */
export interface KernelEndpointOwner {
  readonly kernel: RpmsgKernel;
  readonly maxPayloadBytes: number;
  /** Counts what has no listener, and what was there before. */
  received(count: { received?: number; stale?: number; noEndpoint?: number }): void;
  /** @throws CoprocessorError ERR_RPMSG for a payload that is too long */
  send(endpoint: KernelEndpoint, payload: Uint8Array): boolean;
  /** The endpoint has ended, by its user or not. */
  ended(endpoint: KernelEndpoint, reason: string | null): void;
}

/** A channel's endpoint in the kernel: each read of its device is a message, and each write. */
export class KernelEndpoint implements RpmsgEndpoint {
  readonly name: string;
  readonly maxPayloadBytes: number;
  readonly channel: KernelChannel;
  readonly path: string;
  readonly #owner: KernelEndpointOwner;
  readonly #fd: number;
  readonly #isMade: boolean;
  readonly #poll: { close(): void };
  readonly #message = new Uint8Array(MESSAGE_SIZE);
  #onMessage: ((payload: Uint8Array) => void) | null = null;
  #onGone: ((reason: string) => void) | null = null;
  /** Why it ended, in words; null while it is alive. */
  #gone: string | null = null;

  /** Takes the descriptor, also when this throws. @throws Error when it cannot be polled */
  constructor(owner: KernelEndpointOwner, channel: KernelChannel, device: OpenDevice) {
    this.name = channel.name;
    this.maxPayloadBytes = owner.maxPayloadBytes;
    this.channel = channel;
    this.path = device.path;
    this.#owner = owner;
    this.#fd = device.fd;
    this.#isMade = device.isMade;
    try {
      this.#discardStale();
      this.#poll = owner.kernel.poll(this.#fd, (status) => this.#readable(status));
    } catch (error) {
      this.#closeDevice();
      throw error;
    }
  }

  /** The kernel keeps messages for a device that nobody has open: answers to who had it before. */
  #discardStale(): void {
    let stale = 0;
    while (stale < MAX_STALE && this.#owner.kernel.read(this.#fd, this.#message) >= 0) stale++;
    if (stale > 0) this.#owner.received({ stale });
  }

  #readable(status: number): void {
    for (let i = 0; i < BATCH && this.#gone === null; i++) {
      const count = this.#owner.kernel.read(this.#fd, this.#message);
      if (count === -EAGAIN) break;
      if (count < 0) {
        return this.end(
          count === -EPIPE
            ? `the kernel has ended ${this.path}: its channel "${this.name}" is gone`
            : `reading ${this.path} failed with errno ${-count}`,
        );
      }
      this.#owner.received({ received: 1 });
      if (this.#onMessage === null) this.#owner.received({ noEndpoint: 1 });
      else this.#onMessage(this.#message.slice(0, count));
    }
    // Not before what was left in it is read. EPOLLERR is how the kernel tells that the endpoint is gone.
    if (status < 0) this.end(`the kernel has ended ${this.path}: its channel "${this.name}" is gone`);
  }

  send(payload: Uint8Array): boolean {
    return this.#owner.send(this, payload);
  }

  /**
   * Hands a message to the kernel.
   * @returns false when it has no buffer for it now; ends the endpoint when that will never change
   */
  write(payload: Uint8Array): boolean {
    const count = this.#owner.kernel.write(this.#fd, payload);
    if (count >= 0) return true;
    // Kernels before 5.17 say ENOMEM.
    if (count === -EAGAIN || count === -ENOMEM) return false;
    this.end(
      count === -EPIPE
        ? `the kernel has ended ${this.path}: its channel "${this.name}" is gone`
        : `writing ${payload.length} bytes to ${this.path} failed with errno ${-count}`,
    );
    return false;
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

  #closeDevice(): void {
    const { kernel } = this.#owner;
    if (this.#isMade) {
      try {
        kernel.ioctl(this.#fd, RPMSG_DESTROY_EPT_IOCTL, new Uint8Array(0), `remove ${this.path}`);
      } catch {
        // It is gone with its bus.
      }
    }
    kernel.close(this.#fd);
  }

  #finish(reason: string): void {
    this.#gone = reason;
    this.#onMessage = null;
    this.#poll.close();
    this.#closeDevice();
  }

  /** The other end is gone; told once. */
  end(reason: string): void {
    if (this.#gone !== null) return;
    const listener = this.#onGone;
    this.#onGone = null;
    this.#finish(reason);
    this.#owner.ended(this, reason);
    listener?.(reason);
  }

  /** Gives the channel back: it may be opened again. Nobody is told. Idempotent. */
  close(): void {
    if (this.#gone !== null) return;
    this.#onGone = null;
    this.#finish(`the endpoint of channel "${this.name}" was closed`);
    this.#owner.ended(this, null);
  }
}
