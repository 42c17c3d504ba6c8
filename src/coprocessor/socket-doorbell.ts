import { closeSync } from 'node:fs';
import {
  connectUnix,
  openPoll,
  POLL_READABLE,
  POLL_WRITABLE,
  type PollHandle,
  readDescriptor,
  writeDescriptor,
} from '../native.ts';
import { CoprocessorError, describeOpenError } from './coprocessor-error.ts';
import type { Doorbell, SocketDoorbellOptions } from './doorbell.ts';

const EAGAIN = 11;
const ECONNRESET = 104;
/** Pause before the next attempt to connect: the first, and the longest. */
const RETRY_MS = 50;
const MAX_RETRY_MS = 500;
const MAX_ID = 255;
/** The peer is not there yet: it may still come. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);

/** A Unix stream socket on which a byte is a `notifyid`, both ways. Equal kicks that wait for room are one kick. */
export class SocketDoorbell implements Doorbell {
  readonly inheritedFds: readonly number[] = [];
  readonly isPolled = false;
  readonly maxNotifyId = MAX_ID;
  readonly #path: string;
  readonly #connectTimeoutMs: number;
  readonly #incoming = new Uint8Array(256);
  readonly #outgoing = new Uint8Array(1);
  /** By notify id: 1 when it was told of what is being read. */
  readonly #told = new Uint8Array(MAX_ID + 1);
  /** By notify id: 1 when a kick waits for room in the socket's buffer. */
  readonly #pending = new Uint8Array(MAX_ID + 1);
  #fd = -1;
  #poll: PollHandle | undefined;
  #isFull = false;
  #isPaused = false;
  #closed = false;
  #listener: (notifyId: number) => void = () => {};
  #onLost: ((reason: string) => void) | undefined;
  #wake: (() => void) | undefined;

  /** @param connectTimeoutMs how long the other end may take to listen */
  constructor({ path }: SocketDoorbellOptions, connectTimeoutMs: number) {
    this.#path = path;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  ring(notifyId: number): void {
    const id = notifyId & MAX_ID;
    if (this.#fd < 0) return;
    // Behind kicks that wait, so that none overtakes; a vring is looked at wholly, so one waiting kick is enough.
    if (this.#isFull) {
      this.#pending[id] = 1;
      return;
    }
    this.#outgoing[0] = id;
    const result = writeDescriptor(this.#fd, this.#outgoing);
    if (result === 1) return;
    if (result === -EAGAIN || result === 0) {
      this.#pending[id] = 1;
      this.#isFull = true;
      this.#watch(POLL_READABLE | POLL_WRITABLE);
    } else {
      // Not from here: the caller is in the middle of its ring. What is broken shows up as readable as well.
      setImmediate(() => this.#lose(`writing failed with errno ${-result}`));
    }
  }

  async open(listener: (notifyId: number) => void, onLost?: (reason: string) => void): Promise<void> {
    this.#listener = listener;
    this.#onLost = onLost;
    const deadline = performance.now() + this.#connectTimeoutMs;
    let pauseMs = RETRY_MS;
    while (this.#fd < 0) {
      if (this.#closed) throw new CoprocessorError('ERR_CLOSED', `doorbell socket ${this.#path} was closed`);
      try {
        this.#fd = connectUnix(this.#path);
      } catch (error) {
        const code = String((error as NodeJS.ErrnoException).code);
        if (!RETRIED.has(code) || performance.now() + pauseMs > deadline) {
          const waited = RETRIED.has(code) ? ` (waited ${this.#connectTimeoutMs} ms for it)` : '';
          const reason = code === 'ECONNREFUSED' ? `${this.#path}: nobody listens` : undefined;
          const why = reason ?? describeOpenError(this.#path, error);
          throw new CoprocessorError('ERR_DOORBELL', `doorbell socket ${why}${waited}`, error);
        }
        await this.#pause(pauseMs);
        pauseMs = Math.min(pauseMs * 1.25, MAX_RETRY_MS);
      }
    }
    this.#watch(POLL_READABLE);
  }

  /** Until the next attempt, or until close(). */
  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#fd >= 0) this.#watch(this.#isFull ? POLL_READABLE | POLL_WRITABLE : POLL_READABLE);
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#fd >= 0) this.#watch(this.#isFull ? POLL_READABLE | POLL_WRITABLE : POLL_READABLE);
  }

  /** One handle at a time: a second one on the same descriptor is refused (EEXIST). */
  #watch(wanted: number): void {
    this.#poll?.close();
    this.#poll = undefined;
    const events = this.#isPaused ? wanted & ~POLL_READABLE : wanted;
    if (events === 0) return;
    this.#poll = openPoll(this.#fd, events, (status, ready) => this.#onReady(status, ready));
  }

  #onReady(status: number, ready: number): void {
    if (status < 0) {
      // What is wrong with the connection, reading tells.
      this.#read();
      this.#lose(`polling failed with errno ${-status}`);
      return;
    }
    if ((ready & POLL_WRITABLE) !== 0 && this.#isFull) this.#flush();
    if ((ready & POLL_READABLE) !== 0 && !this.#closed) this.#read();
  }

  #read(): void {
    const count = readDescriptor(this.#fd, this.#incoming);
    if (count === -EAGAIN) return;
    if (count <= 0) {
      const isGone = count === 0 || count === -ECONNRESET;
      this.#lose(isGone ? 'the other end closed the connection' : `reading failed with errno ${-count}`);
      return;
    }
    // The listener looks at the whole vring: the same again in one read says nothing new.
    this.#told.fill(0);
    for (let i = 0; i < count && !this.#closed; i++) {
      const id = this.#incoming[i] as number;
      if (this.#told[id] === 1) continue;
      this.#told[id] = 1;
      this.#listener(id);
    }
  }

  #flush(): void {
    for (let id = 0; id <= MAX_ID; id++) {
      if (this.#pending[id] === 0) continue;
      this.#outgoing[0] = id;
      const result = writeDescriptor(this.#fd, this.#outgoing);
      if (result === -EAGAIN || result === 0) return;
      if (result < 0) {
        this.#lose(`writing failed with errno ${-result}`);
        return;
      }
      this.#pending[id] = 0;
    }
    this.#isFull = false;
    this.#watch(POLL_READABLE);
  }

  #lose(reason: string): void {
    if (this.#closed) return;
    const onLost = this.#onLost;
    this.close();
    onLost?.(`doorbell socket ${this.#path}: ${reason}`);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    this.#poll?.close();
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
