import { closeSync } from 'node:fs';
import {
  openPoll,
  POLL_READABLE,
  type PollHandle,
  receivedDescriptorCount,
  receiveMessage,
  sendMessage,
} from '../../native.ts';
import {
  decodeHeader,
  HEADER_SIZE,
  MAX_MEMORY_REGIONS,
  type VhostUserHeader,
} from '../../wire/vhost-user.ts';

const EAGAIN = 11;
const EINTR = 4;

/**
 * Receives in one turn of the event loop; a message takes two, or as many as its sender made pieces of it. A peer that sends
 * without end leaves the rest of each turn to everybody else.
 */
const RECEIVES_A_TURN = 16;
/** A message that has begun is to be there, all of it, after this time. Who sends nothing at all may be silent for ever. */
export const MESSAGE_TIMEOUT_MS = 5000;

/** What ended a channel: the peer went between two messages, or we; it broke the protocol; sent half a message and then nothing
 * for too long; or does not read its answers. */
export type ChannelEnd = 'gone' | 'broken' | 'stalled' | 'unread';

const NO_BYTES = new Uint8Array(0);

/** Descriptors that came with a message. What nobody takes is closed. */
export class ReceivedDescriptors {
  readonly #fds: number[];

  constructor(fds: number[]) {
    this.#fds = fds;
  }

  get count(): number {
    return this.#fds.length;
  }

  /** Hands the next descriptor over to the caller; -1 when there is none. */
  take(): number {
    return this.#fds.shift() ?? -1;
  }

  /** Closes what was not taken. */
  close(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

export interface MessageChannelEvents {
  /** A whole message. May throw: the channel then closes with that reason. */
  message(header: VhostUserHeader, payload: Uint8Array, fds: ReceivedDescriptors): void;
  /** The channel is closed; `reason` is null when the peer simply went away between two messages. */
  closed(reason: string | null, end: ChannelEnd): void;
}

/**
 * A vhost-user socket cut into messages. Never reads past the message at hand, so that descriptors stay with theirs; never
 * throws; owns the socket.
 */
export class MessageChannel {
  /** Settable: a channel may be handed on with a message that came. */
  events: MessageChannelEvents;
  readonly #fd: number;
  readonly #messageTimeoutMs: number;
  readonly #poll: PollHandle;
  readonly #headerBytes = new Uint8Array(HEADER_SIZE);
  readonly #fdSlots = new Int32Array(MAX_MEMORY_REGIONS);
  #fds: number[] = [];
  #header: VhostUserHeader | null = null;
  /** Of the message at hand: who is silent costs none. */
  #payload: Uint8Array = NO_BYTES;
  #got = 0;
  /** Runs while a part of a message is here. */
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(fd: number, events: MessageChannelEvents, messageTimeoutMs: number = MESSAGE_TIMEOUT_MS) {
    this.#fd = fd;
    this.events = events;
    this.#messageTimeoutMs = messageTimeoutMs;
    this.#poll = openPoll(fd, POLL_READABLE, () => this.read());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Reads what is there, a bounded number of pieces; the poll tells of the rest in the next turn. */
  read(): void {
    try {
      for (let left = RECEIVES_A_TURN; left > 0 && !this.#closed && this.#step(); left--) {
        // The next piece.
      }
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error));
    }
    if (!this.#closed) this.#watchTime();
  }

  /** A byte now and then does not make the time longer. */
  #watchTime(): void {
    if (this.#header === null && this.#got === 0) return;
    this.#timer ??= setTimeout(() => {
      const seconds = this.#messageTimeoutMs / 1000;
      this.close(`a message that has begun was not complete after ${seconds} s`, 'stalled');
    }, this.#messageTimeoutMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** One receive. @returns whether to go on */
  #step(): boolean {
    const header = this.#header;
    const into = header === null ? this.#headerBytes.subarray(this.#got) : this.#payload.subarray(this.#got);
    const count = receiveMessage(this.#fd, into, this.#fdSlots);
    if (count === -EAGAIN || count === -EINTR) return false;
    if (count === 0) {
      this.close(this.#got === 0 && header === null ? null : 'disconnected in the middle of a message');
      return false;
    }
    if (count < 0) {
      this.close(
        count === -90 ? 'more descriptors than any message has' : `receive failed with errno ${-count}`,
      );
      return false;
    }
    for (let i = 0; i < receivedDescriptorCount(); i++) this.#fds.push(this.#fdSlots[i] as number);
    if (this.#fds.length > MAX_MEMORY_REGIONS) {
      this.close(`${this.#fds.length} descriptors with one message; at most ${MAX_MEMORY_REGIONS} are taken`);
      return false;
    }
    this.#got += count;
    if (header === null) {
      if (this.#got < HEADER_SIZE) return true;
      const decoded = decodeHeader(this.#headerBytes);
      this.#got = 0;
      this.#payload = decoded.size > 0 ? new Uint8Array(decoded.size) : NO_BYTES;
      if (decoded.size > 0) this.#header = decoded;
      else this.#deliver(decoded);
    } else if (this.#got === header.size) {
      this.#header = null;
      this.#got = 0;
      this.#deliver(header);
    }
    return true;
  }

  #deliver(header: VhostUserHeader): void {
    this.#stopTimer();
    const fds = new ReceivedDescriptors(this.#fds);
    this.#fds = [];
    try {
      this.events.message(header, this.#payload, fds);
    } finally {
      fds.close();
    }
  }

  /** Sends a whole message, with descriptors that stay the caller's; a peer that does not even take that is dropped. */
  send(message: Uint8Array, fds: readonly number[] = []): void {
    if (this.#closed) return;
    const count = sendMessage(this.#fd, message, fds);
    if (count === message.length) return;
    if (count >= 0 || count === -EAGAIN) this.close('does not read its answers', 'unread');
    else this.close(`send failed with errno ${-count}`);
  }

  /** Idempotent. */
  close(reason: string | null, end: ChannelEnd = reason === null ? 'gone' : 'broken'): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer();
    this.#poll.close();
    closeSync(this.#fd);
    for (const fd of this.#fds.splice(0)) closeSync(fd);
    this.events.closed(reason, end);
  }
}
