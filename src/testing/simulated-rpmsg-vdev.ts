import { Carveout } from '../coprocessor/carveout.ts';
import type { BoundVdev } from '../coprocessor/vdev.ts';
import { AddressSpace } from '../virtqueue/address-space.ts';
import { DeviceQueue } from '../virtqueue/device-queue.ts';
import { DriverQueue } from '../virtqueue/driver-queue.ts';
import { DEFAULT_BUFFER_SIZE, VIRTIO_ID_RPMSG, VIRTIO_RPMSG_F_NS } from '../wire/rpmsg.ts';
import { FEATURE_EVENT_IDX, vringLayout } from '../wire/vring.ts';
import { RpmsgPeer } from './rpmsg-peer.ts';

const BASE = 0x1000_0000;
/** Of the parts of the memory, in bytes. */
const PART_ALIGN = 64;
/** Bytes before the first and after the last thing in the memory, for tests that look whether something strays there. */
const GUARD_BYTES = 256;

const STATUS_DRIVER_OK = 7;

export interface SimulatedRpmsgVdevOptions {
  /** Descriptors of vring 0 and vring 1: powers of two; default 16 each. */
  readonly queueSizes?: readonly number[];
  /** Feature bits that were negotiated; default: the name service. */
  readonly features?: number;
  /** Memory for the buffers; default: what 512 bytes each need. */
  readonly carveoutBytes?: number;
  /**
   * The firmware serves its queues by itself, in a later turn of the loop than the kick. Default: not before a test calls
   * `peer.serve()`.
   */
  readonly automatic?: boolean;
  /** The memory can be given to a worker thread, which changes it while it is read. */
  readonly shared?: boolean;
}

interface Ring {
  readonly size: number;
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
}

/**
 * A bound vdev of id 7 with both its ends in one memory: what `RpmsgBus.open` takes, and the co-processor's side of it
 * ({@link peer}), which tests play.
 */
export class SimulatedRpmsgVdev implements BoundVdev {
  readonly index = 0;
  readonly id = VIRTIO_ID_RPMSG;
  readonly features: number;
  readonly memory = new AddressSpace();
  readonly queues: readonly DriverQueue[];
  readonly buffers: Carveout;
  /** All of the shared memory: a guard, the vrings, the buffers, a guard. */
  readonly bytes: Uint8Array;
  /** Offset of the buffers in {@link bytes}. */
  readonly buffersOffset: number;
  /** Offset of the guard after the buffers. */
  readonly endOffset: number;
  /** Offset of each vring's used ring. */
  readonly usedOffsets: readonly number[];
  /** Kicks by queue. */
  readonly kicks: number[];
  /** Calls by queue that the driver had asked for. */
  readonly calls: number[];
  /** What `fail` was told. */
  readonly failures: string[] = [];
  closes = 0;
  readonly #rings: readonly Ring[];
  readonly #automatic: boolean;
  #peer: RpmsgPeer | null = null;
  #isServing = false;
  #onCall: () => void = () => {};
  readonly #onLost: ((reason: string) => void)[] = [];
  #lost: string | null = null;

  constructor(options: SimulatedRpmsgVdevOptions = {}) {
    const { queueSizes = [16, 16], features = 1 << VIRTIO_RPMSG_F_NS } = options;
    const buffered = queueSizes.reduce((sum, size) => sum + size, 0) * DEFAULT_BUFFER_SIZE;
    const carveoutBytes = options.carveoutBytes ?? buffered;
    this.features = features;
    this.#automatic = options.automatic ?? false;
    let offset = GUARD_BYTES;
    const usedOffsets: number[] = [];
    this.#rings = queueSizes.map((size) => {
      const { availableOffset, usedOffset, sizeBytes } = vringLayout(size, 16);
      const address = BASE + offset;
      usedOffsets.push(offset + usedOffset);
      offset += Math.ceil(sizeBytes / PART_ALIGN) * PART_ALIGN;
      return {
        size,
        descriptorAddress: address,
        availableAddress: address + availableOffset,
        usedAddress: address + usedOffset,
      };
    });
    this.usedOffsets = usedOffsets;
    this.buffersOffset = offset;
    this.endOffset = offset + carveoutBytes;
    const sizeBytes = this.endOffset + GUARD_BYTES;
    const buffer = options.shared ? new SharedArrayBuffer(sizeBytes) : new ArrayBuffer(sizeBytes);
    this.bytes = new Uint8Array(buffer);
    this.memory.add(BASE, buffer);
    this.buffers = new Carveout(BASE + offset, carveoutBytes);
    this.kicks = queueSizes.map(() => 0);
    this.calls = queueSizes.map(() => 0);
    this.queues = this.#rings.map(
      (ring) => new DriverQueue({ memory: this.memory, eventIdx: this.#eventIdx, ...ring }),
    );
  }

  get #eventIdx(): boolean {
    return ((this.features >>> FEATURE_EVENT_IDX) & 1) !== 0;
  }

  /** The co-processor's side, from DRIVER_OK on. @throws Error before that */
  get peer(): RpmsgPeer {
    if (this.#peer === null) throw new Error('the driver has not set DRIVER_OK: there are no queues yet');
    return this.#peer;
  }

  readConfig(): Uint8Array {
    return new Uint8Array(0);
  }

  readStatus(): number {
    return STATUS_DRIVER_OK;
  }

  kick(queueIndex: number): void {
    (this.kicks[queueIndex] as number)++;
    if (this.#automatic) this.#serveSoon();
  }

  #serveSoon(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    setImmediate(() => {
      this.#isServing = false;
      if (this.#peer === null || this.closes > 0 || this.#lost !== null) return;
      this.#peer.serve();
      if (this.#peer.enableKicks()) this.#serveSoon();
    });
  }

  onCall(listener: () => void): void {
    this.#onCall = listener;
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#lost !== null) listener(this.#lost);
    else this.#onLost.push(listener);
  }

  driverOk(): void {
    const [toLinux, fromLinux] = this.#rings.map(
      (ring) =>
        new DeviceQueue({
          memory: this.memory,
          eventIdx: this.#eventIdx,
          indirect: false,
          nextAvailable: 0,
          ...ring,
        }),
    ) as [DeviceQueue, DeviceQueue];
    this.#peer = new RpmsgPeer({
      toLinux,
      fromLinux,
      call: (queueIndex) => {
        (this.calls[queueIndex] as number)++;
        this.ring();
      },
    });
    this.kick(0);
  }

  fail(reason: string): void {
    this.failures.push(reason);
  }

  close(): void {
    this.closes++;
    this.buffers.releaseAll();
  }

  /** The firmware goes away. */
  lose(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    for (const listener of this.#onLost.splice(0)) listener(reason);
  }

  /** Rings, whether the driver asked for it or not. */
  ring(): void {
    if (this.closes === 0 && this.#lost === null) this.#onCall();
  }
}
