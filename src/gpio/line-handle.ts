import {
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_NONE,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
} from './chip.ts';
import { Interrupt, isIrqType } from './interrupt.ts';
import type { Line } from './line.ts';
import type { Access, OpenOptions, Role } from './line-settings.ts';

export type { Access };

/** Somebody who uses lines: a guest's device, the log, later MQTT and the command line. */
export interface LineConsumer {
  /** For messages and `busy: owned by …`: `guest vm1`. */
  readonly name: string;
  /** An interrupt by virtio's rules is due on a line for which the consumer waited. */
  interrupt(handle: LineHandle): void;
  /** A level change of a line that the consumer watches. */
  edge?(handle: LineHandle, level: number, edge: Edge): void;
  /** The line's interrupt was disabled while the consumer waited for it. */
  disarmed?(handle: LineHandle): void;
  /**
   * The level became known, or was found changed, without an edge being told: the first read after a subscription, the return
   * of a chip. For consumers that watch.
   */
  observed?(handle: LineHandle, level: number): void;
  /** The line's direction or owner changed, by whomever; told after the change, at most once a change. */
  changed?(handle: LineHandle): void;
}

/**
 * One consumer's access to one line: its own interrupt, its held value, its rights. All operations come through here, so
 * this is where it is decided who may drive.
 */
export class LineHandle {
  readonly line: Line;
  readonly consumer: LineConsumer;
  /** The consumer's own number of the line. */
  readonly index: number;
  access: Access = 'write';
  role: Role = 'any';
  /** Debounce period of this consumer's own; undefined = the line's. */
  #ownDebounceMs: number | undefined;
  readonly interrupt = new Interrupt();
  /** Direction that this consumer set; 0 while it did not. */
  direction = DIRECTION_NONE;
  /** Whether every level change is reported through {@link LineConsumer.edge}. */
  watching = false;
  /** SET_VALUE before SET_DIRECTION(out): kept and used then (virtio 1.2, section 5.18.6.6); -1 = none. */
  #heldValue = -1;
  #closed = false;

  constructor(line: Line, consumer: LineConsumer, index: number, options: OpenOptions) {
    this.line = line;
    this.consumer = consumer;
    this.index = index;
    this.configure(options);
  }

  /** How long a level must be stable until this consumer is told of it, in milliseconds; 0 = at once. */
  get debounceMs(): number {
    return this.#ownDebounceMs ?? this.line.settings.debounceMs;
  }

  /** Changes rights and debounce in place: a changed configuration disturbs nobody who does not need to be. */
  configure({ access = 'write', role = 'any', debounceMs }: OpenOptions): void {
    this.access = access;
    this.role = role;
    this.#ownDebounceMs = debounceMs;
  }

  /** Whether this consumer uses the line as an input: nobody else may make it an output then. */
  get usesInput(): boolean {
    return this.direction === DIRECTION_IN || this.interrupt.type !== IRQ_NONE;
  }

  getDirection(done: Completion, token: number): void {
    this.line.lines.getDirection(this.line, done, token);
  }

  getValue(done: Completion, token: number): void {
    this.line.lines.getValue(this.line, done, token);
  }

