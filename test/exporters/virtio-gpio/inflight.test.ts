import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { InflightRegion, inflightRegionBytes } from '../../../src/exporters/virtio-gpio/inflight.ts';
import { ReturnOrder } from '../../../src/exporters/virtio-gpio/return-order.ts';
import type { DescriptorChain } from '../../../src/virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { Rings } from '../../virtqueue/rings.ts';

const SIZE = 8;

function region(size = SIZE): { region: InflightRegion; view: DataView } {
  const bytes = new ArrayBuffer(inflightRegionBytes(size));
  return { region: new InflightRegion(bytes, 0, size), view: new DataView(bytes) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the region of one queue', () => {
  it('has 16 bytes a descriptor behind 16 of its own, in whole lines of 64', () => {
    expect(inflightRegionBytes(1)).toBe(64);
    expect(inflightRegionBytes(64)).toBe(1088);
    expect(inflightRegionBytes(1024)).toBe(16448);
  });

  it('lies in memory as vhost-user.rst has it', () => {
    const { region: queue, view } = region();
    expect(queue.recover(0xfffe)).toEqual([]);
    // features, version, desc_num, last_batch_head, used_idx
    expect(view.getBigUint64(0, true)).toBe(0n);
    expect([8, 10, 12, 14].map((at) => view.getUint16(at, true))).toEqual([1, SIZE, 0, 0xfffe]);
    for (const head of [5, 2, 7]) queue.taken(head);
    for (const [head, counter] of [
      [5, 0n],
      [2, 1n],
      [7, 2n],
    ] as const) {
      expect(view.getUint8(16 + head * 16)).toBe(1);
      expect(view.getBigUint64(16 + head * 16 + 8, true)).toBe(counter);
    }
    queue.returned(2);
    queue.returned(7);
    expect(view.getUint16(12, true)).toBe(7);
    expect(view.getUint16(16 + 7 * 16 + 6, true)).toBe(2);
    expect(view.getUint8(16 + 7 * 16)).toBe(1);
    queue.published(2, 0);
    expect(view.getUint16(14, true)).toBe(0);
    expect([2, 5, 7].map((head) => view.getUint8(16 + head * 16))).toEqual([0, 1, 0]);
  });

  it('gives back what was taken, in the order of taking', () => {
    const { region: queue, view } = region();
    queue.recover(0);
    for (const head of [6, 1, 3, 0]) queue.taken(head);
    queue.returned(1);
    queue.published(1, 1);
    const next = new InflightRegion(view.buffer, 0, SIZE);
    expect(next.recover(1)).toEqual([6, 3, 0]);
    // What comes later is later.
    next.taken(1);
    expect(new InflightRegion(view.buffer, 0, SIZE).recover(1)).toEqual([6, 3, 0, 1]);
  });

  it('finishes the last batch when the process died after the used index', () => {
    const { region: queue, view } = region();
    queue.recover(10);
    for (const head of [4, 5, 6]) queue.taken(head);
    queue.returned(5);
    queue.returned(4);
    // The used ring stands at 12, `published` was not reached.
    const next = new InflightRegion(view.buffer, 0, SIZE);
    expect(next.recover(12)).toEqual([6]);
    expect(view.getUint16(14, true)).toBe(12);
  });

  it('is not taken for that of another ring', () => {
    const { region: queue, view } = region();
    queue.recover(100);
    queue.taken(3);
    expect(queue.recover(100 + SIZE + 1)).toBeNull();
    expect(queue.recover(99)).toBeNull();
    view.setUint16(8, 2, true);
    expect(queue.recover(100)).toBeNull();
    view.setUint16(8, 1, true);
    view.setUint16(10, SIZE * 2, true);
    expect(queue.recover(100)).toBeNull();
    queue.discard();
    expect(queue.recover(7)).toEqual([]);
  });

  it('can hold anything: heads are in range and there once', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: inflightRegionBytes(SIZE), maxLength: inflightRegionBytes(SIZE) }),
        fc.nat(0xffff),
        fc.integer({ min: 0, max: SIZE }),
        (bytes, used, batch) => {
          const view = new DataView(bytes.buffer);
          // As far as what makes it usable at all.
          view.setUint16(8, 1, true);
          view.setUint16(10, SIZE, true);
          view.setUint16(14, (used - batch) & 0xffff, true);
          const queue = new InflightRegion(bytes.buffer, 0, SIZE);
          const heads = queue.recover(used)!;
          expect(new Set(heads).size).toBe(heads.length);
          expect(heads.every((head) => head < SIZE)).toBe(true);
          queue.taken(0);
          queue.returned(0);
          queue.published(1, (used + 1) & 0xffff);
          expect(queue.recover((used + 1) & 0xffff)).not.toContain(0);
        },
      ),
    );
  });
});

/** The process ended here. */
class Killed extends Error {}

/** The guest is at work, which does not die with the service. */
let guestRuns = false;

/** Lets the n-th of all further stores (they are Atomics' where order counts) be the one before which the process dies. */
function dieBefore(storeNumber: number): void {
  let left = storeNumber;
  const store = Atomics.store.bind(Atomics) as typeof Atomics.store;
  vi.spyOn(Atomics, 'store').mockImplementation(((array: Uint32Array, index: number, value: number) => {
    if (!guestRuns && left-- <= 0) throw new Killed();
    return store(array, index, value);
  }) as typeof Atomics.store);
}

