import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_FALLING,
  IRQ_LEVEL_HIGH,
  IRQ_NONE,
  IRQ_RISING,
  LEVEL_UNKNOWN,
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
} from '../../gpio/chip.ts';
import * as wire from '../../wire/metux-gpio.ts';

export const KIND_GET_DIRECTION = 0;
export const KIND_SET_DIRECTION = 1;
export const KIND_GET_VALUE = 2;
export const KIND_SET_VALUE = 3;
export const KIND_SET_IRQ_TYPE = 4;
/** Whether the device answers at all, whatever it says. */
export const KIND_PROBE = 5;

const UNKNOWN = -1;

/** What is asked of one line: a message or a few, one after the other. */
export interface LineTask {
  readonly kind: number;
  readonly line: number;
  /** Direction, level or interrupt type. */
  readonly value: number;
}

/** How a task ended, as {@link MetuxLines} found: its fields are used again. */
export interface Outcome {
  result: number;
  value: number;
}

/** The next command of a task; END = it has ended, see {@link MetuxLines.outcome}. */
export const END = -1;

function resultOf(negativeErrno: number): number {
  if (negativeErrno === -wire.EBUSY) return RESULT_BUSY;
  return negativeErrno === -wire.EINVAL ? RESULT_INVALID : RESULT_FAILED;
}

/**
 * What is known of a metux device's lines, and what its messages stand for (docs/dialects.md): which command a task sends next,
 * and what the replies tell. Knows nothing of queues and time.
 *
 * The device has no direction none (an input instead), no value that waits for its direction (kept here: DIRECTION_OUTPUT
 * takes both at once) and no interrupt types: it tells of every change of an input, so subscriptions are a filter here.
 */
export class MetuxLines {
  /** Replies whose value makes no sense. */
  badValues = 0;
  /** LEVEL messages that tell of no change. */
  repeated = 0;
  /** Command's value, and how the task that has ended did so. */
  argument = 0;
  readonly outcome: Outcome = { result: RESULT_OK, value: 0 };
  readonly #requested: Uint8Array;
  /** As the device last confirmed; UNKNOWN after it did not. */
  readonly #directions: Int8Array;
  /** Value for when the line becomes an output; -1 = none. */
  readonly #kept: Int8Array;
  readonly #irqTypes: Uint8Array;
  /** Level as the last LEVEL said, or the read that began the subscription. */
  readonly #told: Int8Array;
  /** Level heard of last, by LEVEL or by a read, which may be ahead of the LEVEL that is on its way. */
  readonly #heard: Int8Array;

  constructor(lineCount: number) {
    this.#requested = new Uint8Array(lineCount);
    this.#directions = new Int8Array(lineCount).fill(UNKNOWN);
    this.#kept = new Int8Array(lineCount).fill(LEVEL_UNKNOWN);
    this.#irqTypes = new Uint8Array(lineCount);
    this.#told = new Int8Array(lineCount).fill(LEVEL_UNKNOWN);
    this.#heard = new Int8Array(lineCount).fill(LEVEL_UNKNOWN);
  }