  /** Whether this consumer may drive the line now. */
  #refusal(): number {
    if (this.access === 'read' || this.role === 'input') return RESULT_REFUSED;
    const owner = this.line.owner;
    if (owner !== null && owner !== this) return RESULT_BUSY;
    for (const other of this.line.handles) {
      if (other !== this && other.access === 'owner') return RESULT_BUSY;
    }
    return RESULT_OK;
  }

  setValue(level: number, done: Completion, token: number): void {
    if (level !== 0 && level !== 1) return done.complete(token, RESULT_INVALID, 0);
    const line = this.line;
    if (line.owner === this) return line.lines.setValue(line, level, done, token);
    const refusal = this.#refusal();
    if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
    if (line.direction === DIRECTION_OUT) {
      // An output without an owner (set by the firmware, or left by a consumer that went away): who sets it takes it over.
      line.owner = this;
      this.direction = DIRECTION_OUT;
      return line.lines.setValue(line, level, done, token);
    }
    this.#heldValue = level;
    done.complete(token, RESULT_OK, 0);
  }

  /** Makes the line an output of this level (the value first, then the direction), or sets the output that it is. */
  drive(level: number, done: Completion, token: number): void {
    if ((level !== 0 && level !== 1) || this.line.direction === DIRECTION_OUT)
      return this.setValue(level, done, token);
    const held = this.#heldValue;
    this.#heldValue = level;
    this.setDirection(DIRECTION_OUT, done, token);
    // Refused: nothing of it may come out with a later direction.
    if (this.#heldValue === level) this.#heldValue = held;
  }

  setDirection(direction: number, done: Completion, token: number): void {
    const line = this.line;
    switch (direction) {
      case DIRECTION_OUT: {
        const refusal = this.#refusal();
        if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
        if (line.isInputOfOthers(this)) return done.complete(token, RESULT_BUSY, 0);
        // An interrupt of one's own and an output exclude each other (section 5.18.7.2: SET_IRQ_TYPE is for inputs).
        if (this.interrupt.type !== IRQ_NONE) return done.complete(token, RESULT_INVALID, 0);
        line.owner = this;
        this.direction = DIRECTION_OUT;
        const held = this.#heldValue;
        this.#heldValue = -1;
        return line.lines.makeOutput(this, held, done, token);
      }
      case DIRECTION_IN: {
        if (this.role === 'output') return done.complete(token, RESULT_REFUSED, 0);
        // To end an output is to drive: for its owner, and where there is none for those who may become it.
        const refusal = line.direction === DIRECTION_OUT ? this.#refusal() : RESULT_OK;
        if (line.owner !== null && line.owner !== this) return done.complete(token, RESULT_BUSY, 0);
        if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
        this.#release();
        this.direction = DIRECTION_IN;
        return line.lines.setDirection(this, DIRECTION_IN, done, token);
      }
      case DIRECTION_NONE: {
        const wasOwner = line.owner === this;
        this.#discard();
        // Only the last one to leave an input takes the direction with it; and nobody takes an output from its owner.
        if (!wasOwner && (this.#refusal() !== RESULT_OK || line.isInputOfOthers(this))) {
          line.lines.refreshSubscription(line);
          return done.complete(token, RESULT_OK, 0);
        }
        return line.lines.setDirection(this, DIRECTION_NONE, done, token);
      }
      default:
        done.complete(token, RESULT_INVALID, 0);
    }
  }

  /** Enables or disables this consumer's interrupt; the answer comes when the chip has confirmed the subscription. */
  setIrqType(type: number, done: Completion, token: number): void {
    const line = this.line;
    if (!isIrqType(type)) return done.complete(token, RESULT_INVALID, 0);
    if (type === IRQ_NONE) {
      this.#disable();
      line.lines.refreshSubscription(line);
      return done.complete(token, RESULT_OK, 0);
    }
    if (this.role === 'output') return done.complete(token, RESULT_REFUSED, 0);
    if (line.owner !== null || line.direction === DIRECTION_OUT)
      return done.complete(token, RESULT_INVALID, 0);
    // A change without going through none is a driver's fault; the same type again changes nothing.
    if (this.interrupt.type !== IRQ_NONE) {
      return done.complete(token, this.interrupt.type === type ? RESULT_OK : RESULT_INVALID, 0);
    }
    this.interrupt.enable(type);
    line.lines.subscribe(this, done, token);
  }

  /** Unmasks the interrupt. @returns true when one is due at once */
  arm(): boolean {
    return this.interrupt.arm(this.line.fresh ? this.line.level : -1);
  }

  /** Starts or stops reporting every level change to {@link LineConsumer.edge}. */
  watch(on: boolean): void {
    if (this.watching === on) return;
    this.watching = on;
    this.line.lines.refreshSubscription(this.line);
    this.line.lines.chip.flush();
  }

  /** The chip refused the subscription: the interrupt is off again. */
  subscriptionFailed(): void {
    this.#disable();
  }

  #disable(): void {
    if (this.interrupt.disable()) this.consumer.disarmed?.(this);
  }

  /** Gives an output up; RESULT_OK when it was not ours. */
  release(done: Completion, token: number): void {
    if (this.line.owner === this) this.#discard();
    done.complete(token, RESULT_OK, 0);
  }

  /** The consumer is away and may come back: its interrupt is off, its held value forgotten; what it owns stays its own. */
  suspend(): void {
    this.#disable();
    this.#heldValue = -1;
    this.line.lines.refreshSubscription(this.line);
  }

  #release(): void {
    if (this.line.owner === this) this.line.owner = null;
  }

  #discard(): void {
    this.#disable();
    this.#release();
    this.#heldValue = -1;
    this.direction = DIRECTION_NONE;
  }

  /** The consumer starts anew (guest reset, disconnect): its claims end, levels and directions stay. */
  reset(): void {
    this.#discard();
    this.line.lines.refreshSubscription(this.line);
  }

  /** Gives the line back; idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.watching = false;
    this.#discard();
    this.line.handles = this.line.handles.filter((other) => other !== this);
    this.line.lines.refreshSubscription(this.line);
    this.line.lines.chip.flush();
  }
}
