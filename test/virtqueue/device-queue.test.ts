import { describe, expect, it } from 'vitest';
import { AddressError, AddressSpace } from '../../src/virtqueue/address-space.ts';
import { CHAIN_FAULTS, type DescriptorChain } from '../../src/virtqueue/descriptor-chain.ts';
import { type DeviceQueue, MAX_CHAIN_DESCRIPTORS, QueueError } from '../../src/virtqueue/device-queue.ts';
import { BASE, INDIRECT, NEXT, popAll, Rings, WRITE } from './rings.ts';

/** Offers a chain that starts at descriptor 0, and takes it. */
function popFirst(rings: Rings, queue = rings.device()): DescriptorChain {
  rings.offer(0);
  const chain = queue.pop();
  if (chain === null) throw new Error('nothing was popped');
  return chain;
}

function faultOf(rings: Rings, queue: DeviceQueue = rings.device()): string {
  const chain = popFirst(rings, queue);
  const name = CHAIN_FAULTS[chain.fault] as string;
  // Counted under its reason, and complete it all the same.
  expect(queue.faults[chain.fault]).toBe(chain.fault === 0 ? 0 : 1);
  queue.push(chain, 0);
  queue.publish();
  expect(rings.usedIndex).toBe(1);
  expect(rings.usedEntry(0)).toEqual([0, 0]);
  expect(queue.broken).toBeNull();
  return name;
}

