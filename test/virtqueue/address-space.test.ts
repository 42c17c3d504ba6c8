import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressError, AddressSpace, type MemoryWindow } from '../../src/virtqueue/address-space.ts';

/** What an address shows, read through the space; undefined where there is nothing. */
function byteAt(space: AddressSpace, address: number): number | undefined {
  const window = space.find(address, 1);
  return window === null ? undefined : window.u8[space.offset];
}

describe('AddressSpace', () => {
  it('translates to the offset in the buffer of the window that holds the whole range', () => {
    const space = new AddressSpace();
    const low = space.add(0x1000, new ArrayBuffer(0x100), 0x40, 0x80);
    const high = space.add(0x8000, new ArrayBuffer(0x20));
    expect(space.find(0x1000, 0x80)).toBe(low);
    expect(space.offset).toBe(0x40);
    expect(space.find(0x801f, 1)).toBe(high);
    expect(space.offset).toBe(0x1f);
    expect(space.find(0x1010, 4)).toBe(low);
    expect(space.offset).toBe(0x50);
  });

  it.each([
    ['one byte before', 0xfff, 1],
    ['one byte after', 0x1080, 1],
    ['across the end', 0x107f, 2],
    ['across the start', 0xfff, 2],
    ['around it', 0xff0, 0x200],
    ['between windows', 0x4000, 4],
    ['far away', 2 ** 53 - 1, 1],
  ])('finds nothing %s', (_what, address, sizeBytes) => {
    const space = new AddressSpace();
    space.add(0x8000, new ArrayBuffer(0x20));
    space.add(0x1000, new ArrayBuffer(0x100), 0x40, 0x80);
    expect(space.find(address, sizeBytes)).toBeNull();
    // Also with a warm look-aside window.
    expect(space.find(0x1000, 1)).not.toBeNull();
    expect(space.find(address, sizeBytes)).toBeNull();
  });

  it('serves a range across neighbours by neither, but by a window that overlaps both', () => {
    const space = new AddressSpace();
    const memory = new ArrayBuffer(0x100);
    space.add(0x1000, memory, 0, 0x80);
    space.add(0x1080, memory, 0x80, 0x80);
    expect(space.find(0x1070, 0x20)).toBeNull();
    const overlap = space.add(0x1040, memory, 0x40, 0x80);
    expect(space.find(0x1070, 0x20)).toBe(overlap);
    expect(space.offset).toBe(0x70);
  });

  it('works at 53-bit addresses', () => {
    const space = new AddressSpace();
    const base = Number.MAX_SAFE_INTEGER - 0x1000 + 1;
    const window = space.add(base, new ArrayBuffer(0x1000));
    expect(space.find(base + 0xfff, 1)).toBe(window);
    expect(space.offset).toBe(0xfff);
    expect(space.find(base - 1, 1)).toBeNull();
  });

  it('forgets windows that are removed, also the one that it found last', () => {
    const space = new AddressSpace();
    const first = space.add(0, new ArrayBuffer(16));
    const second = space.add(16, new ArrayBuffer(16));
    expect(space.windows).toEqual([first, second]);
    expect(space.find(20, 1)).toBe(second);
    space.remove(second);
    expect(space.find(20, 1)).toBeNull();
    expect(space.find(4, 1)).toBe(first);
    space.clear();
    expect(space.find(4, 1)).toBeNull();
    expect(space.windows).toEqual([]);
  });

  it('require() throws an error that names what, where and what there is', () => {
    const space = new AddressSpace();
    expect(() => space.require('used ring', 0x10, 4, 4)).toThrow(/used ring: 0x10 \+ 4 bytes.*none/);
    space.add(0x1000, new ArrayBuffer(0x100), 2, 0x80);
    expect(() => space.require('used ring', 0x1080, 4, 4)).toThrow(/0x1000-0x107f/);
    const misaligned = [
      [0x1002, 4, /is not aligned to 4/],
      // The address is aligned, the mapping is not.
      [0x1004, 4, /is not aligned to 4/],
      [0x1001, 2, /is not aligned to 2/],
    ] as const;
    for (const [address, align, message] of misaligned) {
      expect(() => space.require('ring', address, 8, align)).toThrow(AddressError);
      expect(() => space.require('ring', address, 8, align)).toThrow(message);
    }
    expect(space.require('ring', 0x1004, 8, 2).address).toBe(0x1000);
    expect(() => space.require('ring', 0x1001, 2, 2)).toThrow(
      expect.objectContaining({ code: 'ERR_ADDRESS' }),
    );
  });

  it('finds as a list of windows looked through one by one does', () => {
    const windows = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 20 })), {
      maxLength: 5,
    });
    const looks = fc.array(fc.tuple(fc.integer({ min: 0, max: 90 }), fc.integer({ min: 1, max: 12 })));
    // All windows show one memory, in which each byte has its own value: overlaps agree, as they must.
    const memory = Uint8Array.from({ length: 100 }, (_, i) => i).buffer;
    fc.assert(
      fc.property(windows, looks, (regions, ranges) => {
        const space = new AddressSpace();
        const added: MemoryWindow[] = [];
        for (const [address, sizeBytes] of regions)
          added.push(space.add(address, memory, address, sizeBytes));
        for (const [address, sizeBytes] of ranges) {
          const holds = added.some((w) => address >= w.address && address + sizeBytes <= w.end);
          expect(space.find(address, sizeBytes) !== null).toBe(holds);
          if (holds) expect(byteAt(space, address)).toBe(address);
        }
      }),
    );
  });
});
