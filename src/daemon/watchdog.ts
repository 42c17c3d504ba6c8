import { closeSync } from 'node:fs';
import { createEventfd, openPoll, POLL_READABLE, type PollHandle, signalDescriptor } from '../native.ts';
import type { Progress } from '../virtqueue/ring-progress.ts';

export interface WatchdogOptions {
  /** How often somebody wants to hear that all goes on. Looks are made twice as often. */
  readonly periodMs: number;
  /** What has to go on. */
  readonly progress: Progress;
  /** All goes on. */
  readonly ping: () => void;
  /** Something does not, so that there was no ping; told once for each reason. Null: it does again. */
  readonly onStuck: (reason: string | null) => void;
}

/**
 * Tells that the service goes on, only when it was seen to: a timer of the event loop rings a doorbell of our own, which the addon's
 * poll has to notice as it does those of guests and co-processors, and then everything that holds work is looked at.
 */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #fd: number;
  readonly #poll: PollHandle;
  #reason: string | null = null;
  #closed = false;

  /** @throws NativeError `EMFILE`, ... */
  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#fd = createEventfd();
    this.#poll = openPoll(this.#fd, POLL_READABLE, () => this.#look(), true);
    // The first one at once: the period began with READY.
    signalDescriptor(this.#fd);
    this.#timer = setInterval(() => signalDescriptor(this.#fd), options.periodMs / 2);
  }

  #look(): void {
    const { progress, ping, onStuck } = this.#options;
    const reason = progress.stuck();
    if (reason !== this.#reason) onStuck(reason);
    this.#reason = reason;
    if (reason === null) ping();
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#poll.close();
    closeSync(this.#fd);
  }
}