describe('DeviceQueue', () => {
  it('takes chains in order and gives them back in any', () => {
    const rings = new Rings({ size: 4 });
    const queue = rings.device();
    expect(queue.pop()).toBeNull();
    rings.view.setUint32(rings.buffers - BASE, 0xcafe, true);
    rings.descriptor(2, rings.buffers, 4, NEXT, 1);
    rings.descriptor(1, rings.buffers + 4, 2, WRITE);
    rings.descriptor(3, rings.buffers + 8, 1);
    rings.offer(2, 3);
    const [first, second] = [queue.pop(), queue.pop()];
    expect(first).toMatchObject({ head: 2, readableBytes: 4, writableBytes: 2, fault: 0 });
    expect(first?.readU32(0)).toBe(0xcafe);
    expect(second).toMatchObject({ head: 3, readableBytes: 1, writableBytes: 0 });
    expect(queue.pop()).toBeNull();
    first?.writeU8(1, 0x77);
    expect(rings.view.getUint8(rings.buffers - BASE + 5)).toBe(0x77);
    queue.push(second as DescriptorChain, 0);
    queue.push(first as DescriptorChain, 2);
    expect(rings.usedIndex).toBe(0);
    expect(queue.publish()).toBe(true);
    expect(rings.usedIndex).toBe(2);
    expect([rings.usedEntry(0), rings.usedEntry(1)]).toEqual([
      [3, 0],
      [2, 2],
    ]);
    expect(queue.publish()).toBe(false);
  });

  it('refuses sizes that are no power of two from 1 to 32768, and rings that do not fit', () => {
    const rings = new Rings({ size: 8 });
    for (const size of [0, 3, 65536]) {
      expect(() => rings.device({ size })).toThrow(QueueError);
      expect(() => rings.device({ size })).toThrow(
        `queue size ${size} is not a power of two from 1 to 32768`,
      );
    }
    const end = BASE + rings.bytes.byteLength;
    expect(() => rings.device({ descriptorAddress: end - 127 })).toThrow(AddressError);
    expect(() => rings.device({ descriptorAddress: BASE + 8 })).toThrow(/descriptor table.*aligned to 16/);
    expect(() => rings.device({ availableAddress: end - 20 })).toThrow(/available ring.*not inside/);
    expect(() => rings.device({ usedAddress: BASE + 2 })).toThrow(/used ring.*aligned to 4/);
    rings.device({ availableAddress: end - 22 });
  });

  it('finds its rings in another address space than the buffers, when told so', () => {
    const rings = new Rings();
    const ringMemory = new AddressSpace();
    ringMemory.add(0x7000_0000_0000, rings.bytes);
    const at = (offset: number) => 0x7000_0000_0000 + offset;
    const queue = rings.device({
      ringMemory,
      descriptorAddress: at(0),
      availableAddress: at(rings.availableOffset),
      usedAddress: at(rings.usedOffset),
    });
    rings.descriptor(0, rings.buffers, 8);
    expect(popFirst(rings, queue)).toMatchObject({ fault: 0, readableBytes: 8 });
  });

  describe('faults of a chain: handed out, counted, completable', () => {
    const INDIRECT_TABLE = (rings: Rings) => rings.buffers + 0x100;

    it.each<[string, string, (rings: Rings, table: number) => void]>([
      ['one descriptor that names itself', 'loop', (r) => r.descriptor(0, r.buffers, 1, NEXT, 0)],
      [
        'a loop of two',
        'loop',
        (r) => {
          r.descriptor(0, r.buffers, 1, NEXT, 1);
          r.descriptor(1, r.buffers, 1, NEXT, 0);
        },
      ],
      [
        'a loop of empty descriptors',
        'loop',
        (r) => {
          r.descriptor(0, 0, 0, NEXT, 1);
          r.descriptor(1, 0, 0, NEXT, 1);
        },
      ],
      ['next = queue size', 'next-out-of-range', (r) => r.descriptor(0, r.buffers, 1, NEXT, 8)],
      ['next = 65535', 'next-out-of-range', (r) => r.descriptor(0, r.buffers, 1, NEXT, 0xffff)],
      ['an address before the memory', 'address-outside-memory', (r) => r.descriptor(0, BASE - 1, 1)],
      [
        'a buffer past the end of the memory',
        'address-outside-memory',
        (r) => r.descriptor(0, BASE + r.bytes.byteLength - 1, 2),
      ],
      [
        'an address above 2^53',
        'address-outside-memory',
        (r) => {
          r.descriptor(0, BASE, 1);
          r.view.setBigUint64(0, BigInt(BASE) + (1n << 53n), true);
        },
      ],
      [
        'an address that wraps to 0 in 64 bits',
        'address-outside-memory',
        (r) => {
          r.descriptor(0, 0, 0x1000);
          r.view.setBigUint64(0, 2n ** 64n - 16n, true);
        },
      ],
      [
        'a length of 4 GiB - 1',
        'address-outside-memory',
        (r) => r.descriptor(0, r.buffers, 0xffff_ffff, WRITE),
      ],
      [
        'lengths of 4 GiB in all',
        'too-long',
        (r) => {
          r.descriptor(0, r.buffers, 0x10, NEXT | WRITE, 1);
          r.descriptor(1, r.buffers, 0xffff_fff8, WRITE);
        },
      ],
      [
        'readable after writable',
        'write-before-read',
        (r) => {
          r.descriptor(0, r.buffers, 1, NEXT | WRITE, 1);
          r.descriptor(1, r.buffers, 1);
        },
      ],
      [
        'INDIRECT beside NEXT',
        'bad-indirect',
        (r, table) => {
          r.descriptor(0, table, 16, NEXT | INDIRECT, 1);
          r.descriptor(0, r.buffers, 1, 0, 0, table);
        },
      ],
      [
        'an indirect table in an indirect table',
        'bad-indirect',
        (r, table) => {
          r.descriptor(0, table, 16, INDIRECT);
          r.descriptor(0, table, 16, INDIRECT, 0, table);
        },
      ],
      ['an indirect table of 0 bytes', 'bad-indirect', (r, table) => r.descriptor(0, table, 0, INDIRECT)],
      ['an indirect table of 17 bytes', 'bad-indirect', (r, table) => r.descriptor(0, table, 17, INDIRECT)],
      [
        'an indirect table at an odd address',
        'bad-indirect',
        (r, table) => r.descriptor(0, table + 1, 16, INDIRECT),
      ],
      [
        'an indirect table outside the memory',
        'address-outside-memory',
        (r) => r.descriptor(0, BASE - 16, 16, INDIRECT),
      ],
      [
        'an indirect table partly outside the memory',
        'address-outside-memory',
        (r) => r.descriptor(0, BASE + r.bytes.byteLength - 16, 32, INDIRECT),
      ],
      ['a huge indirect table', 'too-long', (r, table) => r.descriptor(0, table, 0xffff_fff0, INDIRECT)],
      [
        'next out of the indirect table',
        'next-out-of-range',
        (r, table) => {
          r.descriptor(0, table, 16, INDIRECT);
          r.descriptor(0, r.buffers, 1, NEXT, 1, table);
        },
      ],
      [
        'a loop in an indirect table',
        'loop',
        (r, table) => {
          r.descriptor(0, table, 32, INDIRECT);
          r.descriptor(0, r.buffers, 1, NEXT, 1, table);
          r.descriptor(1, r.buffers, 1, NEXT, 0, table);
        },
      ],
      [
        'readable in an indirect table after direct writable',
        'write-before-read',
        (r, table) => {
          r.descriptor(0, r.buffers, 1, NEXT | WRITE, 1);
          r.descriptor(1, table, 16, INDIRECT);
          r.descriptor(0, r.buffers, 1, 0, 0, table);
        },
      ],
    ])('%s: %s', (_what, fault, write) => {
      const rings = new Rings();
      write(rings, INDIRECT_TABLE(rings));
      expect(faultOf(rings)).toBe(fault);
    });

    it('INDIRECT that was not negotiated: bad-indirect', () => {
      const rings = new Rings({ indirect: false });
      rings.descriptor(0, INDIRECT_TABLE(rings), 16, INDIRECT);
      rings.descriptor(0, rings.buffers, 1, 0, 0, INDIRECT_TABLE(rings));
      expect(faultOf(rings)).toBe('bad-indirect');
    });

    it('the next chain is served as if nothing had been', () => {
      const rings = new Rings();
      const queue = rings.device();
      rings.descriptor(0, BASE - 1, 1);
      rings.descriptor(1, rings.buffers, 5);
      rings.offer(0, 1, 0);
      expect([queue.pop(), queue.pop()].map((chain) => chain?.fault)).toEqual([3, 0]);
      expect(queue.faults[3]).toBe(1);
    });
  });

  describe('legal forms', () => {
    it('a chain as long as the queue', () => {
      const rings = new Rings({ size: 8 });
      for (let i = 0; i < 8; i++) rings.descriptor(i, rings.buffers + i, 1, i < 7 ? NEXT : 0, i + 1);
      expect(popFirst(rings)).toMatchObject({ fault: 0, readableBytes: 8 });
    });

    it('direct descriptors, then an indirect one (section 2.7.5.3.2); WRITE on that one is ignored', () => {
      const rings = new Rings({ size: 2 });
      const table = rings.buffers + 0x100;
      rings.descriptor(0, rings.buffers, 1, NEXT, 1);
      rings.descriptor(1, table, 48, INDIRECT | WRITE);
      rings.descriptor(0, rings.buffers + 1, 3, NEXT, 2, table);
      rings.descriptor(2, rings.buffers + 8, 4, NEXT | WRITE, 1, table);
      rings.descriptor(1, rings.buffers + 16, 5, WRITE, 0, table);
      expect(popFirst(rings)).toMatchObject({ fault: 0, readableBytes: 4, writableBytes: 9 });
    });

    it('an indirect table with more descriptors than the queue', () => {
      const rings = new Rings({ size: 1 });
      const table = rings.buffers + 0x100;
      rings.descriptor(0, table, 20 * 16, INDIRECT);
      for (let i = 0; i < 20; i++) rings.descriptor(i, rings.buffers, 2, i < 19 ? NEXT : 0, i + 1, table);
      expect(popFirst(rings)).toMatchObject({ fault: 0, readableBytes: 40 });
    });

    it('next is not looked at without the flag', () => {
      const rings = new Rings();
      rings.descriptor(0, rings.buffers, 1, 0, 0xffff);
      expect(popFirst(rings).fault).toBe(0);
    });
  });

  describe('what cannot be trusted', () => {
    it('heads out of range are skipped and counted', () => {
      const rings = new Rings({ size: 4 });
      const queue = rings.device();
      rings.descriptor(1, rings.buffers, 1);
      rings.offer(4, 0xffff, 1);
      expect(popAll(queue)).toEqual([1]);
      expect([queue.badHeads, queue.broken]).toEqual([2, null]);
    });

    it('a head that the device still owns is skipped and counted, and is good again when returned', () => {
      const rings = new Rings({ size: 4 });
      const queue = rings.device();
      rings.descriptor(1, rings.buffers, 1);
      rings.offer(1, 1);
      const chain = queue.pop() as DescriptorChain;
      expect(queue.pop()).toBeNull();
      expect(queue.badHeads).toBe(1);
      queue.push(chain, 0);
      rings.offer(1);
      expect(popAll(queue)).toEqual([1]);
    });

    it.each([
      [4, 5],
      [4, 0xffff],
      [1, 2],
      [32768, 32769],
    ])('an available index that jumps ahead of a queue of %i by %i breaks it', (size, jump) => {
      const rings = new Rings({ size });
      const queue = rings.device();
      rings.availableIndex = jump;
      expect(queue.pop()).toBeNull();
      expect(queue.broken).toMatch(new RegExp(`available index ${jump} is ${jump} ahead`));
      expect(queue.hasWork()).toBe(true);
      rings.availableIndex = 0;
      expect(queue.pop()).toBeNull();
    });

    it('a full ring does not', () => {
      const rings = new Rings({ size: 32768 });
      const queue = rings.device();
      for (let i = 0; i < 32768; i++) rings.descriptor(i, rings.buffers, 1);
      rings.offer(...Array.from({ length: 32768 }, (_, i) => i));
      expect(popAll(queue)).toHaveLength(32768);
      expect(queue.broken).toBeNull();
    });

    it('a driver that writes bad heads without end does not keep the device for ever', () => {
      const rings = new Rings({ size: 4 });
      const queue = rings.device();
      let reads = 0;
      const get = Atomics.load;
      // The guest's other CPU, which goes on while this one looks.
      Atomics.load = ((array: Uint16Array, index: number) => {
        if (++reads > 1000) throw new Error('the device never comes back');
        rings.offer(0xffff, 0xffff, 0xffff, 0xffff);
        return get(array, index);
      }) as typeof Atomics.load;
      try {
        expect(queue.pop()).toBeNull();
      } finally {
        Atomics.load = get;
      }
      expect(queue.badHeads).toBeGreaterThan(0);
      rings.descriptor(0, rings.buffers, 1);
      rings.offer(0);
      expect(queue.hasWork()).toBe(true);
      expect(popAll(queue)).toEqual([0]);
    });
  });

  it('hands out what a former process had taken before what is new, each head that can be once', () => {
    const rings = new Rings({ size: 4 });
    for (const head of [0, 1, 2]) rings.descriptor(head, rings.buffers, 2);
    rings.descriptor(3, 16, 1);
    rings.offer(2, 3, 1, 0);
    const queue = rings.device();
    queue.resume([2, 3, 2, 4], 2);
    expect([queue.unpopped, queue.hasWork()]).toEqual([[2, 3, 2, 4], true]);
    const [first, second] = [queue.pop(), queue.pop()];
    expect([first?.head, second?.head]).toEqual([2, 3]);
    expect(CHAIN_FAULTS[second?.fault as number]).toBe('address-outside-memory');
    expect(queue.faults[second?.fault as number]).toBe(1);
    expect(queue.unpopped).toEqual([2, 4]);
    expect(popAll(queue)).toEqual([1, 0]);
    expect([queue.unpopped, queue.badHeads, queue.hasWork()]).toEqual([[], 0, false]);
  });

  it('adopts a chain that was popped before a stop, once', () => {
    const rings = new Rings({ size: 4 });
    rings.descriptor(2, rings.buffers, 2, NEXT, 3);
    rings.descriptor(3, rings.buffers, 1, WRITE);
    const queue = rings.device({ nextAvailable: 1 });
    const chain = queue.adopt(2);
    expect(chain).toMatchObject({ head: 2, readableBytes: 2, writableBytes: 1, inFlight: true });
    expect(queue.adopt(2)).toBeNull();
    expect(queue.adopt(4)).toBeNull();
    queue.push(chain as DescriptorChain, 1);
    queue.publish();
    expect(rings.usedEntry(0)).toEqual([2, 1]);
  });
});

