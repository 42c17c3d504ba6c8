import {
  type Chip,
  type Completion,
  IRQ_BOTH,
  IRQ_NONE,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from './chip.ts';
import type { Line } from './line.ts';
import type { LineHandle } from './line-handle.ts';
import { OP_GET_DIRECTION, OP_IRQ_TYPE, OP_LEARN, type Operations } from './operations.ts';
import type { Retries } from './retries.ts';

/** How long a record may be on its way after the answer to a request that came after it. */
const LATE_MS = 50;

interface Waiter {
  readonly handle: LineHandle;
  readonly done: Completion;
  readonly token: number;
}

/**
 * The subscriptions of a chip's lines: one a line for all its consumers, of what these want together, and only while somebody
 * wants something. Reads the levels of lines that are watched where no edge tells them.
 */
export class Subscriptions {
  readonly #chip: Chip;
  readonly #operations: Operations;
  readonly #retries: Retries;
  readonly #isOpen: () => boolean;
  /** Consumers whose interrupt was enabled and who wait for the chip to confirm it. */
  readonly #waiters = new Map<Line, Waiter[]>();
  /** Lines of which the chip refused to tell watchers. */
  readonly #refused = new Set<Line>();

  /** @param isOpen whether the chip may be asked: not while it is away, nor before its lines are what they were */
  constructor(chip: Chip, operations: Operations, retries: Retries, isOpen: () => boolean) {
    this.#chip = chip;
    this.#operations = operations;
    this.#retries = retries;
    this.#isOpen = isOpen;
  }

  /** Subscribes for a handle whose interrupt was just enabled; `done` hears when the chip has confirmed. */
  subscribe(handle: LineHandle, done: Completion, token: number): void {
    const { line } = handle;
    if (!this.#chip.available) {
      handle.subscriptionFailed();
      return done.complete(token, RESULT_UNAVAILABLE, 0);
    }
    const settled = line.wantedSubscription() === line.subscribed && line.irqTypesPending === 0;
    if (settled) return done.complete(token, RESULT_OK, 0);
    const waiters = this.#waiters.get(line) ?? [];
    waiters.push({ handle, done, token });
    this.#waiters.set(line, waiters);
    this.refresh(line);
  }

  /** Brings the chip's subscription of the line to what its consumers want together. */
  refresh(line: Line): void {
    if (!this.#isOpen()) return;
    if (line.wantedSubscription() !== line.subscribed) {
      if (line.subscribed !== IRQ_NONE || line.isUnsure) this.#send(line, IRQ_NONE);
      // Asked again: a chip that answers in the same turn may have changed it.
      const wanted = line.wantedSubscription();
      if (wanted !== IRQ_NONE && line.subscribed === IRQ_NONE) this.#send(line, wanted);
    }
    if (line.needsRead) this.learn(line);
  }

  #send(line: Line, type: number): void {
    line.resubscribed(type);
    if (type === IRQ_NONE) line.isUnsure = false;
    else if (line.unsubscriptionsPending > 0 || performance.now() - line.unsubscribedAtMs < LATE_MS)
      line.suspectUntilMs = Number.POSITIVE_INFINITY;
    const operation = this.#operations.begin(OP_IRQ_TYPE, line, type, null, 0);
    this.#chip.setIrqType(line.offset, type, this.#operations, operation);
    if (type === IRQ_BOTH) this.learn(line);
  }

  /**
   * A record was heard of a line that was subscribed anew right after the end of its last subscription. Records and answers come
   * over different queues, so it may be one of before, and then its level is not the one of now.
   */
  suspected(line: Line): void {
    if (performance.now() > line.suspectUntilMs) line.suspectUntilMs = 0;
    else this.learn(line);
  }

  /** Reads the level, for ourselves. */
  learn(line: Line): void {
    const operation = this.#operations.begin(OP_LEARN, line, 0, null, 0);
    this.#chip.getValue(line.offset, this.#operations, operation);
  }

  /** A read was answered. Where it told nothing that can be believed and somebody relies on it, it is repeated after a while. */
  learned(line: Line, sameEdges: boolean): void {
    if (!line.needsRead) return;
    if (sameEdges) this.#retries.add(`level of ${line.offset}`, () => this.#learnAgain(line));
    // It was of another situation than this.
    else this.learn(line);
  }

  #learnAgain(line: Line): void {
    if (!line.needsRead) return;
    this.learn(line);
    this.#chip.flush();
  }

  /** The chip answered a SET_IRQ_TYPE. The last one under way decides: an earlier one was for less than what is wanted by now. */
  answered(line: Line, type: number, result: number, sameEdges: boolean): void {
    if (type === IRQ_NONE) line.unsubscribedAtMs = performance.now();
    if (result !== RESULT_OK && type === IRQ_NONE) line.isUnsure = true;
    if (line.irqTypesPending > 0) return;
    if (line.suspectUntilMs > 0) line.suspectUntilMs = performance.now() + LATE_MS;
    if (result !== RESULT_OK && type !== IRQ_NONE && type === line.subscribed) {
      return this.#notSubscribed(line, type, result);
    }
    if (result === RESULT_OK) {
      // Records heard before the confirmation may be older than the subscription: a read from now on is not.
      if (!sameEdges && this.#chip.streamsLevels && line.subscribed === IRQ_BOTH) {
        line.fresh = false;
        this.learn(line);
      }
      if (type === IRQ_BOTH) this.#unrefuse(line);
    }
    const wanted = line.wantedSubscription();
    if (type !== IRQ_NONE || wanted === IRQ_NONE) this.#confirm(line, result);
    if (type === IRQ_NONE && wanted === IRQ_NONE && result === RESULT_OK) this.#ended();
  }

  #notSubscribed(line: Line, type: number, result: number): void {
    line.resubscribed(IRQ_NONE);
    // A watcher goes without rather than take a guest's interrupt along.
    const hadWatchers = this.#isOpen() && this.#refuse(line, result);
    const wanted = line.wantedSubscription();
    if (hadWatchers && wanted !== IRQ_NONE && wanted !== type) this.refresh(line);
    // Consumers that had their subscription before lose it with a chip that fails: it is theirs again as soon as it can be.
    else if (!this.#confirm(line, result) && line.wantedSubscription() !== IRQ_NONE)
      this.#retries.add(`edges of ${line.offset}`, () => this.#tryAgain(line));
    if (hadWatchers) this.#readInstead(line);
  }

  /** The level for those who get no edges. */
  #readInstead(line: Line): void {
    this.learn(line);
    // The reason may be that it is an output by now, which the firmware made one: then it is watched as one.
    const operation = this.#operations.begin(OP_GET_DIRECTION, line, 0, null, 0);
    this.#chip.getDirection(line.offset, this.#operations, operation);
  }

  /** @returns whether there were watchers */
  #refuse(line: Line, result: number): boolean {
    let isNew = false;
    for (const handle of line.handles) {
      if (!handle.watching || handle.isRefused) continue;
      handle.isRefused = true;
      isNew = true;
    }
    if (!isNew) return false;
    this.#refused.add(line);
    if (result === RESULT_TIMEOUT) this.#retries.add(`edges of ${line.offset}`, () => this.#tryAgain(line));
    return true;
  }

  #unrefuse(line: Line): void {
    if (!this.#refused.delete(line)) return;
    for (const handle of line.handles) handle.isRefused = false;
  }

  /** The situation of the line is another one: what the chip refused, it may do now. */
  changed(line: Line): void {
    this.#unrefuse(line);
    this.refresh(line);
  }

  #tryAgain(line: Line): void {
    this.changed(line);
    this.#chip.flush();
  }

  /** Somebody's subscription ended: a chip may have had no room for another one. */
  #ended(): void {
    if (this.#refused.size === 0) return;
    for (const line of [...this.#refused]) {
      // Not where others have a subscription: a change goes through none, and they might lose an edge by it.
      if (line.subscribed === IRQ_NONE) this.changed(line);
    }
    this.#chip.flush();
  }

  /** @returns whether somebody waited for it */
  #confirm(line: Line, result: number): boolean {
    const waiters = this.#waiters.get(line);
    if (waiters === undefined) return false;
    this.#waiters.delete(line);
    for (const { handle, done, token } of waiters) {
      if (result !== RESULT_OK) handle.subscriptionFailed();
      done.complete(token, result, 0);
    }
    if (result !== RESULT_OK) this.refresh(line);
    return true;
  }
}
