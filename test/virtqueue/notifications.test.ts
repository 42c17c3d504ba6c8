import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import { NO_INTERRUPT, Rings } from './rings.ts';

/** Serves everything that is offered. */
function serve(queue: ReturnType<Rings['device']>, count: number): void {
  for (let i = 0; i < count; i++) queue.push(queue.pop() as DescriptorChain, 0);
}

describe('notifications by flags (virtio 1.2, sections 2.7.7.1 and 2.7.10.1)', () => {
  it('the device calls unless the driver set NO_INTERRUPT', () => {
    const rings = new Rings();
    const queue = rings.device();
    rings.offer(0, 1, 2);
    serve(queue, 1);
    expect(queue.publish()).toBe(true);
    rings.availableFlags = NO_INTERRUPT;
    serve(queue, 1);
    expect(queue.publish()).toBe(false);
    rings.availableFlags = 0;
    serve(queue, 1);
    expect(queue.publish()).toBe(true);
  });

  it('the driver kicks unless the device set NO_NOTIFY', () => {
    const rings = new Rings();
    const queue = rings.driver();
    queue.add(rings.buffers, 1, 0, 0);
    expect(queue.publish()).toBe(true);
    rings.usedFlags = 1;
    queue.add(rings.buffers, 1, 0, 0);
    expect(queue.publish()).toBe(false);
    expect(queue.publish()).toBe(false);
  });

  it('each side writes its own wish', () => {
    const rings = new Rings();
    const [driver, device] = [rings.driver(), rings.device()];
    device.disableKicks();
    driver.disableCalls();
    expect([rings.usedFlags, rings.availableFlags]).toEqual([1, 1]);
    device.enableKicks();
    driver.enableCalls();
    expect([rings.usedFlags, rings.availableFlags]).toEqual([0, 0]);
    expect([rings.availableEvent, rings.usedEvent]).toEqual([0, 0]);
  });
});

describe('notifications by EVENT_IDX (sections 2.7.7.2 and 2.7.10.2)', () => {
  it('the device calls when the used index passes used_event, whatever the flags say', () => {
    const rings = new Rings({ eventIdx: true });
    const queue = rings.device();
    rings.offer(0, 1, 2, 3, 4, 5);
    serve(queue, 1);
    expect(queue.publish()).toBe(true);
    rings.availableFlags = NO_INTERRUPT;
    rings.usedEvent = 1;
    serve(queue, 1);
    expect(queue.publish()).toBe(true);
    serve(queue, 1);
    expect(queue.publish()).toBe(false);
    rings.usedEvent = 4;
    serve(queue, 1);
    expect(queue.publish()).toBe(false);
    serve(queue, 2);
    expect(queue.publish()).toBe(true);
  });

  it('the first publish after a start always calls: what the driver was told before is unknown', () => {
    const rings = new Rings({ eventIdx: true, start: 100 });
    const queue = rings.device();
    rings.usedEvent = 99;
    rings.offer(0);
    serve(queue, 1);
    expect(queue.publish()).toBe(true);
  });

  it('the driver kicks when the available index passes avail_event, whatever the flags say', () => {
    const rings = new Rings({ eventIdx: true });
    const queue = rings.driver();
    const add = () => {
      queue.add(rings.buffers, 1, 0, 0);
      return queue.publish();
    };
    rings.usedFlags = 1;
    expect([add(), add()]).toEqual([true, false]);
    rings.availableEvent = 3;
    expect([add(), add(), add()]).toEqual([false, true, false]);
  });

  it('each side writes its index, and nothing when it wants no notifications', () => {
    const rings = new Rings({ eventIdx: true });
    const [driver, device] = [rings.driver(), rings.device()];
    for (let i = 0; i < 3; i++) driver.add(rings.buffers, 1, 0, 0);
    driver.publish();
    serve(device, 2);
    device.publish();
    driver.popUsed();
    device.disableKicks();
    driver.disableCalls();
    expect([rings.availableEvent, rings.usedEvent, rings.usedFlags, rings.availableFlags]).toEqual([
      0, 0, 0, 0,
    ]);
    device.enableKicks();
    driver.enableCalls();
    expect([rings.availableEvent, rings.usedEvent]).toEqual([2, 1]);
    expect([device.hasWork(), driver.hasUsed()]).toEqual([true, true]);
  });

  it('hasWork() and hasUsed() take nothing', () => {
    const rings = new Rings();
    const [driver, device] = [rings.driver(), rings.device()];
    expect([device.hasWork(), driver.hasUsed()]).toEqual([false, false]);
    driver.add(rings.buffers, 1, 0, 0);
    expect(device.hasWork()).toBe(false);
    driver.publish();
    expect([device.hasWork(), device.hasWork()]).toEqual([true, true]);
    serve(device, 1);
    expect([device.hasWork(), driver.hasUsed()]).toEqual([false, false]);
    device.publish();
    expect([driver.hasUsed(), driver.hasUsed()]).toEqual([true, true]);
    driver.popUsed();
    expect(driver.hasUsed()).toBe(false);
  });
});

