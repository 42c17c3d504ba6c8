import { closeSync } from 'node:fs';
import { openUeventSocket } from '../libc.ts';
import { openPoll, POLL_READABLE, type PollHandle, readDescriptor } from '../native.ts';

/** The kernel's own limit is 2048 bytes of variables (UEVENT_BUFFER_SIZE), and a path before them. */
const MESSAGE_SIZE = 8192;
const BATCH = 64;
const ENOBUFS = 105;

/** A device came, went or changed (kernel Documentation/core-api/kobject.rst, "uevents"). */
export interface Uevent {
  /** `add`, `remove`, `bind`, `unbind`, `change`; `lost` when the kernel had to drop some: look at everything. */
  readonly action: string;
  /** Below `/sys`. */
  readonly devpath: string;
  readonly subsystem: string;
}

const LOST: Uevent = { action: 'lost', devpath: '', subsystem: '' };

/** `add@/devices/...`, then NUL-terminated `KEY=value` strings. Null for anything else. */
export function parseUevent(message: string): Uevent | null {
  const [head = '', ...variables] = message.split('\0');
  const at = head.indexOf('@');
  if (at <= 0) return null;
  const subsystem = variables.find((variable) => variable.startsWith('SUBSYSTEM='))?.slice(10) ?? '';
  return { action: head.slice(0, at), devpath: head.slice(at + 1), subsystem };
}

/**
 * What the kernel tells about devices: the cheap way to notice that one came or went, as sysfs has no inotify. Costs nothing
 * while no device does either. Main thread only (libc.ts).
 */
export class Uevents {
  readonly #fd: number;
  #poll: PollHandle | null = null;
  readonly #message = Buffer.alloc(MESSAGE_SIZE);
  readonly #listener: (event: Uevent) => void;
  #closed = false;

  /** @throws LibcError where there are none, or ffi-napi does not load */
  constructor(listener: (event: Uevent) => void) {
    this.#listener = listener;
    this.#fd = openUeventSocket();
    try {
      this.#watch();
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  #watch(): void {
    const poll = openPoll(this.#fd, POLL_READABLE, (status) => {
      this.#read();
      if (status >= 0 || this.#closed) return;
      // The kernel had to drop some (the socket's error has ended the watching, and reading has taken it): go on.
      this.#poll?.close();
      this.#watch();
    });
    poll.unref();
    this.#poll = poll;
  }

  #read(): void {
    for (let i = 0; i < BATCH && !this.#closed; i++) {
      const count = readDescriptor(this.#fd, this.#message);
      if (count === -ENOBUFS) this.#listener(LOST);
      else if (count <= 0) return;
      else {
        const event = parseUevent(this.#message.toString('latin1', 0, count));
        if (event !== null) this.#listener(event);
      }
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    closeSync(this.#fd);
  }
}
