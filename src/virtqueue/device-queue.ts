import {
  AVAIL_F_NO_INTERRUPT,
  AVAILABLE_ALIGN,
  availableRingBytes,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESCRIPTOR_ALIGN,
  DESCRIPTOR_SIZE,
  descriptorTableBytes,
  isQueueSize,
  needsEvent,
  USED_ALIGN,
  USED_F_NO_NOTIFY,
  usedRingBytes,
} from '../wire/vring.ts';
import type { AddressSpace, MemoryWindow } from './address-space.ts';
import {
  CHAIN_FAULTS,
  DescriptorChain,
  FAULT_ADDRESS,
  FAULT_INDIRECT,
  FAULT_LOOP,
  FAULT_NEXT,
  FAULT_NONE,
  FAULT_TOO_LONG,
} from './descriptor-chain.ts';

/** Longest indirect table that is walked: bounds the work that one request of a hostile guest can cause. */
const MAX_INDIRECT_DESCRIPTORS = 1024;
/**
 * Longest chain that is taken: bounds its copy, of which there is one for each of up to 32,768 chains. No request or event
 * needs more than two; a block of names in pieces of a page each has 4,096 lines with this.
 */
export const MAX_CHAIN_DESCRIPTORS = 128;
/** Entries without a chain that are skipped in one go. */
const MAX_SKIPPED = 256;

/**
 * Keeps what the device has taken and not returned where it outlives the process. Called in this order, so that a process that
 * dies at any point leaves a truth behind: `taken` before a chain is looked at, `returned` for each one pushed, `published`
 * after the store of the used index.
 */
export interface ChainTracker {
  /** Largest queue that it can track. */
  readonly size: number;
  taken(head: number): void;
  /** A chain that stays the device's over a restart of the ring. */
  kept(head: number): void;
  returned(head: number): void;
  /** The last `count` returned chains are visible; the used index is `usedIndex` now. */
  published(count: number, usedIndex: number): void;
}

export interface DeviceQueueOptions {
  readonly memory: AddressSpace;
  /** Number of descriptors: a power of two from 1 to 32768. */
  readonly size: number;
  /** Addresses as `memory` knows them. */
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
  /**
   * Where the rings themselves are looked up, when that is not `memory`: vhost-user gives ring addresses in the
   * front-end's address space and descriptors in the guest's.
   */
  readonly ringMemory?: AddressSpace;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** Index of the available ring to go on at (vhost-user: SET_VRING_BASE). */
  readonly nextAvailable: number;
  /** Default: what is in flight dies with the process. */
  readonly tracker?: ChainTracker | null;
}

/** The queue cannot be built from these numbers. */
export class QueueError extends Error {
  readonly code = 'ERR_QUEUE';
  constructor(message: string) {
    super(message);
    this.name = 'QueueError';
  }
}

/**
 * The device side of a split virtqueue (virtio 1.2, section 2.7). The driver is not trusted: every index and address is
 * checked on a private copy, a bad chain is still handed out (with its `fault`), so that it can be completed, and only an
 * available index that jumps by more than the queue size ends the queue ({@link broken}).
 */
export class DeviceQueue {
  readonly size: number;
  /** What makes the ring itself untrustworthy; null while it works. */
  broken: string | null = null;
  /** Bad chains by reason, indexed as CHAIN_FAULTS. */
  readonly faults = new Float64Array(CHAIN_FAULTS.length);
  /** Entries of the available ring that name no descriptor, or one that the device still owns. They cannot be completed. */
  badHeads = 0;
  nextAvailable: number;
  nextUsed: number;
  readonly #memory: AddressSpace;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #mask: number;
  readonly #table: MemoryWindow;
  readonly #tableBase: number;
  readonly #available: Uint16Array;
  readonly #availableBase: number;
  readonly #used16: Uint16Array;
  readonly #used32: Uint32Array;
  readonly #usedBase: number;
  readonly #chains: (DescriptorChain | undefined)[];
  readonly #tracker: ChainTracker | null;
  /** Heads that a former process had taken, to be handed out before anything new; the next one last. */
  #resubmitted: number[] = [];
  #seenAvailable: number;
  #published: number;
  #publishedBefore = false;

