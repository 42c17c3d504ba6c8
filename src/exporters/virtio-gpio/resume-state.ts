import { DIRECTION_IN, DIRECTION_NONE, DIRECTION_OUT, IRQ_NONE } from '../../gpio/chip.ts';
import { isIrqType } from '../../gpio/interrupt.ts';
import { InflightRegion, inflightRegionBytes } from './inflight.ts';

/**
 * | offset | field | |
 * |---|---|---|
 * | 0 | le32 magic | |
 * | 4 | le32 identity | of the lines, so that another selection of lines is not taken for this one |
 * | 8 | le32 queueSize | entries of the region below; 0 = none |
 * | 16 | lines[] | 4 bytes each: u8 interrupt type, u8 direction, u8 held level (0 none, 1 low, 2 high), u8 0 |
 * | then, 64-byte aligned | the region of the event queue | inflight.ts |
 */
const MAGIC = 0x31726772;
const IDENTITY_WORD = 1;
const QUEUE_SIZE_WORD = 2;
const LINES_OFFSET = 16;
const LINE_SIZE = 4;
const ALIGN = 64;
/** The largest event queue that is kept track of. */
const MAX_QUEUE_SIZE = 1024;

/** What a guest had set on one line. */
export interface ResumedLine {
  /** IRQ_ of gpio/chip.ts */
  readonly irqType: number;
  /** DIRECTION_ of gpio/chip.ts */
  readonly direction: number;
  /** Level that it set last; -1 = none. */
  readonly level: number;
}

/**
 * What a guest's driver takes for given and tells nobody again after a restart of this service: interrupt types, directions,
 * output levels; and which event buffers it has offered (of which a front-end without INFLIGHT_SHMFD tells nothing). Kept in
 * memory of the caller's, written with plain stores: the memory of a process for a front-end that comes back, a mapped file
 * (resume-file.ts) for a service that does.
 */
export class ResumeState {
  readonly lineCount: number;
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #regionOffset: number;

  /** Bytes that it takes. */
  static bytes(lineCount: number): number {
    return regionOffset(lineCount) + inflightRegionBytes(MAX_QUEUE_SIZE);
  }

  /**
   * @param buffer {@link bytes} bytes at least; what lies in it is kept when it is of the same lines
   * @param identity of the lines (names and order), 32 bits
   */
  constructor(lineCount: number, identity: number, buffer?: ArrayBufferLike) {
    const memory = buffer ?? new ArrayBuffer(ResumeState.bytes(lineCount));
    this.lineCount = lineCount;
    this.#regionOffset = regionOffset(lineCount);
    this.#u8 = new Uint8Array(memory);
    this.#u32 = new Uint32Array(memory, 0, memory.byteLength >>> 2);
    const word = identity >>> 0;
    if (this.#u32[0] === MAGIC && this.#u32[IDENTITY_WORD] === word) return;
    Atomics.store(this.#u32, 0, 0);
    this.clear();
    this.#u32[QUEUE_SIZE_WORD] = 0;
    this.#u32[IDENTITY_WORD] = word;
    Atomics.store(this.#u32, 0, MAGIC);
  }

  /** The driver starts anew: nothing is set. What is in flight is the rings' to forget. */
  clear(): void {
    for (let line = 0; line < this.lineCount; line++) this.#u32[(LINES_OFFSET + line * LINE_SIZE) / 4] = 0;
  }

  /** Outputs and held levels are given up; interrupts are still the guest's. */
  clearOutputs(): void {
    for (let line = 0; line < this.lineCount; line++) {
      const at = LINES_OFFSET + line * LINE_SIZE;
      if (this.#u8[at + 1] === DIRECTION_OUT) this.#u8[at + 1] = DIRECTION_NONE;
      this.#u8[at + 2] = 0;
    }
  }

  /** The line is set so now. @param level -1 = as it is recorded; forgotten when the direction is none */
  record(line: number, irqType: number, direction: number, level: number): void {
    const at = LINES_OFFSET + line * LINE_SIZE;
    this.#u8[at] = irqType;
    this.#u8[at + 1] = direction;
    if (level >= 0) this.#u8[at + 2] = level + 1;
  }

  /** SET_DIRECTION(none): the level is forgotten. */
  forgetLevel(line: number): void {
    this.#u8[LINES_OFFSET + line * LINE_SIZE + 2] = 0;
  }

  /** What is recorded; numbers that mean nothing read as not set. */
  line(line: number): ResumedLine {
    const at = LINES_OFFSET + line * LINE_SIZE;
    const irqType = this.#u8[at] as number;
    const direction = this.#u8[at + 1];
    const level = this.#u8[at + 2];
    return {
      irqType: isIrqType(irqType) ? irqType : IRQ_NONE,
      direction: direction === DIRECTION_IN || direction === DIRECTION_OUT ? direction : DIRECTION_NONE,
      level: level === 1 || level === 2 ? level - 1 : -1,
    };
  }

  /** Tracking of the event queue; null for one that is too big. */
  eventRegion(queueSize: number): InflightRegion | null {
    if (queueSize > MAX_QUEUE_SIZE) return null;
    const region = new InflightRegion(this.#u8.buffer, this.#regionOffset, queueSize);
    if (Atomics.load(this.#u32, QUEUE_SIZE_WORD) !== queueSize) {
      region.discard();
      Atomics.store(this.#u32, QUEUE_SIZE_WORD, queueSize);
    }
    return region;
  }
}

function regionOffset(lineCount: number): number {
  return Math.ceil((LINES_OFFSET + lineCount * LINE_SIZE) / ALIGN) * ALIGN;
}

/** Tells selections of lines apart: a 32-bit FNV-1a hash of the names block and the number of lines. */
export function linesIdentity(lineCount: number, names: Uint8Array): number {
  let hash = 0x811c9dc5 ^ lineCount;
  for (const byte of names) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
