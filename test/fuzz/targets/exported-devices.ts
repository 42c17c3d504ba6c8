/** The devices that guests see, each with its rings in memory that the guest changes meanwhile. */
import { VirtioGpioDevice } from '../../../src/exporters/virtio-gpio/device.ts';
import { Draft2021Device } from '../../../src/exporters/virtio-gpio/draft-2021-device.ts';
import type {
  ExportedDevice,
  ExportedDeviceOptions,
} from '../../../src/exporters/virtio-gpio/exported-device.ts';
import { MetuxDevice } from '../../../src/exporters/virtio-gpio/metux-device.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { selectLines } from '../../../src/gpio/line-selection.ts';
import type { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { type Pollable, Poller } from '../../../src/virtqueue/poller.ts';
import { DeferredChip } from '../../exporters/virtio-gpio/deferred-chip.ts';
import { ByteSource } from '../byte-source.ts';
import { withWatchedAtomics } from '../changing-memory.ts';
import { HostileGuest, readsOfOneChain } from '../hostile-guest.ts';
import { type FuzzTarget, invariant } from '../target.ts';

type Device = ExportedDevice & Pollable;
type Kind = 'virtio-gpio' | 'metux' | 'draft-2021';

const SIZES = [2, 4, 8, 16] as const;
const LINES = 6;
const MAX_STEPS = 60;
/** Chains that one pass takes of a queue: the devices' batch, or a ring full of them. */
const BATCH = 64;
const VRING_BYTES = 0x400;

function makeDevice(kind: Kind, options: ExportedDeviceOptions): Device {
  if (kind === 'virtio-gpio') return new VirtioGpioDevice(options);
  return kind === 'metux' ? new MetuxDevice(options) : new Draft2021Device(options);
}

/** A request that is answered well, whatever went before, and what comes of it in its ring. */
const PROBES: Record<Kind, { queue: number; request: Uint8Array; responseBytes: number }> = {
  'virtio-gpio': { queue: 0, request: Uint8Array.from([4, 0, 1, 0, 0, 0, 0, 0]), responseBytes: 2 },
  metux: { queue: 1, request: Uint8Array.from([5, 0, 1, 0, 0, 0, 0, 0]), responseBytes: 2 },
  'draft-2021': { queue: 0, request: Uint8Array.from([6, 0, 1, 0, 0, 0]), responseBytes: 2 },
};

class Ring {
  readonly guest: HostileGuest;
  queue: DeviceQueue;
  pops = 0;
  pushes = 0;

  constructor(guest: HostileGuest) {
    this.guest = guest;
    this.queue = this.#watched(guest.queue());
  }

  again(): void {
    this.guest.usedIndex = this.queue.nextUsed;
    this.queue = this.#watched(this.guest.queue(this.queue.nextAvailable));
  }

  /** Each chain that is handed out comes back at most once. */
  #watched(queue: DeviceQueue): DeviceQueue {
    const pop = queue.pop.bind(queue);
    const push = queue.push.bind(queue);
    queue.pop = () => {
      const chain = pop();
      if (chain !== null) this.pops++;
      return chain;
    };
    queue.push = (chain, usedBytes) => {
      invariant(chain.inFlight, `chain ${chain.head} was returned twice`);
      invariant(
        usedBytes <= Math.max(chain.writableBytes, 2),
        `${usedBytes} bytes used of ${chain.writableBytes}`,
      );
      this.pushes++;
      push(chain, usedBytes);
    };
    return queue;
  }
}

class Play {
  readonly #kind: Kind;
  readonly #source: ByteSource;
  readonly #chip = new DeferredChip(LINES);
  readonly #poller = new Poller();
  readonly #device: Device;
  readonly #rings: Ring[] = [];
  readonly #attached: boolean[] = [];
  #broken = 0;

  constructor(kind: Kind, source: ByteSource) {
    this.#kind = kind;
    this.#source = source;
    this.#device = makeDevice(kind, {
      name: 'vm1',
      lines: selectLines([new ChipLines(this.#chip)], ['*']),
      poller: this.#poller,
      pollUs: 0,
      onLog: () => {},
    });
    this.#device.onBroken = (index) => {
      this.#broken++;
      this.#attached[index] = false;
    };
    this.#device.setFeatures(source.bool() ? 1n : 0n);
    for (let index = 0; index < this.#device.queueCount; index++) {
      const memory = this.#rings[0]?.guest ?? null;
      this.#rings.push(new Ring(new HostileGuest(source, source.pick(SIZES), index * VRING_BYTES, memory)));
      this.#attach(index, false);
    }
  }

