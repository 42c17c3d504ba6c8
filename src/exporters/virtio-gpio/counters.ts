import type { ChannelEnd } from './message-channel.ts';

/** What happened on an exported device. Every drop and every refusal has a reason under which it is counted. */
export class DeviceCounters {
  requests = 0;
  /** Requests answered ERR. */
  errors = 0;
  interrupts = 0;
  /** Event buffers given back as INVALID. */
  invalidEvents = 0;
  /** Chains that could not be taken for a message, by reason: of DeviceQueue, and the ones of the messages. */
  readonly badChains: Record<string, number> = {};
  readonly #onFirst: (reason: string) => void;

  constructor(onFirst: (reason: string) => void) {
    this.#onFirst = onFirst;
  }

  bad(reason: string, count = 1): void {
    const before = this.badChains[reason] ?? 0;
    this.badChains[reason] = before + count;
    if (before === 0) this.#onFirst(reason);
  }
}

/** What happened on the socket of an exported device. */
export class SocketCounters {
  /** All that were accepted. */
  connections = 0;
  /** Closed at once, or before they said anything, as another front-end has the device. */
  refusedConnections = 0;
  /** Closed in favour of newer ones: too many were silent. */
  displacedConnections = 0;
  /** Closed with a part of a message that did not go on. */
  stalledConnections = 0;
  /** Closed as they did not read their answers. */
  unreadConnections = 0;
  /** Closed for breaking the protocol, or for memory that they truncated. */
  brokenConnections = 0;
  /** Kicks after which the ring had nothing new. */
  needlessKicks = 0;
  /** Times for which kicks were not listened to, after too many needless ones. */
  kickPauses = 0;

  /** A connection ended so. */
  count(end: ChannelEnd): void {
    if (end === 'broken') this.brokenConnections++;
    else if (end === 'stalled') this.stalledConnections++;
    else if (end === 'unread') this.unreadConnections++;
  }
}
