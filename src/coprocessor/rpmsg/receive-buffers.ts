import type { MemoryWindow } from '../../virtqueue/address-space.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import { DESTINATION_OFFSET, HEADER_SIZE, LENGTH_OFFSET, SOURCE_OFFSET } from '../../wire/rpmsg.ts';
import type { BoundVdev } from '../vdev.ts';
import { BUFFER_ALIGN, bufferStride } from './buffer-stride.ts';

/** A message as it was copied out; the payload is valid during the call only. */
export type MessageSink = (source: number, destination: number, payload: Uint8Array) => void;

/** Views of the private copy are kept for payloads up to this length: longer ones are rare, and anybody's memory. */
const MAX_KEPT_VIEW_BYTES = 1024;

/**
 * The pool of vring 0: a buffer a descriptor, all of them the co-processor's but while one is read. A message is copied out once,
 * checked as a copy, and its buffer is offered again before anybody sees the copy; the ring's index moves with the next
 * `publish()` of the queue.
 */
export class ReceiveBuffers {
  /** Messages handed on. */
  received = 0;
  /** Used buffers that cannot hold a header. */
  short = 0;
  /** Messages that claim more bytes than their buffer has used. */
  oversized = 0;
  readonly #queue: DriverQueue;
  readonly #bufferBytes: number;
  readonly #stride: number;
  readonly #address: number;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #slotOfHead: Int32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #views: (Uint8Array | undefined)[] = [];
  #closed = false;

  /**
   * Offers all buffers; not published yet.
   * @throws CoprocessorError ERR_CARVEOUT when they do not fit the vdev's buffer memory
   */
  constructor(vdev: BoundVdev, queue: DriverQueue, bufferBytes: number) {
    this.#queue = queue;
    this.#bufferBytes = bufferBytes;
    this.#stride = bufferStride(bufferBytes);
    const sizeBytes = queue.size * this.#stride;
    const what = `${queue.size} rpmsg receive buffers of ${bufferBytes} bytes`;
    this.#address = vdev.buffers.allocate(sizeBytes, BUFFER_ALIGN, what);
    this.#window = vdev.memory.require(what, this.#address, sizeBytes, BUFFER_ALIGN);
    this.#base = vdev.memory.offset;
    this.#slotOfHead = new Int32Array(queue.size).fill(-1);
    this.#words = new Uint32Array(this.#stride / 4);
    this.#bytes = new Uint8Array(this.#words.buffer);
    for (let slot = 0; slot < queue.size; slot++) this.#post(slot);
  }

  #post(slot: number): void {
    const head = this.#queue.add(0, 0, this.#address + slot * this.#stride, this.#bufferBytes);
    if (head >= 0) this.#slotOfHead[head] = slot;
  }

  /** Takes at most `budget` buffers; returns how many there were. */
  poll(budget: number, sink: MessageSink): number {
    const queue = this.#queue;
    let count = 0;
    while (count < budget && !this.#closed) {
      const head = queue.popUsed();
      if (head < 0) break;
      count++;
      const slot = this.#slotOfHead[head] as number;
      this.#slotOfHead[head] = -1;
      this.#take(slot, queue.usedBytes, sink);
    }
    return count;
  }

  #take(slot: number, usedBytes: number, sink: MessageSink): void {
    if (usedBytes < HEADER_SIZE) {
      this.short++;
      return this.#post(slot);
    }
    const { u8, u32 } = this.#window;
    const at = this.#base + slot * this.#stride;
    const source = u32[(at + SOURCE_OFFSET) >>> 2] as number;
    const destination = u32[(at + DESTINATION_OFFSET) >>> 2] as number;
    // The flags in the upper half mean nothing.
    const length = (u32[(at + LENGTH_OFFSET) >>> 2] as number) & 0xffff;
    if (length > usedBytes - HEADER_SIZE) {
      this.oversized++;
      return this.#post(slot);
    }
    const from = at + HEADER_SIZE;
    const words = length >>> 2;
    for (let i = 0; i < words; i++) this.#words[i] = u32[(from >>> 2) + i] as number;
    for (let i = words * 4; i < length; i++) this.#bytes[i] = u8[from + i] as number;
    this.#post(slot);
    this.received++;
    sink(source, destination, this.#view(length));
  }

  #view(length: number): Uint8Array {
    if (length > MAX_KEPT_VIEW_BYTES) return this.#bytes.subarray(0, length);
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#bytes.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }

  /** Nothing is taken any more, also not by a pass that is under way. */
  close(): void {
    this.#closed = true;
  }
}
