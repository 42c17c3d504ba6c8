import type { AddressSpace, MemoryWindow } from './address-space.ts';

/** Why a chain is not usable. 0 = it is. The names are the reasons under which they are counted. */
export const CHAIN_FAULTS = [
  'none',
  'loop',
  'next-out-of-range',
  'address-outside-memory',
  'write-before-read',
  'bad-indirect',
  'too-long',
] as const;
export const FAULT_NONE = 0;
export const FAULT_LOOP = 1;
export const FAULT_NEXT = 2;
export const FAULT_ADDRESS = 3;
export const FAULT_ORDER = 4;
export const FAULT_INDIRECT = 5;
export const FAULT_TOO_LONG = 6;

const INITIAL_SEGMENTS = 4;
/** Room for so many is kept for the next chain with the same head. */
const KEPT_SEGMENTS = 8;

/**
 * One descriptor chain, as private copies of its descriptors, translated to segments of mapped memory: first the
 * device-readable ones, then the device-writable ones (virtio 1.2, section 2.7.4.2). Objects are pooled by the queue and
 * belong to the device from `pop` until `push`. Segments are not the descriptors: framing is the driver's business
 * (section 2.7.4), so bytes are addressed by their position in the readable or writable part.
 */
export class DescriptorChain {
  /** Index of the first descriptor: names the chain in the used ring. */
  readonly head: number;
  fault = FAULT_NONE;
  readableBytes = 0;
  writableBytes = 0;
  /** Owned by the device: popped, not yet pushed. */
  inFlight = false;
  #readable = 0;
  #count = 0;
  #windows: MemoryWindow[] = [];
  #offsets = new Float64Array(INITIAL_SEGMENTS);
  #lengths = new Float64Array(INITIAL_SEGMENTS);

  constructor(head: number) {
    this.head = head;
  }

  /** Forgets the segments; called by the queue before it fills the chain. */
  reset(): void {
    this.fault = FAULT_NONE;
    this.readableBytes = 0;
    this.writableBytes = 0;
    this.#readable = 0;
    this.#count = 0;
  }

  /** Parts of memory that it lies in, whatever is wrong with it: what it cost to take it. */
  get segmentCount(): number {
    return this.#count;
  }

  /** Gives the memory of an unusually long chain back; called by the queue when the chain is the driver's again. */
  trim(): void {
    if (this.#offsets.length <= KEPT_SEGMENTS) return;
    this.#windows = [];
    this.#offsets = new Float64Array(INITIAL_SEGMENTS);
    this.#lengths = new Float64Array(INITIAL_SEGMENTS);
    this.#count = 0;
    this.#readable = 0;
  }

  /**
   * Appends one descriptor's buffer; it may lie across neighbouring windows.
   * @returns FAULT_NONE or the reason why not
   */
  append(memory: AddressSpace, address: number, sizeBytes: number, writable: boolean): number {
    if (!writable && this.writableBytes > 0) return FAULT_ORDER;
    // Section 2.7.4: a chain is no longer than 2^32 bytes in all.
    if (this.readableBytes + this.writableBytes + sizeBytes > 0xffffffff) return FAULT_TOO_LONG;
    let left = sizeBytes;
    let from = address;
    while (left > 0) {
      const window = memory.find(from, 1);
      if (window === null) return FAULT_ADDRESS;
      const length = Math.min(left, window.end - from);
      this.#push(window, memory.offset, length);
      if (!writable) this.#readable = this.#count;
      from += length;
      left -= length;
    }
    if (writable) this.writableBytes += sizeBytes;
    else this.readableBytes += sizeBytes;
    return FAULT_NONE;
  }

  #push(window: MemoryWindow, offset: number, length: number): void {
    const at = this.#count;
    if (at === this.#offsets.length) {
      const offsets = new Float64Array(at * 2);
      offsets.set(this.#offsets);
      this.#offsets = offsets;
      const lengths = new Float64Array(at * 2);
      lengths.set(this.#lengths);
      this.#lengths = lengths;
    }
    this.#windows[at] = window;
    this.#offsets[at] = offset;
    this.#lengths[at] = length;
    this.#count = at + 1;
  }

  /** Byte `position` of the readable part; the caller has checked `readableBytes`. */
  readU8(position: number): number {
    for (let i = 0; i < this.#readable; i++) {
      const length = this.#lengths[i] as number;
      if (position < length) {
        return (this.#windows[i] as MemoryWindow).u8[(this.#offsets[i] as number) + position] as number;
      }
      position -= length;
    }
    return 0;
  }

  /** le16 at `position` of the readable part, from any framing. */
  readU16(position: number): number {
    const offset = (this.#offsets[0] as number) + position;
    if (this.#readable > 0 && position + 2 <= (this.#lengths[0] as number) && offset % 2 === 0) {
      return (this.#windows[0] as MemoryWindow).u16[offset / 2] as number;
    }
    return this.readU8(position) | (this.readU8(position + 1) << 8);
  }

  /** le32 at `position` of the readable part, unsigned, from any framing. */
  readU32(position: number): number {
    const offset = (this.#offsets[0] as number) + position;
    if (this.#readable > 0 && position + 4 <= (this.#lengths[0] as number) && offset % 4 === 0) {
      return (this.#windows[0] as MemoryWindow).u32[offset / 4] as number;
    }
    return (this.readU16(position) | (this.readU16(position + 2) << 16)) >>> 0;
  }

  /** Sets byte `position` of the writable part; beyond its end nothing is written. */
  writeU8(position: number, value: number): void {
    for (let i = this.#readable; i < this.#count; i++) {
      const length = this.#lengths[i] as number;
      if (position < length) {
        (this.#windows[i] as MemoryWindow).u8[(this.#offsets[i] as number) + position] = value;
        return;
      }
      position -= length;
    }
  }

  /** Writes `bytes` to the writable part from `position` on, element by element; returns how many fitted. */
  write(position: number, bytes: Uint8Array): number {
    let done = 0;
    let start = 0;
    for (let i = this.#readable; i < this.#count && done < bytes.length; i++) {
      const length = this.#lengths[i] as number;
      const u8 = (this.#windows[i] as MemoryWindow).u8;
      const base = this.#offsets[i] as number;
      for (let at = position + done - start; at < length && done < bytes.length; at++, done++) {
        u8[base + at] = bytes[done] as number;
      }
      start += length;
    }
    return done;
  }
}

/** What a chain takes of a pass's budget: 1 for the two descriptors of an ordinary one, more for a long one. */
export function chainCost(chain: DescriptorChain): number {
  return 1 + (chain.segmentCount >> 2);
}
