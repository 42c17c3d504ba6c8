import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../src/virtqueue/device-queue.ts';
import type { DriverQueue } from '../../src/virtqueue/driver-queue.ts';
import { BASE, popAll, Rings } from './rings.ts';

/** What there is of a chain, apart from any ring. */
interface ModelChain {
  readonly head: number;
  readonly tag: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  usedBytes: number;
}

interface Model {
  free: number;
  tag: number;
  added: ModelChain[];
  offered: ModelChain[];
  taken: ModelChain[];
  pushed: ModelChain[];
  used: ModelChain[];
}

interface Real {
  readonly rings: Rings;
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  readonly chains: Map<number, DescriptorChain>;
}

type Command = fc.Command<Model, Real>;

class Add implements Command {
  readonly readBytes: number;
  readonly writeBytes: number;
  constructor(readBytes: number, writeBytes: number) {
    this.readBytes = readBytes;
    this.writeBytes = writeBytes;
  }
  check = () => true;
  run(model: Model, { rings, driver }: Real): void {
    const { readBytes, writeBytes } = this;
    const needed = (readBytes > 0 ? 1 : 0) + (writeBytes > 0 ? 1 : 0);
    const tag = model.tag++;
    const place = rings.buffers + (tag % 64) * 16;
    const head = driver.add(place, readBytes, place + 8, writeBytes);
    if (needed === 0 || needed > model.free) return expect(head).toBe(-1);
    expect(head).toBeGreaterThanOrEqual(0);
    for (let i = 0; i < readBytes; i++) rings.view.setUint8(place - BASE + i, tag + i);
    model.free -= needed;
    model.added.push({ head, tag, readBytes, writeBytes, usedBytes: 0 });
  }
  toString = () => `add(${this.readBytes}, ${this.writeBytes})`;
}

class Publish implements Command {
  check = () => true;
  run(model: Model, { driver }: Real): void {
    const notify = driver.publish();
    if (model.added.length === 0) expect(notify).toBe(false);
    model.offered.push(...model.added.splice(0));
  }
  toString = () => 'publish()';
}

class Pop implements Command {
  check = () => true;
  run(model: Model, { device, chains }: Real): void {
    const expected = model.offered.shift();
    expect(device.hasWork()).toBe(expected !== undefined);
    const chain = device.pop();
    if (expected === undefined) return expect(chain).toBeNull();
    const { head, tag, readBytes, writeBytes } = expected;
    expect(chain).toMatchObject({
      head,
      fault: 0,
      readableBytes: readBytes,
      writableBytes: writeBytes,
    });
    for (let i = 0; i < readBytes; i++) expect(chain?.readU8(i)).toBe((tag + i) & 0xff);
    chains.set(head, chain as DescriptorChain);
    model.taken.push(expected);
  }
  toString = () => 'pop()';
}

class Push implements Command {
  readonly which: number;
  readonly usedBytes: number;
  constructor(which: number, usedBytes: number) {
    this.which = which;
    this.usedBytes = usedBytes;
  }
  check = (model: Readonly<Model>) => model.taken.length > 0;
  run(model: Model, { device, chains }: Real): void {
    const [chain] = model.taken.splice(this.which % model.taken.length, 1) as [ModelChain];
    const real = chains.get(chain.head) as DescriptorChain;
    for (let i = 0; i < chain.writeBytes; i++) real.writeU8(i, chain.tag ^ 0xff);
    device.push(real, this.usedBytes);
    chain.usedBytes = Math.min(this.usedBytes, chain.writeBytes);
    model.pushed.push(chain);
  }
  toString = () => `push(${this.which}, ${this.usedBytes})`;
}

class DevicePublish implements Command {
  check = () => true;
  run(model: Model, { device }: Real): void {
    const notify = device.publish();
    if (model.pushed.length === 0) expect(notify).toBe(false);
    model.used.push(...model.pushed.splice(0));
  }
  toString = () => 'device.publish()';
}

class PopUsed implements Command {
  check = () => true;
  run(model: Model, { driver, rings }: Real): void {
    const expected = model.used.shift();
    expect(driver.hasUsed()).toBe(expected !== undefined);
    const head = driver.popUsed();
    if (expected === undefined) return expect(head).toBe(-1);
    expect([head, driver.usedBytes]).toEqual([expected.head, expected.usedBytes]);
    const place = rings.buffers - BASE + (expected.tag % 64) * 16 + 8;
    for (let i = 0; i < expected.writeBytes; i++) {
      expect(rings.view.getUint8(place + i)).toBe((expected.tag ^ 0xff) & 0xff);
    }
    model.free += (expected.readBytes > 0 ? 1 : 0) + (expected.writeBytes > 0 ? 1 : 0);
  }
  toString = () => 'popUsed()';
}

