/**
 * Adaptive polling (docs/architecture.md): wake-ups cost more than the work they announce, so after a queue was served
 * its owner keeps looking at it for a bounded time before notifications are enabled again and the event loop goes on.
 */

/** Bound once: the global is a getter. */
const clock = performance;

/** Rounds over the rings between two looks at the clock. */
const ROUNDS_PER_LOOK = 8;

/** Something with rings to look at. */
export interface Pollable {
  /** How long to keep looking after the last work, in microseconds; 0 = not for its sake. */
  readonly pollUs: number;
  /** Serves at most a bounded batch. Returns whether there was anything to do. */
  poll(): boolean;
  /** Asks the other side not to notify, while the poller looks by itself. */
  disableNotifications(): void;
  /** Asks the other side to notify, then looks once more: true when work had slipped in between. */
  enableNotifications(): boolean;
}

export interface PollerOptions {
  /** Longest stay away from the event loop, in microseconds, however busy the rings are. Default 2000. */
  readonly budgetUs?: number;
}

/**
 * Runs the pollables that have work. One a thread of the data path; the budget is a turn's, not a queue's, so many busy
 * guests share it.
 */
export class Poller {
  readonly #active: Pollable[] = [];
  /** The longest wish of the active ones. */
  #pollMs = 0;
  readonly #budgetMs: number;
  #running = false;
  /** Since when it has been quiet, over turns of the loop; -1 = from the start of the next pass on. */
  #quietSince = -1;
  #continuation: NodeJS.Immediate | null = null;
  readonly #resume = (): void => {
    this.#continuation = null;
    this.run();
  };

  constructor(options: PollerOptions = {}) {
    this.#budgetMs = (options.budgetUs ?? 2000) / 1000;
  }

  /** Marks a pollable as having work (its doorbell rang, or it just submitted something), without running it. */
  activate(pollable: Pollable): void {
    if (this.#active.includes(pollable)) return;
    pollable.disableNotifications();
    this.#active.push(pollable);
    this.#pollMs = Math.max(this.#pollMs, pollable.pollUs / 1000);
  }

  /** As {@link activate}, from outside a pass (a timer, a control command): the pass comes on the next turn of the loop. */
  request(pollable: Pollable): void {
    this.activate(pollable);
    if (!this.#running) this.#continuation ??= setImmediate(this.#resume);
  }

  /** Takes a pollable out, for instance because its queues are going away. */
  remove(pollable: Pollable): void {
    const at = this.#active.indexOf(pollable);
    if (at >= 0) this.#active.splice(at, 1);
  }

  /** The doorbell of `pollable` rang: serve it, and whatever else is active, until all is quiet. */
  wake(pollable: Pollable): void {
    this.activate(pollable);
    this.run();
  }

  /** Serves all active pollables until they are quiet for the polling time or the budget is used up. */
  run(): void {
    // Re-entered from a completion: the outer loop will see the newly active one.
    if (this.#running) return;
    this.#running = true;
    const active = this.#active;
    try {
      const start = clock.now();
      // Going on in a new turn: the quiet time counts from where it began.
      let quietSince = this.#quietSince < 0 ? start : this.#quietSince;
      this.#quietSince = -1;
      let wasBusy = false;
      let rounds = 0;
      while (active.length > 0) {
        let busy = false;
        for (let i = 0; i < active.length; i++) {
          if ((active[i] as Pollable).poll()) busy = true;
        }
        if (busy) wasBusy = true;
        // Reading the clock costs as much as a request and allocates: it is looked at only now and then.
        rounds++;
        if (this.#pollMs > 0 || busy) {
          if (rounds % ROUNDS_PER_LOOK !== 0) continue;
        }
        const now = clock.now();
        if (wasBusy) {
          wasBusy = false;
          quietSince = now;
        }
        if (!busy && now - quietSince >= this.#pollMs) {
          this.#settle();
          if (active.length === 0) return;
          quietSince = now;
        }
        if (now - start >= this.#budgetMs) {
          // Out of budget, busy or not: others on the loop get their turn, then it goes on (notifications stay off meanwhile).
          this.#quietSince = quietSince;
          this.#continuation ??= setImmediate(this.#resume);
          return;
        }
      }
    } finally {
      this.#running = false;
    }
  }

  /** Enables notifications everywhere; keeps those active into which work slipped meanwhile. */
  #settle(): void {
    const active = this.#active;
    for (let i = active.length - 1; i >= 0; i--) {
      const pollable = active[i] as Pollable;
      if (pollable.enableNotifications()) pollable.disableNotifications();
      else active.splice(i, 1);
    }
    this.#pollMs = 0;
    for (let i = 0; i < active.length; i++) {
      this.#pollMs = Math.max(this.#pollMs, (active[i] as Pollable).pollUs / 1000);
    }
  }

  /** Drops the continuation and all pollables; idempotent. */
  close(): void {
    if (this.#continuation !== null) clearImmediate(this.#continuation);
    this.#continuation = null;
    this.#quietSince = -1;
    this.#active.length = 0;
  }
}
