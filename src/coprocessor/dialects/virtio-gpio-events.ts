import { LEVEL_UNKNOWN } from '../../gpio/chip.ts';
import { LocalEdge, monotonicNs } from '../../gpio/local-edge.ts';
import type { MemoryWindow } from '../../virtqueue/address-space.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import * as stream from '../../wire/event-stream.ts';
import { EVENT_REQUEST_SIZE, EVENT_RESPONSE_SIZE, EVENT_VALID } from '../../wire/virtio-gpio.ts';
import type { BoundVdev } from '../vdev.ts';

/** Records are as many as the eventq has descriptors, but no more than these: at 200,000 changes a second 20 ms. */
const MAX_RECORDS = 4096;
/** Fewer than these are not worth making do with, when memory is short. */
const MIN_RECORDS = 256;
/** No record lies in the ring for longer: one that seems to comes from a clock that was set back, or runs slower than ours. */
const MAX_DELAY_NS = 10e9;
/** A plain event's slot: le16 gpio at 0, u8 status at 2. */
const SLOT_SIZE = 4;
const STATUS_OFFSET = 2;

export type EdgeSink = (edge: LocalEdge) => void;

/** The eventq of either kind, as the chip uses it. */
export interface EventSource {
  /** Events that made no sense: unknown line, bad length or level. */
  readonly malformed: number;
  /** Changes that the co-processor counted and could not deliver. */
  readonly dropped: number;
  /** Subscribed lines that have no buffer, because all descriptors are in use: their events wait for those of others. */
  readonly starved: number;
  /** The co-processor confirmed the line's subscription. */
  subscribed(line: number): void;
  /** A request that ends the line's subscription is on its way. */
  ending(line: number): void;
  /** It was answered; `done` = the subscription has ended. */
  ended(line: number, done: boolean): void;
  /** Takes at most `budget` events; returns how many. */
  poll(budget: number, sink: EdgeSink): number;
}

/**
 * Event stream: any buffer serves any line, every change is a record with level, count and time (wire/event-stream.ts).
 * Buffers go back in the batch in which they came.
 */
export class StreamedEvents implements EventSource {
  malformed = 0;
  dropped = 0;
  readonly starved = 0;
  readonly #queue: DriverQueue;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #address: number;
  readonly #slotOfHead: Int32Array;
  readonly #lineCount: number;
  readonly #edge = new LocalEdge();
  /**
   * The co-processor's clock against CLOCK_MONOTONIC: the smallest difference seen is the one with the least delay, until it
   * cannot be true any more.
   */
  #clockOffsetNs = Number.POSITIVE_INFINITY;
  #lastSeq = -1;

  constructor(vdev: BoundVdev, queue: DriverQueue, lineCount: number) {
    this.#queue = queue;
    this.#lineCount = lineCount;
    let count = Math.min(queue.size, MAX_RECORDS);
    while (count > MIN_RECORDS && count * stream.SIZE > vdev.buffers.freeBytes / 2) count /= 2;
    this.#address = vdev.buffers.allocate(count * stream.SIZE, stream.SIZE, 'event records');
    this.#window = vdev.memory.require('event records', this.#address, count * stream.SIZE, 8);
    this.#base = vdev.memory.offset;
    this.#slotOfHead = new Int32Array(queue.size).fill(-1);
    for (let slot = 0; slot < count; slot++) this.#post(slot);
    queue.publish();
  }

