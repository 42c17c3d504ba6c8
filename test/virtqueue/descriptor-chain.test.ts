import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressSpace, type MemoryWindow } from '../../src/virtqueue/address-space.ts';
import {
  DescriptorChain,
  FAULT_ADDRESS,
  FAULT_NONE,
  FAULT_ORDER,
  FAULT_TOO_LONG,
} from '../../src/virtqueue/descriptor-chain.ts';

/** Two buffers behind three neighbouring windows, the last of them the first buffer again: 0x100-0x1ff in all. */
function neighbours() {
  const first = new ArrayBuffer(0xc0);
  const second = new ArrayBuffer(0x80);
  const space = new AddressSpace();
  space.add(0x100, first, 0, 0x40);
  space.add(0x140, second, 0x10, 0x41);
  space.add(0x181, first, 0x40, 0x7f);
  const at = (address: number): Uint8Array => {
    const window = space.find(address, 1) as MemoryWindow;
    return window.u8.subarray(space.offset, space.offset + 1);
  };
  const bytes = {
    get: (address: number) => at(address)[0] as number,
    set: (address: number, value: number) => {
      at(address)[0] = value;
    },
  };
  return { space, bytes };
}

describe('DescriptorChain', () => {
  it('reads a request that is split over descriptors anywhere, at any alignment', () => {
    const request = [0x34, 0x12, 0x78, 0x56, 0xf0, 0xde, 0xbc, 0x9a];
    const cuts = fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 4 });
    const places = fc.array(fc.integer({ min: 0x100, max: 0x1f8 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(cuts, places, (at, addresses) => {
        const { space, bytes } = neighbours();
        const edges = [0, ...at.sort((a, b) => a - b), 8];
        const chain = new DescriptorChain(3);
        // Pieces must not lie over each other.
        const taken = new Set<number>();
        for (let piece = 0; piece + 1 < edges.length; piece++) {
          const [from, to] = [edges[piece] as number, edges[piece + 1] as number];
          let address = addresses[piece] as number;
          const free = (start: number) =>
            Array.from({ length: to - from }, (_, i) => start + i).every((a) => a < 0x200 && !taken.has(a));
          while (!free(address)) address = address >= 0x1f8 ? 0x100 : address + 1;
          for (let i = from; i < to; i++) {
            taken.add(address + i - from);
            bytes.set(address + i - from, request[i] as number);
          }
          expect(chain.append(space, address, to - from, false)).toBe(FAULT_NONE);
        }
        expect(chain.readableBytes).toBe(8);
        expect([chain.readU16(0), chain.readU16(2), chain.readU32(4)]).toEqual([0x1234, 0x5678, 0x9abcdef0]);
        expect(chain.readU32(0)).toBe(0x56781234);
        expect(request.map((_, i) => chain.readU8(i))).toEqual(request);
        expect([chain.readU16(1), chain.readU32(3)]).toEqual([0x7812, 0xbcdef056]);
      }),
    );
  });

  it('writes a response that is split anywhere, and nothing beyond it', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 });
    const data = fc.uint8Array({ maxLength: 24 });
    fc.assert(
      fc.property(lengths, data, fc.integer({ min: 0, max: 20 }), fc.boolean(), (parts, source, at, bulk) => {
        const { space, bytes } = neighbours();
        const chain = new DescriptorChain(0);
        expect(chain.append(space, 0x13e, 4, false)).toBe(FAULT_NONE);
        const places: number[] = [];
        let address = 0x17a;
        for (const length of parts) {
          expect(chain.append(space, address, length, true)).toBe(FAULT_NONE);
          for (let i = 0; i < length; i++) places.push(address + i);
          address += length + 1;
        }
        for (let a = 0x100; a < 0x200; a++) bytes.set(a, 0xee);
        const fits = Math.max(0, Math.min(source.length, places.length - at));
        if (bulk) expect(chain.write(at, source)).toBe(fits);
        else for (const [i, value] of source.entries()) chain.writeU8(at + i, value);
        const expected = new Map(places.slice(at, at + fits).map((place, i) => [place, source[i]]));
        for (let a = 0x100; a < 0x200; a++) expect(bytes.get(a)).toBe(expected.get(a) ?? 0xee);
      }),
    );
  });

  it('skips zero-length descriptors, wherever they point', () => {
    const { space, bytes } = neighbours();
    bytes.set(0x120, 7);
    const chain = new DescriptorChain(0);
    expect(chain.append(space, 0xdead_0000, 0, false)).toBe(FAULT_NONE);
    expect(chain.append(space, 0x120, 1, false)).toBe(FAULT_NONE);
    expect(chain.append(space, 0, 0, true)).toBe(FAULT_NONE);
    expect(chain.append(space, 0x150, 1, true)).toBe(FAULT_NONE);
    expect([chain.readableBytes, chain.writableBytes, chain.readU8(0)]).toEqual([1, 1, 7]);
    chain.writeU8(0, 9);
    expect(bytes.get(0x150)).toBe(9);
  });

  it('refuses what is outside the memory, also in part', () => {
    const { space } = neighbours();
    const chain = new DescriptorChain(0);
    expect(chain.append(space, 0xff, 2, false)).toBe(FAULT_ADDRESS);
    expect(chain.append(space, 0x1ff, 2, false)).toBe(FAULT_ADDRESS);
    expect(chain.append(space, 0x100, 0x101, true)).toBe(FAULT_ADDRESS);
    expect(chain.append(space, 0x1_0000_0100, 1, true)).toBe(FAULT_ADDRESS);
    chain.reset();
    expect(chain.append(space, 0x100, 0x100, true)).toBe(FAULT_NONE);
  });

  it('refuses a readable descriptor after a writable one (section 2.7.4.2)', () => {
    const { space } = neighbours();
    const chain = new DescriptorChain(0);
    expect(chain.append(space, 0x100, 1, true)).toBe(FAULT_NONE);
    expect(chain.append(space, 0x110, 1, false)).toBe(FAULT_ORDER);
  });

  it('refuses a chain of more than 4 GiB in all (section 2.7.5)', () => {
    const { space } = neighbours();
    const chain = new DescriptorChain(0);
    expect(chain.append(space, 0x100, 0x10, false)).toBe(FAULT_NONE);
    expect(chain.append(space, 0x110, 0xffff_fff0, true)).toBe(FAULT_TOO_LONG);
  });

  it('takes any number of segments, and forgets them on reset', () => {
    const { space, bytes } = neighbours();
    const chain = new DescriptorChain(5);
    for (let i = 0; i < 100; i++) {
      bytes.set(0x100 + 2 * i, i);
      expect(chain.append(space, 0x100 + 2 * i, 1, false)).toBe(FAULT_NONE);
    }
    expect(Array.from({ length: 100 }, (_, i) => chain.readU8(i))).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
    chain.reset();
    expect([chain.head, chain.readableBytes, chain.writableBytes, chain.fault]).toEqual([5, 0, 0, 0]);
    expect(chain.write(0, Uint8Array.of(1, 2))).toBe(0);
    expect(chain.readU8(0)).toBe(0);
  });
});
