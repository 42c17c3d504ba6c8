import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Carveout } from '../../src/coprocessor/carveout.ts';

describe('Carveout', () => {
  it('gives out aligned pieces', () => {
    const carveout = new Carveout(0x1004, 0x100);
    expect(carveout.allocate(10, 16, 'a')).toBe(0x1010);
    expect(carveout.allocate(4, 4, 'b')).toBe(0x1004);
    expect(carveout.allocate(4, 64, 'c')).toBe(0x1040);
    expect(carveout.freeBytes).toBe(0x100 - 18);
  });

  it('names what did not fit', () => {
    const carveout = new Carveout(0x1000, 0x100);
    carveout.allocate(0x80, 16, 'vring 0 of vdev 0');
    expect(() => carveout.allocate(0x81, 16, 'vring 1 of vdev 0')).toThrow(
      expect.objectContaining({
        code: 'ERR_CARVEOUT',
        message:
          'vring 1 of vdev 0 needs 129 bytes aligned to 16, but the memory at 0x1000-0x10ff (256 bytes) has only 128 left',
      }),
    );
  });

  it('keeps reserved ranges, and ignores those outside', () => {
    const carveout = new Carveout(0x1000, 0x100);
    carveout.reserve(0xf00, 0x110);
    carveout.reserve(0x1100, 0x10);
    carveout.reserve(0x10f0, 0x1000);
    expect(carveout.freeBytes).toBe(0xe0);
    expect(carveout.allocate(0xe0, 16, 'all')).toBe(0x1010);
  });

  it("gives a view's pieces back and no others", () => {
    const whole = new Carveout(0x1000, 0x100);
    const one = whole.share();
    const other = whole.share();
    expect(one.allocate(0x40, 16, 'a')).toBe(0x1000);
    expect(other.allocate(0x40, 16, 'b')).toBe(0x1040);
    one.releaseAll();
    one.releaseAll();
    expect(other.allocate(0x80, 16, 'c')).toBe(0x1080);
    expect(one.allocate(0x40, 16, 'd')).toBe(0x1000);
    expect(whole.freeBytes).toBe(0);
  });

  it('never gives out a byte twice, nor one outside', () => {
    const request = fc.record({
      size: fc.integer({ min: 1, max: 80 }),
      align: fc.constantFrom(1, 4, 16, 64),
      reserve: fc.boolean(),
      at: fc.nat(0x300),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
        const carveout = new Carveout(0x1008, 0x200);
        const taken = new Set<number>();
        for (const { size, align, reserve, at } of requests) {
          if (reserve) {
            carveout.reserve(0xf80 + at, size);
            for (let i = 0; i < size; i++) taken.add(0xf80 + at + i);
            continue;
          }
          let start: number;
          try {
            start = carveout.allocate(size, align, 'piece');
          } catch {
            continue;
          }
          expect(start % align).toBe(0);
          expect(start).toBeGreaterThanOrEqual(0x1008);
          expect(start + size).toBeLessThanOrEqual(0x1208);
          for (let i = 0; i < size; i++) {
            expect(taken.has(start + i)).toBe(false);
            taken.add(start + i);
          }
        }
        const inside = [...taken].filter((address) => address >= 0x1008 && address < 0x1208).length;
        expect(carveout.freeBytes).toBe(0x200 - inside);
      }),
    );
  });
});
