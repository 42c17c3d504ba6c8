import type { MemoryWindow } from '../../virtqueue/address-space.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import {
  DESTINATION_OFFSET,
  HEADER_SIZE,
  LENGTH_OFFSET,
  RESERVED_OFFSET,
  SOURCE_OFFSET,
} from '../../wire/rpmsg.ts';
import type { BoundVdev } from '../vdev.ts';
import { BUFFER_ALIGN, bufferStride } from './buffer-stride.ts';

/**
 * The pool of vring 1: a buffer a descriptor. Which buffers are free is known here alone, by what the co-processor returned;
 * nothing in shared memory can make one free that is not.
 */
export class TransmitBuffers {
  /** Messages put into the ring. */
  sent = 0;
  readonly #queue: DriverQueue;
  readonly #stride: number;
  readonly #address: number;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #slotOfHead: Int32Array;
  /** A stack: the buffer that came back last is the one most likely in somebody's cache. */
  readonly #freeSlots: Int32Array;
  #free: number;

  /** @throws CoprocessorError ERR_CARVEOUT when the buffers do not fit the vdev's buffer memory */
  constructor(vdev: BoundVdev, queue: DriverQueue, bufferBytes: number) {
    this.#queue = queue;
    this.#stride = bufferStride(bufferBytes);
    const sizeBytes = queue.size * this.#stride;
    const what = `${queue.size} rpmsg transmit buffers of ${bufferBytes} bytes`;
    this.#address = vdev.buffers.allocate(sizeBytes, BUFFER_ALIGN, what);
    this.#window = vdev.memory.require(what, this.#address, sizeBytes, BUFFER_ALIGN);
    this.#base = vdev.memory.offset;
    this.#slotOfHead = new Int32Array(queue.size).fill(-1);
    this.#free = queue.size;
    this.#freeSlots = Int32Array.from({ length: queue.size }, (_, i) => queue.size - 1 - i);
  }

  /** Takes back what the co-processor has returned, a ring full of it at most. */
  reclaim(): void {
    for (let left = this.#queue.size; left > 0; left--) {
      const head = this.#queue.popUsed();
      if (head < 0) return;
      this.#freeSlots[this.#free++] = this.#slotOfHead[head] as number;
    }
  }

  /**
   * Puts a message into the ring; it becomes visible with the queue's `publish()`. The payload fits, as the caller has checked.
   * @returns false when no buffer is free
   */
  send(source: number, destination: number, payload: Uint8Array): boolean {
    if (this.#free === 0) this.reclaim();
    if (this.#free === 0) return false;
    const slot = this.#freeSlots[--this.#free] as number;
    const length = payload.length;
    const at = this.#base + slot * this.#stride;
    const { u8, u32 } = this.#window;
    u32[(at + SOURCE_OFFSET) >>> 2] = source;
    u32[(at + DESTINATION_OFFSET) >>> 2] = destination;
    u32[(at + RESERVED_OFFSET) >>> 2] = 0;
    u32[(at + LENGTH_OFFSET) >>> 2] = length;
    const to = at + HEADER_SIZE;
    const words = length >>> 2;
    for (let i = 0; i < words; i++) {
      const p = i * 4;
      u32[(to >>> 2) + i] =
        (payload[p] as number) |
        ((payload[p + 1] as number) << 8) |
        ((payload[p + 2] as number) << 16) |
        ((payload[p + 3] as number) << 24);
    }
    for (let i = words * 4; i < length; i++) u8[to + i] = payload[i] as number;
    const head = this.#queue.add(this.#address + slot * this.#stride, HEADER_SIZE + length, 0, 0);
    // As many descriptors as buffers: who has one has the other.
    this.#slotOfHead[head] = slot;
    this.sent++;
    return true;
  }
}
