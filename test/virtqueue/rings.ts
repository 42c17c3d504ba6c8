import { AddressSpace } from '../../src/virtqueue/address-space.ts';
import { DeviceQueue, type DeviceQueueOptions } from '../../src/virtqueue/device-queue.ts';
import { DriverQueue } from '../../src/virtqueue/driver-queue.ts';
import {
  AVAIL_F_NO_INTERRUPT,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  vringLayout,
} from '../../src/wire/vring.ts';

export const NEXT = DESC_F_NEXT;
export const WRITE = DESC_F_WRITE;
export const INDIRECT = DESC_F_INDIRECT;
export const NO_INTERRUPT = AVAIL_F_NO_INTERRUPT;

/** Where the shared memory lies for the other side. */
export const BASE = 0x4000_0000;

export interface RingsOptions {
  readonly size?: number;
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
  /** Both indices that a ring starts with. */
  readonly start?: number;
  readonly bufferBytes?: number;
}

/**
 * One vring and memory for buffers, seen from both sides. The fields of the rings are read and written here through a
 * DataView of their own, so that the tests do not rest on the code under test.
 */
export class Rings {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly bytes: ArrayBuffer;
  readonly view: DataView;
  readonly memory = new AddressSpace();
  readonly availableOffset: number;
  readonly usedOffset: number;
  /** Address of the memory for buffers. */
  readonly buffers: number;
  readonly bufferBytes: number;
  readonly #options: RingsOptions;
  #available: number;

  constructor(options: RingsOptions = {}) {
    const { size = 8, eventIdx = false, start = 0, bufferBytes = 0x4000 } = options;
    const layout = vringLayout(size, 16);
    const bufferOffset = Math.ceil(layout.sizeBytes / 0x1000) * 0x1000;
    this.#options = options;
    this.size = size;
    this.eventIdx = eventIdx;
    this.availableOffset = layout.availableOffset;
    this.usedOffset = layout.usedOffset;
    this.buffers = BASE + bufferOffset;
    this.bufferBytes = bufferBytes;
    this.bytes = new ArrayBuffer(bufferOffset + bufferBytes);
    this.view = new DataView(this.bytes);
    this.memory.add(BASE, this.bytes);
    this.#available = start;
    this.availableIndex = start;
    this.usedIndex = start;
  }

  get addresses() {
    return {
      descriptorAddress: BASE,
      availableAddress: BASE + this.availableOffset,
      usedAddress: BASE + this.usedOffset,
    };
  }

  device(options: Partial<DeviceQueueOptions> = {}): DeviceQueue {
    const { size, eventIdx, memory } = this;
    const { indirect = true, start = 0 } = this.#options;
    const base = { memory, size, eventIdx, indirect, nextAvailable: start };
    return new DeviceQueue({ ...base, ...this.addresses, ...options });
  }

  driver(): DriverQueue {
    const { size, eventIdx, memory } = this;
    return new DriverQueue({ memory, size, eventIdx, ...this.addresses });
  }

  /** Writes descriptor `index` of the table at `table`. */
  descriptor(index: number, address: number, length: number, flags = 0, next = 0, table = BASE): void {
    const at = table - BASE + index * 16;
    this.view.setBigUint64(at, BigInt(address), true);
    this.view.setUint32(at + 8, length, true);
    this.view.setUint16(at + 12, flags, true);
    this.view.setUint16(at + 14, next, true);
  }

  /** Puts heads into the available ring and makes them visible, as a driver does. */
  offer(...heads: number[]): void {
    for (const head of heads) {
      this.view.setUint16(this.availableOffset + 4 + (this.#available % this.size) * 2, head, true);
      this.#available = (this.#available + 1) & 0xffff;
    }
    this.availableIndex = this.#available;
  }

  /** Puts entries into the used ring and makes them visible, as a device does. */
  giveBack(...entries: [id: number, length: number][]): void {
    for (const [id, length] of entries) {
      const at = this.usedOffset + 4 + (this.usedIndex % this.size) * 8;
      this.view.setUint32(at, id, true);
      this.view.setUint32(at + 4, length, true);
      this.usedIndex++;
    }
  }

  usedEntry(index: number): [id: number, length: number] {
    const at = this.usedOffset + 4 + (index % this.size) * 8;
    return [this.view.getUint32(at, true), this.view.getUint32(at + 4, true)];
  }

  set availableFlags(flags: number) {
    this.view.setUint16(this.availableOffset, flags, true);
  }
  get availableFlags(): number {
    return this.view.getUint16(this.availableOffset, true);
  }
  set availableIndex(index: number) {
    this.view.setUint16(this.availableOffset + 2, index, true);
  }
  get availableIndex(): number {
    return this.view.getUint16(this.availableOffset + 2, true);
  }
  set usedEvent(index: number) {
    this.view.setUint16(this.availableOffset + 4 + 2 * this.size, index, true);
  }
  get usedEvent(): number {
    return this.view.getUint16(this.availableOffset + 4 + 2 * this.size, true);
  }
  set usedFlags(flags: number) {
    this.view.setUint16(this.usedOffset, flags, true);
  }
  get usedFlags(): number {
    return this.view.getUint16(this.usedOffset, true);
  }
  set usedIndex(index: number) {
    this.view.setUint16(this.usedOffset + 2, index, true);
  }
  get usedIndex(): number {
    return this.view.getUint16(this.usedOffset + 2, true);
  }
  set availableEvent(index: number) {
    this.view.setUint16(this.usedOffset + 4 + 8 * this.size, index, true);
  }
  get availableEvent(): number {
    return this.view.getUint16(this.usedOffset + 4 + 8 * this.size, true);
  }
}

/** Pops until the ring is empty. */
export function popAll(queue: DeviceQueue): number[] {
  const heads: number[] = [];
  for (let chain = queue.pop(); chain !== null; chain = queue.pop()) heads.push(chain.head);
  return heads;
}
