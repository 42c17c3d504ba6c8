import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_IN,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_NONE,
  IRQ_RISING,
  LEVEL_UNKNOWN,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import { Countdown } from './countdown.ts';
import { Directions } from './directions.ts';
import { Line } from './line.ts';
import { type LineConsumer, LineHandle } from './line-handle.ts';
import type { OpenOptions } from './line-settings.ts';
import { LocalEdge } from './local-edge.ts';
import {
  OP_GET_DIRECTION,
  OP_GET_VALUE,
  OP_IRQ_TYPE,
  OP_LEARN,
  OP_SET_DIRECTION,
  OP_SET_VALUE,
  OP_SETTLE,
  type Operation,
  type OperationListener,
  Operations,
} from './operations.ts';
import { Replay, type ReplayParts } from './replay.ts';
import { Retries } from './retries.ts';
import { Subscriptions } from './subscriptions.ts';

/** How levels of subscribed inputs are read: from the shadow where it is fresh, or always through to the chip. */
export type ReadPolicy = 'shadow' | 'through';

/** How long a request that comes while lines are brought back is kept until it is answered. */
const DEFER_MS = 250;

/** A request that came while lines were being brought back. */
interface Deferred {
  readonly handle: LineHandle;
  readonly ask: () => void;
  readonly done: Completion;
  readonly token: number;
}

export type AvailabilityListener = (available: boolean, reason: string) => void;

/**
 * All lines of one chip and everything between the chip and the consumers: operations in order, one subscription a line,
 * the level shadow, and the fan-out of edges. Owns the chip's listener, not the chip.
 */
export class ChipLines implements ChipListener, OperationListener {
  readonly chip: Chip;
  readonly lines: readonly Line[];
  readonly reads: ReadPolicy;
  /** Events that could not be told from one accounted for already (chips whose events carry no level). */
  ambiguousEvents = 0;
  /** Level changes heard of, all lines. */
  edges = 0;
  /** Directions and ownership. */
  readonly directions: Directions;
  readonly #operations = new Operations(this);
  readonly #retries: Retries;
  readonly #subscriptions: Subscriptions;
  readonly #local = new LocalEdge();
  /** The chip is back, its lines are not yet what they were: requests wait. */
  isRestoring = false;
  readonly #replayParts: ReplayParts;
  #replay: Replay | null = null;
  #deferred: Deferred[] = [];
  #deferTimer: NodeJS.Timeout | null = null;
  #availabilityListeners: readonly AvailabilityListener[] = [];
  #idleListeners: (() => void)[] = [];

  constructor(chip: Chip, reads?: ReadPolicy) {
    this.chip = chip;
    this.reads = reads ?? (chip.streamsLevels ? 'shadow' : 'through');
    this.lines = Array.from(
      { length: chip.lineCount },
      (_, offset) => new Line(this, offset, chip.lineName(offset)),
    );
    const isOpen = (): boolean => chip.available && !this.isRestoring;
    this.#retries = new Retries(isOpen);
    this.#subscriptions = new Subscriptions(chip, this.#operations, this.#retries, isOpen);
    this.directions = new Directions(chip, this.#operations, this.#subscriptions, this.#retries);
    this.#replayParts = {
      chip,
      lines: this.lines,
      operations: this.#operations,
      retries: this.#retries,
      onLate: (line) => {
        this.#subscriptions.changed(line);
        chip.flush();
      },
    };
    chip.listen(this);
  }

  get name(): string {
    return this.chip.name;
  }

  /** Has somebody told when the chip goes away or comes back. @returns what ends that; idempotent */
  onAvailability(listener: AvailabilityListener): () => void {
    const own: AvailabilityListener = (available, reason) => listener(available, reason);
    this.#availabilityListeners = [...this.#availabilityListeners, own];
    return () => {
      this.#availabilityListeners = this.#availabilityListeners.filter((other) => other !== own);
    };
  }

