import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  availableRingBytes,
  descriptorTableBytes,
  isQueueSize,
  needsEvent,
  usedRingBytes,
  vringLayout,
} from '../../src/wire/vring.ts';

describe('split virtqueue layout (virtio 1.2, section 2.7)', () => {
  it.each([
    [1, 16, 8, 14],
    [2, 32, 10, 22],
    [16, 256, 38, 134],
    [256, 4096, 518, 2054],
    [32768, 524288, 65542, 262150],
  ])(
    'a queue of %i has %i bytes of descriptors, %i available, %i used',
    (size, descriptors, available, used) => {
      expect(descriptorTableBytes(size)).toBe(descriptors);
      expect(availableRingBytes(size)).toBe(available);
      expect(usedRingBytes(size)).toBe(used);
    },
  );

  it.each([
    // What Linux' vring_init() and vring_size() give.
    [16, 64, 256, 320, 454],
    [16, 4096, 256, 4096, 4230],
    [256, 4096, 4096, 8192, 10246],
    [8, 4, 128, 152, 222],
  ])(
    'a vring of %i aligned to %i: available at %i, used at %i, %i bytes',
    (size, align, availableOffset, usedOffset, sizeBytes) => {
      expect(vringLayout(size, align)).toEqual({ availableOffset, usedOffset, sizeBytes });
    },
  );

  it('takes powers of two from 1 to 32768 for a queue size, nothing else', () => {
    const sizes = Array.from({ length: 16 }, (_, i) => 2 ** i);
    for (const size of sizes) expect(isQueueSize(size)).toBe(true);
    for (const size of [0, -1, -2, 3, 6, 1.5, 32769, 65536, 2 ** 32, 2 ** 32 + 2, Number.NaN, Infinity]) {
      expect(isQueueSize(size)).toBe(false);
    }
  });

  it('notifies exactly when one of the steps from before to after is the one that was waited for', () => {
    const u16 = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(u16, u16, fc.integer({ min: 0, max: 300 }), (event, before, steps) => {
        let passed = false;
        for (let i = 0; i < steps; i++) if (((before + i) & 0xffff) === event) passed = true;
        expect(needsEvent(event, (before + steps) & 0xffff, before)).toBe(passed);
      }),
    );
    expect(needsEvent(0, 1, 0)).toBe(true);
    expect(needsEvent(1, 1, 0)).toBe(false);
    expect(needsEvent(0xffff, 0, 0xffff)).toBe(true);
    expect(needsEvent(0xfffe, 0, 0xffff)).toBe(false);
  });
});
