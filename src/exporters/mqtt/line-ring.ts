/**
 * The way from the main thread to the worker: a ring of 16-byte records in shared memory, one writer and one reader. The
 * writer never waits: when the ring is full, the oldest records go, and it counts the level changes among them.
 *
 * The reader copies records first and takes them afterwards, by moving the tail with a compare-exchange; the writer moves the
 * tail in the same way before it writes over unread records. So of two that meet at a record exactly one has it, and what
 * the reader copied while it was written over is never taken (JavaScript's Atomics are sequentially consistent; the plain
 * accesses to records lie between them).
 *
 * Record: float64 time at 0 (CLOCK_MONOTONIC, ns), uint32 sequence number at 8, uint32 what at 12.
 */

/** What a record says, bits 24 and 25: a level change, a line whose tables changed, a chip whose tables changed. */
export const RECORD_EDGE = 0;
export const RECORD_LINE = 1;
export const RECORD_CHIP = 2;

/** Index of the line or chip: bits 0 to 23. */
export const INDEX_MASK = 0xffffff;
export const KIND_SHIFT = 24;
export const KIND_MASK = 0x3;
/** Logical level after the change. */
export const LEVEL_BIT = 1 << 26;
/** The chip merged earlier changes into this one. */
export const MERGED_BIT = 1 << 27;

/** Half a second at 30,000 changes a second: far more than the worker is ever away for, short of standing still. */
export const RING_RECORDS = 16_384;
const SLOT_MASK = RING_RECORDS - 1;
/** Given up at once when the ring is full, so that the writer meets the reader rarely. */
const GIVEN_UP = RING_RECORDS / 8;
/** Copied before they are taken. */
const CHUNK = 256;

/** Indices, as elements of an Int32Array: each in a cache line of its own. */
const HEAD = 0;
const TAIL = 16;
const ASLEEP = 32;
const HEADER_BYTES = 192;
const RECORD_BYTES = 16;

/** Memory of a ring, for both sides. */
export function createRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + RING_RECORDS * RECORD_BYTES);
}

/** The main thread's side. Nothing is allocated by a record. */
export class RingWriter {
  readonly #indices: Int32Array;
  readonly #words: Uint32Array;
  readonly #times: Float64Array;
  #head: number;
  /** At least as old as the real one. */
  #tail: number;
  /** Level changes that were written over before the reader took them. */
  edgesLost = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.#words = new Uint32Array(memory, HEADER_BYTES);
    this.#times = new Float64Array(memory, HEADER_BYTES);
    this.#head = Atomics.load(this.#indices, HEAD);
    this.#tail = Atomics.load(this.#indices, TAIL);
  }

  /** @returns true when the reader sleeps and has to be woken; it is told so once */
  push(what: number, seq: number, timeNs: number): boolean {
    const head = this.#head;
    if (((head - this.#tail) | 0) >= RING_RECORDS) this.#makeRoom();
    const slot = head & SLOT_MASK;
    this.#times[slot * 2] = timeNs;
    this.#words[slot * 4 + 2] = seq;
    this.#words[slot * 4 + 3] = what;
    this.#head = (head + 1) | 0;
    Atomics.store(this.#indices, HEAD, this.#head);
    if (Atomics.load(this.#indices, ASLEEP) === 0) return false;
    return Atomics.exchange(this.#indices, ASLEEP, 0) === 1;
  }

  #makeRoom(): void {
    const tail = Atomics.load(this.#indices, TAIL);
    this.#tail = tail;
    if (((this.#head - tail) | 0) < RING_RECORDS) return;
    const next = (tail + GIVEN_UP) | 0;
    this.#tail = Atomics.compareExchange(this.#indices, TAIL, tail, next);
    // The reader took some meanwhile: there is room.
    if (this.#tail !== tail) return;
    this.#tail = next;
    for (let at = tail; at !== next; at = (at + 1) | 0) {
      const what = this.#words[(at & SLOT_MASK) * 4 + 3] as number;
      if (((what >>> KIND_SHIFT) & KIND_MASK) === RECORD_EDGE) this.edgesLost++;
    }
  }
}

/** Takes one record. */
export type RecordListener = (what: number, seq: number, timeNs: number) => void;

/** The worker's side. */
export class RingReader {
  readonly #indices: Int32Array;
  readonly #words: Uint32Array;
  readonly #times: Float64Array;
  readonly #chunkWords = new Uint32Array(CHUNK * 2);
  readonly #chunkTimes = new Float64Array(CHUNK);
  /** Where the tail was left: when it is elsewhere, records were written over. */
  #tail: number;

  constructor(memory: SharedArrayBuffer) {
    this.#indices = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.#words = new Uint32Array(memory, HEADER_BYTES);
    this.#times = new Float64Array(memory, HEADER_BYTES);
    this.#tail = Atomics.load(this.#indices, TAIL);
  }

  /**
   * Takes all records there are, at most one ring full.
   * @returns whether records were lost before these: their lines' tables have to be looked at, whichever they were
   */
  read(listener: RecordListener): boolean {
    let isLapped = false;
    for (let left = RING_RECORDS; left > 0; left -= CHUNK) {
      const tail = Atomics.load(this.#indices, TAIL);
      if (tail !== this.#tail) isLapped = true;
      const count = Math.min((Atomics.load(this.#indices, HEAD) - tail) | 0, CHUNK);
      this.#tail = tail;
      if (count <= 0) break;
      this.#copy(tail, count);
      const next = (tail + count) | 0;
      if (Atomics.compareExchange(this.#indices, TAIL, tail, next) !== tail) continue;
      this.#tail = next;
      for (let i = 0; i < count; i++) {
        const seq = this.#chunkWords[i * 2] as number;
        listener(this.#chunkWords[i * 2 + 1] as number, seq, this.#chunkTimes[i] as number);
      }
    }
    return isLapped;
  }

  #copy(tail: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const slot = (tail + i) & SLOT_MASK;
      this.#chunkTimes[i] = this.#times[slot * 2] as number;
      this.#chunkWords[i * 2] = this.#words[slot * 4 + 2] as number;
      this.#chunkWords[i * 2 + 1] = this.#words[slot * 4 + 3] as number;
    }
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#indices, HEAD) === Atomics.load(this.#indices, TAIL);
  }

  /** From now on the writer wakes. @returns false when there is something to read already, and nobody will wake */
  sleep(): boolean {
    Atomics.store(this.#indices, ASLEEP, 1);
    // A record that came before the flag was seen woke nobody.
    if (this.isEmpty) return true;
    return Atomics.exchange(this.#indices, ASLEEP, 0) === 0;
  }
}