describe('what one guest can make DeviceQueue do', () => {
  /** A table in which each descriptor leads to the next, all the way round. */
  function chainThroughAll(size: number): Rings {
    const rings = new Rings({ size });
    for (let i = 0; i < size; i++) rings.descriptor(i, rings.buffers + i, 1, NEXT, (i + 1) % size);
    return rings;
  }

  it('a chain has at most 128 descriptors', () => {
    for (const [length, fault] of [
      [MAX_CHAIN_DESCRIPTORS, 'none'],
      [MAX_CHAIN_DESCRIPTORS + 1, 'too-long'],
    ] as const) {
      const rings = chainThroughAll(256);
      rings.descriptor(length - 1, rings.buffers, 1);
      expect(faultOf(rings)).toBe(fault);
    }
  });

  it('a chain without end costs no more than the longest one', () => {
    const rings = chainThroughAll(256);
    const chain = popFirst(rings);
    expect(CHAIN_FAULTS[chain.fault]).toBe('too-long');
    expect(chain.segmentCount).toBe(MAX_CHAIN_DESCRIPTORS);
  });

  it('a long chain keeps no memory when it has gone back', () => {
    const rings = chainThroughAll(256);
    const queue = rings.device();
    const chain = popFirst(rings, queue);
    queue.push(chain, 0);
    expect(chain.segmentCount).toBe(0);
  });

  it('entries that name no descriptor are skipped, so many at a time', () => {
    const rings = new Rings({ size: 1024 });
    const queue = rings.device();
    rings.descriptor(7, rings.buffers, 1);
    rings.offer(...new Array<number>(600).fill(5000), 7);
    expect([queue.pop(), queue.badHeads, queue.hasWork()]).toEqual([null, 256, true]);
    expect([queue.pop(), queue.badHeads, queue.hasWork()]).toEqual([null, 512, true]);
    expect(queue.pop()?.head).toBe(7);
    expect(queue.badHeads).toBe(600);
  });
});
