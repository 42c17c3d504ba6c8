import { closeSync } from 'node:fs';
import { acceptUnix } from '../../native.ts';
import type { VhostUserHeader } from '../../wire/vhost-user.ts';
import type { SocketCounters } from './counters.ts';
import { type ChannelEnd, MessageChannel, type ReceivedDescriptors } from './message-channel.ts';

/** Connections that have not said anything; one more puts the one out that has been silent for the longest time. */
export const MAX_SILENT = 16;
/** Connections that are taken in one turn of the event loop. */
const ACCEPTS_A_TURN = 16;

export interface FrontDoorOptions {
  readonly counters: SocketCounters;
  /** The device is taken: others are turned away at once. */
  readonly isTaken: () => boolean;
  /** A connection's first message has come: from now on the channel is the callee's. Throws what ends the connection. */
  readonly onSpeaks: (
    channel: MessageChannel,
    header: VhostUserHeader,
    payload: Uint8Array,
    fds: ReceivedDescriptors,
  ) => void;
  /** One was turned away; `reason` for people. */
  readonly onRefused: (reason: string) => void;
  readonly messageTimeoutMs?: number | undefined;
}

/**
 * Who has connected to a device's socket and not said anything. The device is for the first of them that sends a whole
 * message: connecting and being silent keeps no guest out, however many do it, and needs no time limit, as a VMM may
 * connect long before it has prepared its memory and speaks.
 */
export class FrontDoor {
  readonly #options: FrontDoorOptions;
  /** The one that came first stands first. */
  readonly #silent = new Set<MessageChannel>();

  constructor(options: FrontDoorOptions) {
    this.#options = options;
  }

  get silentCount(): number {
    return this.#silent.size;
  }

  /** Takes who waits at a listening socket, a bounded number: the poll tells of the others in the next turn. */
  accept(listenFd: number): void {
    for (let left = ACCEPTS_A_TURN; left > 0; left--) {
      const fd = acceptUnix(listenFd);
      if (fd < 0) return;
      this.add(fd);
    }
  }

  /** Takes a connected socket. */
  add(fd: number): void {
    const { counters, isTaken, onRefused } = this.#options;
    counters.connections++;
    if (isTaken()) {
      counters.refusedConnections++;
      onRefused('second connection refused: a front-end is connected already');
      closeSync(fd);
      return;
    }
    const [longest] = this.#silent;
    if (longest !== undefined && this.#silent.size >= MAX_SILENT) {
      counters.displacedConnections++;
      onRefused(`a connection was closed: ${MAX_SILENT + 1} were open and none of them has said anything`);
      longest.close(null);
    }
    const channel: MessageChannel = new MessageChannel(
      fd,
      {
        message: (header, payload, fds) => {
          this.#silent.delete(channel);
          this.#turnAway();
          this.#options.onSpeaks(channel, header, payload, fds);
        },
        closed: (reason, end) => this.#closed(channel, reason, end),
      },
      this.#options.messageTimeoutMs,
    );
    this.#silent.add(channel);
    channel.read();
  }

  /** Somebody else has the device. */
  #turnAway(): void {
    for (const channel of [...this.#silent]) {
      this.#options.counters.refusedConnections++;
      this.#options.onRefused(
        'a connection that had not said anything was closed: another front-end has the device',
      );
      channel.close(null);
    }
  }

  #closed(channel: MessageChannel, reason: string | null, end: ChannelEnd): void {
    this.#silent.delete(channel);
    this.#options.counters.count(end);
    if (reason !== null) this.#options.onRefused(`connection closed: ${reason}`);
  }

  /** Idempotent. */
  close(): void {
    for (const channel of [...this.#silent]) channel.close(null);
  }
}
