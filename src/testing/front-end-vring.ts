import { closeSync } from 'node:fs';
import { createEventfd, signalDescriptor } from '../native.ts';
import { DriverQueue } from '../virtqueue/driver-queue.ts';
import type { VringAddress } from '../wire/vhost-user.ts';
import {
  AVAILABLE_ALIGN,
  availableRingBytes,
  DESC_F_NEXT,
  DESCRIPTOR_ALIGN,
  DESCRIPTOR_SIZE,
  descriptorTableBytes,
  USED_ALIGN,
  usedRingBytes,
} from '../wire/vring.ts';
import { CallDescriptor, type CallKind } from './front-end-call.ts';
import { FrontEndError, withDeadline } from './front-end-error.ts';
import type { FrontEndMemory } from './front-end-memory.ts';

/** One descriptor exactly as it is to lie in the table, right or wrong. */
export interface RawDescriptor {
  readonly address: number | bigint;
  readonly length: number;
  /** DESC_F_ bits of wire/vring.ts; NEXT has to be given, too. */
  readonly flags: number;
  /** Default with NEXT: the descriptor that follows in the list. */
  readonly next?: number;
}

export interface FrontEndVringOptions {
  readonly index: number;
  readonly memory: FrontEndMemory;
  readonly size: number;
  readonly eventIdx: boolean;
  readonly callKind: CallKind;
  /** Of which region the ring is taken. */
  readonly regionIndex: number;
}

/** Where the end of an offered chain is told. */
export interface ChainOwner {
  /** The device returned it, with this used length. */
  resolve(usedLength: number): void;
  /** The device will not return it any more. */
  reject(error: FrontEndError): void;
}

/** Room enough that DriverQueue passes on the used length of a raw chain as it is. */
const ANY_LENGTH = 0xffff_ffff;

/** A guest driver's side of one vring, with its kick, call and error descriptors. */
export class FrontEndVring {
  readonly index: number;
  readonly size: number;
  readonly kickFd: number;
  readonly call: CallDescriptor;
  readonly error: CallDescriptor;
  /** Kicks given; with EVENT_IDX or NO_NOTIFY fewer than chains. */
  kicks = 0;
  readonly #memory: FrontEndMemory;
  readonly #descriptorAddress: number;
  readonly #availableAddress: number;
  readonly #usedAddress: number;
  readonly #open = new Map<number, ChainOwner>();
  #onError: (() => void) | null = null;
  #closed = false;
  #queue: DriverQueue;
  #eventIdx: boolean;

