import { decodeAnnouncement, FIRST_DYNAMIC_ADDRESS, type RpmsgAnnouncement } from '../../wire/rpmsg.ts';
import { WireError } from '../../wire/wire-error.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { BusEndpoint } from './bus-endpoint.ts';

/** Channels that are kept: bounds what a co-processor that announces without end can make us take. */
export const MAX_CHANNELS = 64;

/** Of a channel that was never opened. */
const NO_ADDRESS = -1;

/** A channel that was announced and not destroyed since. */
export class Channel {
  readonly name: string;
  readonly remoteAddress: number;
  /**
   * Given with the first opening and kept until the channel is destroyed, so that a message on its way to an endpoint that was
   * closed meanwhile reaches nobody else's.
   */
  localAddress = NO_ADDRESS;
  endpoint: BusEndpoint | null = null;

  constructor(name: string, remoteAddress: number) {
    this.name = name;
    this.remoteAddress = remoteAddress;
  }
}

interface Waiter {
  readonly wanted: string | RegExp;
  readonly found: (channel: Channel) => void;
  readonly failed: (reason: string) => void;
}

/** What was dropped of the co-processor's announcements, by reason. */
export interface AnnouncementFaults {
  /** Not of an announcement's size. */
  size: number;
  /** Empty, without a NUL, or not printable. */
  name: number;
  /** The address "any". */
  address: number;
  /** Name and address of a channel that there is already. */
  duplicate: number;
  /** Beyond {@link MAX_CHANNELS}. */
  tooMany: number;
  /** The end of a channel that there is not. */
  unknown: number;
}

/** The name service as Linux keeps it: which channels there are, and who waits for one. */
export class ChannelTable {
  readonly faults: AnnouncementFaults = {
    size: 0,
    name: 0,
    address: 0,
    duplicate: 0,
    tooMany: 0,
    unknown: 0,
  };
  readonly #where: string;
  /** What is said where no channel was announced at all. */
  readonly #noneText: string;
  readonly #onDestroyed: (channel: Channel) => void;
  #channels: Channel[] = [];
  readonly #byLocalAddress = new Map<number, Channel>();
  readonly #waiters: Waiter[] = [];

  constructor(where: string, noneText: string, onDestroyed: (channel: Channel) => void) {
    this.#where = where;
    this.#noneText = noneText;
    this.#onDestroyed = onDestroyed;
  }

  get names(): string[] {
    return this.#channels.map(({ name }) => name);
  }

  get all(): readonly Channel[] {
    return this.#channels;
  }

  /** The channel that has been given a local address. */
  atLocalAddress(address: number): Channel | undefined {
    return this.#byLocalAddress.get(address);
  }

  /** Takes the payload of a message to the name service. */
  announced(payload: Uint8Array): void {
    let announcement: RpmsgAnnouncement;
    try {
      announcement = decodeAnnouncement(payload);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      if (error.field === 'name') this.faults.name++;
      else if (error.field === 'addr') this.faults.address++;
      else this.faults.size++;
      return;
    }
    if (announcement.destroyed) this.#destroy(announcement);
    else this.#create(announcement);
  }

  #find({ name, address }: RpmsgAnnouncement): number {
    return this.#channels.findIndex((channel) => channel.name === name && channel.remoteAddress === address);
  }

  #create(announcement: RpmsgAnnouncement): void {
    if (this.#find(announcement) >= 0) {
      this.faults.duplicate++;
      return;
    }
    if (this.#channels.length >= MAX_CHANNELS) {
      this.faults.tooMany++;
      return;
    }
    const channel = new Channel(announcement.name, announcement.address);
    this.#channels.push(channel);
    this.offer(channel);
  }

  #destroy(announcement: RpmsgAnnouncement): void {
    const at = this.#find(announcement);
    if (at < 0) {
      this.faults.unknown++;
      return;
    }
    const [channel] = this.#channels.splice(at, 1) as [Channel];
    this.#byLocalAddress.delete(channel.localAddress);
    this.#onDestroyed(channel);
  }

  /** Gives a channel without an endpoint to the one who has waited longest for such a name. */
  offer(channel: Channel): void {
    const at = this.#waiters.findIndex(({ wanted }) => matches(channel.name, wanted));
    if (at < 0) return;
    const [waiter] = this.#waiters.splice(at, 1) as [Waiter];
    waiter.found(channel);
  }

  /** Gives the channel a local address, the lowest that is free (as Linux does: firmware that cannot wait to be asked knows it). */
  assignAddress(channel: Channel): number {
    if (channel.localAddress === NO_ADDRESS) {
      let address = FIRST_DYNAMIC_ADDRESS;
      while (this.#byLocalAddress.has(address)) address++;
      channel.localAddress = address;
      this.#byLocalAddress.set(address, channel);
    }
    return channel.localAddress;
  }

  /**
   * Finds a channel that nobody has opened, now or as soon as there is one.
   * @param use runs in the turn in which the channel is there, so that it cannot be given away or destroyed in between
   * @throws CoprocessorError ERR_RPMSG (as a rejection) after `timeoutMs`, or when the table is closed
   */
  open<T>(wanted: string | RegExp, timeoutMs: number, use: (channel: Channel) => T): Promise<T> {
    const there = this.#channels.find(({ name, endpoint }) => endpoint === null && matches(name, wanted));
    if (there !== undefined) return Promise.resolve(use(there));
    return new Promise((resolve, reject) => {
      const failed = (reason: string): void => {
        clearTimeout(timer);
        reject(new CoprocessorError('ERR_RPMSG', `${this.#where}: ${reason}`));
      };
      const waiter: Waiter = {
        wanted,
        found: (channel) => {
          clearTimeout(timer);
          resolve(use(channel));
        },
        failed,
      };
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        failed(
          `no free rpmsg channel ${describeWanted(wanted)} within ${timeoutMs} ms; ${this.#describeChannels()}`,
        );
      }, timeoutMs);
      this.#waiters.push(waiter);
    });
  }

  #describeChannels(): string {
    if (this.#channels.length === 0) return this.#noneText;
    const list = this.#channels.map(
      ({ name, endpoint }) => `"${name}"${endpoint === null ? '' : ' (in use)'}`,
    );
    return `the co-processor has announced ${list.join(', ')}`;
  }

  /** Ends all waiting and forgets the channels. */
  close(reason: string): void {
    this.#channels = [];
    this.#byLocalAddress.clear();
    for (const waiter of this.#waiters.splice(0)) waiter.failed(reason);
  }
}

function matches(name: string, wanted: string | RegExp): boolean {
  // Not test(): of an expression with the flag g it remembers where it stopped.
  return typeof wanted === 'string' ? name === wanted : name.search(wanted) >= 0;
}

function describeWanted(wanted: string | RegExp): string {
  return typeof wanted === 'string' ? `"${wanted}"` : `that matches ${wanted}`;
}
