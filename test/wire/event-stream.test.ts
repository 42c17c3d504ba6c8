import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEventRecord,
  type EventRecord,
  encodeEventRecord,
  FEATURE_EVENT_STREAM,
  SIZE,
} from '../../src/wire/event-stream.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const RECORD: EventRecord = {
  line: 0x0201,
  level: 1,
  dropped: true,
  seq: 0x06050403,
  timestampNs: 0x0e0d0c0b0a090807n,
};
const BYTES = Uint8Array.of(1, 2, 1, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);

describe('event stream record', () => {
  it('is 16 bytes, negotiated by feature bit 16', () => {
    expect(SIZE).toBe(16);
    expect(FEATURE_EVENT_STREAM).toBe(16);
  });

  it('reads and writes golden bytes', () => {
    expect(decodeEventRecord(BYTES)).toEqual(RECORD);
    expect(encodeEventRecord(RECORD)).toEqual(BYTES);
  });

  it('round-trips', () => {
    const record = fc.record({
      line: fc.integer({ min: 0, max: 0xffff }),
      level: fc.integer({ min: 0, max: 1 }),
      dropped: fc.boolean(),
      seq: fc.integer({ min: 0, max: 0xffffffff }),
      timestampNs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    });
    fc.assert(
      fc.property(record, (value) => {
        expect(decodeEventRecord(encodeEventRecord(value))).toEqual(value);
      }),
    );
  });

  it.each([
    ['a short record', BYTES.subarray(0, 15), 'record'],
    ['a level of 2', BYTES.with(2, 2), 'level'],
    ['an unknown flag', BYTES.with(3, 2), 'flags'],
  ])('refuses %s', (_what, bytes, field) => {
    expect(() => decodeEventRecord(bytes)).toThrow(expect.objectContaining({ code: 'ERR_WIRE', field }));
  });

  it('decodes any bytes or throws WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        try {
          expect(decodeEventRecord(bytes).level).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