/** A side that sleeps until it is notified, and goes to sleep as it is to be done: enable, look again, sleep. */
abstract class Sleeper {
  notified = false;
  state: 'asleep' | 'awake' | 'enabling' = 'asleep';

  /** One step; false when there is nothing to do. */
  step(lazy: boolean): boolean {
    if (this.state === 'asleep') {
      if (!this.notified) return false;
      this.notified = false;
      this.disable();
      this.state = 'awake';
    } else if (this.state === 'enabling') {
      if (this.look()) {
        this.disable();
        this.state = 'awake';
      } else {
        this.state = 'asleep';
      }
    } else if (!this.work(lazy)) {
      this.enable();
      this.state = 'enabling';
    }
    return true;
  }

  protected abstract disable(): void;
  protected abstract enable(): void;
  protected abstract look(): boolean;
  protected abstract work(lazy: boolean): boolean;
}

class Driver extends Sleeper {
  readonly queue: ReturnType<Rings['driver']>;
  readonly rings: Rings;
  device: Device | null = null;
  left: number;
  returned = 0;

  constructor(rings: Rings, left: number) {
    super();
    this.rings = rings;
    this.left = left;
    this.queue = rings.driver();
  }

  /** The application offers something: also while this side sleeps. */
  submit(publish: boolean): boolean {
    if (this.left > 0 && this.queue.add(this.rings.buffers, 1, 0, 0) >= 0) this.left--;
    else if (!publish) return false;
    return publish && this.publish();
  }

  publish(): boolean {
    const before = this.rings.availableIndex;
    if (this.queue.publish() && this.device !== null) this.device.notified = true;
    return this.rings.availableIndex !== before;
  }

  protected disable(): void {
    this.queue.disableCalls();
  }
  protected enable(): void {
    this.queue.enableCalls();
  }
  protected look(): boolean {
    return this.queue.hasUsed();
  }
  protected work(): boolean {
    if (this.queue.popUsed() < 0) return false;
    this.returned++;
    return true;
  }
}

class Device extends Sleeper {
  readonly queue: ReturnType<Rings['device']>;
  readonly driver: Driver;

  constructor(rings: Rings, driver: Driver) {
    super();
    this.driver = driver;
    this.queue = rings.device();
  }

  protected disable(): void {
    this.queue.disableKicks();
  }
  protected enable(): void {
    this.queue.enableKicks();
  }
  protected look(): boolean {
    return this.queue.hasWork();
  }
  protected work(lazy: boolean): boolean {
    const chain = this.queue.pop();
    if (chain !== null) this.queue.push(chain, 0);
    if ((chain === null || !lazy) && this.queue.publish()) this.driver.notified = true;
    return chain !== null;
  }
}

describe('no wake-up is lost', () => {
  const step = fc.tuple(fc.constantFrom('driver', 'device', 'submit'), fc.boolean());
  it.each([
    ['flags', false],
    ['EVENT_IDX', true],
  ])('by %s: whatever the interleaving, everything that was offered comes back', (_how, eventIdx) => {
    const size = fc.constantFrom(1, 2, 4, 8);
    fc.assert(
      fc.property(
        size,
        fc.integer({ min: 1, max: 40 }),
        fc.array(step, { maxLength: 300 }),
        (n, total, steps) => {
          const rings = new Rings({ size: n, eventIdx });
          const driver = new Driver(rings, total);
          const device = new Device(rings, driver);
          driver.device = device;
          for (const [who, flag] of steps) {
            if (who === 'submit') driver.submit(flag);
            else (who === 'driver' ? driver : device).step(flag);
          }
          // From here on nothing random: run until both sides sleep and nobody has been notified.
          for (let busy = true; busy; ) {
            busy = driver.submit(true);
            busy = driver.step(false) || busy;
            busy = device.step(false) || busy;
          }
          expect([driver.left, driver.returned, driver.queue.outstanding]).toEqual([0, total, 0]);
        },
      ),
      { numRuns: 1500 },
    );
  });
});
