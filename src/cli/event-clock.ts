const NS_PER_MS = 1_000_000;

/** Steps of the wall clock below this are what its millisecond resolution hides. */
const STEP_MS = 2;

/**
 * Wall-clock time of monotonic timestamps (the service's are of CLOCK_MONOTONIC, which is one for all processes of a
 * machine). Exact to some microseconds, and to two milliseconds after the wall clock was set.
 */
export class EventClock {
  /** Wall clock minus monotonic clock. */
  #offsetNs: bigint;
  /** How much the wall clock was set since the process started, milliseconds. */
  #steppedMs = 0;

  constructor() {
    this.#offsetNs = BigInt(Math.round(this.#wallMs() * NS_PER_MS)) - process.hrtime.bigint();
  }

  /** Nanoseconds since 1970 of a timestamp of CLOCK_MONOTONIC. */
  realtimeNs(monotonicNs: bigint): bigint {
    this.#followSteps();
    return monotonicNs + this.#offsetNs;
  }

  /** Whoever watches lines for days sees the clock being set. */
  #followSteps(): void {
    const stepMs = Date.now() - this.#wallMs();
    if (Math.abs(stepMs) <= STEP_MS) return;
    this.#steppedMs += Math.round(stepMs);
    this.#offsetNs += BigInt(Math.round(stepMs)) * BigInt(NS_PER_MS);
  }

  /** `Date.now()` has no microseconds; this has, but does not follow when the clock is set. */
  #wallMs(): number {
    return performance.timeOrigin + performance.now() + this.#steppedMs;
  }
}
