import {
  AVAIL_F_NO_INTERRUPT,
  AVAILABLE_ALIGN,
  availableRingBytes,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESCRIPTOR_ALIGN,
  DESCRIPTOR_SIZE,
  descriptorTableBytes,
  isQueueSize,
  needsEvent,
  USED_ALIGN,
  USED_F_NO_NOTIFY,
  usedRingBytes,
} from '../wire/vring.ts';
import type { AddressSpace } from './address-space.ts';
import { QueueError } from './device-queue.ts';

export interface DriverQueueOptions {
  readonly memory: AddressSpace;
  /** Number of descriptors: a power of two from 1 to 32768. */
  readonly size: number;
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
  readonly eventIdx: boolean;
}

const NONE = -1;

/**
 * The driver side of a split virtqueue (virtio 1.2, section 2.7): towards the co-processor, and, in tests, the guest's.
 * The device shares the memory and is not trusted: which descriptors are free and which chains are outstanding is kept
 * privately, so nothing that the device writes can lead outside, free a chain twice or invent one.
 */
export class DriverQueue {
  readonly size: number;
  /** What makes the ring itself untrustworthy; null while it works. */
  broken: string | null = null;
  /** Used entries that name no outstanding chain. */
  badUsed = 0;
  /** Bytes written by the device into the chain that {@link popUsed} returned last, never more than it had room for. */
  usedBytes = 0;
  /** The owner takes used chains only when it needs them: that some wait is no sign of a fault. */
  isLazy = false;
  /** Descriptors not in use. */
  free: number;
  /** Chains offered and not yet popped. */
  outstanding = 0;
  readonly #eventIdx: boolean;
  readonly #mask: number;
  readonly #table: Uint32Array;
  readonly #tableBase: number;
  readonly #available: Uint16Array;
  readonly #availableBase: number;
  readonly #used16: Uint16Array;
  readonly #used32: Uint32Array;
  readonly #usedBase: number;
  readonly #next: Int32Array;
  /** Of an outstanding chain's head: its last descriptor; -1 for every other descriptor. */
  readonly #tail: Int32Array;
  readonly #writableBytes: Float64Array;
  #freeHead = 0;
  #nextAvailable = 0;
  #published = 0;
  #nextUsed = 0;

