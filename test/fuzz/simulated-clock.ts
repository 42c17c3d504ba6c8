/**
 * Time for one execution: timers, immediates and `performance.now()` go by it, so that timeouts of seconds take none, and the same
 * input always meets the same order of things. Nothing else runs meanwhile: a target that goes by it waits for promises only, never
 * for the event loop.
 */

interface Timer {
  readonly id: number;
  dueMs: number;
  readonly everyMs: number | null;
  readonly run: () => void;
}

/** Microtasks run in rounds; promises of the code under test settle within a few. */
const MICROTASK_ROUNDS = 12;
/** Every look at the clock takes this long: code that looks until some time is over would never end otherwise. */
const TICK_MS = 0.02;
/** Timers and immediates that one {@link SimulatedClock.advance} runs at most; more is code that goes round and round. */
const MAX_CALLS = 20_000;

export class SimulatedClock {
  nowMs = 1000;
  #next = 1;
  #timers = new Map<number, Timer>();
  #immediates = new Map<number, () => void>();

  /** Timers and immediates that wait. */
  get pending(): number {
    return this.#timers.size + this.#immediates.size;
  }

  /** Takes the place of the real clock and timers. @returns what gives them back */
  install(): () => void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;
    const set = (
      run: (...args: unknown[]) => void,
      ms: number | undefined,
      args: unknown[],
      every: boolean,
    ) => {
      const delayMs = Math.max(1, Number(ms) || 1);
      const id = this.#next++;
      this.#timers.set(id, {
        id,
        dueMs: this.nowMs + delayMs,
        everyMs: every ? delayMs : null,
        run: () => run(...args),
      });
      return this.#handle(id);
    };
    const clear = (real: (handle: never) => void) => (handle: unknown) => {
      const id = (handle as { simulatedId?: number } | null | undefined)?.simulatedId;
      if (id === undefined) return real(handle as never);
      this.#timers.delete(id);
      this.#immediates.delete(id);
    };
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms?: number, ...args: unknown[]) => set(run, ms, args, false),
      setInterval: (run: () => void, ms?: number, ...args: unknown[]) => set(run, ms, args, true),
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => {
        const id = this.#next++;
        this.#immediates.set(id, () => run(...args));
        return this.#handle(id);
      },
      clearTimeout: clear(clearTimeout),
      clearInterval: clear(clearInterval),
      clearImmediate: clear(clearImmediate),
    });
    Object.defineProperty(performance, 'now', {
      configurable: true,
      value: () => {
        this.nowMs += TICK_MS;
        return this.nowMs;
      },
    });
    return () => {
      Object.assign(globalThis, {
        setTimeout,
        clearTimeout,
        setInterval,
        clearInterval,
        setImmediate,
        clearImmediate,
      });
      // The prototype's own shows again.
      Reflect.deleteProperty(performance, 'now');
    };
  }

  #handle(simulatedId: number): object {
    const handle = {
      simulatedId,
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      refresh: () => {
        const timer = this.#timers.get(simulatedId);
        if (timer !== undefined) timer.dueMs = this.nowMs + (timer.everyMs ?? 1);
        return handle;
      },
    };
    return handle;
  }

  /** Runs the immediates that wait now, not those that they ask for. */
  turn(): void {
    const immediates = [...this.#immediates];
    for (const [id, run] of immediates) if (this.#immediates.delete(id)) run();
  }

  /** Lets the time pass, and runs what becomes due, in its order; immediates before each timer. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let calls = 0; ; calls++) {
      if (calls > MAX_CALLS) throw new Error(`more than ${MAX_CALLS} timers within ${ms} ms`);
      this.turn();
      let first: Timer | null = null;
      for (const timer of this.#timers.values())
        if (first === null || timer.dueMs < first.dueMs) first = timer;
      if (first === null || first.dueMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, first.dueMs);
      if (first.everyMs === null) this.#timers.delete(first.id);
      else first.dueMs += first.everyMs;
      first.run();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
    this.turn();
  }
}

/** Lets promises settle that wait for nothing but each other. */
export async function settled(): Promise<void> {
  for (let i = 0; i < MICROTASK_ROUNDS; i++) await undefined;
}
