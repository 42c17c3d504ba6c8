import type { ChainTracker } from '../../virtqueue/device-queue.ts';

/**
 * What is in flight on a split ring, in memory that outlives this process (vhost-user.rst, "Inflight I/O tracking"):
 *
 * | offset | field | |
 * |---|---|---|
 * | 0 | le64 features | 0 |
 * | 8 | le16 version | 1; 0 = not used yet |
 * | 10 | le16 desc_num | entries of desc |
 * | 12 | le16 last_batch_head | newest returned descriptor, the first of a list by `next` |
 * | 14 | le16 used_idx | index of the used ring up to which `inflight` is right |
 * | 16 | desc[] | 16 bytes each: u8 inflight, u8[5], le16 next, le64 counter (order of taking) |
 */
const VERSION_OFFSET = 8;
const COUNT_OFFSET = 10;
const LAST_BATCH_OFFSET = 12;
const USED_OFFSET = 14;
const DESC_OFFSET = 16;
const DESC_SIZE = 16;
const DESC_NEXT_OFFSET = 6;
const DESC_COUNTER_OFFSET = 8;
const VERSION = 1;
/** Regions of neighbouring queues share no cache line. */
const REGION_ALIGN = 64;
const WORD = 0x1_0000_0000;

/** Bytes of the region of one queue of `size` descriptors, a multiple of 64. */
export function inflightRegionBytes(size: number): number {
  return Math.ceil((DESC_OFFSET + size * DESC_SIZE) / REGION_ALIGN) * REGION_ALIGN;
}

/**
 * One queue's region. A process that dies between any two stores leaves one from which {@link recover} finds what the driver
 * still waits for: each chain that was taken, and not one that the used ring already shows. The memory may be the other side's:
 * whatever lies in it, nothing is read or written outside of the region.
 */
export class InflightRegion implements ChainTracker {
  /** Entries: the largest queue that can be tracked. */
  readonly size: number;
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #base: number;
  /** The next taken chain's place in the order. */
  #counter = 0;

  /** @param byteOffset of the region in the buffer, a multiple of 8 */
  constructor(buffer: ArrayBufferLike, byteOffset: number, size: number) {
    this.size = size;
    this.#base = byteOffset;
    this.#u8 = new Uint8Array(buffer);
    this.#u16 = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
    this.#u32 = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }

  #load16(offset: number): number {
    return Atomics.load(this.#u16, (this.#base + offset) / 2);
  }

  #store16(offset: number, value: number): void {
    Atomics.store(this.#u16, (this.#base + offset) / 2, value);
  }

  #descriptor(head: number): number {
    return this.#base + DESC_OFFSET + head * DESC_SIZE;
  }

  /** Nothing is in flight, and the used ring stands at `usedIndex`. */
  clear(usedIndex: number): void {
    // Until the last store it is a region that was never used: half of this is as good as none of it.
    this.#store16(VERSION_OFFSET, 0);
    for (let head = 0; head < this.size; head++) Atomics.store(this.#u8, this.#descriptor(head), 0);
    this.#store16(COUNT_OFFSET, this.size);
    this.#store16(LAST_BATCH_OFFSET, 0);
    this.#store16(USED_OFFSET, usedIndex);
    this.#store16(VERSION_OFFSET, VERSION);
    this.#counter = 0;
  }

  /** Whether it says where a ring stood, and what was in flight on it. */
  get isUsed(): boolean {
    return this.#load16(VERSION_OFFSET) !== 0;
  }

  /** Forgets everything, also where the ring stood. */
  discard(): void {
    this.#store16(VERSION_OFFSET, 0);
  }

  /**
   * Brings the region up to the used ring, and tells what the driver still waits for.
   * @param usedIndex as it lies in the used ring
   * @returns heads in the order in which they were taken; null when the region is not that of a ring that stands there
   */
  recover(usedIndex: number): number[] | null {
    const version = this.#load16(VERSION_OFFSET);
    if (version === 0) {
      this.clear(usedIndex);
      return [];
    }
    const batch = (usedIndex - this.#load16(USED_OFFSET)) & 0xffff;
    if (version !== VERSION || this.#load16(COUNT_OFFSET) !== this.size || batch > this.size) return null;
    this.#finishBatch(batch, usedIndex);
    const open: { readonly head: number; readonly counter: number }[] = [];
    for (let head = 0; head < this.size; head++) {
      const at = this.#descriptor(head);
      if (Atomics.load(this.#u8, at) === 0) continue;
      const word = (at + DESC_COUNTER_OFFSET) / 4;
      open.push({ head, counter: (this.#u32[word] as number) + (this.#u32[word + 1] as number) * WORD });
    }
    open.sort((a, b) => a.counter - b.counter);
    const last = open[open.length - 1]?.counter ?? -1;
    // A counter that no other process of ours can have reached is not worth going on from.
    this.#counter = last < Number.MAX_SAFE_INTEGER - WORD ? last + 1 : 0;
    return open.map(({ head }) => head);
  }

  /** The newest `count` returned descriptors are in flight no longer. */
  #finishBatch(count: number, usedIndex: number): void {
    let head = this.#load16(LAST_BATCH_OFFSET);
    for (let left = count; left > 0 && head < this.size; left--) {
      const at = this.#descriptor(head);
      Atomics.store(this.#u8, at, 0);
      head = this.#u16[(at + DESC_NEXT_OFFSET) / 2] as number;
    }
    this.#store16(USED_OFFSET, usedIndex);
  }

  taken(head: number): void {
    const at = this.#descriptor(head);
    const word = (at + DESC_COUNTER_OFFSET) / 4;
    const counter = this.#counter++;
    this.#u32[word] = counter;
    this.#u32[word + 1] = Math.floor(counter / WORD);
    // After the counter: what counts as in flight has its place in the order.
    Atomics.store(this.#u8, at, 1);
  }

  kept(head: number): void {
    if (Atomics.load(this.#u8, this.#descriptor(head)) === 0) this.taken(head);
  }

  returned(head: number): void {
    this.#u16[(this.#descriptor(head) + DESC_NEXT_OFFSET) / 2] = this.#load16(LAST_BATCH_OFFSET);
    // After the link: the list is whole whenever it is looked at.
    this.#store16(LAST_BATCH_OFFSET, head);
  }

  published(count: number, usedIndex: number): void {
    this.#finishBatch(count, usedIndex);
  }
}
