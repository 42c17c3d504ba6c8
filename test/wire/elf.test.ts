import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeElf, findSection, isElf, PT_LOAD, SHT, sectionBytes } from '../../src/wire/elf.ts';
import { WireError } from '../../src/wire/wire-error.ts';
import { elfImage } from './elf-image.ts';

const TABLE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const SECTIONS = [
  { name: '.text', address: 0, content: Uint8Array.of(0xbf, 0xf3, 0x5f, 0x8f) },
  { name: '.resource_table', address: 0x2000_0000, content: TABLE },
];

/**
 * The smallest ELF32 file with one section header that names itself, written down by hand from the ABI's tables.
 */
const GOLDEN = Uint8Array.from(
  [
    '7f 45 4c 46 01 01 01 00 00 00 00 00 00 00 00 00', // magic, 32 bits, little-endian, version 1
    '02 00 28 00 01 00 00 00 01 01 00 00', // executable, Arm, entry 0x101
    '00 00 00 00 3c 00 00 00 00 00 00 05', // no program headers, section headers at 0x3c
    '34 00 20 00 00 00 28 00 01 00 00 00', // 52, 32, 0, 40, 1 section; shstrndx 0
    '00 00 00 00 00 00 00 00', // fill up to 0x3c
    '01 00 00 00 01 00 00 00 02 00 00 00 00 10 00 20', // name 1, PROGBITS, flags, address 0x20001000
    '34 00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00', // offset 0x34, 8 bytes
  ]
    .join(' ')
    .split(' ')
    .map((hex) => Number.parseInt(hex, 16)),
);

describe('decodeElf', () => {
  it('reads golden bytes', () => {
    expect(decodeElf(GOLDEN)).toEqual({
      bits: 32,
      machine: 40,
      entry: 0x101,
      sections: [{ name: '', type: SHT.PROGBITS, address: 0x2000_1000, offset: 0x34, sizeBytes: 8 }],
      segments: [],
    });
  });

  it.each([32, 64] as const)('finds a section of an ELF%i file by name', (bits) => {
    const bytes = elfImage(bits, 40, SECTIONS);
    const elf = decodeElf(bytes);
    expect(elf).toMatchObject({ bits, machine: 40, entry: 0x101 });
    const section = findSection(elf, '.resource_table')!;
    expect(section).toMatchObject({ type: SHT.PROGBITS, address: 0x2000_0000, sizeBytes: 16 });
    expect(sectionBytes(bytes, section)).toEqual(TABLE);
    expect(findSection(elf, '.bss')).toBeUndefined();
    expect(elf.segments).toHaveLength(2);
    expect(elf.segments[1]).toEqual({
      type: PT_LOAD,
      offset: section.offset,
      virtualAddress: 0x2000_0000,
      physicalAddress: 0x2000_0000,
      fileSizeBytes: 16,
      memorySizeBytes: 16,
    });
  });

  it('reads addresses above 4 GiB, and refuses those above 2^53', () => {
    const high = elfImage(64, 183, [{ ...SECTIONS[1]!, address: 0x12_3456_7000 }]);
    expect(findSection(decodeElf(high), '.resource_table')?.address).toBe(0x12_3456_7000);
    const view = new DataView(high.buffer);
    view.setBigUint64(24, 1n << 53n, true);
    expect(() => decodeElf(high)).toThrow('e_entry at offset 24 is 9007199254740992 (0x20000000000000)');
  });

  it('gives no bytes for a NOBITS section, wherever its offset points', () => {
    const bytes = elfImage(32, 40, [{ name: '.bss', address: 0x100, content: TABLE, type: SHT.NOBITS }]);
    const shoff = new DataView(bytes.buffer).getUint32(32, true);
    new DataView(bytes.buffer).setUint32(shoff + 40 + 16, 0xffff_fff0, true);
    const section = findSection(decodeElf(bytes), '.bss')!;
    expect(section.sizeBytes).toBe(16);
    expect(sectionBytes(bytes, section)).toHaveLength(0);
  });

  it.each([
    ['magic', 0, 0x7e, 'e_ident'],
    ['class', 4, 3, 'e_ident[EI_CLASS]'],
    ['byte order', 5, 2, 'e_ident[EI_DATA]'],
    ['section header offset', 34, 0xff, 'e_shoff'],
    ['program header offset', 30, 0xff, 'e_phoff'],
    ['program header size', 42, 8, 'e_phentsize'],
    ['section header size', 46, 8, 'e_shentsize'],
    ['section count', 48, 0xff, 'e_shoff'],
    ['extended section count', 48, 0, 'e_shnum'],
    ['name section', 50, 9, 'e_shstrndx'],
    ['segment offset', 52 + 4 + 2, 0xff, 'segment[0].p_offset'],
  ])('names a wrong %s', (_what, offset, value, field) => {
    const bytes = elfImage(32, 40, SECTIONS);
    bytes[offset] = value;
    expect(fieldOf(bytes)).toBe(field);
  });

  it('names a wrong field of a section header', () => {
    const bytes = elfImage(32, 40, SECTIONS);
    const shoff = new DataView(bytes.buffer).getUint32(32, true);
    const outside = bytes.slice();
    outside[shoff + 2 * 40 + 22] = 0xff;
    expect(fieldOf(outside)).toBe('section[2].sh_offset');
    const unnamed = bytes.slice();
    unnamed[shoff + 40 + 1] = 0xff;
    expect(fieldOf(unnamed)).toBe('section[1].sh_name');
  });

  it('names what is cut off', () => {
    const bytes = elfImage(32, 40, SECTIONS);
    expect(fieldOf(bytes.subarray(0, 3))).toBe('e_ident');
    expect(fieldOf(bytes.subarray(0, 10))).toBe('e_ident');
    expect(fieldOf(bytes.subarray(0, 40))).toBe('file header');
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeElf(bytes.subarray(0, length))).toThrow(WireError);
    }
  });

  it('decodes any bytes or throws WireError', () => {
    const images = [elfImage(32, 40, SECTIONS), elfImage(64, 243, SECTIONS), GOLDEN];
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
    fc.assert(
      fc.property(fc.constantFrom(...images), damage, fc.nat({ max: 700 }), (image, changes, length) => {
        const bytes = image.slice(0, Math.max(length, 6));
        for (const [where, value] of changes) bytes[where % bytes.length] = value;
        decodeOrWireError(bytes);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), decodeOrWireError));
  });
});

function decodeOrWireError(bytes: Uint8Array): void {
  try {
    const elf = decodeElf(bytes);
    expect(isElf(bytes)).toBe(true);
    for (const section of elf.sections) {
      const wanted = section.type === SHT.NOBITS || section.type === SHT.NULL ? undefined : section.sizeBytes;
      if (wanted !== undefined) expect(sectionBytes(bytes, section)).toHaveLength(wanted);
    }
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
  }
}

function fieldOf(bytes: Uint8Array): string | undefined {
  try {
    decodeElf(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof WireError) return error.field;
    throw error;
  }
}
