import { type Completion, DIRECTION_NONE, IRQ_NONE, RESULT_UNAVAILABLE } from './chip.ts';
import type { Line } from './line.ts';

export const OP_GET_VALUE = 0;
export const OP_SET_VALUE = 1;
/** A read of our own: after an event without a level, or to learn the level of a line that is watched. */
export const OP_SETTLE = 2;
export const OP_LEARN = 3;
export const OP_GET_DIRECTION = 4;
export const OP_SET_DIRECTION = 5;
export const OP_IRQ_TYPE = 6;
/** A value or direction that is set again after the chip was away; its completion deals with the answer. */
export const OP_REPLAY = 7;

/** One operation under way at a chip. Used again and again: it is valid until its answer was dealt with. */
export interface Operation {
  readonly index: number;
  kind: number;
  line: Line;
  /** What is set. */
  value: number;
  /** {@link Line.edgeCount} when it was sent. */
  edgeCount: number;
  /** Who asked; null = we. */
  done: Completion | null;
  token: number;
  isOpen: boolean;
  /** It was answered in place of the chip, which may answer yet. */
  isAbandoned: boolean;
}

export interface OperationListener {
  answered(operation: Operation, result: number, value: number): void;
}

/**
 * The operations under way at a chip, as their one completion: an operation's index is its token, so a message allocates
 * nothing. Keeps the lines' counts of what is pending.
 */
export class Operations implements Completion {
  readonly #listener: OperationListener;
  readonly #pool: Operation[] = [];
  readonly #free: Operation[] = [];
  #outstanding = 0;

  constructor(listener: OperationListener) {
    this.#listener = listener;
  }

  /** How many wait for their answers. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** @returns the token for the chip */
  begin(kind: number, line: Line, value: number, done: Completion | null, token: number): number {
    this.#outstanding++;
    line.pending++;
    if (kind > OP_SETTLE) count(kind, line, value, 1);
    const { edgeCount } = line;
    let operation = this.#free.pop();
    if (operation === undefined) {
      const index = this.#pool.length;
      operation = { index, kind, line, value, edgeCount, done, token, isOpen: true, isAbandoned: false };
      this.#pool.push(operation);
      return index;
    }
    operation.kind = kind;
    operation.line = line;
    operation.value = value;
    operation.edgeCount = edgeCount;
    operation.done = done;
    operation.token = token;
    operation.isOpen = true;
    return operation.index;
  }

  complete(index: number, result: number, value: number): void {
    const operation = this.#pool[index] as Operation;
    if (operation.isOpen) this.#answer(operation, result, value);
    else if (operation.isAbandoned) operation.isAbandoned = false;
    else return;
    this.#free.push(operation);
  }

  #answer(operation: Operation, result: number, value: number): void {
    const { kind, line } = operation;
    operation.isOpen = false;
    this.#outstanding--;
    line.pending--;
    if (kind > OP_SETTLE) count(kind, line, operation.value, -1);
    this.#listener.answered(operation, result, value);
    operation.done = null;
  }

  /** The operation itself, by the token that {@link begin} gave. */
  at(index: number): Operation {
    return this.#pool[index] as Operation;
  }

  /** Answers everything in place of a chip that went away without doing so. What it says later is not heard. */
  abandon(): void {
    for (const operation of [...this.#pool]) {
      if (!operation.isOpen) continue;
      operation.isAbandoned = true;
      this.#answer(operation, RESULT_UNAVAILABLE, 0);
    }
  }
}

/** Keeps a line's counts, of the operations that are counted apart. */
function count(kind: number, line: Line, value: number, by: 1 | -1): void {
  if (kind === OP_SET_DIRECTION) {
    line.directionsPending += by;
    if (value === DIRECTION_NONE) line.unsubscriptionsPending += by;
  } else if (kind === OP_LEARN) line.learnsPending += by;
  else if (kind === OP_IRQ_TYPE) {
    line.irqTypesPending += by;
    if (value === IRQ_NONE) line.unsubscriptionsPending += by;
  }
}
