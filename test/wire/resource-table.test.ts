import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeResourceTable,
  encodeResourceTable,
  FW_RSC_ADDR_ANY,
  type LocatedEntry,
  type LocatedVdev,
  type ResourceEntry,
  VDEV_OFFSET,
  VDEV_VRING_OFFSET,
} from '../../src/wire/resource-table.ts';
import { WireError } from '../../src/wire/wire-error.ts';

function fromHex(...lines: string[]): Uint8Array {
  const hex = lines.join(' ').split(/\s+/);
  return Uint8Array.from(hex, (byte) => Number.parseInt(byte, 16));
}

/** A sensor hub's table, written down by hand from the structures in include/linux/remoteproc.h. */
const GOLDEN = fromHex(
  '01 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00', // ver 1, num 4, reserved
  '20 00 00 00 6c 00 00 00 a4 00 00 00 d4 00 00 00', // offsets 0x20, 0x6c, 0xa4, 0xd4
  '03 00 00 00 29 00 00 00 05 00 00 00 01 00 01 20', // VDEV, id 41, notifyid 5, IRQ | STREAM | EVENT_IDX
  '01 00 01 00 08 00 00 00 07 02 00 00', // gfeatures, config 8 bytes, status 7, 2 vrings
  'ff ff ff ff 00 10 00 00 40 00 00 00 01 00 00 00 00 00 00 00', // vring 0: da any, align 4096, num 64, id 1
  '00 20 00 20 04 00 00 00 00 01 00 00 02 00 00 00 00 20 00 90', // vring 1: da, align 4, num 256, id 2, pa
  '10 00 00 00 7b 00 00 00', // 16 lines, 123 bytes of names
  '00 00 00 00 00 00 00 20 ff ff ff ff 00 80 00 00 03 00 00 00 00 00 00 00', // CARVEOUT, da, pa, len, flags
  '76 64 65 76 30 62 75 66 66 65 72 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00',
  '02 00 00 00 00 f0 00 20 00 10 00 00 00 00 00 00', // TRACE, da, len
  '6c 6f 67 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00',
  '80 00 00 00 ef be ad de', // a vendor's entry
);

const GOLDEN_ENTRIES: LocatedEntry[] = [
  {
    kind: 'vdev',
    offset: 0x20,
    id: 41,
    notifyid: 5,
    dfeatures: 0x2001_0001,
    gfeatures: 0x1_0001,
    status: 7,
    vrings: [
      { offset: 0x3c, da: FW_RSC_ADDR_ANY, align: 4096, num: 64, notifyid: 1, pa: 0 },
      { offset: 0x50, da: 0x2000_2000, align: 4, num: 256, notifyid: 2, pa: 0x9000_2000 },
    ],
    configOffset: 0x64,
    config: Uint8Array.of(16, 0, 0, 0, 123, 0, 0, 0),
  },
  {
    kind: 'carveout',
    offset: 0x6c,
    da: 0x2000_0000,
    pa: FW_RSC_ADDR_ANY,
    len: 0x8000,
    flags: 3,
    name: 'vdev0buffer',
  },
  { kind: 'trace', offset: 0xa4, da: 0x2000_f000, len: 0x1000, name: 'log' },
  { kind: 'unknown', offset: 0xd4, type: 128 },
];

