import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as rpmsg from '../../src/wire/rpmsg.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const HEADER = Uint8Array.of(0x00, 0x04, 0, 0, 0x1e, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0);
const MESSAGE = Uint8Array.of(...HEADER, 0xaa, 0xbb, 0xcc);

function announcement(name: string, address: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes.set([...name].map((c) => c.charCodeAt(0)));
  bytes.set([address & 0xff, (address >>> 8) & 0xff, (address >>> 16) & 0xff, address >>> 24], 32);
  bytes[36] = flags;
  return bytes;
}

describe('rpmsg header', () => {
  it('reads and writes golden bytes', () => {
    const header = { source: 1024, destination: 30, length: 3, flags: 0 };
    expect(rpmsg.decodeHeader(MESSAGE)).toEqual(header);
    const bytes = new Uint8Array(16).fill(0xff);
    rpmsg.encodeHeader(header, bytes);
    expect(bytes).toEqual(HEADER);
  });

  it('has its fields at the exported offsets', () => {
    const bytes = new Uint8Array(16);
    rpmsg.encodeHeader({ source: 1, destination: 2, length: 3, flags: 4 }, bytes);
    const offsets = [rpmsg.SOURCE_OFFSET, rpmsg.DESTINATION_OFFSET, rpmsg.LENGTH_OFFSET, rpmsg.FLAGS_OFFSET];
    expect(offsets.map((offset) => bytes[offset])).toEqual([1, 2, 3, 4]);
  });

  it('is not written where it does not fit, nor with a length that its field cannot hold', () => {
    const header = { source: 1, destination: 2, length: 0, flags: 0 };
    expect(() => rpmsg.encodeHeader(header, new Uint8Array(15))).toThrow('room for 16 bytes');
    const long = { ...header, length: 0x1_0000 };
    expect(() => rpmsg.encodeHeader(long, new Uint8Array(16))).toThrow('expected at most 65535');
  });

  it('round-trips', () => {
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    const header = fc.record({
      source: u32,
      destination: u32,
      length: fc.integer({ min: 0, max: 0xffff }),
      flags: fc.integer({ min: 0, max: 0xffff }),
    });
    fc.assert(
      fc.property(header, (value) => {
        const bytes = new Uint8Array(16 + value.length);
        rpmsg.encodeHeader(value, bytes);
        expect(rpmsg.decodeHeader(bytes)).toEqual(value);
      }),
    );
  });

  it.each([
    ['a short header', MESSAGE.subarray(0, 15), 'message'],
    ['a length beyond the buffer', MESSAGE.subarray(0, 18), 'len'],
  ])('refuses %s', (_what, bytes, field) => {
    expect(() => rpmsg.decodeHeader(bytes)).toThrow(expect.objectContaining({ code: 'ERR_WIRE', field }));
  });

  it('decodes any bytes or throws WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          expect(rpmsg.decodeHeader(bytes).length).toBeLessThanOrEqual(bytes.length - 16);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});

describe('rpmsg announcement', () => {
  const BYTES = announcement('rpmsg-io-channel', 0x0403_0201, 0);

  it('reads and writes golden bytes', () => {
    const value = { name: 'rpmsg-io-channel', address: 0x0403_0201, destroyed: false };
    expect(rpmsg.decodeAnnouncement(BYTES)).toEqual(value);
    expect(rpmsg.encodeAnnouncement(value)).toEqual(BYTES);
    expect(rpmsg.decodeAnnouncement(BYTES.with(36, 1))).toEqual({ ...value, destroyed: true });
    expect(rpmsg.encodeAnnouncement({ ...value, destroyed: true })).toEqual(BYTES.with(36, 1));
  });

  it('round-trips', () => {
    const value = fc.record({
      name: fc.stringMatching(/^[\x20-\x7e]{1,31}$/),
      address: fc.integer({ min: 0, max: 0xffff_fffe }),
      destroyed: fc.boolean(),
    });
    fc.assert(
      fc.property(value, (one) => {
        expect(rpmsg.decodeAnnouncement(rpmsg.encodeAnnouncement(one))).toEqual(one);
      }),
    );
  });

  it.each([
    ['39 bytes', BYTES.subarray(0, 39), 'announcement'],
    ['41 bytes', Uint8Array.of(...BYTES, 0), 'announcement'],
    ['a name without a NUL', announcement('x'.repeat(32), 1, 0), 'name'],
    ['an empty name', announcement('', 1, 0), 'name'],
    ['a name with a control character', announcement('a\nb', 1, 0), 'name'],
    ['the address "any"', announcement('a', 0xffff_ffff, 0), 'addr'],
  ])('refuses %s', (_what, bytes, field) => {
    expect(() => rpmsg.decodeAnnouncement(bytes)).toThrow(
      expect.objectContaining({ code: 'ERR_WIRE', field }),
    );
  });

  it.each(['', 'x'.repeat(32), 'tab\there', 'größe'])('does not write the name %j', (name) => {
    expect(() => rpmsg.encodeAnnouncement({ name, address: 1, destroyed: false })).toThrow(WireError);
  });

  it('decodes any bytes or throws WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 38, maxLength: 42 }), (bytes) => {
        try {
          expect(rpmsg.decodeAnnouncement(bytes).name).toMatch(/^[\x20-\x7e]{1,31}$/);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
