import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_NONE,
  IRQ_RISING,
  LEVEL_UNKNOWN,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import { Line } from './line.ts';
import { type LineConsumer, LineHandle } from './line-handle.ts';
import type { OpenOptions } from './line-settings.ts';
import { LocalEdge } from './local-edge.ts';

/** How levels of subscribed inputs are read: from the shadow where it is fresh, or always through to the chip. */
export type ReadPolicy = 'shadow' | 'through';

export type AvailabilityListener = (available: boolean, reason: string) => void;

const OP_GET_DIRECTION = 0;
const OP_SET_DIRECTION = 1;
const OP_GET_VALUE = 2;
const OP_SET_VALUE = 3;
const OP_IRQ_TYPE = 4;
/** A read of our own: after an event without a level, or to learn the level of a newly subscribed line. */
const OP_SETTLE = 5;
const OP_LEARN = 6;

/** One operation under way at the chip. Pooled: its index is the token. */
interface Operation {
  kind: number;
  line: Line;
  value: number;
  edgeCount: number;
  done: Completion | null;
  token: number;
}

interface Waiter {
  readonly handle: LineHandle;
  readonly done: Completion;
  readonly token: number;
}

/**
 * All lines of one chip and everything between the chip and the consumers: operations in order, one subscription a line,
 * the level shadow, and the fan-out of edges. Owns the chip's listener, not the chip.
 */
export class ChipLines implements Completion, ChipListener {
  readonly chip: Chip;
  readonly lines: readonly Line[];
  readonly reads: ReadPolicy;
  /** Events that could not be told from one accounted for already (chips whose events carry no level). */
  ambiguousEvents = 0;
  /** Level changes heard of, all lines. */
  edges = 0;
  readonly #operations: Operation[] = [];
  readonly #free: number[] = [];
  readonly #waiters = new Map<Line, Waiter[]>();
  readonly #local = new LocalEdge();
  #availabilityListeners: readonly AvailabilityListener[] = [];

  constructor(chip: Chip, reads?: ReadPolicy) {
    this.chip = chip;
    this.reads = reads ?? (chip.streamsLevels ? 'shadow' : 'through');
    this.lines = Array.from(
      { length: chip.lineCount },
      (_, offset) => new Line(this, offset, chip.lineName(offset)),
    );
    chip.listen(this);
  }

  get name(): string {
    return this.chip.name;
  }

  /** Has somebody told when the chip goes away or comes back. @returns what ends that; idempotent */
  onAvailability(listener: AvailabilityListener): () => void {
    this.#availabilityListeners = [...this.#availabilityListeners, listener];
    return () => {
      this.#availabilityListeners = this.#availabilityListeners.filter((other) => other !== listener);
    };
  }

  /** Opens a line for a consumer, which calls it `index`. */
  open(offset: number, consumer: LineConsumer, index: number, options?: OpenOptions): LineHandle {
    const line = this.lines[offset];
    if (line === undefined)
      throw new RangeError(`${this.name} has ${this.lines.length} lines, no line ${offset}`);
    const handle = new LineHandle(line, consumer, index, options ?? {});
    line.handles = [...line.handles, handle];
    return handle;
  }