describe('driver against device', () => {
  it('behaves as a plain list of chains does', () => {
    const commands = [
      fc.tuple(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 8 })).map(([r, w]) => new Add(r, w)),
      fc.constant(new Publish()),
      fc.constant(new Pop()),
      fc.tuple(fc.nat(), fc.integer({ min: 0, max: 20 })).map(([which, used]) => new Push(which, used)),
      fc.constant(new DevicePublish()),
      fc.constant(new PopUsed()),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 4, 16),
        fc.boolean(),
        fc.commands(commands, { maxCommands: 150, size: 'max' }),
        (size, eventIdx, sequence) => {
          fc.modelRun(() => {
            const rings = new Rings({ size, eventIdx });
            const [driver, device] = [rings.driver(), rings.device()];
            const lists = { added: [], offered: [], taken: [], pushed: [], used: [] };
            return {
              model: { free: size, tag: 0, ...lists },
              real: { rings, driver, device, chains: new Map() },
            };
          }, sequence);
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(Array.from({ length: 16 }, (_, i) => 2 ** i))('works with a queue of %i', (size) => {
    const rings = new Rings({ size, eventIdx: true });
    const [driver, device] = [rings.driver(), rings.device()];
    for (let round = 0; round < 2; round++) {
      const heads: number[] = [];
      for (let i = 0; i < size; i++) heads.push(driver.add(rings.buffers, 1, 0, 0));
      expect(new Set(heads).size).toBe(size);
      expect(driver.add(rings.buffers, 1, 0, 0)).toBe(-1);
      driver.publish();
      const chains: DescriptorChain[] = [];
      for (let chain = device.pop(); chain !== null; chain = device.pop()) chains.push(chain);
      expect(chains.map((chain) => chain.head)).toEqual(heads);
      for (const chain of chains.reverse()) device.push(chain, 0);
      device.publish();
      const back: number[] = [];
      for (let head = driver.popUsed(); head >= 0; head = driver.popUsed()) back.push(head);
      expect(back).toEqual(heads.reverse());
      expect([driver.free, driver.badUsed, device.badHeads]).toEqual([size, 0, 0]);
    }
  });

  it.each([1, 2, 4])('goes on over 65536 with a queue of %i', (size) => {
    const rings = new Rings({ size, eventIdx: true });
    const [driver, device] = [rings.driver(), rings.device()];
    let kicks = 0;
    let calls = 0;
    const total = 70_000;
    for (let i = 0; i < total; i++) {
      const head = driver.add(rings.buffers, 1, 0, 0);
      device.enableKicks();
      if (driver.publish()) kicks++;
      const chain = device.pop();
      if (chain === null || chain.head !== head) throw new Error(`chain ${i} was lost`);
      device.push(chain, 0);
      driver.enableCalls();
      if (device.publish()) calls++;
      if (driver.popUsed() !== head) throw new Error(`chain ${i} did not come back`);
      if (driver.hasUsed() || device.hasWork()) throw new Error(`something is left after chain ${i}`);
    }
    expect([kicks, calls]).toEqual([total, total]);
    expect([rings.availableIndex, rings.usedIndex]).toEqual([total - 65536, total - 65536]);
    expect([driver.broken, device.broken, driver.free]).toEqual([null, null, size]);
  });

  it.each([0, 1, 65530, 65535])('a device goes on at index %i', (start) => {
    const rings = new Rings({ size: 8, start });
    const device = rings.device();
    for (let i = 0; i < 8; i++) rings.descriptor(i, rings.buffers, 1);
    for (let round = 0; round < 3; round++) {
      rings.offer(7, 0, 3, 1, 2, 4, 5, 6);
      const heads: number[] = [];
      for (let chain = device.pop(); chain !== null; chain = device.pop()) {
        heads.push(chain.head);
        device.push(chain, 0);
      }
      expect(heads).toEqual([7, 0, 3, 1, 2, 4, 5, 6]);
      device.publish();
      const used = start + 8 * (round + 1);
      expect(rings.usedIndex).toBe(used & 0xffff);
      expect(device.nextAvailable).toBe(used & 0xffff);
      expect(rings.usedEntry((used - 8) & 0xffff)).toEqual([7, 0]);
    }
  });

  it('a device takes its used index from the ring, whatever the available index is', () => {
    const rings = new Rings({ size: 8, start: 65533 });
    rings.usedIndex = 65530;
    const device = rings.device();
    rings.descriptor(5, rings.buffers, 1);
    rings.offer(5);
    expect(popAll(device)).toEqual([5]);
    device.push(device.adopt(6) as DescriptorChain, 0);
    device.publish();
    expect([rings.usedIndex, rings.usedEntry(65530)]).toEqual([65531, [6, 0]]);
  });
});