describe('decodeResourceTable', () => {
  it('reads golden bytes', () => {
    expect(decodeResourceTable(GOLDEN)).toEqual({ entries: GOLDEN_ENTRIES, sizeBytes: 0xd8 });
  });

  it('gives the offsets that the driver side writes to', () => {
    const vdev = decodeResourceTable(GOLDEN).entries[0] as LocatedVdev;
    expect(GOLDEN[vdev.offset + VDEV_OFFSET.STATUS]).toBe(7);
    expect(GOLDEN[vdev.offset + VDEV_OFFSET.GFEATURES + 2]).toBe(1);
    expect(GOLDEN[vdev.vrings[1]!.offset + VDEV_VRING_OFFSET.DA + 1]).toBe(0x20);
    expect(GOLDEN[vdev.configOffset]).toBe(16);
  });

  it('reads a DEVMEM entry and an empty table', () => {
    const into = new Uint8Array(100);
    const devmem: ResourceEntry = { kind: 'devmem', da: 1, pa: 2, len: 3, flags: 4, name: 'x'.repeat(32) };
    const sizeBytes = encodeResourceTable([devmem], into);
    expect(decodeResourceTable(into)).toEqual({ entries: [{ ...devmem, offset: 20 }], sizeBytes });
    expect(decodeResourceTable(fromHex('01 00 00 00', '00 '.repeat(12).trim()))).toEqual({
      entries: [],
      sizeBytes: 16,
    });
  });

  it('ignores what follows the table', () => {
    const padded = new Uint8Array(GOLDEN.length + 1000).fill(0xaa);
    padded.set(GOLDEN);
    expect(decodeResourceTable(padded).entries).toEqual(GOLDEN_ENTRIES);
  });

  it('reads a vring of every legal size', () => {
    for (let num = 1; num <= 32768; num *= 2) {
      const bytes = patched(0x3c + 8, num);
      expect((decodeResourceTable(bytes).entries[0] as LocatedVdev).vrings[0]!.num).toBe(num);
    }
  });

  it.each([
    [0, 'a power of two between 1 and 32768'],
    [3, 'a power of two between 1 and 32768'],
    [65536, 'a power of two between 1 and 32768'],
    [0x8000_0000, 'a power of two between 1 and 32768'],
    [0xffff_ffff, 'a power of two between 1 and 32768'],
  ])('refuses a vring of %i descriptors', (num, expected) => {
    const error = errorOf(patched(0x3c + 8, num));
    expect(error).toMatchObject({
      field: 'entry[0].vdev.vring[0].num',
      offset: 0x44,
      value: num,
      expected,
    });
  });

  it.each([0, 1, 2, 3, 4097])('refuses a vring aligned to %i', (align) => {
    const error = errorOf(patched(0x50 + 4, align));
    expect(error).toMatchObject({ field: 'entry[0].vdev.vring[1].align', offset: 0x54, value: align });
    expect(error.expected).toBe('a power of two, at least 4');
  });

  it.each([
    ['version', 0, 2, 'ver', '1'],
    ['number of entries', 4, 52, 'num', 'at most 51 entries'],
    ['reserved word', 8, 1, 'reserved[0]', '0'],
    ['reserved word', 12, 1, 'reserved[1]', '0'],
    ['offset within the header', 16, 28, 'offset[0]', 'between 32'],
    ['offset outside', 20, 0xd9, 'offset[1]', 'and 216'],
    ['offset outside', 20, 0xffff_fffc, 'offset[1]', 'and 216'],
    ['reserved byte of a VDEV', 0x20 + 24, 0x10207, 'entry[0].vdev.reserved[0]', '0'],
    ['number of vrings', 0x20 + 24, 0xff07, 'entry[0].vdev.num_of_vrings', 'at most 8'],
    ['config length', 0x20 + 20, 1000, 'entry[0].vdev.config_len', 'at most 120'],
    ['reserved word of a CARVEOUT', 0x6c + 20, 1, 'entry[1].carveout.reserved', '0'],
    ['reserved word of a TRACE', 0xa4 + 12, 1, 'entry[2].trace.reserved', '0'],
  ])('names a wrong %s', (_what, at, value, field, expected) => {
    const error = errorOf(patched(at, value));
    expect(error.field).toBe(field);
    expect(error.expected).toContain(expected);
  });

  it('refuses a VDEV whose words are not aligned, as they are written in place', () => {
    const bytes = new Uint8Array(100);
    const sizeBytes = encodeResourceTable([{ ...(GOLDEN_ENTRIES[0] as LocatedVdev) }], bytes);
    bytes.copyWithin(21, 20, sizeBytes);
    bytes[16] = 21;
    expect(errorOf(bytes)).toMatchObject({
      field: 'entry[0].vdev',
      expected: 'an offset that is a multiple of 4',
    });
  });

  it('names an entry that is cut off', () => {
    expect(errorOf(GOLDEN.subarray(0, 0xa0)).message).toBe(
      'entry[1].carveout at offset 108 is "cut off at 160", expected at least 164 bytes',
    );
  });

  it('limits the number of entries and the config space in a large memory', () => {
    const large = new Uint8Array(1 << 20);
    large.set(GOLDEN);
    large.set([0x01, 0x04], 4);
    expect(errorOf(large)).toMatchObject({ field: 'num', value: 1025 });
    large.set(GOLDEN);
    large.set([0x01, 0x10], 0x20 + 20);
    expect(errorOf(large)).toMatchObject({ field: 'entry[0].vdev.config_len', expected: 'at most 4096' });
  });

  it('names what is cut off, at every length', () => {
    for (let length = 0; length < 0xd8; length++) {
      expect(() => decodeResourceTable(GOLDEN.subarray(0, length))).toThrow(WireError);
    }
    expect(errorOf(GOLDEN.subarray(0, 2)).message).toBe(
      'ver at offset 0 is "cut off at 2", expected at least 4 bytes',
    );
  });

  it('decodes any bytes or throws WireError', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    const damaged = damage.map((changes) => {
      const bytes = GOLDEN.slice();
      for (const [where, value] of changes) bytes[where % bytes.length] = value;
      return bytes;
    });
    const headed = fc.uint8Array({ maxLength: 300 }).map((tail) => Uint8Array.from([1, 0, 0, 0, ...tail]));
    fc.assert(
      fc.property(fc.oneof(damaged, headed, fc.uint8Array({ maxLength: 64 })), (bytes) => {
        try {
          expect(decodeResourceTable(bytes).sizeBytes).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const name = fc.stringMatching(/^[ -~]{0,32}$/);
const vring = fc.record({
  da: u32,
  align: fc.integer({ min: 2, max: 31 }).map((exponent) => 2 ** exponent),
  num: fc.integer({ min: 0, max: 15 }).map((exponent) => 2 ** exponent),
  notifyid: u32,
  pa: u32,
});
const entry: fc.Arbitrary<ResourceEntry> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('carveout' as const, 'devmem' as const),
    da: u32,
    pa: u32,
    len: u32,
    flags: u32,
    name,
  }),
  fc.record({ kind: fc.constant('trace' as const), da: u32, len: u32, name }),
  fc.record({
    kind: fc.constant('vdev' as const),
    id: u32,
    notifyid: u32,
    dfeatures: u32,
    gfeatures: u32,
    status: fc.integer({ min: 0, max: 255 }),
    vrings: fc.array(vring, { maxLength: 5 }),
    config: fc.uint8Array({ maxLength: 40 }),
  }),
  fc.record({ kind: fc.constant('unknown' as const), type: fc.integer({ min: 4, max: 0xffff_ffff }) }),
);

describe('encodeResourceTable', () => {
  it('is undone by decodeResourceTable', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        const into = new Uint8Array(4096).fill(0xee);
        const sizeBytes = encodeResourceTable(entries, into);
        const table = decodeResourceTable(into.subarray(0, sizeBytes));
        expect(table.sizeBytes).toBe(sizeBytes);
        expect(table.entries.map(withoutPlace)).toEqual(entries);
        expect(into[sizeBytes]).toBe(0xee);
      }),
    );
  });

  it('makes the golden bytes', () => {
    const into = new Uint8Array(GOLDEN.length);
    encodeResourceTable(GOLDEN_ENTRIES, into);
    expect(into.subarray(0, 0xd8)).toEqual(GOLDEN.subarray(0, 0xd8));
  });

  it('refuses a buffer that is too small, and a name that is too long', () => {
    expect(() => encodeResourceTable([], new Uint8Array(15))).toThrow('at least 16 bytes');
    const trace = { kind: 'trace' as const, da: 0, len: 0, name: 'x'.repeat(33) };
    expect(() => encodeResourceTable([trace], new Uint8Array(100))).toThrow('at most 32 characters');
  });
});

function withoutPlace(located: LocatedEntry): ResourceEntry {
  if (located.kind === 'vdev') {
    const { offset: _offset, configOffset: _configOffset, vrings, ...vdev } = located;
    return { ...vdev, vrings: vrings.map(({ offset: _vringOffset, ...rest }) => rest) };
  }
  const { offset: _offset, ...rest } = located;
  return rest;
}

function patched(at: number, value: number): Uint8Array {
  const bytes = GOLDEN.slice();
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
}

function errorOf(bytes: Uint8Array): WireError {
  try {
    decodeResourceTable(bytes);
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
  throw new Error('the table was accepted');
}
