import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeviceMemory } from '../../src/coprocessor/device-memory.ts';
import type { MemoryRegion } from '../../src/coprocessor/memory-region.ts';

function region(deviceAddress: number, sizeBytes: number, byteOffset = 0): MemoryRegion {
  const buffer = new ArrayBuffer(byteOffset + sizeBytes + 32);
  return { deviceAddress, sizeBytes, byteOffset, buffer, fd: -1, close: () => {} };
}

describe('DeviceMemory', () => {
  it('reads and writes elements by device addresses, in several regions', () => {
    const low = region(0x1000, 64, 16);
    const memory = new DeviceMemory([region(0x2000, 64), low]);
    memory.writeU32(0x1008, 0x8070_6050);
    expect(new Uint8Array(low.buffer)[16 + 8]).toBe(0x50);
    expect(memory.readU32(0x1008)).toBe(0x8070_6050);
    expect(memory.loadU32(0x1008)).toBe(0x8070_6050);
    expect(memory.readU16(0x100a)).toBe(0x8070);
    expect(memory.readU8(0x100b)).toBe(0x80);
    memory.writeU8(0x203f, 5);
    expect(memory.readU8(0x203f)).toBe(5);
    expect(memory.bytesFrom(0x1010)).toBe(48);
    expect(memory.bytesFrom(0x3000)).toBe(0);
    expect(memory.has(0x2000, 64)).toBe(true);
    expect(memory.has(0x2000, 65)).toBe(false);
  });

  it('refuses what is outside, and what is not aligned', () => {
    const memory = new DeviceMemory([region(0x1000, 64, 16)]);
    expect(() => memory.readU32(0x103e)).toThrow('is not inside the shared memory');
    expect(() => memory.readU8(0x1040)).toThrow('is not inside the shared memory');
    expect(() => memory.readU8(0xfff)).toThrow('is not inside the shared memory');
    expect(() => memory.readU32(0x1002)).toThrow('is not aligned to 4 bytes');
    expect(() => memory.copyOut(0x1000, 65)).toThrow('is not inside the shared memory');
    expect(() => memory.zero(0x1002, 4)).toThrow('is not aligned');
  });

  it('refuses regions that overlap', () => {
    expect(() => new DeviceMemory([region(0x1000, 0x100), region(0x10ff, 0x100)])).toThrow(
      'memory at device address 0x1000-0x10ff overlaps memory at 0x10ff-0x11fe',
    );
  });

  it('copies and zeroes exactly the range, whatever its bounds', () => {
    const size = 64;
    fc.assert(
      fc.property(fc.nat(size), fc.nat(size), fc.constantFrom(0, 4, 16), (a, b, byteOffset) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        const one = region(0x1000, size, byteOffset);
        const bytes = new Uint8Array(one.buffer, byteOffset, size);
        for (let i = 0; i < size; i++) bytes[i] = i + 1;
        const memory = new DeviceMemory([one]);
        const copy = memory.copyOut(0x1000 + from, to - from);
        expect([...copy]).toEqual([...bytes].slice(from, to));
        const start = from & ~3;
        if (to > start) memory.zero(0x1000 + start, to - start);
        expect([...bytes]).toEqual(
          Array.from({ length: size }, (_, i) => (i >= start && i < to ? 0 : i + 1)),
        );
      }),
    );
  });
});
