/**
 * A chip: a set of GPIO lines behind some transport. What every dialect and every simulated or local chip implements.
 *
 * Numbers are virtio-gpio's (virtio 1.2, section 5.18), because most of the traffic is: directions 0 none, 1 out, 2 in;
 * interrupt types 0 none, 1 rising, 2 falling, 3 both, 4 level high, 8 level low.
 */

export const DIRECTION_NONE = 0;
export const DIRECTION_OUT = 1;
export const DIRECTION_IN = 2;

export const IRQ_NONE = 0;
export const IRQ_RISING = 1;
export const IRQ_FALLING = 2;
export const IRQ_BOTH = 3;
export const IRQ_LEVEL_HIGH = 4;
export const IRQ_LEVEL_LOW = 8;

/** A level that is not known. */
export const LEVEL_UNKNOWN = -1;

/** Outcome of an operation on a line. Everything but RESULT_OK is an ERR to a guest, and a reason to a person. */
export const RESULT_OK = 0;
export const RESULT_FAILED = 1;
export const RESULT_TIMEOUT = 2;
export const RESULT_UNAVAILABLE = 3;
export const RESULT_BUSY = 4;
export const RESULT_REFUSED = 5;
export const RESULT_INVALID = 6;

/** What a result says to a person, by result. */
export const RESULT_TEXTS = [
  'ok',
  'the chip answered with an error',
  'the chip did not answer in time',
  'the chip is unavailable',
  'busy: another consumer owns the line',
  'refused: this consumer may only read the line',
  'invalid for the present state of the line',
] as const;

/**
 * Takes the outcome of an operation. One object serves many operations, told apart by `token`: nothing is allocated and no
 * promise made per message. May be called before the operation's call returns.
 */
export interface Completion {
  complete(token: number, result: number, value: number): void;
}

/**
 * One level change. The object is used again for the next one: copy what must be kept. A chip leaves it as it is until
 * {@link ChipListener.edge} has returned, also when it is asked for something meanwhile that causes another edge.
 */
export interface Edge {
  /** Offset of the line in its chip. */
  readonly offset: number;
  /** The level after the change: 0 or 1; -1 when the chip does not tell. */
  readonly level: number;
  /** The chip's count of changes; a gap means that changes were dropped on the way. 0 when the chip does not count. */
  readonly seq: number;
  /** Earlier changes of this line were merged into this one. */
  readonly merged: boolean;
  /** CLOCK_MONOTONIC of this host, in nanoseconds. */
  readonly timestampNs: bigint;
}

export interface ChipListener {
  edge(edge: Edge): void;
  /** The chip went away (or came back); pending operations have been completed before. */
  availability(available: boolean, reason: string): void;
}

export interface Chip {
  readonly name: string;
  /** What kind of chip it is, for people: `virtio-gpio on hub`, `simulated`. */
  readonly label: string;
  readonly lineCount: number;
  /** Whether edges carry the level after the change, so that a level shadow can be trusted. */
  readonly streamsLevels: boolean;
  readonly available: boolean;
  /** Each operation holds up the caller until it is done (a system call, maybe a slow bus behind it): few are asked for in one go. */
  readonly blocks?: boolean;
  /** What it counts of the other side's faults and losses, by name, since that was started last. */
  readonly counters?: Readonly<Record<string, number>>;
  /** The name that the chip gives the line, '' for none. */
  lineName(offset: number): string;
  getDirection(offset: number, done: Completion, token: number): void;
  setDirection(offset: number, direction: number, done: Completion, token: number): void;
  getValue(offset: number, done: Completion, token: number): void;
  setValue(offset: number, level: number, done: Completion, token: number): void;
  /** Subscribes to (or, with IRQ_NONE, unsubscribes from) edges, which then come through the listener. */
  setIrqType(offset: number, type: number, done: Completion, token: number): void;
  /** End of a batch of operations: whoever has to be told is told once. */
  flush(): void;
  /** Sets the one listener. */
  listen(listener: ChipListener): void;
  close(): void;
}