  #end(result: number, value = 0): number {
    this.outcome.result = result;
    this.outcome.value = value;
    return END;
  }

  #send(command: number, value = 0): number {
    this.argument = value;
    return command;
  }

  /** The first command of a task, or the next one after a reply that did not end it. */
  next({ kind, line, value }: LineTask): number {
    // gpiolib asks for directions before anybody requests a line, so devices know that.
    if (kind === KIND_GET_DIRECTION || kind === KIND_PROBE) return this.#send(wire.METUX_GET_DIRECTION);
    if (kind === KIND_SET_IRQ_TYPE && value === IRQ_NONE) return this.#unsubscribe(line);
    if (this.#requested[line] === 0) return this.#send(wire.METUX_REQUEST);
    const direction = this.#directions[line] as number;
    switch (kind) {
      case KIND_GET_VALUE:
        return this.#send(wire.METUX_GET_LEVEL);
      case KIND_SET_VALUE:
        if (direction === UNKNOWN) return this.#send(wire.METUX_GET_DIRECTION);
        if (direction === DIRECTION_OUT) return this.#send(wire.METUX_SET_LEVEL, value);
        this.#kept[line] = value;
        return this.#end(RESULT_OK);
      case KIND_SET_DIRECTION:
        return value === DIRECTION_OUT ? this.#nextOfOutput(line) : this.#send(wire.METUX_DIRECTION_INPUT);
      default:
        if (direction === UNKNOWN) return this.#send(wire.METUX_GET_DIRECTION);
        if (direction === DIRECTION_OUT) return this.#end(RESULT_INVALID);
        // The level that the first change is one against.
        return this.#send(wire.METUX_GET_LEVEL);
    }
  }

  #unsubscribe(line: number): number {
    this.#irqTypes[line] = IRQ_NONE;
    return this.#end(RESULT_OK);
  }

  /** Without a value set before, the line goes on with the level that it has. */
  #nextOfOutput(line: number): number {
    const kept = this.#kept[line] as number;
    if (kept !== LEVEL_UNKNOWN) return this.#send(wire.METUX_DIRECTION_OUTPUT, kept);
    const direction = this.#directions[line] as number;
    if (direction === UNKNOWN) return this.#send(wire.METUX_GET_DIRECTION);
    return direction === DIRECTION_OUT ? this.#end(RESULT_OK) : this.#send(wire.METUX_GET_LEVEL);
  }

  /** A command is given up, or its reply lost: what it did is not known. */
  unanswered(command: number, line: number): void {
    if (command === wire.METUX_DIRECTION_INPUT || command === wire.METUX_DIRECTION_OUTPUT) {
      this.#directions[line] = UNKNOWN;
      this.#kept[line] = LEVEL_UNKNOWN;
    }
  }

  /**
   * The reply to a command of a task; null = of one that was given up.
   * @returns the task's next command, or END
   */
  replied(task: LineTask | null, command: number, line: number, value: number): number {
    if (task?.kind === KIND_PROBE) return this.#end(RESULT_OK);
    if (value < 0) return this.#refused(task, command, line, value);
    switch (command) {
      case wire.METUX_REQUEST:
        this.#requested[line] = 1;
        break;
      case wire.METUX_GET_DIRECTION:
        if (value > wire.METUX_DIRECTION_IN) return this.#bad();
        // Of a late one, nothing: directions may have been set since.
        if (task === null) return END;
        this.#directions[line] = value === wire.METUX_DIRECTION_OUT ? DIRECTION_OUT : DIRECTION_IN;
        if (task.kind === KIND_GET_DIRECTION) return this.#end(RESULT_OK, this.#directions[line] as number);
        break;
      case wire.METUX_GET_LEVEL:
        return value > 1 ? this.#bad() : this.#levelRead(task, line, value);
      case wire.METUX_SET_LEVEL:
        // "The new level": devices that only say 0 for success are in the field, too.
        return this.#end(RESULT_OK);
      case wire.METUX_DIRECTION_OUTPUT:
        this.#redirected(line, task === null ? UNKNOWN : DIRECTION_OUT);
        return this.#end(RESULT_OK);
      default:
        this.#redirected(line, task === null ? UNKNOWN : DIRECTION_IN);
        if (task?.value === DIRECTION_NONE) this.#irqTypes[line] = IRQ_NONE;
        return this.#end(RESULT_OK);
    }
    return task === null ? END : this.next(task);
  }

  #redirected(line: number, direction: number): void {
    this.#directions[line] = direction;
    this.#kept[line] = LEVEL_UNKNOWN;
    if (direction === DIRECTION_OUT) this.#irqTypes[line] = IRQ_NONE;
  }

  #levelRead(task: LineTask | null, line: number, level: number): number {
    if (task === null) return END;
    this.#heard[line] = level;
    switch (task.kind) {
      case KIND_SET_DIRECTION:
        this.#kept[line] = level;
        return this.next(task);
      case KIND_SET_IRQ_TYPE:
        this.#irqTypes[line] = task.value;
        this.#told[line] = level;
        return this.#end(RESULT_OK);
      default:
        return this.#end(RESULT_OK, level);
    }
  }

  #refused(task: LineTask | null, command: number, line: number, errno: number): number {
    if (command === wire.METUX_REQUEST && (errno === -wire.ENOSYS || errno === -wire.EOPNOTSUPP)) {
      // A device that has no use for it.
      this.#requested[line] = 1;
      return task === null ? END : this.next(task);
    }
    this.unanswered(command, line);
    // It may not be the output that it was.
    if (command === wire.METUX_SET_LEVEL) this.#directions[line] = UNKNOWN;
    return this.#end(resultOf(errno));
  }

  #bad(): number {
    this.badValues++;
    return this.#end(RESULT_FAILED);
  }

  /** A LEVEL of a line. @returns whether it is an edge that somebody subscribed to */
  level(line: number, level: number): boolean {
    const type = this.#irqTypes[line] as number;
    // A read ahead of its LEVEL is no reason to miss that one, and a lost LEVEL none to miss the next.
    const isChange = level !== this.#told[line] || level !== this.#heard[line];
    this.#told[line] = level;
    this.#heard[line] = level;
    if (type === IRQ_NONE) return false;
    if (!isChange) {
      this.repeated++;
      return false;
    }
    if (type === IRQ_RISING) return level === 1;
    if (type === IRQ_FALLING) return level === 0;
    return type < IRQ_LEVEL_HIGH || level === (type === IRQ_LEVEL_HIGH ? 1 : 0);
  }
}
