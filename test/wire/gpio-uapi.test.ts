import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHIP_INFO_SIZE,
  decodeChipInfo,
  decodeLineConfig,
  decodeLineEvent,
  decodeLineInfo,
  decodeLineRequest,
  decodeLineValues,
  encodeChipInfo,
  encodeLineConfig,
  encodeLineEvent,
  encodeLineInfo,
  encodeLineRequest,
  encodeLineValues,
  GPIO_GET_CHIPINFO_IOCTL,
  GPIO_V2_GET_LINE_IOCTL,
  GPIO_V2_GET_LINEINFO_IOCTL,
  GPIO_V2_LINE_GET_VALUES_IOCTL,
  GPIO_V2_LINE_SET_CONFIG_IOCTL,
  GPIO_V2_LINE_SET_VALUES_IOCTL,
  LINE_ATTR_ID_DEBOUNCE,
  LINE_ATTR_ID_OUTPUT_VALUES,
  LINE_CONFIG_SIZE,
  LINE_EVENT_SIZE,
  LINE_FLAG_EVENT_CLOCK_HTE,
  LINE_FLAG_INPUT,
  LINE_FLAG_OUTPUT,
  LINE_FLAG_USED,
  LINE_INFO_SIZE,
  LINE_REQUEST_SIZE,
  LINE_VALUES_SIZE,
} from '../../src/wire/gpio-uapi.ts';
import { WireError } from '../../src/wire/wire-error.ts';

/** Bytes in hexadecimal; `[23]` stands for that many zeroes. */
function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(
    text.split(' ').flatMap((part) => {
      const zeroes = /^\[(\d+)\]$/.exec(part);
      return zeroes === null ? [Number.parseInt(part, 16)] : new Array<number>(Number(zeroes[1])).fill(0);
    }),
  );
}

// What a C compiler makes of the structures in linux/gpio.h (x86-64, little-endian).
const GOLDEN = [
  {
    what: 'gpiochip_info',
    size: CHIP_INFO_SIZE,
    bytes: '67 70 69 6f 63 68 69 70 30 [23] 67 70 69 6f 2d 73 69 6d 2e 30 [22] 12 00 00 00',
    value: { name: 'gpiochip0', label: 'gpio-sim.0', lines: 18 },
    decode: decodeChipInfo,
    encode: encodeChipInfo,
  },
  {
    what: 'gpio_v2_line_info',
    size: LINE_INFO_SIZE,
    bytes:
      '4c 45 44 [29] 67 70 69 6f 73 65 74 [25] 05 00 00 00 01 00 00 00 05 10 [6] 03 [7] 10 27 [6] [144] [16]',
    value: {
      name: 'LED',
      consumer: 'gpioset',
      offset: 5,
      flags: LINE_FLAG_USED | LINE_FLAG_INPUT | LINE_FLAG_EVENT_CLOCK_HTE,
      attributes: [{ id: LINE_ATTR_ID_DEBOUNCE, value: 10_000n }],
    },
    decode: decodeLineInfo,
    encode: encodeLineInfo,
  },
  {
    what: 'gpio_v2_line_request',
    size: LINE_REQUEST_SIZE,
    bytes:
      '03 00 00 00 02 01 [250] 72 70 72 6f 63 2d 67 70 69 6f [22] 08 [7] 01 [23] 02 [7] 02 [7] 03 [223] 02 [4] 01 [22] 11 00 00 00',
    value: {
      offsets: [3, 0x102],
      consumer: 'rproc-gpio',
      config: {
        flags: LINE_FLAG_OUTPUT,
        attributes: [{ id: LINE_ATTR_ID_OUTPUT_VALUES, value: 2n, mask: 3n }],
      },
      eventBufferSize: 256,
      fd: 17,
    },
    decode: decodeLineRequest,
    encode: encodeLineRequest,
  },
  {
    what: 'gpio_v2_line_config',
    size: LINE_CONFIG_SIZE,
    bytes: '08 [7] 01 [23] 02 [7] 02 [7] 03 [7] [216]',
    value: {
      flags: LINE_FLAG_OUTPUT,
      attributes: [{ id: LINE_ATTR_ID_OUTPUT_VALUES, value: 2n, mask: 3n }],
    },
    decode: decodeLineConfig,
    encode: encodeLineConfig,
  },
  {
    what: 'gpio_v2_line_values',
    size: LINE_VALUES_SIZE,
    bytes: '05 [6] 80 ff [7]',
    value: { bits: 0x8000000000000005n, mask: 0xffn },
    decode: decodeLineValues,
    encode: encodeLineValues,
  },
  {
    what: 'gpio_v2_line_event',
    size: LINE_EVENT_SIZE,
    bytes: '01 02 03 04 05 06 07 08 02 00 00 00 0a 00 00 00 0b 00 00 00 0f 0e 0d 0c [24]',
    value: { timestampNs: 0x0807060504030201n, id: 2, offset: 10, seqno: 11, lineSeqno: 0x0c0d0e0f },
    decode: decodeLineEvent,
    encode: encodeLineEvent,
  },
] as const satisfies readonly {
  what: string;
  size: number;
  bytes: string;
  value: object;
  decode: (bytes: Uint8Array) => object;
  encode: (value: never) => Uint8Array;
}[];