  #begin(kind: number, line: Line, value: number, done: Completion | null, token: number): number {
    let index = this.#free.pop();
    if (index === undefined) {
      index = this.#operations.length;
      this.#operations.push({ kind, line, value, edgeCount: line.edgeCount, done, token });
    } else {
      const operation = this.#operations[index] as Operation;
      operation.kind = kind;
      operation.line = line;
      operation.value = value;
      operation.edgeCount = line.edgeCount;
      operation.done = done;
      operation.token = token;
    }
    line.pending++;
    if (kind === OP_IRQ_TYPE) {
      line.irqTypesPending++;
      if (value === IRQ_NONE) line.unsubscriptionsPending++;
    } else if (kind === OP_SET_DIRECTION) line.directionsPending++;
    return index;
  }

  getDirection(line: Line, done: Completion, token: number): void {
    this.chip.getDirection(line.offset, this, this.#begin(OP_GET_DIRECTION, line, 0, done, token));
  }

  getValue(line: Line, done: Completion, token: number): void {
    if (line.fresh && line.pending === 0 && this.reads === 'shadow')
      return done.complete(token, RESULT_OK, line.level);
    this.chip.getValue(line.offset, this, this.#begin(OP_GET_VALUE, line, 0, done, token));
  }

  /** Write-through: completes when the chip said so. */
  setValue(line: Line, level: number, done: Completion, token: number): void {
    this.chip.setValue(line.offset, level, this, this.#begin(OP_SET_VALUE, line, level, done, token));
  }

  /** Makes a line an output: subscription off, value first (when one is held), then the direction. */
  makeOutput(handle: LineHandle, held: number, done: Completion, token: number): void {
    const { line } = handle;
    line.direction = DIRECTION_OUT;
    line.fresh = false;
    this.refreshSubscription(line);
    if (held < 0) return this.#setDirection(line, DIRECTION_OUT, done, token);
    // Not both at once: when the value is refused, the line must not drive whatever it had before.
    const valueSet: Completion = {
      complete: (_token, result) => {
        if (result === RESULT_OK) return this.#setDirection(line, DIRECTION_OUT, done, token);
        line.directionRefused(DIRECTION_OUT);
        this.refreshSubscription(line);
        done.complete(token, result, 0);
      },
    };
    this.setValue(line, held, valueSet, 0);
  }

  setDirection(handle: LineHandle, direction: number, done: Completion, token: number): void {
    const { line } = handle;
    line.direction = direction;
    this.#setDirection(line, direction, done, token);
    if (direction === DIRECTION_NONE) {
      // The chip discards all state of the line with this, the subscription too (virtio 1.2, section 5.18.6.4).
      line.resubscribed(IRQ_NONE);
    }
    this.refreshSubscription(line);
  }

  #setDirection(line: Line, direction: number, done: Completion, token: number): void {
    this.chip.setDirection(
      line.offset,
      direction,
      this,
      this.#begin(OP_SET_DIRECTION, line, direction, done, token),
    );
  }

  /** Subscribes for a handle whose interrupt was just enabled; `done` hears when the chip has confirmed. */
  subscribe(handle: LineHandle, done: Completion, token: number): void {
    const { line } = handle;
    if (!this.chip.available) {
      handle.subscriptionFailed();
      return done.complete(token, RESULT_UNAVAILABLE, 0);
    }
    const settled = line.wantedSubscription() === line.subscribed && line.irqTypesPending === 0;
    if (settled) return done.complete(token, RESULT_OK, 0);
    const waiters = this.#waiters.get(line) ?? [];
    waiters.push({ handle, done, token });
    this.#waiters.set(line, waiters);
    this.refreshSubscription(line);
  }

  /** Reads all directions once, so that outputs are known as such before somebody subscribes to them. */
  learnDirections(done?: () => void): void {
    let left = this.lines.length;
    const counted: Completion = {
      complete: () => {
        left--;
        if (left === 0) done?.();
      },
    };
    for (const line of this.lines) this.getDirection(line, counted, 0);
    this.chip.flush();
  }

  /**
   * Brings every line whose settings say how it starts to that state: the value first, then the direction. Nobody owns it
   * then. Call it before consumers come.
   */
  applyInitial(done?: () => void): void {
    let left = 1;
    const end = (): void => {
      left--;
      if (left === 0) done?.();
    };
    const ended: Completion = { complete: end };
    for (const line of this.lines) {
      const { initial } = line.settings;
      if (initial === null) continue;
      left++;
      const direction = initial === 'in' ? DIRECTION_IN : DIRECTION_OUT;
      const valueSet: Completion = {
        complete: (_token, result) => {
          if (result === RESULT_OK) this.#setDirection(line, direction, ended, 0);
          else end();
        },
      };
      if (initial === 'in') this.#setDirection(line, direction, ended, 0);
      else this.setValue(line, initial === 'high' ? 1 : 0, valueSet, 0);
    }
    this.chip.flush();
    end();
  }

  /** Brings the chip's subscription of the line to what its consumers want together. */
  refreshSubscription(line: Line): void {
    const wanted = line.wantedSubscription();
    if (wanted === line.subscribed || !this.chip.available) return;
    if (line.subscribed !== IRQ_NONE) this.#sendIrqType(line, IRQ_NONE);
    if (wanted !== IRQ_NONE) this.#sendIrqType(line, wanted);
  }

  #sendIrqType(line: Line, type: number): void {
    line.resubscribed(type);
    this.chip.setIrqType(line.offset, type, this, this.#begin(OP_IRQ_TYPE, line, type, null, 0));
    if (type === IRQ_BOTH) this.chip.getValue(line.offset, this, this.#begin(OP_LEARN, line, 0, null, 0));
  }

  complete(index: number, result: number, value: number): void {
    const operation = this.#operations[index] as Operation;
    const { kind, line, done, token } = operation;
    const sent = operation.value;
    const sameEdges = operation.edgeCount === line.edgeCount;
    operation.done = null;
    this.#free.push(index);
    line.pending--;
    if (kind === OP_IRQ_TYPE) {
      line.irqTypesPending--;
      if (sent === IRQ_NONE) line.unsubscriptionsPending--;
    } else if (kind === OP_SET_DIRECTION) line.directionsPending--;
    if (result === RESULT_OK) {
      switch (kind) {
        case OP_SET_VALUE:
          if (line.direction === DIRECTION_OUT) line.driven(sent, this.#local);
          break;
        case OP_GET_VALUE:
        case OP_LEARN:
          value = this.#heard(line, value, sameEdges);
          break;
        case OP_GET_DIRECTION:
          // What was asked for since is the newer truth.
          if (line.directionsPending === 0) line.direction = value;
          break;
        case OP_SET_DIRECTION:
          if (line.directionsPending === 0) line.direction = sent;
          break;
        case OP_SETTLE:
          if (line.settleOperation === index) this.#settled(line, value);
          break;
      }
    } else if (kind === OP_SETTLE) {
      if (line.settleOperation === index) this.#unsettled(line);
    } else if (kind === OP_SET_DIRECTION) {
      // With another one under way, that one's outcome counts.
      if (line.directionsPending === 0) line.directionRefused(sent);
      this.refreshSubscription(line);
    } else if (kind === OP_IRQ_TYPE && sent === line.subscribed && line.irqTypesPending === 0) {
      // An earlier refusal says nothing of a later subscription of the same type that is still under way.
      line.resubscribed(IRQ_NONE);
    }
    // Records heard before the confirmation may be older than the subscription: a read from now on is not.
    if (kind === OP_IRQ_TYPE && result === RESULT_OK && line.irqTypesPending === 0 && !sameEdges)
      this.#relearn(line);
    // The last one under way decides: an earlier one was for less than what somebody waits for by now.
    if (kind === OP_IRQ_TYPE && line.irqTypesPending === 0) {
      if (sent !== IRQ_NONE || line.wantedSubscription() === IRQ_NONE) this.#confirm(line, result);
    }
    if (done !== null) done.complete(token, result, value);
  }

  /**
   * A level that was read. Events and answers come over different queues: when an edge arrived since the read was sent, the
   * answer may be older than it, and the edge's level is the newer truth.
   */
  #heard(line: Line, level: number, sameEdges: boolean): number {
    if (line.subscribed !== IRQ_BOTH) {
      if (line.direction !== DIRECTION_OUT) line.observe(level);
      return level;
    }
    if (!this.chip.streamsLevels) {
      if (line.settleOperation < 0 && sameEdges) line.learn(level);
      return level;
    }
    if (!sameEdges) return line.fresh ? line.level : level;
    line.fresh = true;
    line.observe(level);
    return level;
  }

  #relearn(line: Line): void {
    if (!this.chip.streamsLevels || line.subscribed !== IRQ_BOTH) return;
    line.fresh = false;
    this.chip.getValue(line.offset, this, this.#begin(OP_LEARN, line, 0, null, 0));
  }

  #confirm(line: Line, result: number): void {
    const waiters = this.#waiters.get(line);
    if (waiters === undefined) return;
    this.#waiters.delete(line);
    for (const { handle, done, token } of waiters) {
      if (result !== RESULT_OK) handle.subscriptionFailed();
      done.complete(token, result, 0);
    }
    if (result !== RESULT_OK) this.refreshSubscription(line);
  }

  edge(edge: Edge): void {
    const line = this.lines[edge.offset];
    // Changes that were on their way when the line was unsubscribed are nobody's.
    if (line === undefined || line.subscribed === IRQ_NONE) return;
    // Levels are always subscribed as both edges, so a streamed line is only unsubscribed while nobody wants it: until the
    // chip has confirmed that, its records are of the old subscription.
    if (this.chip.streamsLevels && line.unsubscriptionsPending > 0) return;
    this.edges++;
    if (edge.level !== LEVEL_UNKNOWN) return line.streamed(edge);
    if (line.subscribed !== IRQ_BOTH) {
      line.edgeOnly(line.subscribed === IRQ_RISING ? 1 : 0, edge);
      return;
    }
    line.unread();
    // One read at a time; an event during it asks for another one.
    if (line.settleOperation >= 0) line.settleAgain = true;
    else this.#settle(line);
  }

  #settle(line: Line): void {
    const operation = this.#begin(OP_SETTLE, line, 0, null, 0);
    line.settleOperation = operation;
    line.settleAgain = false;
    this.chip.getValue(line.offset, this, operation);
  }

  #settled(line: Line, level: number): void {
    const again = line.settleAgain;
    line.settleOperation = -1;
    line.settleRetried = false;
    line.settle(level, this.#local.at(line.offset, level));
    if (!again || line.subscribed !== IRQ_BOTH) return;
    line.fresh = false;
    this.#settle(line);
  }

  /** The read after an event failed. It is tried once more: without it the edge reaches nobody. */
  #unsettled(line: Line): void {
    const again = line.settleAgain || !line.settleRetried;
    line.settleRetried = !line.settleAgain;
    line.settleOperation = -1;
    line.level = LEVEL_UNKNOWN;
    if (again && this.chip.available) this.#settle(line);
  }

  availability(available: boolean, reason: string): void {
    if (!available) {
      for (const line of this.lines) line.resubscribed(IRQ_NONE);
    }
    for (const listener of this.#availabilityListeners) listener(available, reason);
  }
}
