import { type Edge, IRQ_BOTH } from '../gpio/chip.ts';
import { LocalEdge } from '../gpio/local-edge.ts';
import {
  LINE_EVENT_FALLING_EDGE,
  LINE_EVENT_ID_OFFSET,
  LINE_EVENT_LINE_SEQNO_OFFSET,
  LINE_EVENT_RISING_EDGE,
  LINE_EVENT_SIZE,
  LINE_EVENT_TIMESTAMP_OFFSET,
} from '../wire/gpio-uapi.ts';
import type { GpioKernel } from './gpio-kernel.ts';
import type { HeldLine } from './held-line.ts';

/** Events of one read. */
const BATCH = 16;
/** Reads of one turn, so that a line that rattles does not starve the others; the poll calls again at once. */
const MAX_READS = 16;

/** Of an event, in 32-bit words. */
const TIMESTAMP_WORD = LINE_EVENT_TIMESTAMP_OFFSET / 4;
const ID_WORD = LINE_EVENT_ID_OFFSET / 4;
const LINE_SEQNO_WORD = LINE_EVENT_LINE_SEQNO_OFFSET / 4;

/** asm-generic/errno.h */
const EIO = 5;
const EAGAIN = 11;

/** Reads the edges of all lines of a chip. Allocates nothing for an edge. */
export class LineEvents {
  /** Edges that the kernel counted and had no room to keep. */
  dropped = 0;
  /** Events that made no sense. */
  malformed = 0;
  readonly #kernel: GpioKernel;
  readonly #bytes = new Uint8Array(BATCH * LINE_EVENT_SIZE);
  readonly #words = new Uint32Array(this.#bytes.buffer);
  readonly #edge = new LocalEdge();
  /** Counts the edges of all lines, those that were dropped too. */
  #seq = 0;

  constructor(kernel: GpioKernel) {
    this.#kernel = kernel;
  }

  /**
   * Takes what there is, in the kernel's order.
   * @returns 0, or the negative errno that reading ended with
   */
  read(line: HeldLine, sink: (edge: Edge) => void): number {
    const { subscription } = line;
    for (let reads = 0; reads < MAX_READS; reads++) {
      const sizeBytes = this.#kernel.read(line.fd, this.#bytes);
      if (sizeBytes === -EAGAIN) return 0;
      if (sizeBytes <= 0) return sizeBytes === 0 ? -EIO : sizeBytes;
      for (let at = 0; at + LINE_EVENT_SIZE <= sizeBytes; at += LINE_EVENT_SIZE) {
        this.#tell(line, at / 4, sink);
        // The listener may have ended it: what is left is nobody's.
        if (line.subscription !== subscription) return 0;
      }
      if (sizeBytes < this.#bytes.length) return 0;
    }
    return 0;
  }

  #tell(line: HeldLine, word: number, sink: (edge: Edge) => void): void {
    const words = this.#words;
    const id = words[word + ID_WORD] as number;
    const lineSeqno = words[word + LINE_SEQNO_WORD] as number;
    const lost = (lineSeqno - line.lineSeqno - 1) >>> 0;
    // A count that goes back has lost nothing that could be counted.
    const dropped = lost < 0x80000000 ? lost : 0;
    line.lineSeqno = lineSeqno;
    this.dropped += dropped;
    this.#seq = (this.#seq + 1 + dropped) >>> 0;
    if (id !== LINE_EVENT_RISING_EDGE && id !== LINE_EVENT_FALLING_EDGE) {
      this.malformed++;
      return;
    }
    const edge = this.#edge;
    edge.offset = line.offset;
    edge.level = id === LINE_EVENT_RISING_EDGE ? 1 : 0;
    edge.seq = this.#seq;
    // The same level twice: the kernel reads the level in a thread of its own, after the interrupt; when the line has changed
    // back until then, one event stands for both changes.
    edge.merged = dropped > 0 || (line.irqType === IRQ_BOTH && edge.level === line.toldLevel);
    line.toldLevel = edge.level;
    edge.timeNs =
      (words[word + TIMESTAMP_WORD + 1] as number) * 0x1_0000_0000 + (words[word + TIMESTAMP_WORD] as number);
    sink(edge);
  }
}
