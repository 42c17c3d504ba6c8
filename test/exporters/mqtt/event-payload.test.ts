import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LEVEL_BIT, MERGED_BIT } from '../../../src/exporters/mqtt/line-ring.ts';
import { eventPayload, nanosecondsText } from '../../../src/exporters/mqtt/worker/event-payload.ts';

describe('the message of a level change', () => {
  it('is JSON with the level, the edge that leads to it, and the time as text', () => {
    expect(eventPayload(LEVEL_BIT | 3, 7, 1_500_000_042)).toBe(
      '{"seq":7,"edge":"rising","level":1,"timestampNs":"1500000042"}',
    );
    expect(JSON.parse(eventPayload(MERGED_BIT, 4_294_967_295, 5))).toEqual({
      seq: 4_294_967_295,
      edge: 'falling',
      level: 0,
      timestampNs: '5',
      merged: true,
    });
  });

  it('writes every time as it is', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.maxSafeNat(), fc.nat(4_000_000_000), fc.double({ min: 0, max: 2 ** 62, noNaN: true })),
        (time) => {
          expect(nanosecondsText(time)).toBe(String(BigInt(Math.round(time))));
        },
      ),
    );
  });
});
