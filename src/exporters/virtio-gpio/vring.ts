import { closeSync } from 'node:fs';
import {
  drainDescriptor,
  openPoll,
  POLL_READABLE,
  type PollHandle,
  setNonBlocking,
  signalDescriptor,
} from '../../native.ts';
import { DeviceQueue } from '../../virtqueue/device-queue.ts';
import { NeedlessRings, PAUSE_MS } from '../../virtqueue/needless-rings.ts';
import { AnswerProgress, RingProgress } from '../../virtqueue/ring-progress.ts';
import { isQueueSize } from '../../wire/vring.ts';
import { SocketCounters } from './counters.ts';
import type { ExportedDevice } from './exported-device.ts';
import type { GuestMemory } from './guest-memory.ts';
import type { InflightRegion } from './inflight.ts';

/** A front-end that gives no kick descriptor wants the ring to be looked at from time to time. */
const KICKLESS_INTERVAL_MS = 1;

/** Chips answer within half a second, or fail (failure rule): by then several requests of one line have been answered, in turn. */
const ANSWER_LIMIT_MS = 5000;

/** The front-end's numbers for a vring make no sense. */
export class VringError extends Error {
  readonly code = 'ERR_VRING';
  constructor(index: number, message: string) {
    super(`vring ${index}: ${message}`);
    this.name = 'VringError';
  }
}

export interface VringAddresses {
  readonly descriptor: bigint;
  readonly available: bigint;
  readonly used: bigint;
}

/**
 * One vring as the vhost-user messages set it up (vhost-user.rst, "Ring states"): started by SET_VRING_KICK, stopped by
 * GET_VRING_BASE; enabled and disabled apart from that. Owns its kick, call and error descriptors.
 */
