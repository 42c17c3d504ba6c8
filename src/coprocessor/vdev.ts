import type { AddressSpace } from '../virtqueue/address-space.ts';
import type { DriverQueue } from '../virtqueue/driver-queue.ts';
import { RingProgress } from '../virtqueue/ring-progress.ts';
import type { Carveout } from './carveout.ts';
import type { DeviceMemory } from './device-memory.ts';
import { ANY_NOTIFY_ID, type Doorbell } from './doorbell.ts';
import type { TableWatch } from './table-watch.ts';
import { describeStatus, VDEV_STATUS } from './vdev-status.ts';

/** A virtio device of the co-processor that we drive: from the DRIVER status on until `close()`. */
export interface BoundVdev {
  /** Among the VDEV entries of the resource table. */
  readonly index: number;
  /** Virtio device ID. */
  readonly id: number;
  /** Feature bits 0 to 31 that both sides have, unsigned. */
  readonly features: number;
  /** The co-processor's memory by device addresses. */
  readonly memory: AddressSpace;
  /** One a vring, in the table's order. */
  readonly queues: readonly DriverQueue[];
  /** Where buffers may be allocated; given back by `close()`. */
  readonly buffers: Carveout;
  /** A private copy of the device's config space. */
  readConfig(): Uint8Array;
  /** The status byte as it is in memory now. */
  readStatus(): number;
  /** Tells the co-processor to look at a queue; allocates nothing. */
  kick(queueIndex: number): void;
  /** The listener runs whenever the co-processor may have returned buffers. */
  onCall(listener: () => void): void;
  /** The listener is told once, when the co-processor no longer serves this device; then only `close()` makes sense. */
  onLost(listener: (reason: string) => void): void;
  /** The buffers are posted: sets DRIVER_OK, and kicks vring 0 once. */
  driverOk(): void;
  /** Gives up: sets FAILED. */
  fail(reason: string): void;
  /** Resets the device: status 0, and the doorbell of the vdev rung. Idempotent. */
  close(): void;
}

/** What {@link RemoteprocVdev} is made of. */
export interface RemoteprocVdevParts {
  readonly index: number;
  readonly id: number;
  readonly features: number;
  readonly memory: DeviceMemory;
  readonly queues: readonly DriverQueue[];
  readonly buffers: Carveout;
  readonly doorbell: Doorbell;
  /** Device address of the status byte. */
  readonly statusAddress: number;
  readonly configAddress: number;
  readonly configSizeBytes: number;
  /** Of the vdev itself. */
  readonly notifyId: number;
  /** Of each vring. */
  readonly queueNotifyIds: readonly number[];
  readonly tableWatch: TableWatch;
  readonly onFail: (reason: string) => void;
  /** @param wasLive the firmware may have attached its queues: it has to be given time to let go of them */
  readonly onClose: (wasLive: boolean) => void;
}

/** A vdev bound by the fields of its entry in the resource table. */
export class RemoteprocVdev implements BoundVdev {
  readonly index: number;
  readonly id: number;
  readonly features: number;
  readonly memory: AddressSpace;
  readonly queues: readonly DriverQueue[];
  readonly buffers: Carveout;
  readonly #parts: RemoteprocVdevParts;
  readonly #doorbell: Doorbell;
  readonly #notifyIds: readonly number[];
  /** The status byte, found once: it is looked at with every call. */
  readonly #statusBytes: Uint8Array;
  readonly #statusIndex: number;
  /** What we wrote last. */
  #status = VDEV_STATUS.ACKNOWLEDGE | VDEV_STATUS.DRIVER;
  readonly #progress: readonly RingProgress[];
  #onCall: () => void = () => {};
  readonly #onLost: ((reason: string) => void)[] = [];
  #lost: string | undefined;
  /** The status byte is somebody else's now. */
  #isForeign = false;
  #closed = false;

  /** The status is ACKNOWLEDGE | DRIVER already. */
  constructor(parts: RemoteprocVdevParts) {
    this.index = parts.index;
    this.id = parts.id;
    this.features = parts.features;
    this.memory = parts.memory.space;
    this.queues = parts.queues;
    this.#progress = parts.queues.map(() => new RingProgress());
    this.buffers = parts.buffers;
    this.#parts = parts;
    this.#doorbell = parts.doorbell;
    this.#notifyIds = parts.queueNotifyIds;
    this.#statusBytes = this.memory.require('vdev status', parts.statusAddress, 1, 1).u8;
    this.#statusIndex = this.memory.offset;
  }