  /** @throws QueueError for a bad size, AddressError for rings outside the memory or misaligned */
  constructor(options: DeviceQueueOptions) {
    const { size, memory } = options;
    if (!isQueueSize(size)) throw new QueueError(`queue size ${size} is not a power of two from 1 to 32768`);
    const rings = options.ringMemory ?? memory;
    this.size = size;
    this.#memory = memory;
    this.#mask = size - 1;
    this.#eventIdx = options.eventIdx;
    this.#indirect = options.indirect;
    this.#table = rings.require(
      'descriptor table',
      options.descriptorAddress,
      descriptorTableBytes(size),
      DESCRIPTOR_ALIGN,
    );
    this.#tableBase = rings.offset;
    this.#available = rings.require(
      'available ring',
      options.availableAddress,
      availableRingBytes(size),
      AVAILABLE_ALIGN,
    ).u16;
    this.#availableBase = rings.offset / 2;
    const used = rings.require('used ring', options.usedAddress, usedRingBytes(size), USED_ALIGN);
    this.#used16 = used.u16;
    this.#used32 = used.u32;
    this.#usedBase = rings.offset;
    this.#chains = new Array(size);
    this.#tracker = options.tracker ?? null;
    this.nextAvailable = options.nextAvailable & 0xffff;
    this.#seenAvailable = this.nextAvailable;
    // The used index lives on in the ring itself (also over a restart of this process): vhost-user has no message for it.
    this.nextUsed = Atomics.load(this.#used16, this.#usedBase / 2 + 1);
    this.#published = this.nextUsed;
  }

  /** Whether what is in flight is known to a later process, so that chains may be returned in any order. */
  get isTracked(): boolean {
    return this.#tracker !== null;
  }

  /**
   * Goes on after a former process: `heads` are in flight, and handed out again, in this order, before what is new.
   * @param nextAvailable where the available ring goes on
   */
  resume(heads: readonly number[], nextAvailable: number): void {
    this.#resubmitted = heads.toReversed();
    this.nextAvailable = nextAvailable & 0xffff;
    this.#seenAvailable = this.nextAvailable;
  }

  /** Heads given to {@link resume} that nobody has popped yet, in their order: in no ring, so who stops this queue keeps them. */
  get unpopped(): readonly number[] {
    return this.#resubmitted.toReversed();
  }

  /**
   * The next chain, or null when the ring is empty (or broken). Bad heads are skipped and counted, a bounded number
   * at a time: a driver that goes on writing them meanwhile must not keep this side here ({@link hasWork} still holds then).
   */
  pop(): DescriptorChain | null {
    while (this.#resubmitted.length > 0) {
      const chain = this.adopt(this.#resubmitted.pop() as number);
      if (chain === null) continue;
      if (chain.fault !== FAULT_NONE) (this.faults[chain.fault] as number)++;
      return chain;
    }
    for (let left = MAX_SKIPPED; left > 0; left--) {
      if (this.nextAvailable === this.#seenAvailable && !this.#look()) return null;
      // The acquiring load of the index in #look orders this plain load behind it.
      const head = this.#available[this.#availableBase + 2 + (this.nextAvailable & this.#mask)] as number;
      this.nextAvailable = (this.nextAvailable + 1) & 0xffff;
      if (head >= this.size) {
        this.badHeads++;
        continue;
      }
      let chain = this.#chains[head];
      if (chain === undefined) {
        chain = new DescriptorChain(head);
        this.#chains[head] = chain;
      } else if (chain.inFlight) {
        this.badHeads++;
        continue;
      }
      chain.reset();
      chain.inFlight = true;
      this.#tracker?.taken(head);
      const fault = this.#walk(chain);
      if (fault !== FAULT_NONE) {
        chain.fault = fault;
        (this.faults[fault] as number)++;
      }
      return chain;
    }
    return null;
  }

  /**
   * Takes up a chain again that was popped before a stop and not pushed since (an event buffer that waits, over a restart
   * of the ring), from its descriptors as they are now.
   */
  adopt(head: number): DescriptorChain | null {
    if (head >= this.size || this.#chains[head]?.inFlight) return null;
    const chain = this.#chains[head] ?? new DescriptorChain(head);
    this.#chains[head] = chain;
    chain.reset();
    chain.inFlight = true;
    this.#tracker?.kept(head);
    chain.fault = this.#walk(chain);
    return chain;
  }

  /** Reads the driver's index; false when there is nothing new. */
  #look(): boolean {
    if (this.broken !== null) return false;
    const index = Atomics.load(this.#available, this.#availableBase + 1);
    const pending = (index - this.nextAvailable) & 0xffff;
    if (pending === 0) return false;
    if (pending > this.size) {
      this.broken = `available index ${index} is ${pending} ahead of ${this.nextAvailable}, more than the queue size ${this.size}`;
      return false;
    }
    this.#seenAvailable = index;
    return true;
  }

  #walk(chain: DescriptorChain): number {
    let table = this.#table.u32;
    let base = this.#tableBase / 4;
    let entries = this.size;
    let index = chain.head;
    let steps = 0;
    let insideIndirect = false;
    for (let left = MAX_CHAIN_DESCRIPTORS; ; left--) {
      // A chain with more descriptors than its table has goes in a circle.
      if (++steps > entries) return FAULT_LOOP;
      if (left === 0) return FAULT_TOO_LONG;
      const at = base + index * (DESCRIPTOR_SIZE / 4);
      const low = table[at] as number;
      const high = table[at + 1] as number;
      const sizeBytes = table[at + 2] as number;
      const flagsAndNext = table[at + 3] as number;
      const flags = flagsAndNext & 0xffff;
      // Beyond 2^53 a number is not exact, and no memory lies there.
      if (high > 0x1fffff) return FAULT_ADDRESS;
      const address = high * 0x100000000 + low;
      if ((flags & DESC_F_INDIRECT) !== 0) {
        // Section 2.7.5.3.1: no NEXT beside INDIRECT, no nesting; section 2.7.5.3.2: normal descriptors may come before it.
        if (!this.#indirect || insideIndirect || (flags & DESC_F_NEXT) !== 0) return FAULT_INDIRECT;
        if (sizeBytes === 0 || sizeBytes % DESCRIPTOR_SIZE !== 0) return FAULT_INDIRECT;
        entries = sizeBytes / DESCRIPTOR_SIZE;
        if (entries > MAX_INDIRECT_DESCRIPTORS) return FAULT_TOO_LONG;
        const window = this.#memory.find(address, sizeBytes);
        if (window === null) return FAULT_ADDRESS;
        if (this.#memory.offset % 4 !== 0) return FAULT_INDIRECT;
        table = window.u32;
        base = this.#memory.offset / 4;
        index = 0;
        steps = 0;
        insideIndirect = true;
        continue;
      }
      const fault = chain.append(this.#memory, address, sizeBytes, (flags & DESC_F_WRITE) !== 0);
      if (fault !== FAULT_NONE) return fault;
      if ((flags & DESC_F_NEXT) === 0) return FAULT_NONE;
      index = flagsAndNext >>> 16;
      if (index >= entries) return FAULT_NEXT;
    }
  }

  /** Returns a chain to the driver; it becomes visible with {@link publish}. */
  push(chain: DescriptorChain, usedBytes: number): void {
    const at = this.#usedBase / 4 + 1 + (this.nextUsed & this.#mask) * 2;
    this.#used32[at] = chain.head;
    this.#used32[at + 1] = usedBytes;
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
    chain.inFlight = false;
    chain.trim();
    this.#tracker?.returned(chain.head);
  }

  /**
   * Makes all pushed chains visible with one index store.
   * @returns whether the driver wants to be called for it (section 2.7.7.2)
   */
  publish(): boolean {
    const before = this.#published;
    const after = this.nextUsed;
    if (before === after) return false;
    // Sequentially consistent: the store is ordered before the load of the driver's wish (a store-load barrier).
    Atomics.store(this.#used16, this.#usedBase / 2 + 1, after);
    this.#published = after;
    this.#tracker?.published((after - before) & 0xffff, after);
    if (!this.#eventIdx) {
      return (Atomics.load(this.#available, this.#availableBase) & AVAIL_F_NO_INTERRUPT) === 0;
    }
    const usedEvent = Atomics.load(this.#available, this.#availableBase + 2 + this.size);
    if (!this.#publishedBefore) {
      // After a (re)start it is unknown what the driver was told last: tell it.
      this.#publishedBefore = true;
      return true;
    }
    return needsEvent(usedEvent, after, before);
  }

  /** Whether something is in the ring, without taking it. Also true when the ring turns out to be broken. */
  hasWork(): boolean {
    return (
      this.#resubmitted.length > 0 ||
      this.nextAvailable !== this.#seenAvailable ||
      this.#look() ||
      this.broken !== null
    );
  }

  /** How many chains were handed out and not returned. Looks at all of them: not for the data path. */
  get inFlight(): number {
    let count = 0;
    for (const chain of this.#chains) if (chain?.inFlight) count++;
    return count;
  }

  /** Asks the driver not to kick. With EVENT_IDX the event index simply stays behind, so there is nothing to write. */
  disableKicks(): void {
    if (!this.#eventIdx) Atomics.store(this.#used16, this.#usedBase / 2, USED_F_NO_NOTIFY);
  }

  /**
   * Asks the driver to kick for the next chain. The caller must look at the ring once more afterwards ({@link hasWork}): a
   * chain that came before the driver saw the wish is not kicked for.
   */
  enableKicks(): void {
    if (this.#eventIdx) {
      Atomics.store(this.#used16, this.#usedBase / 2 + 2 + this.size * 4, this.nextAvailable);
    } else {
      Atomics.store(this.#used16, this.#usedBase / 2, 0);
    }
  }
}