export class Vring {
  readonly index: number;
  enabled = false;
  readonly #device: ExportedDevice;
  readonly #memory: GuestMemory;
  #size = 0;
  #addresses: VringAddresses | null = null;
  /** Where the available ring goes on at the next start. */
  #base = 0;
  #eventIdx = false;
  #indirect = false;
  #kickFd = -1;
  #callFd = -1;
  #errFd = -1;
  #kick: PollHandle | null = null;
  /** How often the event loop told of a kick. */
  #kicks = 0;
  /** {@link #kicks} when a kick was found that the event loop had not told of; -1 = none. */
  #kicksAtUntold = -1;
  readonly #progress = new RingProgress();
  readonly #answers = new AnswerProgress(ANSWER_LIMIT_MS);
  readonly #needless = new NeedlessRings();
  readonly #counters: SocketCounters;
  /** Where the ring stood at the last kick. */
  #kickedAt = -1;
  /** Kicks are not listened to until then. */
  #pause: NodeJS.Timeout | null = null;
  #timer: NodeJS.Timeout | null = null;
  #started = false;
  #queue: DeviceQueue | null = null;
  /** Turned out to be untrustworthy: stands still until the device is reset. */
  #broken = false;
  /** Where the ring stood when its queue was taken away, to tell a continuation from a new driver. */
  #stoppedAt: {
    readonly nextAvailable: number;
    readonly nextUsed: number;
    /** Heads of a former process that were not looked at yet. */
    readonly unpopped: readonly number[];
  } | null = null;
  /** The front-end's (SET_INFLIGHT_FD). */
  #inflight: InflightRegion | null = null;
  /** What was in flight is not any more: a new driver. */
  #forgetsInflight = false;
  /** The tracking told where the ring stood, at the last attach. */
  #isRecovered = false;
  readonly #onNewDriver: () => void;
  readonly #call = (): void => {
    if (this.#callFd >= 0) signalDescriptor(this.#callFd);
  };

  /** @param onNewDriver called when the ring turns out to begin with a new driver, without a message for it */
  constructor(
    index: number,
    device: ExportedDevice,
    memory: GuestMemory,
    onNewDriver: () => void = () => {},
    counters: SocketCounters = new SocketCounters(),
  ) {
    this.#counters = counters;
    this.index = index;
    this.#device = device;
    this.#memory = memory;
    this.#onNewDriver = onNewDriver;
  }

  get started(): boolean {
    return this.#started;
  }

  setSize(size: number): void {
    if (!isQueueSize(size)) {
      throw new VringError(
        this.index,
        `SET_VRING_NUM with ${size}; a power of two from 1 to 32768 is needed`,
      );
    }
    this.#size = size;
  }

  setBase(base: number): void {
    if (base > 0xffff) throw new VringError(this.index, `SET_VRING_BASE with ${base}; an index is 16 bits`);
    this.#base = base;
  }

  setAddresses(addresses: VringAddresses): void {
    for (const [what, address] of Object.entries(addresses)) {
      if (address > BigInt(Number.MAX_SAFE_INTEGER) || this.#memory.user.find(Number(address), 1) === null) {
        throw new VringError(this.index, `${what} address 0x${address.toString(16)} is in no memory region`);
      }
    }
    this.#addresses = addresses;
  }

  /** Where what is in flight on this ring is kept from now on; the ring is detached. */
  setInflight(region: InflightRegion | null): void {
    this.#inflight = region;
    this.#forgetsInflight = false;
  }

  /** A new driver has begun: what a ring that does not run yet had in flight is of the old one. */
  forgetInflight(): void {
    if (this.#queue === null) this.#forgetsInflight = true;
  }

  /** EVENT_IDX and INDIRECT_DESC as negotiated; a ring that runs goes on with them. */
  setFeatures(eventIdx: boolean, indirect: boolean): void {
    if (eventIdx === this.#eventIdx && indirect === this.#indirect) return;
    this.detach();
    this.#eventIdx = eventIdx;
    this.#indirect = indirect;
    this.attach();
  }

  /** SET_VRING_KICK: takes the descriptor (-1: none, the ring is looked at in an interval) and starts the ring. */
  start(kickFd: number): void {
    this.#closeKick();
    this.#kickFd = kickFd;
    if (kickFd >= 0) this.#listen();
    else this.#timer = setInterval(() => this.#kicked(), KICKLESS_INTERVAL_MS);
    this.detach();
    // A new driver after a broken ring, from a front-end that has no message for a reset.
    if (this.index === 0 && this.#base === 0 && this.#device.needsReset) this.#device.reset();
    this.#started = true;
    this.attach();
  }

  #listen(): void {
    this.#kick = openPoll(this.#kickFd, POLL_READABLE, () => this.#rang(), true);
  }

  /** The kick descriptor was written to. */
  #rang(): void {
    this.#kicked();
    // What it brought may have ended the ring.
    if (this.#kick === null) return;
    // Taken by this kick, or by the poller before it.
    const position = this.#queue?.nextAvailable ?? -1;
    const hadWork = position !== this.#kickedAt;
    this.#kickedAt = position;
    if (!hadWork) this.#counters.needlessKicks++;
    if (!this.#needless.rang(hadWork)) return;
    this.#counters.kickPauses++;
    this.#kick?.close();
    this.#kick = null;
    this.#pause = setTimeout(() => {
      this.#pause = null;
      this.#listen();
      this.#kicked();
    }, PAUSE_MS);
  }

  #kicked(): void {
    this.#kicks++;
    if (this.#queue !== null) this.#device.kicked();
  }

  /** For the watchdog: what of this ring does not go on though it should; null when all does. See Progress. */
  stuck(): string | null {
    const queue = this.#queue;
    const isWanted = this.#device.wants?.(this.index) !== false;
    const hasWork = queue !== null && isWanted && queue.hasWork();
    const state =
      queue === null || !isWanted ? null : { ring: queue, position: queue.nextAvailable, hasWork };
    const found = this.#progress.look(state);
    const isUntold = hasWork && this.#kickFd >= 0 && drainDescriptor(this.#kickFd) > 0;
    const wasUntold = isUntold && this.#kicksAtUntold === this.#kicks;
    this.#kicksAtUntold = isUntold ? this.#kicks : -1;
    const owes = queue !== null && this.#device.isAnswered?.(this.index) === true && queue.inFlight > 0;
    const silentMs = this.#answers.look(owes ? queue : null, queue?.nextUsed ?? 0);
    if (hasWork) this.#device.kicked();
    const where = `${this.#device.name}: queue ${this.index}`;
    if (found === 'stuck') return `${where}: what the guest offered is not taken`;
    if (wasUntold) return `${where}: kicks are not noticed`;
    if (silentMs > 0) return `${where}: no request was answered for ${Math.round(silentMs)} ms`;
    return null;
  }

  /** GET_VRING_BASE: stops the ring and tells where it stood. It does not reset anything. */
  stop(): number {
    if (this.#queue !== null) this.#device.settle(this.index);
    this.detach();
    this.#started = false;
    this.#closeKick();
    return this.#base;
  }

  setEnabled(enabled: boolean): void {
    this.enabled = enabled;
    if (enabled) this.attach();
    else this.detach();
  }

  setCall(fd: number): void {
    // Whatever kind of descriptor it is (eventfd, pipe, socket), a full one must not stop us.
    if (fd >= 0) setNonBlocking(fd);
    if (this.#callFd >= 0) closeSync(this.#callFd);
    this.#callFd = fd;
    // A call that the old descriptor swallowed must not be lost; a spurious one is harmless.
    if (this.#queue !== null) this.#call();
  }

  setErr(fd: number): void {
    if (fd >= 0) setNonBlocking(fd);
    if (this.#errFd >= 0) closeSync(this.#errFd);
    this.#errFd = fd;
  }

  /** The ring is untrustworthy: the front-end is told through its error descriptor. */
  broken(): void {
    this.#queue = null;
    this.#broken = true;
    if (this.#errFd >= 0) signalDescriptor(this.#errFd);
  }

  /** Gives the device its queue when everything is there: started, enabled, sized, placed. */
  attach(): void {
    if (!this.#started || !this.enabled || this.#queue !== null) return;
    if (this.#broken && this.#device.needsReset) return;
    if (this.#size === 0 || this.#addresses === null) {
      throw new VringError(this.index, 'started before SET_VRING_NUM and SET_VRING_ADDR');
    }
    const { descriptor, available, used } = this.#addresses;
    const tracker = this.#inflight ?? this.#device.tracker?.(this.index, this.#size) ?? null;
    if (tracker !== null && tracker.size < this.#size) {
      throw new VringError(
        this.index,
        `${this.#size} descriptors; the inflight memory is for ${tracker.size}`,
      );
    }
    const queue = new DeviceQueue({
      memory: this.#memory.guest,
      ringMemory: this.#memory.user,
      size: this.#size,
      descriptorAddress: Number(descriptor),
      availableAddress: Number(available),
      usedAddress: Number(used),
      eventIdx: this.#eventIdx,
      indirect: this.#indirect,
      nextAvailable: this.#base,
      tracker,
    });
    const before = this.#stoppedAt;
    const continues =
      before !== null && before.nextAvailable === queue.nextAvailable && before.nextUsed === queue.nextUsed;
    const open = tracker === null ? [] : this.#recover(tracker, queue, continues);
    const next = continues ? queue.nextAvailable : this.#next(tracker, queue, open.length);
    const isUnused = open.length === 0 && next === 0 && queue.nextUsed === 0;
    queue.resume(continues ? before.unpopped : open, next);
    if (!continues && !isUnused) this.#device.resume?.();
    // A ring that begins at 0 and does not continue is a new driver's: what the last one claimed ends here. Not every
    // front-end says so (User-Mode Linux only disables its rings; STATUS is optional).
    if (this.index === 0 && !continues && isUnused) {
      this.#device.reset();
      this.#onNewDriver();
    }
    this.#queue = queue;
    this.#broken = false;
    this.#device.setQueue(this.index, queue, this.#call, continues);
    // A former process may have died after it returned something, and before the call for it; a spurious one is harmless.
    if (!continues && !isUnused) this.#call();
  }

  /**
   * Where the available ring goes on, `open` chains being in flight. Front-ends tell it after a loss of their back-end in their
   * own ways: QEMU begins at the used index, Cloud Hypervisor at the driver's available index. So where we know it ourselves, that
   * counts on a new connection: what was taken is what was returned and what is in flight.
   */
  #next(tracker: InflightRegion | null, queue: DeviceQueue, open: number): number {
    const after = (queue.nextUsed + open) & 0xffff;
    const isKnown =
      tracker === null
        ? this.#device.returnsInOrder?.(this.index) === true
        : this.#isRecovered || queue.nextUsed === 0;
    if (this.#stoppedAt === null && isKnown) return after;
    return queue.nextAvailable === queue.nextUsed ? after : queue.nextAvailable;
  }

  /** @returns heads that a former process had taken and not returned, in their order */
  #recover(tracker: InflightRegion, queue: DeviceQueue, continues: boolean): number[] {
    // Our own tracking knows nothing of whose ring this is. Where nothing was ever returned, all that was offered lies in the
    // available ring from 0 on, whoever's it is; so that nothing of a former guest is taken for this one's.
    const isBegun = this.#inflight === null && !continues && queue.nextUsed === 0;
    if (this.#forgetsInflight || isBegun) tracker.discard();
    this.#forgetsInflight = false;
    this.#isRecovered = tracker.isUsed;
    const open = tracker.recover(queue.nextUsed);
    if (open === null) {
      tracker.clear(queue.nextUsed);
      this.#isRecovered = false;
    }
    return continues || open === null ? [] : open.filter((head) => head < queue.size);
  }

  /** Takes the queue from the device; it goes on from the same place with {@link attach}. */
  detach(): void {
    const queue = this.#queue;
    if (queue === null) return;
    this.#device.settle(this.index);
    this.#queue = null;
    this.#device.setQueue(this.index, null, null, true);
    this.#base = queue.nextAvailable;
    const { nextAvailable, nextUsed, unpopped } = queue;
    this.#stoppedAt = { nextAvailable, nextUsed, unpopped };
  }

  /** Device reset: nothing of the old driver's ring holds; rings are disabled (vhost-user.rst, RESET_DEVICE). */
  reset(): void {
    this.detach();
    this.#started = false;
    this.enabled = false;
    this.#broken = false;
    this.#stoppedAt = null;
    this.#base = 0;
    this.#forgetsInflight = true;
    this.#closeKick();
  }

  #closeKick(): void {
    this.#kick?.close();
    this.#kick = null;
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#pause !== null) clearTimeout(this.#pause);
    this.#timer = null;
    this.#pause = null;
    if (this.#kickFd >= 0) closeSync(this.#kickFd);
    this.#kickFd = -1;
  }

  /** Gives everything back; idempotent. */
  close(): void {
    this.detach();
    this.#started = false;
    this.#closeKick();
    if (this.#callFd >= 0) closeSync(this.#callFd);
    if (this.#errFd >= 0) closeSync(this.#errFd);
    this.#callFd = -1;
    this.#errFd = -1;
  }
}
