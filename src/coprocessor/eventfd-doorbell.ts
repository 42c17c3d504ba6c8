import { closeSync } from 'node:fs';
import { createEventfd, openPoll, POLL_READABLE, type PollHandle, signalDescriptor } from '../native.ts';
import { ANY_NOTIFY_ID, type Doorbell } from './doorbell.ts';

/** Two eventfds: one for kicks, one for calls. An eventfd counts, so it says nothing of which vring. */
export class EventfdDoorbell implements Doorbell {
  readonly inheritedFds: readonly number[];
  readonly isPolled = false;
  readonly maxNotifyId = 0xffff_ffff;
  readonly #kickFd: number;
  readonly #callFd: number;
  #poll: PollHandle | undefined;
  #ready: (status: number) => void = () => {};
  #closed = false;

  constructor() {
    this.#kickFd = createEventfd();
    this.#callFd = createEventfd();
    this.inheritedFds = [this.#kickFd, this.#callFd];
  }

  ring(_notifyId: number): void {
    // After close() the number may be somebody else's descriptor.
    if (!this.#closed) signalDescriptor(this.#kickFd);
  }

  open(listener: (notifyId: number) => void, onLost?: (reason: string) => void): void {
    this.#ready = (status: number): void => {
      if (status < 0) onLost?.(`doorbell eventfd failed with errno ${-status}`);
      else listener(ANY_NOTIFY_ID);
    };
    this.resume();
  }

  pause(): void {
    this.#poll?.close();
    this.#poll = undefined;
  }

  resume(): void {
    if (!this.#closed) this.#poll ??= openPoll(this.#callFd, POLL_READABLE, this.#ready, true);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    closeSync(this.#kickFd);
    closeSync(this.#callFd);
  }
}
