/**
 * Adaptive polling (docs/architecture.md): wake-ups cost more than the work they announce, so after a queue was served
 * its owner keeps looking at it for a bounded time before notifications are enabled again and the event loop goes on.
 */
import { PollWindow } from './poll-window.ts';

/** Looks at rings between two looks at the clock, at least. */
const POLLS_PER_LOOK = 8;
/**
 * One that has been quiet for longer than it is polled for is looked at in every eighth round, while others are polled: its doorbell is
 * off. And after so many milliseconds, since a round of many busy ones is longer than that, and a turn ends before the eighth.
 */
const LINGER_MASK = 7;
const LINGER_MS = 0.1;
/**
 * A processor that is away for so long between two looks is rationed (a cgroup's quota): each look is paid for later. Longer than
 * the time slices of a few processes that share it: polling pays beside them.
 */
const RATIONED_MS = 30;

/** Something with rings to look at. */
export interface Pollable {
  /** How long to keep looking after the last work, in microseconds, where that pays; 0 = not for its sake. */
  readonly pollUs: number;
  /** Serving is a system call for each request, or a slow bus behind it: the clock is looked at each time. */
  readonly blocks?: boolean;
  /** Serves at most a bounded batch. Returns whether there was anything to do. */
  poll(): boolean;
  /** Asks the other side not to notify, while the poller looks by itself. */
  disableNotifications(): void;
  /** Asks the other side to notify, then looks once more: true when work had slipped in between. */
  enableNotifications(): boolean;
}

export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
}

export interface PollerOptions {
  /** Longest stay away from the event loop, in microseconds, however busy the rings are. Default 2000. */
  readonly budgetUs?: number;
  /** Of that, after a doorbell: others may have rung with it. Doubles with each turn in which nobody did. Default 100. */
  readonly firstBudgetUs?: number;
  /** Default: `performance`. */
  readonly clock?: Clock;
}

/** What the poller knows of a pollable, from its first work on. */
class Slot {
  readonly pollable: Pollable;
  readonly window = new PollWindow();
  isActive = false;
  /** Had work, or something was done for it, since the last look at the clock. */
  isTouched = false;
  /** The doorbell rang since the last look at the clock. */
  rang = false;
  /** Of what was requested nothing was done yet: the next poll says nothing about the other side. */
  isOwed = false;
  /** Nothing was there at the last look. */
  isIdle = false;
  /** Work was found by looking, not by a doorbell, since the last look at the clock. */
  isFound = false;
  /** Quiet for longer than it is polled for. */
  lingers = false;
  /** Time of the last work. */
  lastMs = 0;
  settledMs = Number.NEGATIVE_INFINITY;

  constructor(pollable: Pollable) {
    this.pollable = pollable;
  }

  touch(): void {
    this.isTouched = true;
    this.isOwed = true;
    this.isIdle = false;
    this.lingers = false;
  }

  /** Serves it. @returns whether there was anything to do */
  poll(): boolean {
    const { isIdle: wasIdle, isOwed: wasOwed } = this;
    // Before: what is requested from within stays owed.
    this.isOwed = false;
    const isBusy = this.pollable.poll();
    if (isBusy) {
      if (wasIdle) this.isFound = true;
      this.isTouched = true;
      this.isIdle = false;
      this.lingers = false;
    } else if (!wasOwed && !this.isOwed) this.isIdle = true;
    return isBusy;
  }

  /** Judges what came of polling it. @returns whether to go on for its sake */
  look(now: number): boolean {
    const { window } = this;
    const pollMs = this.pollable.pollUs / 1000;
    if (this.isTouched) {
      // Twice the time: what was found after an absence of this thread was not found by polling.
      if (this.isFound) {
        if (now - this.lastMs <= 2 * pollMs) window.found();
      } else if (this.rang && now - this.settledMs <= pollMs) window.missed();
      this.isTouched = false;
      this.isFound = false;
      this.rang = false;
      this.lastMs = now;
    } else if (!this.lingers && now - this.lastMs >= pollMs) {
      this.lingers = true;
      window.gaveUp();
    }
    return pollMs > 0 && !this.lingers && window.isOpen;
  }
}

/**
 * Runs the pollables that have work. One a thread of the data path; the budget is a turn's, not a queue's, so many busy
 * guests share it.
 */