  #post(slot: number): void {
    const head = this.#queue.add(0, 0, this.#address + slot * stream.SIZE, stream.SIZE);
    if (head >= 0) this.#slotOfHead[head] = slot;
  }

  // Records are not bound to lines: nothing to post for one.
  subscribed(): void {}
  ending(): void {}
  ended(): void {}

  poll(budget: number, sink: EdgeSink): number {
    let count = 0;
    while (count < budget) {
      const head = this.#queue.popUsed();
      if (head < 0) break;
      count++;
      const slot = this.#slotOfHead[head] as number;
      if (slot < 0) continue;
      this.#slotOfHead[head] = -1;
      const at = this.#base + slot * stream.SIZE;
      const line = this.#window.u16[at >>> 1] as number;
      const levelAndFlags = this.#window.u16[(at >>> 1) + 1] as number;
      const seq = this.#window.u32[(at >>> 2) + 1] as number;
      const low = this.#window.u32[(at >>> 2) + 2] as number;
      const high = this.#window.u32[(at >>> 2) + 3] as number;
      const whole = this.#queue.usedBytes === stream.SIZE;
      this.#post(slot);
      const level = levelAndFlags & 0xff;
      if (!whole || line >= this.#lineCount || level > 1) {
        this.malformed++;
        continue;
      }
      const gap = this.#lastSeq < 0 ? 0 : (seq - this.#lastSeq - 1) >>> 0;
      // A count that goes back has lost nothing that could be counted.
      if (gap < 0x80000000) this.dropped += gap;
      this.#lastSeq = seq;
      const clockNs = high * 0x100000000 + low;
      const nowNs = monotonicNs();
      const offsetNs = nowNs - clockNs;
      if (offsetNs < this.#clockOffsetNs || offsetNs > this.#clockOffsetNs + MAX_DELAY_NS)
        this.#clockOffsetNs = offsetNs;
      const edge = this.#edge;
      edge.offset = line;
      edge.level = level;
      edge.seq = seq;
      edge.merged = ((levelAndFlags >>> 8) & stream.FLAG_DROPPED) !== 0;
      // Numbers beyond 2^53 are rounded: never to a time that is yet to come.
      edge.timeNs = Math.min(nowNs, clockNs + this.#clockOffsetNs);
      sink(edge);
    }
    return count;
  }
}

/**
 * The standard's eventq (virtio 1.2, section 5.18.7): a buffer a line, posted while the line is subscribed; returning it is
 * the event. The buffer goes back at once: the co-processor latches meanwhile.
 */
export class PlainEvents implements EventSource {
  malformed = 0;
  readonly dropped = 0;
  readonly #queue: DriverQueue;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #address: number;
  readonly #lineOfHead: Int32Array;
  readonly #wanted: Uint8Array;
  readonly #posted: Uint8Array;
  /** Requests under way that end the line's subscription. */
  readonly #ending: Uint16Array;
  /** The subscription for which the buffer was posted has ended: it comes back as INVALID. */
  readonly #revoked: Uint8Array;
  readonly #edge = new LocalEdge();
  /** Lines whose buffer found no free descriptors, each once. */
  readonly #waiting: number[] = [];
  readonly #isWaiting: Uint8Array;

  constructor(vdev: BoundVdev, queue: DriverQueue, lineCount: number) {
    this.#queue = queue;
    this.#address = vdev.buffers.allocate(lineCount * SLOT_SIZE, 16, 'event buffers');
    this.#window = vdev.memory.require('event buffers', this.#address, lineCount * SLOT_SIZE, 4);
    this.#base = vdev.memory.offset;
    this.#lineOfHead = new Int32Array(queue.size).fill(-1);
    this.#wanted = new Uint8Array(lineCount);
    this.#posted = new Uint8Array(lineCount);
    this.#ending = new Uint16Array(lineCount);
    this.#revoked = new Uint8Array(lineCount);
    this.#isWaiting = new Uint8Array(lineCount);
  }

  get starved(): number {
    return this.#waiting.length;
  }

  subscribed(line: number): void {
    this.#wanted[line] = 1;
    this.#postIfDue(line);
  }

  ending(line: number): void {
    (this.#ending[line] as number)++;
  }

  ended(line: number, done: boolean): void {
    (this.#ending[line] as number)--;
    if (!done) return this.#postIfDue(line);
    this.#wanted[line] = 0;
    // The answers come over another queue than the buffer: it may still be on its way when the next subscription is confirmed.
    this.#revoked[line] = this.#posted[line] as number;
  }

  /** Posts the line's buffer, unless it lies there, or would only be given back: its subscription is about to end. */
  #postIfDue(line: number): void {
    if (this.#wanted[line] === 1 && this.#posted[line] === 0 && this.#ending[line] === 0) this.#post(line);
  }

  #postWaiting(): void {
    // Each of them once: who finds no room goes to the end.
    for (let left = this.#waiting.length; left > 0 && this.#queue.free >= 2; left--) {
      const line = this.#waiting.shift() as number;
      this.#isWaiting[line] = 0;
      this.#postIfDue(line);
    }
  }

  #post(line: number): void {
    const at = this.#base + line * SLOT_SIZE;
    this.#window.u32[at >>> 2] = line;
    const address = this.#address + line * SLOT_SIZE;
    const head = this.#queue.add(address, EVENT_REQUEST_SIZE, address + STATUS_OFFSET, EVENT_RESPONSE_SIZE);
    if (head < 0) {
      if (this.#isWaiting[line] === 0) this.#waiting.push(line);
      this.#isWaiting[line] = 1;
      return;
    }
    this.#lineOfHead[head] = line;
    this.#posted[line] = 1;
  }

  poll(budget: number, sink: EdgeSink): number {
    let count = 0;
    while (count < budget) {
      const head = this.#queue.popUsed();
      if (head < 0) break;
      count++;
      const line = this.#lineOfHead[head] as number;
      if (line < 0) continue;
      this.#lineOfHead[head] = -1;
      this.#posted[line] = 0;
      const at = this.#base + line * SLOT_SIZE + STATUS_OFFSET;
      const valid = this.#queue.usedBytes === EVENT_RESPONSE_SIZE && this.#window.u8[at] === EVENT_VALID;
      const isRevoked = this.#revoked[line] === 1;
      this.#revoked[line] = 0;
      this.#postWaiting();
      // INVALID ends a subscription that was taken back. On a line that is subscribed it is the co-processor's fault, and
      // posting again at once would go round and round: the line stays without a buffer until it is subscribed anew.
      if (valid || isRevoked) this.#postIfDue(line);
      else if (this.#wanted[line] === 1 && this.#ending[line] === 0) this.malformed++;
      if (valid) sink(this.#edge.at(line, LEVEL_UNKNOWN));
    }
    return count;
  }
}