  readConfig(): Uint8Array {
    if (this.#closed) return new Uint8Array(0);
    return this.#parts.memory.copyOut(this.#parts.configAddress, this.#parts.configSizeBytes);
  }

  readStatus(): number {
    return this.#closed ? 0 : Atomics.load(this.#statusBytes, this.#statusIndex);
  }

  kick(queueIndex: number): void {
    if (!this.#closed) this.#doorbell.ring(this.#notifyIds[queueIndex] as number);
  }

  onCall(listener: () => void): void {
    this.#onCall = listener;
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#lost !== undefined) listener(this.#lost);
    else this.#onLost.push(listener);
  }

  driverOk(): void {
    if (this.#closed || this.#lost !== undefined) return;
    this.#writeStatus(this.#status | VDEV_STATUS.DRIVER_OK);
    // Some firmware (rpmsg-lite) takes its link for up only with the first kick after DRIVER_OK.
    if (this.#notifyIds.length > 0) this.kick(0);
  }

  fail(reason: string): void {
    if (this.#closed || (this.#status & VDEV_STATUS.FAILED) !== 0) return;
    // Zeroes that the co-processor did not write are no fault of its driver.
    if (this.#parts.memory.truncated !== null) return this.lose(reason);
    this.#parts.onFail(reason);
    if (this.#isForeign) return;
    this.#writeStatus(this.#status | VDEV_STATUS.FAILED);
    this.#doorbell.ring(this.#parts.notifyId);
  }

  /** Whether a doorbell's `notifyId` concerns this vdev. */
  isMeant(notifyId: number): boolean {
    return (
      notifyId === ANY_NOTIFY_ID || notifyId === this.#parts.notifyId || this.#notifyIds.includes(notifyId)
    );
  }

  /** The doorbell rang for this vdev: a reset behind our back shows first, as the rings mean nothing then. */
  called(): void {
    if (this.#closed || this.#lost !== undefined) return;
    const status = this.readStatus();
    if ((status & this.#status) !== this.#status) {
      this.#isForeign = true;
      this.lose(
        `vdev ${this.index} was reset by the co-processor: its status is ${describeStatus(status)}, expected ${describeStatus(this.#status)}`,
      );
      return;
    }
    if ((status & VDEV_STATUS.NEEDS_RESET) !== 0) {
      this.lose(`vdev ${this.index} needs a reset, says the co-processor: status ${describeStatus(status)}`);
      return;
    }
    const changed = this.#parts.tableWatch.changed();
    if (changed !== null) {
      this.lose(`vdev ${this.index} was reset by the co-processor: ${changed}`);
      return;
    }
    this.#onCall();
    for (let i = 0; i < this.queues.length; i++) {
      const { broken } = this.queues[i] as DriverQueue;
      if (broken !== null) this.lose(`vring ${i} of vdev ${this.index} is corrupt: ${broken}`);
    }
  }

  /** For the watchdog: what of these rings does not go on though it should; null when all do. See Progress. */
  stuck(): string | null {
    if (this.#closed || this.#lost !== undefined || (this.#status & VDEV_STATUS.FAILED) !== 0) return null;
    const found = this.queues.map((queue, index) => {
      const hasWork = !queue.isLazy && queue.hasUsed();
      const state = { ring: queue, position: queue.nextUsed, hasWork };
      return { hasWork, look: (this.#progress[index] as RingProgress).look(state) };
    });
    // As if it had called: some firmware may have forgotten to.
    if (found.some(({ hasWork }) => hasWork)) this.called();
    const stuck = found.findIndex(({ look }) => look === 'stuck');
    return stuck < 0 ? null : `vdev ${this.index}: what vring ${stuck} returned is not taken`;
  }

  /** Tells the listeners, once. */
  lose(reason: string): void {
    if (this.#closed || this.#lost !== undefined) return;
    // Whatever was noticed first follows from that.
    const why = this.#parts.memory.truncated ?? reason;
    this.#lost = why;
    for (const listener of this.#onLost.splice(0)) listener(why);
  }

  close(): void {
    if (this.#closed) return;
    const wasLive = (this.#status & VDEV_STATUS.DRIVER_OK) !== 0;
    if (!this.#isForeign) this.#writeStatus(0);
    this.#closed = true;
    this.#doorbell.ring(this.#parts.notifyId);
    this.buffers.releaseAll();
    this.#parts.onClose(wasLive && !this.#isForeign);
  }

  #writeStatus(status: number): void {
    this.#status = status;
    // Sequentially consistent: features, addresses and buffers are there before the status that announces them.
    Atomics.store(this.#statusBytes, this.#statusIndex, status);
  }
}
