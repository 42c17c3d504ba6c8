import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONFIG_SIZE,
  decodeConfig,
  decodeNames,
  EVENT_REQUEST_SIZE,
  EVENT_RESPONSE_SIZE,
  encodeConfig,
  encodeNames,
  REQUEST_GPIO_OFFSET,
  REQUEST_SIZE,
  REQUEST_TYPE_OFFSET,
  REQUEST_VALUE_OFFSET,
  RESPONSE_SIZE,
  VIRTIO_ID_GPIO,
} from '../../src/wire/virtio-gpio.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const text = (...names: string[]) => Uint8Array.from([...names.map((name) => `${name}\0`).join('')], toByte);
function toByte(character: string): number {
  return character.charCodeAt(0);
}

describe('virtio-gpio structures (virtio 1.2, section 5.18)', () => {
  it('has the sizes and offsets of the specification', () => {
    expect(VIRTIO_ID_GPIO).toBe(0x29);
    expect([CONFIG_SIZE, REQUEST_SIZE, RESPONSE_SIZE]).toEqual([8, 8, 2]);
    expect([EVENT_REQUEST_SIZE, EVENT_RESPONSE_SIZE]).toEqual([2, 1]);
    expect([REQUEST_TYPE_OFFSET, REQUEST_GPIO_OFFSET, REQUEST_VALUE_OFFSET]).toEqual([0, 2, 4]);
  });

  it('reads and writes the config space as golden bytes', () => {
    const bytes = Uint8Array.of(0x34, 0x12, 0, 0, 0x78, 0x56, 0x34, 0x12);
    expect(decodeConfig(bytes)).toEqual({ lineCount: 0x1234, namesSize: 0x12345678 });
    expect(encodeConfig({ lineCount: 0x1234, namesSize: 0x12345678 })).toEqual(bytes);
  });

  it('reads a longer config space, and one that lies unaligned in its buffer', () => {
    const bytes = Uint8Array.of(0xff, 2, 0, 9, 9, 3, 0, 0, 0, 0xaa);
    expect(decodeConfig(bytes.subarray(1))).toEqual({ lineCount: 2, namesSize: 3 });
  });

  it('round-trips any config', () => {
    const config = fc.record({
      lineCount: fc.integer({ min: 0, max: 0xffff }),
      namesSize: fc.integer({ min: 0, max: 0xffffffff }),
    });
    fc.assert(
      fc.property(config, (value) => {
        expect(decodeConfig(encodeConfig(value))).toEqual(value);
      }),
    );
  });

  it('refuses a config that is too short, with the reason', () => {
    expect(() => decodeConfig(new Uint8Array(7))).toThrow(WireError);
    expect(() => decodeConfig(new Uint8Array(7))).toThrow(/is 7, expected at least 8 bytes/);
  });
});

describe('names block (section 5.18.6.1)', () => {
  it('is one NUL-terminated string a line, an empty one for no name', () => {
    expect(encodeNames(['a', '', 'led 1'])).toEqual(text('a', '', 'led 1'));
    expect(decodeNames(text('a', '', 'led 1'), 3)).toEqual(['a', '', 'led 1']);
  });

  it('is empty when no line has a name', () => {
    expect(encodeNames(['', '', ''])).toEqual(new Uint8Array(0));
    expect(encodeNames([])).toEqual(new Uint8Array(0));
  });

  it('refuses names that are used twice or not printable ASCII', () => {
    expect(() => encodeNames(['a', 'b', 'a'])).toThrow(/names\[2\].*a name that no other line has/);
    for (const name of ['ä', 'a\0b', 'a\n', '\x7f']) expect(() => encodeNames([name])).toThrow(WireError);
  });

  it.each([
    ['too few names', text('a'), 2],
    ['too many names', text('a', 'b', 'c'), 2],
    ['no NUL after the last', Uint8Array.of(0x61, 0, 0x62), 2],
    ['a byte over 0x7e', Uint8Array.of(0x80, 0), 1],
    ['a control character', Uint8Array.of(0x0a, 0), 1],
    ['nothing for one line', new Uint8Array(0), 1],
  ])('refuses a block with %s', (_what, block, lineCount) => {
    expect(() => decodeNames(block, lineCount)).toThrow(WireError);
  });

  it('round-trips any unique printable names, and decodes any bytes or throws WireError', () => {
    const name = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)) });
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1 }), (names) => {
        const block = encodeNames(names);
        if (block.length > 0) expect(decodeNames(block, names.length)).toEqual(names);
        else expect(names).toEqual(['']);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 0, max: 5 }), (bytes, lineCount) => {
        try {
          expect(decodeNames(bytes, lineCount)).toHaveLength(lineCount);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
