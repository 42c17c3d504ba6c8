import { describe, expect, it } from 'vitest';
import { AddressError } from '../../src/virtqueue/address-space.ts';
import { DriverQueue } from '../../src/virtqueue/driver-queue.ts';
import { BASE, NEXT, Rings, WRITE } from './rings.ts';

function descriptor(rings: Rings, index: number) {
  const at = index * 16;
  return {
    address: Number(rings.view.getBigUint64(at, true)),
    length: rings.view.getUint32(at + 8, true),
    flags: rings.view.getUint16(at + 12, true),
    next: rings.view.getUint16(at + 14, true),
  };
}

describe('DriverQueue', () => {
  it('clears the rings, and starts at 0', () => {
    const rings = new Rings({ size: 4, start: 77 });
    rings.descriptor(3, 1, 2, 3, 4);
    const outside = rings.usedOffset + 4 + 8 * 4 + 2;
    rings.view.setUint16(outside, 0xbeef, true);
    rings.view.setUint16(outside - 2, 0xbeef, true);
    const queue = rings.driver();
    expect(new Uint8Array(rings.bytes, 0, outside).every((byte) => byte === 0)).toBe(true);
    expect(rings.view.getUint16(outside, true)).toBe(0xbeef);
    expect([queue.free, queue.outstanding, queue.popUsed(), queue.hasUsed()]).toEqual([4, 0, -1, false]);
  });

  it('refuses bad sizes and places', () => {
    const rings = new Rings({ size: 8 });
    const build = (change: object) =>
      new DriverQueue({ memory: rings.memory, size: 8, eventIdx: false, ...rings.addresses, ...change });
    expect(() => build({ size: 12 })).toThrow(expect.objectContaining({ code: 'ERR_QUEUE' }));
    expect(() => build({ descriptorAddress: BASE + 4 })).toThrow(AddressError);
    expect(() => build({ usedAddress: BASE + rings.bytes.byteLength })).toThrow(AddressError);
  });

  it('writes read-only, write-only and both-ways chains as the specification has them', () => {
    const rings = new Rings({ size: 8 });
    const queue = rings.driver();
    const high = 0x12_3456_7890;
    const both = queue.add(high, 8, 0x5000, 2);
    const read = queue.add(0x6000, 3, 0, 0);
    const write = queue.add(0, 0, 0xffff_fff0, 16);
    expect(rings.availableIndex).toBe(0);
    expect(queue.publish()).toBe(true);
    expect(rings.availableIndex).toBe(3);
    const ring = [0, 1, 2].map((i) => rings.view.getUint16(rings.availableOffset + 4 + 2 * i, true));
    expect(ring).toEqual([both, read, write]);
    const first = descriptor(rings, both);
    expect(first).toMatchObject({ address: high, length: 8, flags: NEXT });
    expect(descriptor(rings, first.next)).toMatchObject({ address: 0x5000, length: 2, flags: WRITE });
    expect(descriptor(rings, read)).toMatchObject({ address: 0x6000, length: 3, flags: 0 });
    expect(descriptor(rings, write)).toMatchObject({ address: 0xffff_fff0, length: 16, flags: WRITE });
    expect([queue.free, queue.outstanding, queue.publishedIndex]).toEqual([4, 3, 3]);
  });

  it('refuses a chain for which too few descriptors are free, and an empty one', () => {
    const queue = new Rings({ size: 2 }).driver();
    expect(queue.add(BASE, 0, BASE, 0)).toBe(-1);
    expect(queue.add(BASE, 1, 0, 0)).toBe(0);
    expect(queue.add(BASE, 1, BASE, 1)).toBe(-1);
    expect(queue.add(0, 0, BASE, 1)).toBe(1);
    expect(queue.add(0, 0, BASE, 1)).toBe(-1);
    expect(queue.free).toBe(0);
    expect(new Rings({ size: 1 }).driver().add(BASE, 1, BASE, 1)).toBe(-1);
  });

  it('gives chains back in the order of the device, with what it wrote, at most what there was room for', () => {
    const rings = new Rings({ size: 8 });
    const queue = rings.driver();
    const heads = [queue.add(BASE, 8, BASE, 2), queue.add(BASE, 8, BASE, 2), queue.add(BASE, 8, 0, 0)];
    queue.publish();
    rings.giveBack([heads[1] as number, 2], [heads[0] as number, 0xffff_ffff], [heads[2] as number, 5]);
    expect(queue.hasUsed()).toBe(true);
    expect([queue.popUsed(), queue.usedBytes]).toEqual([heads[1], 2]);
    expect([queue.popUsed(), queue.usedBytes]).toEqual([heads[0], 2]);
    expect([queue.popUsed(), queue.usedBytes]).toEqual([heads[2], 0]);
    expect([queue.popUsed(), queue.hasUsed(), queue.free, queue.outstanding]).toEqual([-1, false, 8, 0]);
    expect(queue.nextUsed).toBe(3);
  });

  it('skips and counts ids that name nothing outstanding', () => {
    const rings = new Rings({ size: 8 });
    const queue = rings.driver();
    const head = queue.add(BASE, 8, BASE, 2);
    const tail = descriptor(rings, head).next;
    queue.publish();
    rings.giveBack([tail, 0], [8, 0], [0xffff_ffff, 0], [7, 1], [head, 2]);
    expect(queue.popUsed()).toBe(head);
    expect([queue.badUsed, queue.free, queue.outstanding, queue.broken]).toEqual([4, 8, 0, null]);
  });

  it('a chain that is returned twice is freed once', () => {
    const rings = new Rings({ size: 4 });
    const queue = rings.driver();
    const head = queue.add(BASE, 1, BASE, 1);
    queue.publish();
    rings.giveBack([head, 1], [head, 1]);
    expect([queue.popUsed(), queue.popUsed()]).toEqual([head, -1]);
    expect([queue.badUsed, queue.free]).toEqual([1, 4]);
    // All four descriptors are there, each once.
    const heads = [1, 2, 3, 4].map(() => queue.add(BASE, 1, 0, 0));
    expect([...heads].sort()).toEqual([0, 1, 2, 3]);
  });

  it('what the device writes into the descriptor table does not matter', () => {
    const rings = new Rings({ size: 4 });
    const queue = rings.driver();
    const head = queue.add(BASE, 1, BASE, 1);
    queue.publish();
    for (let i = 0; i < 64; i++) rings.view.setUint8(i, 0xff);
    rings.giveBack([head, 1]);
    expect([queue.popUsed(), queue.free]).toEqual([head, 4]);
    expect([queue.add(BASE, 1, BASE, 1), queue.add(BASE, 1, BASE, 1)].sort()).not.toContain(-1);
  });

  it.each([
    [4, 5],
    [4, 0xffff],
    [32768, 32769],
  ])('a used index that jumps ahead of a queue of %i by %i breaks it', (size, jump) => {
    const rings = new Rings({ size });
    const queue = rings.driver();
    rings.usedIndex = jump;
    expect(queue.hasUsed()).toBe(true);
    expect(queue.popUsed()).toBe(-1);
    expect(queue.broken).toMatch(new RegExp(`used index ${jump} is ${jump} ahead`));
    rings.usedIndex = 0;
    expect([queue.popUsed(), queue.hasUsed()]).toEqual([-1, false]);
  });

  it('a device that returns bad ids without end does not keep the driver for ever', () => {
    const rings = new Rings({ size: 4 });
    const queue = rings.driver();
    let reads = 0;
    const load = Atomics.load;
    // The co-processor, which goes on while this side looks.
    Atomics.load = ((array: Uint16Array, index: number) => {
      if (++reads > 1000) throw new Error('the driver never comes back');
      rings.giveBack([9, 9]);
      return load(array, index);
    }) as typeof Atomics.load;
    try {
      expect(queue.popUsed()).toBe(-1);
    } finally {
      Atomics.load = load;
    }
    expect(queue.badUsed).toBeGreaterThan(0);
    expect(queue.broken).toBeNull();
  });
});
