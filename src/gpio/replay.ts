import {
  type Chip,
  type Completion,
  DIRECTION_IN,
  DIRECTION_OUT,
  LEVEL_UNKNOWN,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import { Countdown } from './countdown.ts';
import type { Line } from './line.ts';
import { LocalEdge } from './local-edge.ts';
import { OP_GET_DIRECTION, OP_REPLAY, type Operations } from './operations.ts';
import type { Retries } from './retries.ts';

/** What a line is brought back to. */
interface Target {
  readonly line: Line;
  /** {@link Line.decisions} as of then: what is decided meanwhile goes before. */
  readonly decisions: number;
  readonly direction: number;
  /** -1 = as the chip has it. */
  readonly level: number;
  /** The level, or there was none to set. */
  isSet: boolean;
}

/** What a replay works with. */
export interface ReplayParts {
  readonly chip: Chip;
  readonly lines: readonly Line[];
  readonly operations: Operations;
  readonly retries: Retries;
  /** A line that could not be brought back at first is now what it was. */
  readonly onLate: (line: Line) => void;
}

/**
 * Brings a chip that came back to what its consumers take it for: all output values, then all directions. An output keeps its
 * owner's last confirmed level; what nobody owns starts as its settings say, or is left as its last owner left it; of all other
 * lines the direction is read.
 */
export class Replay {
  readonly #parts: ReplayParts;
  readonly #local = new LocalEdge();
  #isOver = false;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  /** The chip went away again. Idempotent. */
  cancel(): void {
    this.#isOver = true;
  }

  /** @param done is called once everything was answered, unless the chip goes away before; may be in this call */
  run(done: () => void): void {
    const { lines } = this.#parts;
    const targets: Target[] = [];
    const others: Line[] = [];
    for (const line of lines) {
      const target = targetOf(line);
      if (target === null) others.push(line);
      else targets.push(target);
    }
    this.#restore(targets, others, () => {
      this.#isOver = true;
      done();
    });
  }

  #restore(targets: readonly Target[], others: readonly Line[], done: () => void): void {
    const { chip } = this.#parts;
    const next = (step: () => void) => () => {
      if (!this.#isOver && chip.available) step();
    };
    const directions = next(() => {
      const all = new Countdown(next(done));
      for (const target of targets) if (target.isSet) this.#direct(target, all.one());
      for (const line of others) this.#readDirection(line, all.one());
      chip.flush();
      all.begun();
    });
    const all = new Countdown(directions);
    for (const target of targets) if (!target.isSet) this.#set(target, all.one());
    chip.flush();
    all.begun();
  }

  #readDirection(line: Line, done: Completion): void {
    const { chip, operations } = this.#parts;
    chip.getDirection(line.offset, operations, operations.begin(OP_GET_DIRECTION, line, 0, done, 0));
  }

  #set(target: Target, done: Completion): void {
    const { chip, operations } = this.#parts;
    const { line, level } = target;
    const answered: Completion = {
      complete: (token, result, value) => {
        target.isSet = result === RESULT_OK && line.decisions === target.decisions;
        if (result !== RESULT_OK) this.#failed(target, result);
        done.complete(token, result, value);
      },
    };
    chip.setValue(line.offset, level, operations, operations.begin(OP_REPLAY, line, level, answered, 0));
  }

  #direct(target: Target, done: Completion): void {
    const { chip, operations } = this.#parts;
    const { line, direction } = target;
    if (line.decisions !== target.decisions) return done.complete(0, RESULT_OK, 0);
    const answered: Completion = {
      complete: (token, result, value) => {
        if (result !== RESULT_OK) this.#failed(target, result);
        else if (line.decisions === target.decisions) this.#restored(target);
        done.complete(token, result, value);
      },
    };
    const operation = operations.begin(OP_REPLAY, line, direction, answered, 0);
    chip.setDirection(line.offset, direction, operations, operation);
  }

  #restored({ line, direction, level }: Target): void {
    line.redirect(direction);
    if (direction === DIRECTION_OUT && level !== LEVEL_UNKNOWN) line.driven(level, this.#local);
    line.announce();
  }

  /** Its owner takes it for an output of that level, so it is tried until it is, or something else is decided. */
  #failed({ line, decisions }: Target, result: number): void {
    // With the chip gone, the next replay does it.
    if (result !== RESULT_UNAVAILABLE && line.decisions === decisions) Replay.later(this.#parts, line);
  }

  /** Brings one line back after a while, unless something else is decided for it. */
  static later(parts: ReplayParts, line: Line): void {
    const { decisions } = line;
    parts.retries.add(`return of ${line.offset}`, () => {
      const target = targetOf(line);
      if (target === null || line.decisions !== decisions) return;
      // A value on its way is newer than the one that would be set after it.
      if (line.pending > 0) return Replay.later(parts, line);
      // Behind everybody's subscriptions, which were made for what the line was meanwhile.
      new Replay(parts).#restore([target], [], () => parts.onLate(line));
    });
  }
}

/** @returns null when nobody has set the line: it is as the firmware has it */
function targetOf(line: Line): Target | null {
  const { owner, handles, left, decisions } = line;
  const { initial } = line.settings;
  const to = (direction: number, level = LEVEL_UNKNOWN): Target => ({
    line,
    decisions,
    direction,
    level,
    isSet: level === LEVEL_UNKNOWN,
  });
  if (owner !== null) return to(DIRECTION_OUT, line.confirmed);
  if (handles.some(({ direction }) => direction === DIRECTION_IN)) return to(DIRECTION_IN);
  // An interrupt is somebody's use of an input, however it became one.
  if (handles.some(({ usesInput }) => usesInput)) return null;
  if (initial !== null)
    return initial === 'in' ? to(DIRECTION_IN) : to(DIRECTION_OUT, initial === 'high' ? 1 : 0);
  return left === null ? null : to(left.direction, left.level);
}
