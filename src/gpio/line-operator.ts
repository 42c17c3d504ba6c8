import {
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  LEVEL_UNKNOWN,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_TEXTS,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import type { LineHandle } from './line-handle.ts';

/** What became of an operation. */
export interface Outcome {
  /** `RESULT_…` of chip.ts. */
  readonly result: number;
  /** Logical level that the chip confirmed; -1 = unknown. */
  readonly level: number;
  /** `ok`, or the reason: `busy: owned by guest vm1`. */
  readonly text: string;
}

export type OutcomeListener = (outcome: Outcome) => void;

const DIRECTIONS = { in: DIRECTION_IN, out: DIRECTION_OUT, none: DIRECTION_NONE } as const;

/** Longest pulse that a timer of JavaScript can end. */
const MAX_TIMER_MS = 0x7fffffff;
/** Pauses before a pulse that could not be ended is tried to be ended again: the first, and the longest. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;

interface Operation {
  readonly kind: 'get' | 'drive' | 'toggle' | 'pulse' | 'direction' | 'release' | 'end';
  /** The level on the wire to set. */
  level: number;
  readonly direction: number;
  readonly durationMs: number;
  readonly done: OutcomeListener | null;
  /** The level is being set; what was to be read for it has been. */
  isDriving: boolean;
  /** The pulse that it ends. */
  readonly pulse: Pulse | null;
}

/** A pulse that has begun. */
interface Pulse {
  /** The level on the wire that ends it. */
  readonly restLevel: number;
  timer: NodeJS.Timeout;
  retryMs: number;
}

/**
 * What people's consumers (MQTT, the control socket) do with a line: logical levels, an output is made where there is none,
 * reasons in words. One operation after the other; answers may come in the same turn. Flushes the chip by itself.
 */
export class LineOperator implements Completion {
  readonly handle: LineHandle;
  readonly #waiting: Operation[] = [];
  #current: Operation | null = null;
  /** Counts steps: answers to an operation that was given up are told from those to the present one. */
  #step = 0;
  #isAdvancing = false;
  #pulse: Pulse | null = null;
  #closed = false;

  constructor(handle: LineHandle) {
    this.handle = handle;
  }

  /** A level on the wire as people call it (an active-low line's is the inverse), and the other way round. */
  toLogical(level: number): number {
    if (level === LEVEL_UNKNOWN) return level;
    return this.handle.line.settings.activeLow ? 1 - level : level;
  }

  get(done: OutcomeListener): void {
    this.#submit('get', 0, done);
  }

  /** Sets the level; makes the line an output of that level if it is none. */
  set(level: 0 | 1, done: OutcomeListener): void {
    this.#submit('drive', this.toLogical(level), done);
  }

  toggle(done: OutcomeListener): void {
    this.#submit('toggle', 0, done);
  }

  /**
   * Sets the level, and the other one `durationMs` later. `done` hears when the pulse has begun. A later set, toggle, pulse,
   * direction or release that succeeds replaces the rest of it.
   */
  pulse(level: 0 | 1, durationMs: number, done: OutcomeListener): void {
    if (!(durationMs >= 0 && durationMs <= MAX_TIMER_MS)) return done(this.#outcome(RESULT_INVALID, 0));
    this.#submit('pulse', this.toLogical(level), done, durationMs);
  }

  setDirection(direction: 'in' | 'out' | 'none', done: OutcomeListener): void {
    this.#submit('direction', 0, done, 0, DIRECTIONS[direction]);
  }

  /** Gives an output up. */
  release(done: OutcomeListener): void {
    this.#submit('release', 0, done);
  }

  #submit(
    kind: Operation['kind'],
    level: number,
    done: OutcomeListener | null,
    durationMs = 0,
    direction = DIRECTION_NONE,
    pulse: Pulse | null = null,
  ): void {
    if (this.#closed) return done?.(this.#outcome(RESULT_UNAVAILABLE, LEVEL_UNKNOWN));
    this.#waiting.push({ kind, level, direction, durationMs, done, isDriving: false, pulse });
    this.#advance();
    this.handle.line.lines.chip.flush();
  }

  /** A loop: as calls from one answer to the next, thousands of operations answered at once would fill the stack. */
  #advance(): void {
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    while (this.#current === null) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#current = next;
      this.#step++;
      this.#start(next);
    }
    this.#isAdvancing = false;
  }

