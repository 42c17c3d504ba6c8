import { describe, expect, it } from 'vitest';
import { NeedlessRings } from '../../src/virtqueue/needless-rings.ts';

/** Needless rings until it is to be paused. */
function untilPause(rings: NeedlessRings): number {
  for (let count = 1; count < 10_000; count++) if (rings.rang(false)) return count;
  throw new Error('never paused');
}

describe('NeedlessRings', () => {
  it('pauses after many rings in a row without work', () => {
    const rings = new NeedlessRings();
    expect(untilPause(rings)).toBe(256);
    expect(rings).toMatchObject({ needless: 256, pauses: 1 });
  });

  it('has little patience after a pause, until there is work', () => {
    const rings = new NeedlessRings();
    untilPause(rings);
    expect(untilPause(rings)).toBe(4);
    expect(rings.rang(true)).toBe(false);
    expect(untilPause(rings)).toBe(256);
  });

  it('never pauses who announces work often enough', () => {
    const rings = new NeedlessRings();
    for (let i = 0; i < 5000; i++) expect(rings.rang(i % 200 === 0)).toBe(false);
    expect(rings.pauses).toBe(0);
    expect(rings.needless).toBe(5000 - 25);
  });
});
