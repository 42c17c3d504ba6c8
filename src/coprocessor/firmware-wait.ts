/** Something waited for that a doorbell may bring about. */
interface Waiter {
  readonly look: (notifyId: number) => void;
  readonly abort: (error: Error) => void;
}

/** How often to look where no doorbell can be counted on: at first, and, as what is not there soon may take long, in the end. */
const RECHECK_MS = 20;
const MAX_RECHECK_MS = 500;
/** A peer is taken for quiet after this time without a call. */
const QUIET_MS = 50;
const MAX_QUIET_MS = 1000;

/** Waiting for the firmware, with a bound: for its table when it starts, and for its silence after a reset. */
export class FirmwareWait {
  #waiters: Waiter[] = [];

  /** To be told of every call of the doorbell. */
  called(notifyId: number): void {
    if (this.#waiters.length === 0) return;
    for (const waiter of [...this.#waiters]) waiter.look(notifyId);
  }

  /** Ends all waiting. */
  abort(error: Error): void {
    for (const waiter of this.#waiters.splice(0)) waiter.abort(error);
  }

  /**
   * Resolves when `isDone` says so. It is asked at once, with every call, and at the end; when `isRechecked`, also from time to time.
   * Rejects with what it throws, or at the end with `describeTimeout()`.
   */
  until(
    isDone: () => boolean,
    timeoutMs: number,
    isRechecked: boolean,
    describeTimeout: () => Error,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let recheck: NodeJS.Timeout | undefined;
      let deadline: NodeJS.Timeout | undefined;
      const finish = (end: () => void): void => {
        clearTimeout(recheck);
        clearTimeout(deadline);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        end();
      };
      const look = (): boolean => {
        try {
          if (!isDone()) return false;
          finish(resolve);
        } catch (error) {
          finish(() => reject(error as Error));
        }
        return true;
      };
      const waiter: Waiter = { look, abort: (error) => finish(() => reject(error)) };
      if (look()) return;
      this.#waiters.push(waiter);
      const lookIn = (pauseMs: number): void => {
        recheck = setTimeout(() => {
          if (!look()) lookIn(Math.min(pauseMs * 1.25, MAX_RECHECK_MS));
        }, pauseMs);
      };
      if (isRechecked) lookIn(RECHECK_MS);
      deadline = setTimeout(() => {
        if (!look()) finish(() => reject(describeTimeout()));
      }, timeoutMs);
    });
  }

  /**
   * Resolves when the firmware has let go of a vdev that was reset, as far as that can be known: it says so by the doorbell of the
   * vdev itself (our library does), or has not called for a while.
   * @param notifyId of the vdev when a call can tell it from its vrings; else -2
   * @param pollIntervalMs of a doorbell without calls; 0 where there are calls
   */
  untilQuiet(notifyId: number, pollIntervalMs: number): Promise<void> {
    const quietMs = Math.max(QUIET_MS, 4 * pollIntervalMs);
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout;
      const startedAt = performance.now();
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        end();
      };
      const waiter: Waiter = {
        look: (calledId) => {
          if (calledId === notifyId) {
            finish(resolve);
          } else if (pollIntervalMs === 0 && performance.now() - startedAt < MAX_QUIET_MS) {
            timer.refresh();
          }
        },
        abort: (error) => finish(() => reject(error)),
      };
      timer = setTimeout(() => finish(resolve), quietMs);
      this.#waiters.push(waiter);
    });
  }
}
