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
  MAX_PAYLOAD_SIZE,
  type VhostUserHeader,
} from '../../wire/vhost-user.ts';

const EAGAIN = 11;
const EINTR = 4;

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
  closed(reason: string | null): void;
}

/**
 * A vhost-user socket cut into messages. Never reads past the message at hand, so that descriptors stay with theirs; never
 * throws; owns the socket.
 */
export class MessageChannel {
  readonly #fd: number;
  readonly #events: MessageChannelEvents;
  readonly #poll: PollHandle;
  readonly #headerBytes = new Uint8Array(HEADER_SIZE);
  readonly #payloadBytes = new Uint8Array(MAX_PAYLOAD_SIZE);
  readonly #fdSlots = new Int32Array(MAX_MEMORY_REGIONS);
  #fds: number[] = [];
  #header: VhostUserHeader | null = null;
  #got = 0;
  #closed = false;

  constructor(fd: number, events: MessageChannelEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#poll = openPoll(fd, POLL_READABLE, () => this.read());
  }

  /** Reads what is there, message by message. */
  read(): void {
    try {
      while (!this.#closed && this.#step()) {
        // The next piece.
      }
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error));
    }
  }

  /** One receive. @returns whether to go on */
  #step(): boolean {
    const header = this.#header;
    const into =
      header === null
        ? this.#headerBytes.subarray(this.#got)
        : this.#payloadBytes.subarray(this.#got, header.size);
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
    const fds = new ReceivedDescriptors(this.#fds);
    this.#fds = [];
    try {
      this.#events.message(header, this.#payloadBytes.slice(0, header.size), fds);
    } finally {
      fds.close();
    }
  }

  /** Sends a whole message, with descriptors that stay the caller's; a peer that does not even take that is dropped. */
  send(message: Uint8Array, fds: readonly number[] = []): void {
    if (this.#closed) return;
    const count = sendMessage(this.#fd, message, fds);
    if (count !== message.length)
      this.close(count < 0 ? `send failed with errno ${-count}` : 'does not read its answers');
  }

  /** Idempotent. */
  close(reason: string | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    closeSync(this.#fd);
    for (const fd of this.#fds.splice(0)) closeSync(fd);
    this.#events.closed(reason);
  }
}