  /** Calls back, once, when nothing is under way at the chip: at once, if nothing is. */
  whenIdle(done: () => void): void {
    if (this.#operations.outstanding === 0) return done();
    this.#idleListeners.push(done);
  }

  /**
   * Opens a line for a consumer, which calls it `index`.
   * @throws RangeError when the chip has no such line
   */
  open(offset: number, consumer: LineConsumer, index: number, options: OpenOptions = {}): LineHandle {
    const line = this.lines[offset];
    if (line === undefined)
      throw new RangeError(`${this.name} has ${this.lines.length} lines, no line ${offset}`);
    const handle = new LineHandle(line, consumer, index, options);
    line.handles = [...line.handles, handle];
    if (this.directions.reserve(handle)) this.chip.flush();
    return handle;
  }

  getDirection(line: Line, done: Completion, token: number): void {
    const operation = this.#operations.begin(OP_GET_DIRECTION, line, 0, done, token);
    this.chip.getDirection(line.offset, this.#operations, operation);
  }

  getValue(line: Line, done: Completion, token: number): void {
    const isShadowed = line.fresh && line.pending === 0 && this.reads === 'shadow';
    if (isShadowed && line.direction !== DIRECTION_OUT) return done.complete(token, RESULT_OK, line.level);
    const operation = this.#operations.begin(OP_GET_VALUE, line, 0, done, token);
    this.chip.getValue(line.offset, this.#operations, operation);
  }

  /** Write-through: completes when the chip said so. */
  setValue(line: Line, level: number, done: Completion, token: number): void {
    const operation = this.#operations.begin(OP_SET_VALUE, line, level, done, token);
    this.chip.setValue(line.offset, level, this.#operations, operation);
  }

  /** Subscribes for a handle whose interrupt was just enabled; `done` hears when the chip has confirmed. */
  subscribe(handle: LineHandle, done: Completion, token: number): void {
    this.#subscriptions.subscribe(handle, done, token);
  }

  /** Brings the chip's subscription of the line to what its consumers want together. */
  refreshSubscription(line: Line): void {
    this.#subscriptions.refresh(line);
  }

  /** Reads all directions once, so that outputs are known as such before somebody subscribes to them. */
  learnDirections(done?: () => void): void {
    const all = new Countdown(() => done?.());
    for (const line of this.lines) this.getDirection(line, all.one(), 0);
    this.chip.flush();
    all.begun();
  }

  /**
   * Brings every line whose settings say how it starts to that state: the value first, then the direction. Nobody owns it
   * then; lines that are owned already are left alone.
   * @param done hears when that is done, and of which lines it is not
   */
  applyInitial(done?: (failed: readonly Line[]) => void): void {
    const failed: Line[] = [];
    const all = new Countdown(() => done?.(failed));
    for (const line of this.lines) {
      const { initial } = line.settings;
      if (initial === null || line.owner !== null) continue;
      const one = all.one((result) => {
        if (result !== RESULT_OK) failed.push(line);
      });
      if (initial === 'in') this.directions.set(line, DIRECTION_IN, one, 0);
      else this.directions.makeOutput(line, null, initial === 'high' ? 1 : 0, one, 0);
    }
    this.chip.flush();
    all.begun();
  }

  /** An operation's answer. */
  answered(operation: Operation, result: number, value: number): void {
    const { line, done, token } = operation;
    const sent = operation.value;
    const sameEdges = operation.edgeCount === line.edgeCount;
    const isOk = result === RESULT_OK;
    switch (operation.kind) {
      case OP_SET_VALUE:
        if (!isOk) break;
        if (line.making !== null) line.making.level = sent;
        else if (line.direction === DIRECTION_OUT) line.driven(sent, this.#local);
        break;
      case OP_GET_VALUE:
        if (isOk) value = this.#heard(line, value, sameEdges);
        break;
      case OP_LEARN:
        if (isOk) this.#heard(line, value, sameEdges);
        this.#subscriptions.learned(line, sameEdges);
        break;
      case OP_GET_DIRECTION:
        if (isOk) this.directions.heard(line, value);
        break;
      case OP_SET_DIRECTION:
        this.directions.answered(line, sent, result);
        break;
      case OP_SETTLE:
        if (line.parity.reading !== operation) break;
        if (isOk) this.#settled(line, value);
        else this.#unsettled(line);
        break;
      case OP_IRQ_TYPE:
        this.#subscriptions.answered(line, sent, result, sameEdges);
        break;
    }
    if (done !== null) done.complete(token, result, value);
    if (this.#operations.outstanding === 0 && this.#idleListeners.length > 0) {
      for (const idle of this.#idleListeners.splice(0)) idle();
    }
  }

  /**
   * A level that was read. Events and answers come over different queues: when an edge arrived since the read was sent, the
   * answer may be older than it, and the edge's level is the newer truth.
   */
  #heard(line: Line, level: number, sameEdges: boolean): number {
    if (line.direction === DIRECTION_OUT) {
      if (!sameEdges || line.making !== null) return level;
      line.fresh = true;
      line.observe(level);
    } else if (line.subscribed !== IRQ_BOTH) {
      if (sameEdges) line.observe(level);
    } else if (!this.chip.streamsLevels) {
      if (line.parity.reading === null && sameEdges) line.learn(level);
    } else {
      if (!sameEdges) return line.fresh ? line.level : level;
      line.fresh = true;
      line.observe(level);
    }
    return level;
  }

  edge(edge: Edge): void {
    const line = this.lines[edge.offset];
    // Changes that were on their way when the line was unsubscribed are nobody's.
    if (line === undefined || line.subscribed === IRQ_NONE) return;
    // Levels are always subscribed as both edges, so a streamed line is only unsubscribed while nobody wants it: until the
    // chip has confirmed that, its records are of the old subscription; or of the next, whose level is read again then.
    if (this.chip.streamsLevels && line.unsubscriptionsPending > 0) return line.unread();
    this.edges++;
    if (edge.level !== LEVEL_UNKNOWN) {
      line.streamed(edge);
      if (line.suspectUntilMs > 0) this.#subscriptions.suspected(line);
      return;
    }
    if (line.subscribed !== IRQ_BOTH) {
      line.edgeOnly(line.subscribed === IRQ_RISING ? 1 : 0, edge);
      // Watchers of whom the chip does not want to know go by the level after it.
      if (line.watchers > 0) this.#subscriptions.learn(line);
      return;
    }
    line.unread();
    // One read at a time; an event during it asks for another one.
    if (line.parity.reading !== null) line.parity.readAgain = true;
    else this.#settle(line);
  }

  #settle(line: Line): void {
    const operation = this.#operations.begin(OP_SETTLE, line, 0, null, 0);
    line.parity.read(this.#operations.at(operation));
    this.chip.getValue(line.offset, this.#operations, operation);
  }

  #settled(line: Line, level: number): void {
    const { parity } = line;
    const again = parity.readAgain;
    parity.reading = null;
    parity.hasRetried = false;
    line.settle(level, this.#local.at(line.offset, level));
    if (!again || line.subscribed !== IRQ_BOTH) return;
    line.fresh = false;
    this.#settle(line);
  }

  /** The read after an event failed. It is tried once more: without it the edge reaches nobody. */
  #unsettled(line: Line): void {
    const { parity } = line;
    const again = parity.readAgain || !parity.hasRetried;
    parity.hasRetried = !parity.readAgain;
    parity.reading = null;
    line.level = LEVEL_UNKNOWN;
    if (!this.chip.available) return;
    if (again) this.#settle(line);
    else this.#subscriptions.learned(line, true);
  }

  /**
   * The chip went away: what is under way is answered, what consumers hold and own stays theirs. It came back: output values,
   * then directions, then subscriptions are made again, levels are read, and the edges told that the difference owes.
   */
  availability(available: boolean, reason: string): void {
    this.#replay?.cancel();
    this.#replay = null;
    this.isRestoring = available;
    if (!available) {
      for (const line of this.lines) line.lost();
      this.#operations.abandon();
      this.#refuseDeferred();
      return this.#tellAvailability(false, reason);
    }
    const replay = new Replay(this.#replayParts);
    this.#replay = replay;
    replay.run(() => this.#restored(reason));
  }

  /** A line was taken for set without the chip. While that is away, its return sets it; else it is tried until it is. */
  claimed(line: Line): void {
    if (this.chip.available) Replay.later(this.#replayParts, line);
  }

  #tellAvailability(available: boolean, reason: string): void {
    for (const listener of this.#availabilityListeners) listener(available, reason);
  }

  /** Requests of a line are answered in order, so those that waited come after its subscription. */
  #restored(reason: string): void {
    this.#replay = null;
    this.isRestoring = false;
    for (const line of this.lines) this.#subscriptions.changed(line);
    this.#stopDeferring();
    for (const { ask } of this.#deferred.splice(0)) ask();
    this.#retries.run();
    this.chip.flush();
    // It may have gone again by what it was asked for.
    if (this.chip.available) this.#tellAvailability(true, reason);
  }

  /** Keeps a request until lines are what they were, in order; not for long. */
  defer(handle: LineHandle, ask: () => void, done: Completion, token: number): void {
    this.#deferred.push({ handle, ask, done, token });
    this.#deferTimer ??= setTimeout(() => this.#refuseDeferred(), DEFER_MS).unref();
  }

  /** Answers what a consumer asked for and does not want any more. */
  forget(handle: LineHandle): void {
    if (this.#deferred.length > 0) this.#refuseDeferred(handle);
  }

  #stopDeferring(): void {
    if (this.#deferTimer !== null) clearTimeout(this.#deferTimer);
    this.#deferTimer = null;
  }

  #refuseDeferred(by?: LineHandle): void {
    if (by === undefined) this.#stopDeferring();
    const refused = this.#deferred.filter(({ handle }) => by === undefined || handle === by);
    this.#deferred = this.#deferred.filter((deferred) => !refused.includes(deferred));
    for (const { done, token } of refused) done.complete(token, RESULT_UNAVAILABLE, 0);
  }
}
