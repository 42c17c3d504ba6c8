import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_OUT,
  IRQ_FALLING,
  IRQ_LEVEL_HIGH,
  IRQ_NONE,
  IRQ_RISING,
  RESULT_INVALID,
  RESULT_OK,
} from '../gpio/chip.ts';
import { LocalEdge } from '../gpio/local-edge.ts';

/**
 * A chip in this process: lines `sim0`, `sim1`, …; line 2k is wired to line 2k+1, so an output on one is the input level of
 * the other, and edges can be made from a guest's side. Tests drive inputs with {@link drive}.
 */
export class SimulatedChip implements Chip {
  readonly name: string;
  readonly label = 'simulated';
  readonly lineCount: number;
  readonly streamsLevels = true;
  readonly available: boolean = true;
  /** What each line would put out. */
  readonly #values: Uint8Array;
  readonly #directions: Uint8Array;
  /** What outside drives each line to while it is no output. */
  readonly #driven: Uint8Array;
  readonly #irqTypes: Uint8Array;
  /** The level on each wire as of its last change: operations may come from within the answer of another one. */
  readonly #levels: Uint8Array;
  readonly #names: readonly string[];
  /** An edge for each level of a consumer that sets a line while it is told of an edge. */
  readonly #edges: LocalEdge[] = [];
  #depth = 0;
  #listener: ChipListener | null = null;
  #seq = 0;

  constructor(name: string, lineCount: number, names?: readonly string[]) {
    this.name = name;
    this.lineCount = lineCount;
    this.#names = names ?? Array.from({ length: lineCount }, (_, i) => `sim${i}`);
    this.#values = new Uint8Array(lineCount);
    this.#directions = new Uint8Array(lineCount);
    this.#driven = new Uint8Array(lineCount);
    this.#irqTypes = new Uint8Array(lineCount);
    this.#levels = new Uint8Array(lineCount);
  }

  lineName(offset: number): string {
    return this.#names[offset] ?? '';
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  /** The level on the wire. */
  level(offset: number): number {
    if (this.#directions[offset] === DIRECTION_OUT) return this.#values[offset] as number;
    const partner = offset ^ 1;
    if (partner < this.lineCount && this.#directions[partner] === DIRECTION_OUT)
      return this.#values[partner] as number;
    return this.#driven[offset] as number;
  }

  /** Drives an input from outside. Without effect while the line is an output or its partner drives it. */
  drive(offset: number, level: 0 | 1): void {
    this.#driven[offset] = level;
    this.#settle(offset);
  }

  getDirection(offset: number, done: Completion, token: number): void {
    done.complete(token, RESULT_OK, this.#directions[offset] as number);
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    this.#directions[offset] = direction;
    if (direction === 0) this.#irqTypes[offset] = IRQ_NONE;
    done.complete(token, RESULT_OK, 0);
    this.#settle(offset);
    this.#settle(offset ^ 1);
  }

  getValue(offset: number, done: Completion, token: number): void {
    done.complete(token, RESULT_OK, this.level(offset));
  }

  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#values[offset] = level;
    done.complete(token, RESULT_OK, 0);
    this.#settle(offset);
    this.#settle(offset ^ 1);
  }

  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    const before = this.#irqTypes[offset];
    // As any device of this protocol: not on an output, and a change only through none.
    const isChange = before !== IRQ_NONE && before !== type;
    if (type !== IRQ_NONE && (isChange || this.#directions[offset] === DIRECTION_OUT))
      return done.complete(token, RESULT_INVALID, 0);
    this.#irqTypes[offset] = type;
    // What changed before is no edge for who subscribes now.
    this.#levels[offset] = this.level(offset);
    done.complete(token, RESULT_OK, 0);
  }

  /** Tells of a level that has changed since it was last looked at. */
  #settle(offset: number): void {
    if (offset >= this.lineCount) return;
    const level = this.level(offset);
    if (level === this.#levels[offset]) return;
    this.#levels[offset] = level;
    if (this.#directions[offset] === DIRECTION_OUT) return;
    const type = this.#irqTypes[offset] as number;
    if (type === IRQ_NONE || (type === IRQ_RISING && level === 0) || (type === IRQ_FALLING && level === 1))
      return;
    if (type >= IRQ_LEVEL_HIGH && level !== (type === IRQ_LEVEL_HIGH ? 1 : 0)) return;
    this.#edges[this.#depth] ??= new LocalEdge();
    const edge = (this.#edges[this.#depth] as LocalEdge).at(offset, level);
    this.#seq = (this.#seq + 1) >>> 0;
    edge.seq = this.#seq;
    this.#depth++;
    try {
      this.#listener?.edge(edge);
    } finally {
      this.#depth--;
    }
  }

  flush(): void {
    // Nothing is on its way: every operation was answered in its own call.
  }

  close(): void {
    this.#listener = null;
  }
}
