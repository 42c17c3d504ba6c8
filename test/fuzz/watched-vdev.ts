import { Carveout } from '../../src/coprocessor/carveout.ts';
import type { BoundVdev } from '../../src/coprocessor/vdev.ts';
import { AddressSpace } from '../../src/virtqueue/address-space.ts';
import { DriverQueue } from '../../src/virtqueue/driver-queue.ts';
import { FEATURE_EVENT_IDX, vringLayout } from '../../src/wire/vring.ts';
import type { ByteSource } from './byte-source.ts';
import { ChangingRule, rewrite, WatchedMemory, watchSpace } from './changing-memory.ts';

const BASE = 0x1000_0000;
const GUARD_BYTES = 64;
const STATUS_DRIVER_OK = 7;

export interface WatchedVdevOptions {
  readonly id: number;
  readonly features: number;
  readonly queueSizes: readonly number[];
  readonly bufferBytes: number;
  readonly config?: Uint8Array;
}

interface Ring {
  readonly size: number;
  readonly address: number;
  readonly availableOffset: number;
  readonly usedOffset: number;
}

/** A descriptor as the firmware reads it: where it lies in the memory's bytes. */
export interface Part {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly isWritable: boolean;
}

export interface Chain {
  readonly head: number;
  readonly parts: readonly Part[];
}

/**
 * A bound vdev in memory that is watched, and the firmware's side of it, which writes into that memory whatever it likes: used
 * entries of heads that nobody offered, indices that jump, buffers that change.
 */
export class WatchedVdev implements BoundVdev {
  readonly index = 0;
  readonly id: number;
  readonly features: number;
  readonly memory = new AddressSpace();
  readonly queues: readonly DriverQueue[];
  readonly buffers: Carveout;
  readonly shared: WatchedMemory;
  readonly buffersOffset: number;
  config: Uint8Array;
  status = 0;
  /** Kicks by queue. */
  readonly kicks: number[];
  readonly failures: string[] = [];
  closes = 0;
  readonly rings: readonly Ring[];
  readonly #nextAvailable: number[];
  #onCall: () => void = () => {};
  readonly #onLost: ((reason: string) => void)[] = [];
  #lost: string | null = null;

  constructor(options: WatchedVdevOptions) {
    const { queueSizes, bufferBytes } = options;
    this.id = options.id;
    this.features = options.features;
    this.config = options.config ?? new Uint8Array(0);
    let offset = GUARD_BYTES;
    this.rings = queueSizes.map((size) => {
      const layout = vringLayout(size, 16);
      const ring = { size, address: BASE + offset, ...layout };
      offset += Math.ceil(layout.sizeBytes / 64) * 64;
      return ring;
    });
    this.buffersOffset = offset;
    const end = offset + bufferBytes;
    const buffer = new ArrayBuffer(end + GUARD_BYTES);
    this.shared = new WatchedMemory(buffer, { begin: GUARD_BYTES, end });
    this.memory.add(BASE, buffer);
    watchSpace(this.memory, this.shared);
    this.buffers = new Carveout(BASE + offset, bufferBytes);
    this.kicks = queueSizes.map(() => 0);
    this.#nextAvailable = queueSizes.map(() => 0);
    const eventIdx = ((options.features >>> FEATURE_EVENT_IDX) & 1) !== 0;
    this.queues = this.rings.map(
      ({ size, address, availableOffset, usedOffset }) =>
        new DriverQueue({
          memory: this.memory,
          size,
          eventIdx,
          descriptorAddress: address,
          availableAddress: address + availableOffset,
          usedAddress: address + usedOffset,
        }),
    );
  }

  readConfig(): Uint8Array {
    return this.config.slice();
  }

  readStatus(): number {
    return this.status;
  }

  kick(queueIndex: number): void {
    (this.kicks[queueIndex] as number)++;
  }

  onCall(listener: () => void): void {
    this.#onCall = listener;
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#lost !== null) listener(this.#lost);
    else this.#onLost.push(listener);
  }

  driverOk(): void {
    this.status = STATUS_DRIVER_OK;
  }

  fail(reason: string): void {
    this.failures.push(reason);
  }

  close(): void {
    this.closes++;
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  /** The firmware goes away. */
  lose(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    for (const listener of this.#onLost.splice(0)) listener(reason);
  }

  /** Rings, whether that was asked for or not. */
  ring(): void {
    if (this.closes === 0 && this.#lost === null) this.#onCall();
  }

  /** From now on the memory changes while it is read, as the source says. */
  change(source: ByteSource, limit: number): void {
    this.shared.rule = new ChangingRule(this.shared.raw, source, limit);
  }

  /** The memory stands still again. */
  rest(): void {
    this.shared.rule = {};
  }

  #usedAt(queue: number): number {
    const ring = this.rings[queue] as Ring;
    return ring.address - BASE + ring.usedOffset;
  }

  /** The used index as the firmware last left it. */
  usedIndex(queue: number): number {
    return this.shared.view.getUint16(this.#usedAt(queue) + 2, true);
  }

  setUsedIndex(queue: number, index: number): void {
    this.shared.view.setUint16(this.#usedAt(queue) + 2, index & 0xffff, true);
  }

  /** One used entry, and the index past it. */
  use(queue: number, head: number, sizeBytes: number): void {
    const { size } = this.rings[queue] as Ring;
    const index = this.usedIndex(queue);
    const at = this.#usedAt(queue) + 4 + (index % size) * 8;
    this.shared.view.setUint32(at, head, true);
    this.shared.view.setUint32(at + 4, sizeBytes, true);
    this.setUsedIndex(queue, index + 1);
  }

  /** The next chain that the driver offered; null when there is none. What was scribbled over is told as it is now. */
  take(queue: number): Chain | null {
    const { size, address, availableOffset } = this.rings[queue] as Ring;
    const { view } = this.shared;
    const at = address - BASE;
    const next = this.#nextAvailable[queue] as number;
    if (view.getUint16(at + availableOffset + 2, true) === next) return null;
    this.#nextAvailable[queue] = (next + 1) & 0xffff;
    const head = view.getUint16(at + availableOffset + 4 + (next % size) * 2, true);
    const parts: Part[] = [];
    for (let index = head, left = 4; left > 0 && index < size; left--) {
      const entry = at + index * 16;
      const offset = view.getUint32(entry, true) - BASE;
      const sizeBytes = view.getUint32(entry + 8, true);
      const flags = view.getUint16(entry + 12, true);
      if (offset >= 0 && offset + sizeBytes <= this.shared.raw.length)
        parts.push({ offset, sizeBytes, isWritable: (flags & 2) !== 0 });
      if ((flags & 1) === 0) break;
      index = view.getUint16(entry + 14, true);
    }
    return { head, parts };
  }

  /** Some bytes of what is shared become something else. */
  scribble(source: ByteSource, count: number): void {
    const { raw } = this.shared;
    for (let i = 0; i < count; i++)
      rewrite(raw, source, GUARD_BYTES + source.below(raw.length - 2 * GUARD_BYTES), source.pick([1, 2, 4]));
  }
}