describe('the structures of linux/gpio.h', () => {
  it.each(GOLDEN)('$what is read and written as golden bytes', ({ size, bytes, value, decode, encode }) => {
    const golden = bytesOf(bytes);
    expect(golden).toHaveLength(size);
    expect(decode(golden)).toEqual(value);
    expect((encode as (from: object) => Uint8Array)(value)).toEqual(golden);
  });

  it.each(GOLDEN)('$what is refused when it is too short, with the reason', ({ what, size, decode }) => {
    expect(() => decode(new Uint8Array(size - 1))).toThrow(
      expect.objectContaining({ code: 'ERR_WIRE', field: what, value: size - 1 }),
    );
  });

  it.each(GOLDEN)('$what is read where it lies unaligned in a bigger buffer', ({ bytes, value, decode }) => {
    const golden = bytesOf(bytes);
    const buffer = new Uint8Array(golden.length + 12).fill(0xff);
    buffer.set(golden, 5);
    expect(decode(buffer.subarray(5))).toEqual(value);
  });

  it.each(GOLDEN)('$what decodes any bytes or throws WireError', ({ size, decode }) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: size + 4, minLength: size }), (bytes) => {
        try {
          expect(decode(bytes)).toBeTypeOf('object');
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });

  it('has the ioctl numbers of the header', () => {
    expect(GPIO_GET_CHIPINFO_IOCTL).toBe(0x8044b401);
    expect(GPIO_V2_GET_LINEINFO_IOCTL).toBe(0xc100b405);
    expect(GPIO_V2_GET_LINE_IOCTL).toBe(0xc250b407);
    expect(GPIO_V2_LINE_SET_CONFIG_IOCTL).toBe(0xc110b40d);
    expect(GPIO_V2_LINE_GET_VALUES_IOCTL).toBe(0xc010b40e);
    expect(GPIO_V2_LINE_SET_VALUES_IOCTL).toBe(0xc010b40f);
  });
});