export class Poller {
  readonly #active: Slot[] = [];
  readonly #slots = new WeakMap<Pollable, Slot>();
  readonly #budgetMs: number;
  readonly #firstBudgetMs: number;
  /** Of the next turn. */
  #turnMs: number;
  readonly #clock: Clock;
  #running = false;
  /** The last turn ended before all was quiet; {@link #continuation} goes on. */
  #isStretched = false;
  #lookedMs = 0;
  /** When all were looked at, quiet ones too. */
  #fullMs = 0;
  #continuation: NodeJS.Immediate | null = null;
  readonly #resume = (): void => {
    this.#continuation = null;
    this.run();
  };

  constructor(options: PollerOptions = {}) {
    this.#budgetMs = (options.budgetUs ?? 2000) / 1000;
    this.#firstBudgetMs = Math.min((options.firstBudgetUs ?? 100) / 1000, this.#budgetMs);
    this.#turnMs = this.#firstBudgetMs;
    // Bound once: the global is a getter.
    this.#clock = options.clock ?? performance;
  }

  /** Marks a pollable as having work (its doorbell rang, or it just submitted something), without running it. */
  activate(pollable: Pollable): void {
    this.#activate(pollable);
  }

  #activate(pollable: Pollable): Slot {
    let slot = this.#slots.get(pollable);
    if (slot === undefined) {
      slot = new Slot(pollable);
      this.#slots.set(pollable, slot);
    }
    slot.touch();
    if (slot.isActive) return slot;
    slot.isActive = true;
    slot.isFound = false;
    if (!this.#running) this.#turnMs = this.#firstBudgetMs;
    pollable.disableNotifications();
    this.#active.push(slot);
    return slot;
  }

  /** As {@link activate}, from outside a pass (a timer, a control command): the pass comes on the next turn of the loop. */
  request(pollable: Pollable): void {
    this.#activate(pollable);
    if (!this.#running) this.#continuation ??= setImmediate(this.#resume);
  }

  /** Takes a pollable out, for instance because its queues are going away. */
  remove(pollable: Pollable): void {
    const slot = this.#slots.get(pollable);
    if (slot === undefined) return;
    this.#slots.delete(pollable);
    slot.isActive = false;
    const at = this.#active.indexOf(slot);
    if (at >= 0) this.#active.splice(at, 1);
  }

  /**
   * The doorbell of `pollable` rang: serve it, and whatever else is active, until all is quiet. Between two turns of a busy stretch it
   * is served in the next one: of many doorbells at once each would otherwise wait for the whole turn of those before it.
   */
  wake(pollable: Pollable): void {
    this.#activate(pollable).rang = true;
    if (!this.#isStretched) this.run();
  }

  /** Serves all active pollables until they are quiet for the polling time or the budget is used up. */
  run(): void {
    // Re-entered from a completion: the outer loop will see the newly active one.
    if (this.#running) return;
    this.#running = true;
    this.#isStretched = false;
    const active = this.#active;
    try {
      const start = this.#clock.now();
      this.#lookedMs = start;
      let isHot = this.#look(start);
      let polls = 0;
      /** Since the last look at the clock time may have gone into work. */
      let wasBlocked = false;
      for (let round = 1; active.length > 0; round++) {
        const isFull = !isHot || (round & LINGER_MASK) === 0 || this.#lookedMs - this.#fullMs >= LINGER_MS;
        if (isFull) this.#fullMs = this.#lookedMs;
        let isBusy = false;
        for (let i = 0; i < active.length; i++) {
          const slot = active[i] as Slot;
          if (slot.lingers && !isFull) continue;
          polls++;
          if (!slot.poll()) continue;
          isBusy = true;
          if (slot.pollable.blocks !== true) continue;
          wasBlocked = true;
          polls += POLLS_PER_LOOK;
        }
        // Reading the clock costs as much as a request and allocates: it is looked at only now and then.
        if ((isHot || isBusy) && polls < Math.max(POLLS_PER_LOOK, active.length)) continue;
        polls = 0;
        const now = this.#clock.now();
        if (isHot && !wasBlocked && now - this.#lookedMs >= RATIONED_MS) this.#rationed();
        wasBlocked = false;
        this.#lookedMs = now;
        isHot = this.#look(now);
        if (!isBusy && !isHot) {
          this.#settle(now);
          if (active.length === 0) return;
        }
        if (now - start >= this.#turnMs) {
          // Out of budget, busy or not: others on the loop get their turn, then it goes on (notifications stay off meanwhile).
          this.#turnMs = Math.min(2 * this.#turnMs, this.#budgetMs);
          this.#isStretched = true;
          this.#continuation ??= setImmediate(this.#resume);
          return;
        }
      }
    } finally {
      this.#running = false;
    }
  }

  /** @returns whether to go on looking for somebody's sake */
  #look(now: number): boolean {
    const active = this.#active;
    let isHot = false;
    for (let i = 0; i < active.length; i++) {
      if ((active[i] as Slot).look(now)) isHot = true;
    }
    return isHot;
  }

  #rationed(): void {
    for (const slot of this.#active) {
      if (!slot.lingers) slot.window.rationed();
    }
  }

  /**
   * Enables notifications everywhere; keeps those active into which work slipped meanwhile, or that were requested since they were
   * polled: what they have to do (an answer that is to be published) no notification tells.
   */
  #settle(now: number): void {
    const active = this.#active;
    for (let i = active.length - 1; i >= 0; i--) {
      const slot = active[i] as Slot;
      if (slot.isOwed) continue;
      if (slot.pollable.enableNotifications()) {
        slot.pollable.disableNotifications();
        slot.touch();
      } else {
        slot.isActive = false;
        slot.settledMs = now;
        active.splice(i, 1);
      }
    }
  }

  /** Drops the continuation and all pollables; idempotent. */
  close(): void {
    if (this.#continuation !== null) clearImmediate(this.#continuation);
    this.#continuation = null;
    this.#isStretched = false;
    for (const slot of this.#active) slot.isActive = false;
    this.#active.length = 0;
  }
}