  #start(operation: Operation): void {
    const { handle } = this;
    const { line } = handle;
    const step = this.#step;
    switch (operation.kind) {
      case 'get':
        return handle.getValue(this, step);
      case 'toggle': {
        const isKnown =
          line.owner === handle && line.direction === DIRECTION_OUT && line.level !== LEVEL_UNKNOWN;
        if (!isKnown) return handle.getValue(this, step);
        operation.level = 1 - line.level;
        break;
      }
      case 'direction':
        return handle.setDirection(operation.direction, this, step);
      case 'release':
        return handle.release(this, step);
      case 'end':
        // Replaced, or the line has been taken from us, since the time was up.
        if (operation.pulse !== this.#pulse || line.owner !== handle)
          return this.complete(step, RESULT_OK, 0);
        break;
    }
    operation.isDriving = true;
    handle.drive(operation.level, this, step);
  }

  /** An answer of the line; not for callers. */
  complete(step: number, result: number, value: number): void {
    const operation = this.#current;
    if (operation === null || step !== this.#step) return;
    if (operation.kind === 'toggle' && !operation.isDriving && result === RESULT_OK) {
      operation.level = value === 1 ? 0 : 1;
      operation.isDriving = true;
      this.handle.drive(operation.level, this, step);
      this.handle.line.lines.chip.flush();
      return;
    }
    this.#current = null;
    if (operation.kind === 'end') this.#ended(operation, result);
    else if (result === RESULT_OK && operation.kind !== 'get') this.#replacePulse(operation);
    let level = LEVEL_UNKNOWN;
    if (operation.kind === 'get') level = value;
    else if (operation.isDriving) level = operation.level;
    operation.done?.(this.#outcome(result, level));
    if (this.#isAdvancing) return;
    this.#advance();
    this.handle.line.lines.chip.flush();
  }

  #outcome(result: number, level: number): Outcome {
    if (result === RESULT_OK) return { result, level: this.toLogical(level), text: 'ok' };
    return { result, level: LEVEL_UNKNOWN, text: this.#reason(result) };
  }

  #reason(result: number): string {
    const { handle } = this;
    const { line } = handle;
    if (result === RESULT_REFUSED && handle.access !== 'read' && handle.role === 'output')
      return 'refused: this consumer uses the line as an output only';
    if (result === RESULT_BUSY) {
      const { owner } = line;
      if (owner !== null && owner !== handle) return `busy: owned by ${owner.consumer.name}`;
      const reserved = line.handles.find((other) => other !== handle && other.access === 'owner');
      if (reserved !== undefined) return `busy: reserved for ${reserved.consumer.name}`;
      const user = line.handles.find((other) => other !== handle && other.usesInput);
      if (user !== undefined) return `busy: used as an input by ${user.consumer.name}`;
    }
    return RESULT_TEXTS[result] ?? `failed with result ${result}`;
  }

  /** What succeeded replaces what was left of a pulse; and is one itself, maybe. */
  #replacePulse(operation: Operation): void {
    if (this.#pulse !== null) clearTimeout(this.#pulse.timer);
    this.#pulse = null;
    if (operation.kind !== 'pulse') return;
    const pulse: Pulse = {
      restLevel: 1 - operation.level,
      timer: setTimeout(() => this.#end(pulse), operation.durationMs),
      retryMs: FIRST_RETRY_MS,
    };
    this.#pulse = pulse;
  }

  #end(pulse: Pulse): void {
    this.#submit('end', pulse.restLevel, null, 0, DIRECTION_NONE, pulse);
  }

  /** A pulse must not last because the chip failed once: it is tried again until it can be ended, or something replaces it. */
  #ended({ pulse }: Operation, result: number): void {
    if (pulse === null || pulse !== this.#pulse) return;
    if (result === RESULT_OK) {
      this.#pulse = null;
      return;
    }
    pulse.timer = setTimeout(() => this.#end(pulse), pulse.retryMs);
    pulse.retryMs = Math.min(pulse.retryMs * 2, LAST_RETRY_MS);
  }

  /** Ends a pulse at once (the line goes back), and answers what waits; idempotent. The handle stays its consumer's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const current = this.#current;
    const pulse = this.#pulse;
    this.#current = null;
    this.#pulse = null;
    if (pulse !== null) clearTimeout(pulse.timer);
    const restLevel = current?.kind === 'pulse' ? 1 - current.level : pulse?.restLevel;
    if (restLevel !== undefined && this.handle.line.owner === this.handle)
      this.handle.drive(restLevel, this, -1);
    this.handle.line.lines.chip.flush();
    const given = this.#waiting.splice(0);
    if (current !== null) given.unshift(current);
    for (const { done } of given) done?.(this.#outcome(RESULT_UNAVAILABLE, LEVEL_UNKNOWN));
  }
}