  #attach(index: number, continues: boolean): void {
    this.#attached[index] = true;
    this.#device.setQueue(index, (this.#rings[index] as Ring).queue, () => {}, continues);
  }

  #detach(index: number): void {
    this.#device.settle(index);
    this.#attached[index] = false;
    this.#device.setQueue(index, null, null, true);
  }

  #allow(reads: number): void {
    (this.#rings[0] as Ring).guest.allow(reads);
  }

  #poll(): boolean {
    let reads = 1000;
    for (const { guest } of this.#rings)
      reads += (BATCH + 1) * (3 * guest.size + readsOfOneChain(guest.size) + 100);
    this.#allow(reads);
    return this.#device.poll();
  }

  #answer(): void {
    const { waiting } = this.#chip;
    if (waiting.length > 0) this.#chip.answer(this.#source.below(waiting.length));
  }

  #step(): void {
    const source = this.#source;
    const index = source.below(this.#rings.length);
    const ring = this.#rings[index] as Ring;
    this.#allow(5000);
    switch (source.below(14)) {
      case 0:
      case 1:
        this.#poll();
        return;
      case 2:
        return this.#answer();
      case 3:
        return this.#chip.inner.drive(source.below(LINES), source.bool() ? 1 : 0);
      case 4: {
        this.#allow(200_000);
        if (!this.#attached[index]) {
          if (this.#device.needsReset) this.#device.reset();
          ring.again();
          return this.#attach(index, source.bool());
        }
        return this.#detach(index);
      }
      case 5:
        this.#device.disableNotifications();
        this.#device.enableNotifications();
        return;
      case 6:
        return ring.guest.change(source.bool());
      case 7:
      case 8: {
        // A request as a driver sends it, of any type, line and value.
        const request = Uint8Array.of(
          source.below(8),
          0,
          source.below(LINES + 1),
          0,
          source.below(4),
          0,
          0,
          0,
        );
        return ring.guest.offerWell(
          source.below(ring.guest.size),
          request,
          8,
          0x100 + source.below(8) * 0x100,
        );
      }
      case 9:
        if (source.oneIn(3)) this.#device.reset();
        return;
      case 10:
        if (source.oneIn(3)) this.#device.suspend();
        return;
      default:
        return ring.guest.mischief();
    }
  }

  #checkCounts(): void {
    const { requests, errors, badChains } = this.#device.counters;
    const { queue } = PROBES[this.#kind];
    const taken = (this.#rings[queue] as Ring).pops;
    invariant(requests === taken, `${taken} requests taken, ${requests} counted`);
    invariant(
      Object.values(badChains).every((count) => count > 0),
      'a reason without a count',
    );
    invariant(errors <= requests, `${errors} errors of ${requests} requests`);
    for (const ring of this.#rings)
      invariant(ring.pushes <= ring.pops, `${ring.pushes} answers to ${ring.pops} chains`);
  }

  /** A new driver in clean memory, as after a reset: it is served. */
  #isServedAgain(): void {
    const device = this.#device;
    for (const [index, isAttached] of this.#attached.entries()) if (isAttached) this.#detach(index);
    this.#chip.answerAll();
    device.reset();
    this.#chip.answerAll();
    invariant(!device.needsReset, 'needs a reset after a reset');
    const { queue, request, responseBytes } = PROBES[this.#kind];
    const zeros = new ByteSource(new Uint8Array(0));
    this.#rings.length = 0;
    for (let index = 0; index < device.queueCount; index++) {
      const memory = this.#rings[0]?.guest ?? null;
      this.#rings.push(new Ring(new HostileGuest(zeros, 8, index * VRING_BYTES, memory)));
      this.#attach(index, false);
    }
    const ring = this.#rings[queue] as Ring;
    if (this.#kind === 'metux') {
      const receive = (this.#rings[0] as Ring).guest;
      receive.descriptor(0, BigInt(0x4000_0000 + 0x3000), 8, 2, 0);
      receive.offer(0);
    }
    ring.guest.offerWell(0, request, responseBytes);
    for (let left = 4; left > 0; left--) {
      this.#poll();
      this.#chip.answerAll();
    }
    invariant(
      ring.pushes === 1 && ring.guest.usedIndex === 1,
      () => `a new driver's request is not answered`,
    );
    if (this.#kind !== 'metux')
      invariant(ring.guest.bufferBytes(0x40, 1)[0] === 0, 'a new driver is answered with an error');
  }

  run(): string {
    try {
      for (let steps = 0; steps < MAX_STEPS && this.#source.remaining > 0; steps++) this.#step();
      for (const { guest } of this.#rings) guest.change(false);
      this.#poll();
      this.#checkCounts();
      const { requests, errors, interrupts, badChains } = this.#device.counters;
      const outcome = [
        ...[Math.min(requests, 5), Math.min(errors, 3), Math.min(interrupts, 3), Math.min(this.#broken, 2)],
        ...Object.keys(badChains).sort(),
      ].join(' ');
      this.#isServedAgain();
      return outcome;
    } finally {
      this.#device.close();
      this.#poller.close();
    }
  }
}

function target(kind: Kind): FuzzTarget {
  return {
    name: `device-${kind}`,
    what: `the ${kind} device against a guest that changes its rings meanwhile; a new driver is served afterwards`,
    seeds: () =>
      [0, 1, 2, 3].map((variant) =>
        Uint8Array.from([
          ...[1, variant, 1, 1, 0, 0, variant, 1, 1, 0, 0],
          ...[0, 7, 1, variant, 1, 0, 1, 0, 0, 0, 2, 0, 7, 4, 0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 3, 1, 1, 1],
          ...[1, 7, 2, 0, 1, 1, 2, 1, 0, 0, 3, 0, 1, 0, 0, 6, 1, 3, 0, 10, 2, 1, 0, 11, 0, 1, 2, 3, 0, 0],
          ...[0, 4, 0, 4, 1, 0, 0, 0, 2, 0, 9, 0, 5, 0, 0, 0],
        ]),
      ),
    run: (input) => withWatchedAtomics(() => new Play(kind, new ByteSource(input)).run()),
    maxInputBytes: 1024,
  };
}

export const EXPORTED_DEVICE_TARGETS: readonly FuzzTarget[] = (
  ['virtio-gpio', 'metux', 'draft-2021'] as const
).map(target);
