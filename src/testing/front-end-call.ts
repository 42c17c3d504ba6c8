import { closeSync } from 'node:fs';
import {
  createEventfd,
  createPipe,
  createSocketPair,
  openPoll,
  POLL_READABLE,
  type PollHandle,
} from '../native.ts';

/**
 * What a back-end gets to call with: QEMU hands over eventfds, User-Mode Linux one end of a socket pair. With `none` it
 * gets nothing (bit 8), and the used ring is looked at in an interval.
 */
export type CallKind = 'eventfd' | 'pipe' | 'socket' | 'none';

/** How often a vring without a call descriptor is looked at. */
const CALLLESS_INTERVAL_MS = 1;

/** The descriptor that a device signals to us, and ours to listen on. Owns both. */
export class CallDescriptor {
  /** The one to hand over; -1 with `none`. */
  readonly fd: number;
  /** Signals that came. Of several at once, as eventfds and slow listeners make them, one. */
  count = 0;
  readonly #listenFd: number;
  readonly #poll: PollHandle | null = null;
  readonly #interval: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(kind: CallKind, onCall: () => void) {
    [this.#listenFd, this.fd] = makeDescriptors(kind);
    if (kind === 'none') this.#interval = setInterval(onCall, CALLLESS_INTERVAL_MS);
    else {
      const called = (status: number): void => {
        if (status === 0) this.count++;
        onCall();
      };
      this.#poll = openPoll(this.#listenFd, POLL_READABLE, called, true);
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    if (this.#interval !== null) clearInterval(this.#interval);
    for (const fd of new Set([this.fd, this.#listenFd])) if (fd >= 0) closeSync(fd);
  }
}

/** [the end to listen on, the end to signal] */
function makeDescriptors(kind: CallKind): [number, number] {
  switch (kind) {
    case 'eventfd': {
      const fd = createEventfd();
      return [fd, fd];
    }
    case 'pipe':
      return createPipe();
    case 'socket':
      return createSocketPair();
    case 'none':
      return [-1, -1];
  }
}