  constructor(options: FrontEndVringOptions) {
    const { memory, size, regionIndex } = options;
    this.index = options.index;
    this.size = size;
    this.#memory = memory;
    this.#eventIdx = options.eventIdx;
    this.#descriptorAddress = memory.allocate(descriptorTableBytes(size), DESCRIPTOR_ALIGN, regionIndex);
    this.#availableAddress = memory.allocate(availableRingBytes(size), AVAILABLE_ALIGN, regionIndex);
    this.#usedAddress = memory.allocate(usedRingBytes(size), USED_ALIGN, regionIndex);
    this.#queue = this.#newQueue();
    this.kickFd = createEventfd();
    this.call = new CallDescriptor(options.callKind, () => this.#called());
    this.error = new CallDescriptor('eventfd', () => this.#onError?.());
  }

  #newQueue(): DriverQueue {
    const queue = new DriverQueue({
      memory: this.#memory.guest,
      size: this.size,
      descriptorAddress: this.#descriptorAddress,
      availableAddress: this.#availableAddress,
      usedAddress: this.#usedAddress,
      eventIdx: this.#eventIdx,
    });
    queue.enableCalls();
    return queue;
  }

  /** The driver's own state: free descriptors, outstanding chains, used entries that name nothing. */
  get queue(): DriverQueue {
    return this.#queue;
  }

  /** For SET_VRING_ADDR. */
  get addresses(): VringAddress {
    return {
      index: this.index,
      flags: 0,
      descriptor: this.#memory.userAddress(this.#descriptorAddress),
      used: this.#memory.userAddress(this.#usedAddress),
      available: this.#memory.userAddress(this.#availableAddress),
      log: 0n,
    };
  }

  /**
   * Offers a chain of up to two descriptors and kicks if the device wants that.
   *
   * @throws FrontEndError `ERR_FRONT_END_FULL`
   */
  offer(
    readAddress: number,
    readBytes: number,
    writeAddress: number,
    writeBytes: number,
    owner: ChainOwner,
  ): void {
    const head = this.#queue.add(readAddress, readBytes, writeAddress, writeBytes);
    if (head < 0) throw this.#full();
    this.#open.set(head, owner);
    if (this.#queue.publish()) this.kick();
  }

  /**
   * Offers a chain of exactly these descriptors. The first one lies where the driver would put it, the others at the end of
   * the table, which ordinary chains reach last.
   *
   * @returns the used length as the device told it
   * @throws FrontEndError `ERR_FRONT_END_FULL`, `ERR_FRONT_END_TIMEOUT`, ...
   */
  rawChain(descriptors: readonly RawDescriptor[], timeoutMs: number): Promise<number> {
    return withDeadline<number>(`vring ${this.index} to return a raw chain`, timeoutMs, (resolve, reject) => {
      const head = this.#queue.add(0, 0, 0, ANY_LENGTH);
      if (head < 0) return reject(this.#full());
      const place = (at: number): number => (at === 0 ? head : this.size - at);
      for (const [at, descriptor] of descriptors.entries()) {
        const hasNext = (descriptor.flags & DESC_F_NEXT) !== 0 && at + 1 < descriptors.length;
        this.writeDescriptor(place(at), { next: hasNext ? place(at + 1) : 0, ...descriptor });
      }
      this.#open.set(head, { resolve, reject });
      if (this.#queue.publish()) this.kick();
    });
  }

  #full(): FrontEndError {
    const { free, size } = this.#queue;
    return new FrontEndError(
      'ERR_FRONT_END_FULL',
      `vring ${this.index}: ${free} of ${size} descriptors are free`,
    );
  }

  /** Kicks, whether the device wants it or not. */
  kick(): void {
    this.kicks++;
    signalDescriptor(this.kickFd);
  }

  #called(): void {
    const queue = this.#queue;
    do {
      queue.disableCalls();
      for (let head = queue.popUsed(); head >= 0; head = queue.popUsed()) {
        const chain = this.#open.get(head);
        this.#open.delete(head);
        chain?.resolve(queue.usedBytes);
      }
      queue.enableCalls();
    } while (queue.hasUsed());
  }

  /** The index in the available ring as it lies in memory. */
  get availableIndex(): number {
    return this.#u16At(this.#availableAddress + 2);
  }

  /** The index in the used ring as it lies in memory; what the device has returned in all, modulo 65536. */
  get usedIndex(): number {
    return this.#u16At(this.#usedAddress + 2);
  }

  #u16At(address: number): number {
    const { u16 } = this.#memory.guest.require('ring field', address, 2, 2);
    return Atomics.load(u16, this.#memory.guest.offset / 2);
  }

  #setU16(address: number, value: number): void {
    const { u16 } = this.#memory.guest.require('ring field', address, 2, 2);
    Atomics.store(u16, this.#memory.guest.offset / 2, value);
  }

  /** Sets the available index behind the driver's back, which does not know of it. Kick afterwards. */
  writeAvailableIndex(index: number): void {
    this.#setU16(this.#availableAddress + 2, index);
  }

  /** Sets the head that the available ring names for an index (taken modulo the size). */
  writeAvailableHead(index: number, head: number): void {
    this.#setU16(this.#availableAddress + 4 + 2 * (index % this.size), head);
  }

  /** Sets one descriptor of the table. */
  writeDescriptor(at: number, descriptor: RawDescriptor): void {
    const bytes = encodeDescriptor(descriptor);
    this.#memory.write(this.#descriptorAddress + at * DESCRIPTOR_SIZE, bytes);
  }

  /** Waits until the device signals the error descriptor, or returns at once if it has. */
  async errorSignal(timeoutMs: number): Promise<void> {
    if (this.error.count > 0) return;
    await withDeadline<void>(`vring ${this.index}'s error signal`, timeoutMs, (resolve) => {
      this.#onError = () => resolve();
    });
  }

  /** A new driver on the same memory: rings cleared, indices 0. What was open is rejected. */
  restart(eventIdx: boolean): void {
    this.#eventIdx = eventIdx;
    this.#queue = this.#newQueue();
    this.abandon('ERR_FRONT_END_RESET', 'the device was reset');
  }

  /** Rejects everything that is open. */
  abandon(code: 'ERR_FRONT_END_RESET' | 'ERR_FRONT_END_CLOSED', reason: string): void {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject } of open) reject(new FrontEndError(code, `vring ${this.index}: ${reason}`));
  }

  /** Idempotent; the memory is not the vring's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.abandon('ERR_FRONT_END_CLOSED', 'the front-end was closed');
    this.call.close();
    this.error.close();
    closeSync(this.kickFd);
  }
}

/** The 16 bytes of a descriptor, for indirect tables too. */
export function encodeDescriptor(descriptor: RawDescriptor): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(descriptor.address), true);
  view.setUint32(8, descriptor.length, true);
  view.setUint16(12, descriptor.flags, true);
  view.setUint16(14, descriptor.next ?? 0, true);
  return bytes;
}
