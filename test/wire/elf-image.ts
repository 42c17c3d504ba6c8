/** A section of an ELF file that a test makes. */
export interface ImageSection {
  readonly name: string;
  readonly address: number;
  readonly content: Uint8Array;
  readonly type?: number;
}

/**
 * Makes a little-endian ELF file: header, one PT_LOAD segment a section, contents, `.shstrtab`, section headers.
 * Written from the System V ABI on its own, so that it shares no layout table with the decoder.
 */
export function elfImage(bits: 32 | 64, machine: number, sections: readonly ImageSection[]): Uint8Array {
  const all = [{ name: '', address: 0, content: new Uint8Array(0), type: 0 }, ...sections];
  const names = `${all.map(({ name }) => name).join('\0')}\0.shstrtab\0`;
  all.push({ name: '.shstrtab', address: 0, content: new TextEncoder().encode(names), type: 3 });

  const headerSize = bits === 32 ? 52 : 64;
  const phentsize = bits === 32 ? 32 : 56;
  const shentsize = bits === 32 ? 40 : 64;
  let end = headerSize + sections.length * phentsize;
  const placed = all.map((section) => {
    const offset = end;
    end += (section.content.length + 7) & ~7;
    return { ...section, offset };
  });
  const shoff = end;
  const bytes = new Uint8Array(shoff + placed.length * shentsize);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const u16 = (value: number) => {
    view.setUint16(at, value, true);
    at += 2;
  };
  const u32 = (value: number) => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const word = (value: number) => {
    if (bits === 32) return u32(value);
    view.setBigUint64(at, BigInt(value), true);
    at += 8;
  };

  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits === 32 ? 1 : 2, 1, 1]);
  at = 16;
  u16(2);
  u16(machine);
  u32(1);
  word(0x101);
  word(headerSize);
  word(shoff);
  u32(0);
  u16(headerSize);
  u16(phentsize);
  u16(sections.length);
  u16(shentsize);
  u16(placed.length);
  u16(placed.length - 1);

  for (const { offset, address, content } of placed.slice(1, -1)) {
    u32(1);
    if (bits === 64) u32(4);
    word(offset);
    word(address);
    word(address);
    word(content.length);
    word(content.length);
    if (bits === 32) u32(4);
    word(4);
  }
  at = shoff;
  let nameOffset = 0;
  for (const { name, address, content, offset, type } of placed) {
    bytes.set(content, offset);
    u32(nameOffset);
    u32(type ?? 1);
    word(0);
    word(address);
    word(offset);
    word(content.length);
    u32(0);
    u32(0);
    word(4);
    word(0);
    nameOffset += name.length + 1;
  }
  return bytes;
}