  /**
   * Both indices start at 0 and the rings are cleared, as after a device reset.
   * @throws QueueError for a bad size, AddressError for rings outside the memory or misaligned
   */
  constructor(options: DriverQueueOptions) {
    const { size, memory } = options;
    if (!isQueueSize(size)) throw new QueueError(`queue size ${size} is not a power of two from 1 to 32768`);
    this.size = size;
    this.free = size;
    this.#mask = size - 1;
    this.#eventIdx = options.eventIdx;
    this.#table = memory.require(
      'descriptor table',
      options.descriptorAddress,
      descriptorTableBytes(size),
      DESCRIPTOR_ALIGN,
    ).u32;
    this.#tableBase = memory.offset / 4;
    this.#available = memory.require(
      'available ring',
      options.availableAddress,
      availableRingBytes(size),
      AVAILABLE_ALIGN,
    ).u16;
    this.#availableBase = memory.offset / 2;
    const used = memory.require('used ring', options.usedAddress, usedRingBytes(size), USED_ALIGN);
    this.#used16 = used.u16;
    this.#used32 = used.u32;
    this.#usedBase = memory.offset;
    this.#next = new Int32Array(size);
    this.#tail = new Int32Array(size).fill(NONE);
    this.#writableBytes = new Float64Array(size);
    for (let i = 0; i < size; i++) this.#next[i] = i + 1 < size ? i + 1 : NONE;
    for (let i = 0; i < size * (DESCRIPTOR_SIZE / 4); i++) this.#table[this.#tableBase + i] = 0;
    for (let i = 0; i < availableRingBytes(size) / 2; i++) this.#available[this.#availableBase + i] = 0;
    for (let i = 0; i < usedRingBytes(size) / 2; i++) this.#used16[this.#usedBase / 2 + i] = 0;
  }

  /**
   * Offers a chain of one or two descriptors: `readBytes` for the device to read, then `writeBytes` for it to write (either
   * may be 0, then that descriptor is left out). It becomes visible with {@link publish}.
   * @returns the head, which {@link popUsed} will return; -1 when too few descriptors are free
   */
  add(readAddress: number, readBytes: number, writeAddress: number, writeBytes: number): number {
    const needed = (readBytes > 0 ? 1 : 0) + (writeBytes > 0 ? 1 : 0);
    if (needed === 0 || needed > this.free) return NONE;
    const head = this.#freeHead;
    let last = head;
    if (needed === 2) {
      last = this.#next[head] as number;
      this.#write(head, readAddress, readBytes, DESC_F_NEXT, last);
      this.#write(last, writeAddress, writeBytes, DESC_F_WRITE, 0);
    } else if (readBytes > 0) {
      this.#write(head, readAddress, readBytes, 0, 0);
    } else {
      this.#write(head, writeAddress, writeBytes, DESC_F_WRITE, 0);
    }
    this.#freeHead = this.#next[last] as number;
    this.free -= needed;
    this.#tail[head] = last;
    this.#writableBytes[head] = writeBytes;
    this.outstanding++;
    this.#available[this.#availableBase + 2 + (this.#nextAvailable & this.#mask)] = head;
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    return head;
  }

  #write(index: number, address: number, sizeBytes: number, flags: number, next: number): void {
    const at = this.#tableBase + index * (DESCRIPTOR_SIZE / 4);
    this.#table[at] = address % 0x100000000;
    this.#table[at + 1] = Math.floor(address / 0x100000000);
    this.#table[at + 2] = sizeBytes;
    this.#table[at + 3] = flags | (next << 16);
  }

  /**
   * Makes all added chains visible with one index store.
   * @returns whether the device wants to be kicked for it (section 2.7.10)
   */
  publish(): boolean {
    const before = this.#published;
    const after = this.#nextAvailable;
    if (before === after) return false;
    // Sequentially consistent: the store is ordered before the load of the device's wish (a store-load barrier).
    Atomics.store(this.#available, this.#availableBase + 1, after);
    this.#published = after;
    if (this.#eventIdx) {
      return needsEvent(Atomics.load(this.#used16, this.#usedBase / 2 + 2 + this.size * 4), after, before);
    }
    return (Atomics.load(this.#used16, this.#usedBase / 2) & USED_F_NO_NOTIFY) === 0;
  }

  /**
   * The head of the next chain that the device returned, or -1; {@link usedBytes} then tells how much it wrote. Entries that
   * name nothing outstanding are skipped and counted, at most a ring full of them at a time: a device that goes on writing
   * them meanwhile must not keep this side here ({@link hasUsed} still holds then).
   */
  popUsed(): number {
    if (this.broken !== null) return NONE;
    for (let left = this.size; left > 0; left--) {
      const index = Atomics.load(this.#used16, this.#usedBase / 2 + 1);
      const pending = (index - this.#nextUsed) & 0xffff;
      if (pending === 0) return NONE;
      if (pending > this.size) {
        this.broken = `used index ${index} is ${pending} ahead of ${this.#nextUsed}, more than the queue size ${this.size}`;
        return NONE;
      }
      const at = this.#usedBase / 4 + 1 + (this.#nextUsed & this.#mask) * 2;
      const head = this.#used32[at] as number;
      const usedBytes = this.#used32[at + 1] as number;
      this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
      const tail = head < this.size ? (this.#tail[head] as number) : NONE;
      if (tail === NONE) {
        this.badUsed++;
        continue;
      }
      this.usedBytes = Math.min(usedBytes, this.#writableBytes[head] as number);
      this.#tail[head] = NONE;
      this.free += tail === head ? 1 : 2;
      this.#next[tail] = this.#freeHead;
      this.#freeHead = head;
      this.outstanding--;
      return head;
    }
    return NONE;
  }

  /** Whether the device returned something that {@link popUsed} has not taken yet. */
  hasUsed(): boolean {
    return this.broken === null && Atomics.load(this.#used16, this.#usedBase / 2 + 1) !== this.#nextUsed;
  }

  /** Index of the used ring up to which {@link popUsed} has taken. */
  get nextUsed(): number {
    return this.#nextUsed;
  }

  /** Asks the device not to call. With EVENT_IDX the event index simply stays behind. */
  disableCalls(): void {
    if (!this.#eventIdx) Atomics.store(this.#available, this.#availableBase, AVAIL_F_NO_INTERRUPT);
  }

  /** Asks the device to call for the next used chain; look once more afterwards ({@link hasUsed}). */
  enableCalls(): void {
    if (this.#eventIdx) Atomics.store(this.#available, this.#availableBase + 2 + this.size, this.#nextUsed);
    else Atomics.store(this.#available, this.#availableBase, 0);
  }

  /** The available index as published: goes back to 0 in memory when the device was reset behind our back. */
  get publishedIndex(): number {
    return this.#published;
  }
}