describe('round trips', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const name = fc
    .string({ unit: 'grapheme', maxLength: 31 })
    .filter((text) => !text.includes('\0') && new TextEncoder().encode(text).length <= 31);
  const config = fc.record({
    flags: u64,
    attributes: fc.array(fc.record({ id: u32, value: u64, mask: u64 }), { maxLength: 10 }),
  });

  it('keep a chip and a line', () => {
    fc.assert(
      fc.property(fc.record({ name, label: name, lines: u32 }), (value) => {
        expect(decodeChipInfo(encodeChipInfo(value))).toEqual(value);
      }),
    );
    const info = fc.record({
      name,
      consumer: name,
      offset: u32,
      flags: u64,
      attributes: fc.array(fc.record({ id: u32, value: u64 }), { maxLength: 10 }),
    });
    fc.assert(
      fc.property(info, (value) => {
        expect(decodeLineInfo(encodeLineInfo(value))).toEqual(value);
      }),
    );
  });

  it('keep a request and its configuration', () => {
    const request = fc.record({
      offsets: fc.array(u32, { maxLength: 64 }),
      consumer: name,
      config,
      eventBufferSize: u32,
      fd: fc.integer({ min: -1, max: 0x7fff_ffff }),
    });
    fc.assert(
      fc.property(request, (value) => {
        expect(decodeLineRequest(encodeLineRequest(value))).toEqual(value);
        expect(decodeLineConfig(encodeLineConfig(value.config))).toEqual(value.config);
      }),
    );
  });

  it('keep values and events', () => {
    fc.assert(
      fc.property(fc.record({ bits: u64, mask: u64 }), (value) => {
        expect(decodeLineValues(encodeLineValues(value))).toEqual(value);
      }),
    );
    const event = fc.record({
      timestampNs: u64,
      id: fc.constantFrom(1, 2),
      offset: u32,
      seqno: u32,
      lineSeqno: u32,
    });
    fc.assert(
      fc.property(event, (value) => {
        expect(decodeLineEvent(encodeLineEvent(value))).toEqual(value);
      }),
    );
  });
});

describe('what the structures cannot hold', () => {
  const CHIP = { name: 'gpiochip0', label: '', lines: 1 };
  const CONFIG = { flags: 0n, attributes: [] };
  const REQUEST = { offsets: [0], consumer: 'x', config: CONFIG, eventBufferSize: 0, fd: 0 };
  const tooMany = Array.from({ length: 11 }, () => ({ id: 1, value: 0n, mask: 0n }));

  it('is refused on writing', () => {
    expect(() => encodeChipInfo({ ...CHIP, label: 'x'.repeat(32) })).toThrow(/label .*at most 31 bytes/);
    // 31 characters of 2 bytes each.
    expect(() => encodeChipInfo({ ...CHIP, label: 'ä'.repeat(31) })).toThrow(WireError);
    expect(() => encodeChipInfo({ ...CHIP, name: 'a\0b' })).toThrow(/without NUL/);
    expect(() => encodeLineConfig({ flags: 0n, attributes: tooMany })).toThrow(/num_attrs .*at most 10/);
    const info = { name: '', consumer: '', offset: 0, flags: 0n, attributes: tooMany };
    expect(() => encodeLineInfo(info)).toThrow(/num_attrs .*at most 10/);
    const offsets = new Array<number>(65).fill(0);
    expect(() => encodeLineRequest({ ...REQUEST, offsets })).toThrow(/num_lines .*at most 64/);
  });

  it('is refused on reading', () => {
    expect(() => decodeChipInfo(encodeChipInfo(CHIP).fill(0x61, 0, 32))).toThrow(/name .*a NUL within 32/);
    expect(() => decodeLineConfig(encodeLineConfig(CONFIG).with(8, 11))).toThrow(/num_attrs at offset 8/);
    expect(() => decodeLineRequest(encodeLineRequest(REQUEST).with(560, 65))).toThrow(/num_lines/);
    const event = encodeLineEvent({ timestampNs: 0n, id: 1, offset: 0, seqno: 0, lineSeqno: 0 });
    expect(() => decodeLineEvent(event.with(8, 3))).toThrow(/id at offset 8 is 3, expected 1 \(rising\)/);
  });

  it('is shown where the kernel cut it: half a character at the end', () => {
    const bytes = encodeChipInfo(CHIP);
    bytes.set([0x61, 0xc3, 0], 32);
    expect(decodeChipInfo(bytes).label).toBe('a\ufffd');
  });
});
