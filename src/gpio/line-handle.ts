import { Absence, TELL_BOTH, TELL_NOTHING } from './absence.ts';
import {
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_NONE,
  LEVEL_UNKNOWN,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import { Debounce, type DebounceListener } from './debounce.ts';
import { fanOut } from './fan-out.ts';
import { Interrupt, isIrqType } from './interrupt.ts';
import type { Line } from './line.ts';
import type { Access, OpenOptions, Role } from './line-settings.ts';
import { LocalEdge } from './local-edge.ts';

export type { Access };

/** The edge that a chip's absence owes. One for all: who is told of one has heard of it before the next is told. */
const OWED = new LocalEdge();

/** Somebody who uses lines: a guest's device, the log, MQTT, the command line. */
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
export class LineHandle implements DebounceListener {
  readonly line: Line;
  readonly consumer: LineConsumer;
  /** The consumer's own number of the line. */
  readonly index: number;
  access: Access = 'write';
  role: Role = 'any';
  readonly interrupt = new Interrupt();
  /** What the chip's last absence owes to this consumer. */
  readonly absence = new Absence();
  /** Direction that this consumer set; 0 while it did not. */
  direction = DIRECTION_NONE;
  /** Whether every level change is reported through {@link LineConsumer.edge}. */
  watching = false;
  /** The chip does not tell a watcher of edges; reads tell it of levels. */
  isRefused = false;
  /** Between the line and this consumer; null = nothing is. */
  debounce: Debounce | null = null;
  /** Debounce period of this consumer's own; undefined = the line's. */
  #ownDebounceMs: number | undefined;
  /** Level that a watcher was told last. */
  #told = LEVEL_UNKNOWN;
  /** SET_VALUE before SET_DIRECTION(out): kept and used then (virtio 1.2, section 5.18.6.6); -1 = none. */
  #heldValue = -1;
  #closed = false;

  constructor(line: Line, consumer: LineConsumer, index: number, options: OpenOptions) {
    this.line = line;
    this.consumer = consumer;
    this.index = index;
    this.#set(options);
  }

  #set({ access = 'write', role = 'any', debounceMs }: OpenOptions): void {
    this.access = access;
    this.role = role;
    this.#ownDebounceMs = debounceMs;
    this.applyDebounce();
  }

  /** How long a level must be stable until this consumer is told of it, in milliseconds; 0 = at once. */
  get debounceMs(): number {
    return this.#ownDebounceMs ?? this.line.settings.debounceMs;
  }

  /**
   * Changes rights and debounce in place: a changed configuration disturbs nobody who does not need to be. What the consumer may
   * no longer do, it stops doing.
   */
  configure(options: OpenOptions): void {
    if (this.#closed) return;
    this.#set(options);
    const { line } = this;
    const { directions, chip } = line.lines;
    if (!this.#mayDrive) {
      this.#heldValue = -1;
      if (line.owner === this) directions.release(line, false, null, 0);
    }
    if (this.role === 'output' && this.usesInput) {
      this.direction = DIRECTION_NONE;
      this.#disable();
    }
    directions.reserve(this);
    line.lines.refreshSubscription(line);
    chip.flush();
  }

  /** The debounce period may have changed, this consumer's or the line's. */
  applyDebounce(): void {
    const { debounceMs, debounce } = this;
    if (debounceMs === (debounce?.periodMs ?? 0)) return;
    if (debounce !== null && debounceMs > 0) {
      debounce.periodMs = debounceMs;
      return;
    }
    debounce?.finish();
    this.debounce = debounceMs > 0 ? new Debounce(debounceMs, this) : null;
    this.debounce?.reset(this.#knownLevel);
    this.line.lines.refreshSubscription(this.line);
  }

  /** Whether this consumer uses the line as an input: nobody else may make it an output then. */
  get usesInput(): boolean {
    return this.direction === DIRECTION_IN || this.interrupt.type !== IRQ_NONE;
  }

  get #mayDrive(): boolean {
    return this.access !== 'read' && this.role !== 'input';
  }

  get #knownLevel(): number {
    return this.line.fresh ? this.line.level : LEVEL_UNKNOWN;
  }

  /** Whether this consumer may drive the line now. */
  #refusal(): number {
    if (this.#closed) return RESULT_UNAVAILABLE;
    if (!this.#mayDrive) return RESULT_REFUSED;
    const { owner } = this.line;
    if (owner !== null && owner !== this) return RESULT_BUSY;
    return this.line.isReservedForOthers(this) ? RESULT_BUSY : RESULT_OK;
  }

  getDirection(done: Completion, token: number): void {
    if (this.line.lines.isRestoring) return this.#defer(() => this.getDirection(done, token), done, token);
    this.line.lines.getDirection(this.line, done, token);
  }

  /** While a level bounces, it is the one that was stable before. */
  getValue(done: Completion, token: number): void {
    if (this.line.lines.isRestoring) return this.#defer(() => this.getValue(done, token), done, token);
    const { debounce } = this;
    if (debounce?.isRunning && debounce.level !== LEVEL_UNKNOWN)
      return done.complete(token, RESULT_OK, debounce.level);
    this.line.lines.getValue(this.line, done, token);
  }

  setValue(level: number, done: Completion, token: number): void {
    if (this.line.lines.isRestoring) return this.#defer(() => this.setValue(level, done, token), done, token);
    if (level !== 0 && level !== 1) return done.complete(token, RESULT_INVALID, 0);
    const line = this.line;
    if (line.owner === this) return line.lines.setValue(line, level, done, token);
    const refusal = this.#refusal();
    if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
    if (line.isOutput) {
      // An output without an owner (set by the firmware, or left by a consumer that went away): who sets it takes it over.
      line.decide();
      line.owner = this;
      this.direction = DIRECTION_OUT;
      line.lines.setValue(line, level, done, token);
      return line.announce();
    }
    this.#heldValue = level;
    done.complete(token, RESULT_OK, 0);
  }

  /** Makes the line an output of this level (the value first, then the direction), or sets the output that it is. */
  drive(level: number, done: Completion, token: number): void {
    if (this.line.lines.isRestoring) return this.#defer(() => this.drive(level, done, token), done, token);
    if ((level !== 0 && level !== 1) || this.line.isOutput) return this.setValue(level, done, token);
    const refusal = this.#outputRefusal();
    if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
    this.#heldValue = level;
    this.#makeOutput(done, token);
  }

  #outputRefusal(): number {
    const refusal = this.#refusal();
    if (refusal !== RESULT_OK) return refusal;
    if (this.line.isInputOfOthers(this)) return RESULT_BUSY;
    // Nothing is given up for a request that cannot be done.
    if (!this.line.lines.chip.available) return RESULT_UNAVAILABLE;
    // An interrupt of one's own and an output exclude each other (section 5.18.7.2: SET_IRQ_TYPE is for inputs).
    return this.interrupt.type === IRQ_NONE ? RESULT_OK : RESULT_INVALID;
  }

  #makeOutput(done: Completion, token: number): void {
    this.direction = DIRECTION_OUT;
    const held = this.#heldValue;
    this.#heldValue = -1;
    this.line.lines.directions.makeOutput(this.line, this, held, done, token);
  }

  setDirection(direction: number, done: Completion, token: number): void {
    const line = this.line;
    if (line.lines.isRestoring)
      return this.#defer(() => this.setDirection(direction, done, token), done, token);
    const { directions } = line.lines;
    switch (direction) {
      case DIRECTION_OUT: {
        const refusal = this.#outputRefusal();
        if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
        return this.#makeOutput(done, token);
      }
      case DIRECTION_IN: {
        if (this.#closed) return done.complete(token, RESULT_UNAVAILABLE, 0);
        if (this.role === 'output') return done.complete(token, RESULT_REFUSED, 0);
        if (line.owner !== null && line.owner !== this) return done.complete(token, RESULT_BUSY, 0);
        // To end an output is to drive: for its owner, and where there is none for those who may become it.
        const refusal = line.direction === DIRECTION_OUT ? this.#refusal() : RESULT_OK;
        if (refusal !== RESULT_OK) return done.complete(token, refusal, 0);
        if (!line.lines.chip.available) return done.complete(token, RESULT_UNAVAILABLE, 0);
        line.disown();
        this.direction = DIRECTION_IN;
        return directions.set(line, DIRECTION_IN, done, token);
      }
      case DIRECTION_NONE: {
        const wasOwner = line.owner === this;
        this.#discard();
        if (wasOwner) return directions.release(line, true, done, token);
        // Only the last one to leave an input takes the direction with it; and nobody takes an output from its owner.
        if (this.#refusal() !== RESULT_OK || line.isInputOfOthers(this)) {
          line.lines.refreshSubscription(line);
          return done.complete(token, RESULT_OK, 0);
        }
        return directions.set(line, DIRECTION_NONE, done, token);
      }
      default:
        done.complete(token, RESULT_INVALID, 0);
    }
  }

  /** Gives an output up; it is left as the line's settings say. RESULT_OK when it was not ours. */
  release(done: Completion, token: number): void {
    if (this.line.lines.isRestoring) return this.#defer(() => this.release(done, token), done, token);
    if (this.line.owner !== this) return done.complete(token, RESULT_OK, 0);
    this.#discard();
    this.line.lines.directions.release(this.line, false, done, token);
  }

  /** Enables or disables this consumer's interrupt; the answer comes when the chip has confirmed the subscription. */
  setIrqType(type: number, done: Completion, token: number): void {
    const line = this.line;
    if (line.lines.isRestoring) return this.#defer(() => this.setIrqType(type, done, token), done, token);
    if (!isIrqType(type)) return done.complete(token, RESULT_INVALID, 0);
    if (type === IRQ_NONE) {
      this.#disable();
      line.lines.refreshSubscription(line);
      return done.complete(token, RESULT_OK, 0);
    }
    if (this.#closed) return done.complete(token, RESULT_UNAVAILABLE, 0);
    if (this.role === 'output') return done.complete(token, RESULT_REFUSED, 0);
    if (line.owner !== null || line.direction === DIRECTION_OUT)
      return done.complete(token, RESULT_INVALID, 0);
    // A change without going through none is a driver's fault; the same type again changes nothing.
    if (this.interrupt.type !== IRQ_NONE) {
      return done.complete(token, this.interrupt.type === type ? RESULT_OK : RESULT_INVALID, 0);
    }
    if (!this.watching) this.debounce?.reset(this.#knownLevel);
    this.interrupt.enable(type);
    line.lines.subscribe(this, done, token);
  }

  /**
   * Takes for set what the consumer had set in an earlier life and what the chip, which is away or does not answer, cannot be asked for
   * now: as if it had gone away after that, so it is set when it is back. Rights and owners are looked at as ever.
   * @param direction one of `DIRECTION_`; none = nothing but a held level
   * @param level output: its level, else the held one; -1 = none
   * @returns `RESULT_OK`, or why not
   */
  claimDirection(direction: number, level: number): number {
    const { line } = this;
    if (direction === DIRECTION_IN) {
      if (this.#closed) return RESULT_UNAVAILABLE;
      if (this.role === 'output') return RESULT_REFUSED;
      if (line.owner !== null && line.owner !== this) return RESULT_BUSY;
    }
    if (direction !== DIRECTION_IN || line.direction === DIRECTION_OUT || level >= 0) {
      const refusal = this.#refusal();
      if (refusal !== RESULT_OK) return refusal;
    }
    if (direction === DIRECTION_NONE) {
      this.#heldValue = level;
      return RESULT_OK;
    }
    const isOutput = direction === DIRECTION_OUT;
    if (isOutput && line.isInputOfOthers(this)) return RESULT_BUSY;
    if (isOutput && this.interrupt.type !== IRQ_NONE) return RESULT_INVALID;
    line.decide();
    line.disown();
    if (isOutput) line.owner = this;
    this.direction = direction;
    this.#heldValue = isOutput ? -1 : level;
    line.redirect(direction);
    if (isOutput) line.confirmed = level;
    line.lines.claimed(line);
    line.announce();
    return RESULT_OK;
  }

  /** The same for its interrupt. @returns `RESULT_OK`, or why not */
  claimIrqType(type: number): number {
    const { line } = this;
    if (this.#closed) return RESULT_UNAVAILABLE;
    if (this.role === 'output') return RESULT_REFUSED;
    if (line.owner !== null || line.direction === DIRECTION_OUT) return RESULT_INVALID;
    if (!this.watching) this.debounce?.reset(LEVEL_UNKNOWN);
    this.interrupt.enable(type);
    line.lines.refreshSubscription(line);
    line.lines.chip.flush();
    return RESULT_OK;
  }

  /** Not now: the chip is being brought back to what consumers take it for. In order, and never twice. */
  #defer(ask: () => void, done: Completion, token: number): void {
    this.line.lines.defer(this, ask, done, token);
  }

  /** Unmasks the interrupt. @returns true when one is due at once */
  arm(): boolean {
    return this.interrupt.arm(this.debounce === null ? this.#knownLevel : this.debounce.level);
  }

  /**
   * Starts or stops reporting every level change to {@link LineConsumer.edge}. The level of now is told as soon as it is known,
   * maybe in this call.
   */
  watch(on: boolean): void {
    const { line } = this;
    if (this.watching === on || this.#closed) return;
    this.watching = on;
    this.isRefused = false;
    this.#told = LEVEL_UNKNOWN;
    line.watchers += on ? 1 : -1;
    if (this.interrupt.type === IRQ_NONE) {
      this.debounce?.reset(this.#knownLevel);
      this.absence.end();
    }
    // What nobody drives through us may have changed by itself.
    if (line.direction === DIRECTION_OUT && line.owner === null) line.fresh = false;
    if (on && line.fresh) fanOut.observed(line, line.level);
    line.lines.refreshSubscription(line);
    line.lines.chip.flush();
  }

  // What the line tells, in the order of FanOut.

  tellEdge(level: number, edge: Edge): void {
    if (this.watching && !this.isRefused) {
      this.#told = level;
      this.consumer.edge?.(this, level, edge);
    }
    if (this.interrupt.edge(level)) this.consumer.interrupt(this);
  }

  debounceEdge(level: number, edge: Edge): void {
    if (this.watching || this.interrupt.type !== IRQ_NONE) this.debounce?.edge(level, edge);
  }

  /** An output is not debounced. */
  tellDriven(level: number, edge: Edge): void {
    if (!this.watching) return;
    this.absence.end();
    this.debounce?.reset(level);
    this.#told = level;
    this.consumer.edge?.(this, level, edge);
  }

  tellObserved(level: number): void {
    if (this.debounce === null || this.line.direction === DIRECTION_OUT) this.tellLevel(level);
    else if (this.watching || this.interrupt.type !== IRQ_NONE) this.debounce.observed(level);
  }

  /** The first edge after the chip's return. */
  tellFirstEdge(level: number, edge: Edge): void {
    const owed = this.absence.edge(level);
    if (this.debounce !== null) return this.debounceEdge(level, edge);
    if (owed === TELL_NOTHING) return;
    if (owed === TELL_BOTH) this.tellEdge(1 - level, edge);
    this.tellEdge(level, edge);
  }

  /** A level that was read after the chip's return. @returns whether it was told as an edge */
  tellReturn(level: number): boolean {
    const { line, absence, debounce } = this;
    const isInput = line.direction !== DIRECTION_OUT && !this.isRefused;
    // What is not subscribed yet will be read once more.
    if (isInput && line.subscribed !== IRQ_BOTH) return false;
    if (!isInput) absence.end();
    if (!isInput || !absence.read(level)) {
      this.tellObserved(level);
      return false;
    }
    const edge = OWED.at(line.offset, level);
    // How often it changed meanwhile, nobody knows.
    edge.merged = true;
    if (debounce === null) this.tellEdge(level, edge);
    else this.debounceEdge(level, edge);
    return true;
  }

  /** A level without an edge. */
  tellLevel(level: number): void {
    if (this.watching && this.#told !== level) {
      this.#told = level;
      this.consumer.observed?.(this, level);
    }
    if (this.interrupt.isLevel && this.interrupt.level(level)) this.consumer.interrupt(this);
  }

  debounced(level: number, edge: Edge | null): void {
    fanOut.debounced(this, level, edge);
  }

  /** The chip refused the subscription: the interrupt is off again. */
  subscriptionFailed(): void {
    this.#disable();
  }

  /** The chip went away. @param told level that consumers of the line were told last; -1 = none */
  lost(told: number): void {
    const { debounce } = this;
    debounce?.reset(debounce.level);
    if (!this.watching && this.interrupt.type === IRQ_NONE) return this.absence.end();
    let level = told;
    if (told !== LEVEL_UNKNOWN && debounce !== null) level = debounce.level;
    else if (told !== LEVEL_UNKNOWN && this.watching) level = this.#told;
    this.absence.begin(level);
  }

  #disable(): void {
    if (!this.watching) {
      this.debounce?.reset(LEVEL_UNKNOWN);
      this.absence.end();
    }
    if (this.interrupt.disable()) this.consumer.disarmed?.(this);
  }

  #discard(): void {
    this.#disable();
    this.#heldValue = -1;
    this.direction = DIRECTION_NONE;
  }

  /** The consumer starts anew (guest reset, disconnect): its claims end. What it owned is left as the line's settings say. */
  reset(): void {
    this.line.lines.forget(this);
    this.#discard();
    const { line } = this;
    if (line.owner === this) line.lines.directions.release(line, false, null, 0);
    else line.lines.refreshSubscription(line);
  }

  /** The consumer is away and may come back: its interrupt is off, its held value forgotten; what it owns stays its own. */
  suspend(): void {
    this.line.lines.forget(this);
    this.#disable();
    this.#heldValue = -1;
    this.line.lines.refreshSubscription(this.line);
  }

  /** Gives the line back; idempotent. */
  close(): void {
    if (this.#closed) return;
    const { line } = this;
    if (this.watching) line.watchers--;
    this.#closed = true;
    this.watching = false;
    line.handles = line.handles.filter((other) => other !== this);
    this.debounce?.reset(LEVEL_UNKNOWN);
    this.reset();
    line.lines.chip.flush();
  }
}
