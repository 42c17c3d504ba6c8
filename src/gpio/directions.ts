import {
  type Chip,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_NONE,
  LEVEL_UNKNOWN,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import type { Line, OutputMaking } from './line.ts';
import type { LineHandle } from './line-handle.ts';
import { LocalEdge } from './local-edge.ts';
import { OP_GET_DIRECTION, OP_SET_DIRECTION, OP_SET_VALUE, type Operations } from './operations.ts';
import type { Retries } from './retries.ts';
import type { Subscriptions } from './subscriptions.ts';

/**
 * Directions of a chip's lines, and how outputs come and go. Whether a consumer may is decided before (LineHandle). Operations
 * of a line reach the chip in the order in which they were decided, so what one owner leaves behind is done before what the
 * next one wants; and every decision ends what was to follow from earlier ones ({@link Line.decide}).
 */
export class Directions {
  readonly #chip: Chip;
  readonly #operations: Operations;
  readonly #subscriptions: Subscriptions;
  readonly #retries: Retries;
  readonly #local = new LocalEdge();

  constructor(chip: Chip, operations: Operations, subscriptions: Subscriptions, retries: Retries) {
    this.#chip = chip;
    this.#operations = operations;
    this.#subscriptions = subscriptions;
    this.#retries = retries;
  }

  #send(line: Line, direction: number, done: Completion | null, token: number): void {
    const operation = this.#operations.begin(OP_SET_DIRECTION, line, direction, done, token);
    this.#chip.setDirection(line.offset, direction, this.#operations, operation);
  }

  #sendValue(line: Line, level: number, done: Completion): void {
    const operation = this.#operations.begin(OP_SET_VALUE, line, level, done, 0);
    this.#chip.setValue(line.offset, level, this.#operations, operation);
  }

  #read(line: Line): void {
    const operation = this.#operations.begin(OP_GET_DIRECTION, line, 0, null, 0);
    this.#chip.getDirection(line.offset, this.#operations, operation);
  }

  /**
   * Makes a line an output: subscription off, value first (when one is given), then the direction.
   * @param owner who drives it from now on; null = nobody
   * @param level -1 = as the chip has it
   */
  makeOutput(line: Line, owner: LineHandle | null, level: number, done: Completion, token: number): void {
    line.decide();
    line.owner = owner;
    const previousDirection = line.direction;
    const known = line.fresh ? line.level : LEVEL_UNKNOWN;
    // An output that stays one keeps its level.
    const kept = previousDirection === DIRECTION_OUT ? known : LEVEL_UNKNOWN;
    const making: OutputMaking = { previousDirection, isAsked: level < 0, level: kept };
    line.making = making;
    line.redirect(DIRECTION_OUT);
    this.#subscriptions.refresh(line);
    // What it will be is told against what it was just now.
    line.level = known;
    if (level < 0) return this.#send(line, DIRECTION_OUT, done, token);
    // Not both at once: when the value is refused, the line must not drive whatever it had before.
    this.#sendValue(line, level, {
      complete: (_token, result) => {
        // Given up meanwhile.
        if (line.making !== making) return done.complete(token, RESULT_INVALID, 0);
        if (result === RESULT_OK) {
          making.isAsked = true;
          return this.#send(line, DIRECTION_OUT, done, token);
        }
        line.decide();
        line.disown();
        this.#subscriptions.refresh(line);
        line.announce();
        done.complete(token, result, 0);
      },
    });
  }

  /** Sets another direction than out. */
  set(line: Line, direction: number, done: Completion | null, token: number): void {
    line.decide();
    this.#leaveOutput(line, direction, done, token);
  }

  #leaveOutput(line: Line, direction: number, done: Completion | null, token: number): void {
    line.redirect(direction);
    this.#send(line, direction, done, token);
    // The chip discards all state of the line with this, the subscription too (virtio 1.2, section 5.18.6.4).
    if (direction === DIRECTION_NONE) line.resubscribed(IRQ_NONE);
    this.#subscriptions.refresh(line);
  }

  /**
   * The owner gives the output up: it is left as the line's settings say (`onRelease`).
   * @param isNone the owner asked for direction none, and that is what `keep` means then
   */
  release(line: Line, isNone: boolean, done: Completion | null, token: number): void {
    const level = line.confirmed;
    line.decide();
    line.disown();
    // It may have been on its way only, and not have become one.
    const isOutput = line.direction === DIRECTION_OUT;
    if (isOutput && line.settings.onRelease !== 'keep') return this.#leave(line, done, token);
    if (isOutput && !isNone) line.left = { direction: DIRECTION_OUT, level };
    if (isNone) return this.#leaveOutput(line, DIRECTION_NONE, done, token);
    this.#subscriptions.refresh(line);
    line.announce();
    done?.complete(token, RESULT_OK, 0);
  }

  #leave(line: Line, done: Completion | null, token: number): void {
    const { onRelease } = line.settings;
    const { decisions } = line;
    line.left =
      onRelease === 'input'
        ? { direction: DIRECTION_IN, level: LEVEL_UNKNOWN }
        : { direction: DIRECTION_OUT, level: onRelease === 'high' ? 1 : 0 };
    const left: Completion = {
      complete: (_token, result) => {
        // It still drives as its last owner wanted. But the next one's wish goes before ours.
        if (result !== RESULT_OK && line.decisions === decisions) {
          this.#retries.add(`release of ${line.offset}`, () => {
            if (line.decisions !== decisions) return;
            this.#leave(line, null, 0);
            this.#chip.flush();
          });
        }
        done?.complete(token, result, 0);
      },
    };
    if (onRelease === 'input') this.#leaveOutput(line, DIRECTION_IN, left, 0);
    else this.#sendValue(line, onRelease === 'high' ? 1 : 0, left);
    line.announce();
  }

  /** Takes the line from its owner if it is for another consumer only. @returns whether it was taken */
  reserve(handle: LineHandle): boolean {
    const { line } = handle;
    if (handle.access !== 'owner' || line.owner === null || line.owner === handle) return false;
    this.release(line, false, null, 0);
    return true;
  }

  /** A direction was read. */
  heard(line: Line, direction: number): void {
    // What was asked for since is the newer truth.
    if (line.directionsPending > 0 || line.making !== null) return;
    if (line.direction !== direction) {
      line.redirect(direction);
      this.#subscriptions.changed(line);
    }
    line.announce();
  }

  /** The chip answered a SET_DIRECTION. With others under way, the last one's answer counts. */
  answered(line: Line, direction: number, result: number): void {
    if (direction === DIRECTION_NONE) line.unsubscribedAtMs = performance.now();
    if (line.directionsPending > 0) return;
    const { making } = line;
    if (making !== null && !making.isAsked) {
      // An earlier one's: the value of what becomes an output is on its way.
      making.previousDirection = result === RESULT_OK ? direction : -1;
      return;
    }
    line.making = null;
    if (result === RESULT_OK) {
      line.redirect(direction);
      if (making !== null && making.level !== LEVEL_UNKNOWN) line.driven(making.level, this.#local);
      else if (direction === DIRECTION_OUT) line.level = LEVEL_UNKNOWN;
      this.#subscriptions.changed(line);
    } else {
      line.directionRefused(direction);
      this.#subscriptions.refresh(line);
      // What it is now, the chip knows; unless it is the chip that does not answer.
      if (result !== RESULT_TIMEOUT && result !== RESULT_UNAVAILABLE) this.#read(line);
    }
    line.announce();
  }
}
