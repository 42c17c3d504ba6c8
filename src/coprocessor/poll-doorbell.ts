import { CoprocessorError } from './coprocessor-error.ts';
import { ANY_NOTIFY_ID, type Doorbell, type PollDoorbellOptions } from './doorbell.ts';

const DEFAULT_INTERVAL_MS = 10;

/** For firmware without interrupts: looks at an interval. The only kind that costs wake-ups when nothing happens. */
export class PollDoorbell implements Doorbell {
  readonly inheritedFds: readonly number[] = [];
  readonly isPolled = true;
  readonly maxNotifyId = 0xffff_ffff;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @throws CoprocessorError ERR_DOORBELL */
  constructor({ intervalMs = DEFAULT_INTERVAL_MS }: PollDoorbellOptions) {
    if (!Number.isFinite(intervalMs) || intervalMs < 1) {
      throw new CoprocessorError('ERR_DOORBELL', `poll interval is ${intervalMs} ms, expected 1 or more`);
    }
    this.#intervalMs = intervalMs;
  }

  /** The firmware looks by itself. */
  ring(_notifyId: number): void {}

  open(listener: (notifyId: number) => void): void {
    this.#timer = setInterval(listener, this.#intervalMs, ANY_NOTIFY_ID);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
