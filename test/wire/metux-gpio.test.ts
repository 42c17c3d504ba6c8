import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  COMMAND_MASK,
  decodeMetuxConfig,
  decodeMetuxMessage,
  decodeMetuxNames,
  encodeMetuxConfig,
  encodeMetuxMessage,
  isMetuxConfig,
  METUX_CONFIG_SIZE,
  METUX_GET_LEVEL,
  METUX_LEVEL,
  METUX_SET_LEVEL,
  REPLY_2020,
  REPLY_2021,
  REPLY_BIT,
} from '../../src/wire/metux-gpio.ts';
import { encodeConfig, encodeNames } from '../../src/wire/virtio-gpio.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

/** Config space of two lines, `A` and one without a name, of a device called `hub`. */
const GOLDEN = Uint8Array.of(
  ...[1, 0, 2, 0, 3, 0, 0, 0],
  ...new Array<number>(24).fill(0),
  ...ascii('hub'),
  ...new Array<number>(29).fill(0),
  ...[0x41, 0, 0],
);

describe('the config space', () => {
  it('is these bytes', () => {
    expect(encodeMetuxConfig('hub', 2, encodeNames(['A', '']))).toEqual(GOLDEN);
    expect(decodeMetuxConfig(GOLDEN)).toEqual({ lineCount: 2, namesSize: 3, name: 'hub' });
    expect(decodeMetuxNames(GOLDEN, decodeMetuxConfig(GOLDEN))).toEqual(['A', '']);
  });

  it('may have no names', () => {
    const bytes = encodeMetuxConfig('', 3, new Uint8Array(0));
    expect(bytes.length).toBe(METUX_CONFIG_SIZE);
    expect(decodeMetuxNames(bytes, decodeMetuxConfig(bytes))).toEqual(['', '', '']);
  });

  it('cuts a name that is too long, and shows what is not ASCII as a question mark', () => {
    const bytes = encodeMetuxConfig(`ü${'x'.repeat(40)}`, 1, new Uint8Array(0));
    expect(decodeMetuxConfig(bytes).name).toBe(`?${'x'.repeat(30)}`);
    bytes.fill(0xff, 0x20, 0x40);
    expect(decodeMetuxConfig(bytes).name).toBe('?'.repeat(32));
  });

  it('round-trips', () => {
    const config = fc.record({
      name: fc.stringMatching(/^[ -~]{0,31}$/),
      lineCount: fc.integer({ min: 1, max: 0xffff }),
      namesSize: fc.integer({ min: 0, max: 300 }),
    });
    fc.assert(
      fc.property(config, (value) => {
        const bytes = encodeMetuxConfig(value.name, value.lineCount, new Uint8Array(value.namesSize));
        expect(decodeMetuxConfig(bytes)).toEqual(value);
        expect(isMetuxConfig(bytes)).toBe(true);
      }),
    );
  });

  it('lies anywhere in its buffer', () => {
    const longer = Uint8Array.of(9, ...GOLDEN, 9, 9).subarray(1);
    expect(decodeMetuxNames(longer, decodeMetuxConfig(longer))).toEqual(['A', '']);
  });

  it.each([
    ['one that is cut short', GOLDEN.subarray(0, 63), /at least 64 bytes/],
    ['another version', Uint8Array.of(2, ...GOLDEN.subarray(1)), /version at offset 0 is 2, expected 1/],
    ['no lines', Uint8Array.of(1, 0, 0, 0, ...GOLDEN.subarray(4)), /num_gpios at offset 2 is 0/],
  ])('is refused for %s', (_what, bytes, message) => {
    expect(() => decodeMetuxConfig(bytes)).toThrow(message);
    expect(() => decodeMetuxConfig(bytes)).toThrow(WireError);
    expect(isMetuxConfig(bytes)).toBe(false);
  });

  it.each([
    [
      'more bytes than follow',
      { namesSize: 4, lineCount: 2 },
      /names_size at offset 4 is 4, expected at most 3/,
    ],
    ['fewer strings than lines', { namesSize: 3, lineCount: 3 }, /3 names/],
    ['more strings than lines', { namesSize: 3, lineCount: 1 }, /1 names/],
    ['a string without end', { namesSize: 1, lineCount: 1 }, /a NUL after the last name/],
  ])('has names refused that are %s', (_what, config, message) => {
    expect(() => decodeMetuxNames(GOLDEN, { name: '', ...config })).toThrow(message);
  });

  it('is told from the standard’s', () => {
    for (const lineCount of [1, 2, 257, 0xffff]) {
      const standard = encodeConfig({ lineCount, namesSize: 500 });
      expect(isMetuxConfig(standard)).toBe(false);
      const padded = new Uint8Array(128);
      padded.set(standard);
      expect(isMetuxConfig(padded)).toBe(false);
    }
  });
});

describe('a message', () => {
  it('is these bytes', () => {
    const bytes = Uint8Array.of(0x06, 0x80, 0x0d, 0, 0xf0, 0xff, 0xff, 0xff);
    const message = { type: METUX_SET_LEVEL | REPLY_2021, line: 13, value: -16 };
    expect(encodeMetuxMessage(message)).toEqual(bytes);
    expect(decodeMetuxMessage(bytes)).toEqual(message);
    expect(encodeMetuxMessage({ type: METUX_LEVEL, line: 0x1234, value: 1 })).toEqual(
      Uint8Array.of(0x11, 0, 0x34, 0x12, 1, 0, 0, 0),
    );
  });

  it('round-trips, and overwrites all of its bytes', () => {
    const message = fc.record({
      type: fc.nat(0xffff),
      line: fc.nat(0xffff),
      value: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
    });
    fc.assert(
      fc.property(message, (value) => {
        const bytes = encodeMetuxMessage(value, new Uint8Array(8).fill(0xaa));
        expect(decodeMetuxMessage(bytes)).toEqual(value);
      }),
    );
  });

  it('is a reply with either mask', () => {
    for (const mask of [REPLY_2020, REPLY_2021]) {
      const type = METUX_GET_LEVEL | mask;
      expect(type & REPLY_BIT).toBe(REPLY_BIT);
      expect(type & COMMAND_MASK).toBe(METUX_GET_LEVEL);
    }
    expect(METUX_LEVEL & REPLY_BIT).toBe(0);
  });

  it('is refused when it is cut short', () => {
    expect(() => decodeMetuxMessage(new Uint8Array(7))).toThrow(/is 7, expected at least 8 bytes/);
  });
});