/** What the lives of the service do, each until it is killed: numbers that choose among what is possible. */
const LIVES = fc.array(
  fc.record({
    steps: fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 40 }),
    killAt: fc.nat(60),
  }),
  { minLength: 1, maxLength: 6 },
);

/** A driver that outlives the services: what it waits for, and what came back. */
class Guest {
  readonly rings: Rings;
  readonly driver;
  readonly waiting = new Map<number, number>();
  readonly returned: number[] = [];
  offered = 0;

  constructor() {
    this.rings = new Rings({ size: SIZE, eventIdx: true });
    this.driver = this.rings.driver();
  }

  offer(): void {
    guestRuns = true;
    const head = this.driver.add(this.rings.buffers, 0, this.rings.buffers + 16, 8);
    if (head >= 0) {
      expect(this.waiting.has(head)).toBe(false);
      this.waiting.set(head, this.offered++);
      this.driver.publish();
    }
    guestRuns = false;
  }

  take(): void {
    for (let head = this.driver.popUsed(); head >= 0; head = this.driver.popUsed()) {
      const request = this.waiting.get(head);
      // Not one that it does not wait for: nothing comes twice.
      expect(request).toBeDefined();
      this.waiting.delete(head);
      this.returned.push(request!);
    }
    expect(this.driver.badUsed).toBe(0);
  }
}

/** One life of the device side: offers of the guest, and what the service does with them. */
function live(
  queue: DeviceQueue,
  guest: Guest,
  answer: (chain: DescriptorChain) => void,
  steps: readonly number[],
): void {
  const taken: DescriptorChain[] = [];
  for (const step of steps) {
    switch (step % 4) {
      case 0:
        guest.offer();
        break;
      case 1: {
        const chain = queue.pop();
        if (chain !== null) taken.push(chain);
        break;
      }
      case 2: {
        // Any of them, not the oldest.
        const [chain] = taken.splice((step >> 2) % Math.max(taken.length, 1), 1);
        if (chain !== undefined) answer(chain);
        break;
      }
      default:
        queue.publish();
        guest.take();
    }
  }
}

/** A life that ends in order. */
function finish(queue: DeviceQueue, guest: Guest, answer: (chain: DescriptorChain) => void): void {
  for (let chain = queue.pop(); chain !== null; chain = queue.pop()) answer(chain);
  queue.publish();
  guest.take();
}

describe('a service that is killed at any point', () => {
  it('loses and repeats nothing that is tracked, in whatever order it answers', () => {
    fc.assert(
      fc.property(LIVES, (lives) => {
        const guest = new Guest();
        const memory = new ArrayBuffer(inflightRegionBytes(SIZE));
        const begin = (): DeviceQueue => {
          const used = guest.rings.view.getUint16(guest.rings.usedOffset + 2, true);
          const tracker = new InflightRegion(memory, 0, SIZE);
          const open = tracker.recover(used)!;
          expect(open).not.toBeNull();
          const queue = guest.rings.device({ nextAvailable: used, tracker });
          queue.resume(open, used + open.length);
          return queue;
        };
        const run = (killAt: number, work: (queue: DeviceQueue) => void): void => {
          dieBefore(killAt);
          try {
            work(begin());
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
          } finally {
            vi.restoreAllMocks();
          }
          guest.take();
        };
        for (const { steps, killAt } of lives) {
          run(killAt, (queue) => live(queue, guest, (chain) => queue.push(chain, 2), steps));
        }
        run(Number.POSITIVE_INFINITY, (queue) => finish(queue, guest, (chain) => queue.push(chain, 2)));
        expect([...guest.returned].sort((a, b) => a - b)).toEqual(
          Array.from({ length: guest.offered }, (_, i) => i),
        );
        expect(guest.waiting.size).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  it('begins again at the used index where nothing is tracked: returned in the order of the ring', () => {
    fc.assert(
      fc.property(LIVES, (lives) => {
        const guest = new Guest();
        const run = (work: (queue: DeviceQueue, answer: (chain: DescriptorChain) => void) => void): void => {
          const used = guest.rings.view.getUint16(guest.rings.usedOffset + 2, true);
          const queue = guest.rings.device({ nextAvailable: used });
          const order = new ReturnOrder();
          order.setQueue(queue);
          const pop = queue.pop.bind(queue);
          vi.spyOn(queue, 'pop').mockImplementation(() => {
            const chain = pop();
            if (chain !== null) order.taken(chain);
            return chain;
          });
          try {
            work(queue, (chain) => order.answered(chain, 2));
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
          } finally {
            vi.restoreAllMocks();
          }
          guest.take();
        };
        for (const { steps, killAt } of lives) {
          run((queue, answer) => {
            dieBefore(killAt);
            live(queue, guest, answer, steps);
          });
        }
        run((queue, answer) => finish(queue, guest, answer));
        expect(guest.returned).toEqual(Array.from({ length: guest.offered }, (_, i) => i));
        expect(guest.waiting.size).toBe(0);
      }),
      { numRuns: 400 },
    );
  });
});
