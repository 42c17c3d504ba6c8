/**
 * ELF, little-endian, 32 and 64 bits (System V ABI, "Object Files"): as much as it takes to find a section of a firmware
 * file and where the file's parts are loaded. Offsets in bytes:
 *
 * | file header          | 32 | 64 | | section header   | 32 | 64 | | program header  | 32 | 64 |
 * |----------------------|----|----|-|------------------|----|----|-|-----------------|----|----|
 * | u8 e_ident[16]       | 0  | 0  | | u32 sh_name      | 0  | 0  | | u32 p_type      | 0  | 0  |
 * | u16 e_type           | 16 | 16 | | u32 sh_type      | 4  | 4  | | uN p_offset     | 4  | 8  |
 * | u16 e_machine        | 18 | 18 | | uN sh_flags      | 8  | 8  | | uN p_vaddr      | 8  | 16 |
 * | uN e_entry           | 24 | 24 | | uN sh_addr       | 12 | 16 | | uN p_paddr      | 12 | 24 |
 * | uN e_phoff           | 28 | 32 | | uN sh_offset     | 16 | 24 | | uN p_filesz     | 16 | 32 |
 * | uN e_shoff           | 32 | 40 | | uN sh_size       | 20 | 32 | | uN p_memsz      | 20 | 40 |
 * | u16 e_phentsize      | 42 | 54 | | (size)           | 40 | 64 | | (size)          | 32 | 56 |
 * | u16 e_phnum          | 44 | 56 | |                  |    |    | |                 |    |    |
 * | u16 e_shentsize      | 46 | 58 | |                  |    |    | |                 |    |    |
 * | u16 e_shnum          | 48 | 60 | |                  |    |    | |                 |    |    |
 * | u16 e_shstrndx       | 50 | 62 | |                  |    |    | |                 |    |    |
 */
import { WireError } from './wire-error.ts';

/** The first four bytes of an ELF file. */
export const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46] as const;

/** Section types that matter here. NOBITS sections take no room in the file. */
export const SHT = { NULL: 0, PROGBITS: 1, STRTAB: 3, NOBITS: 8 } as const;

/** Program header type of a loaded segment. */
export const PT_LOAD = 1;

/** The section in which remoteproc firmware keeps its resource table. */
export const RESOURCE_TABLE_SECTION = '.resource_table';

/** A section. */
export interface ElfSection {
  readonly name: string;
  /** `sh_type`, see {@link SHT}. */
  readonly type: number;
  /** Where it lies in the co-processor's address space; 0 when it is not loaded. */
  readonly address: number;
  /** Where it lies in the file, in bytes. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** A program header. */
export interface ElfSegment {
  /** `p_type`, see {@link PT_LOAD}. */
  readonly type: number;
  /** Where it lies in the file, in bytes. */
  readonly offset: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly fileSizeBytes: number;
  readonly memorySizeBytes: number;
}

/** A decoded ELF file. */
export interface Elf {
  readonly bits: 32 | 64;
  /** `e_machine`: 40 is Arm, 183 AArch64, 243 RISC-V. */
  readonly machine: number;
  readonly entry: number;
  readonly sections: readonly ElfSection[];
  readonly segments: readonly ElfSegment[];
}

interface Layout {
  readonly word: 4 | 8;
  readonly headerSize: number;
  readonly phoff: number;
  readonly shoff: number;
  readonly phentsize: number;
  readonly section: { addr: number; offset: number; size: number; SIZE: number };
  readonly segment: {
    offset: number;
    vaddr: number;
    paddr: number;
    filesz: number;
    memsz: number;
    SIZE: number;
  };
}

const LAYOUT_32: Layout = {
  word: 4,
  headerSize: 52,
  phoff: 28,
  shoff: 32,
  phentsize: 42,
  section: { addr: 12, offset: 16, size: 20, SIZE: 40 },
  segment: { offset: 4, vaddr: 8, paddr: 12, filesz: 16, memsz: 20, SIZE: 32 },
};

const LAYOUT_64: Layout = {
  word: 8,
  headerSize: 64,
  phoff: 32,
  shoff: 40,
  phentsize: 54,
  section: { addr: 16, offset: 24, size: 32, SIZE: 64 },
  segment: { offset: 8, vaddr: 16, paddr: 24, filesz: 32, memsz: 40, SIZE: 56 },
};

/** Whether the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return ELF_MAGIC.every((byte, index) => bytes[index] === byte);
}

/**
 * Decodes the headers of an ELF file. Every offset is checked against the file, so that {@link sectionBytes} cannot fail.
 *
 * @param bytes the whole file
 * @throws WireError naming the first field that is wrong
 */
export function decodeElf(bytes: Uint8Array): Elf {
  if (!isElf(bytes)) {
    const magic = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw new WireError('e_ident', 0, magic, '7f 45 4c 46, the magic number of ELF');
  }
  checkRange(bytes, 'e_ident', 0, 16);
  const elfClass = bytes[4]!;
  if (elfClass !== 1 && elfClass !== 2) {
    throw new WireError('e_ident[EI_CLASS]', 4, elfClass, '1 (32 bits) or 2 (64 bits)');
  }
  const byteOrder = bytes[5]!;
  if (byteOrder !== 1) throw new WireError('e_ident[EI_DATA]', 5, byteOrder, '1 (little-endian)');
  const layout = elfClass === 1 ? LAYOUT_32 : LAYOUT_64;
  checkRange(bytes, 'file header', 0, layout.headerSize);
  return {
    bits: elfClass === 1 ? 32 : 64,
    machine: readU16(bytes, 18),
    entry: readWord(bytes, 24, layout, 'e_entry'),
    sections: decodeSections(bytes, layout),
    segments: decodeSegments(bytes, layout),
  };
}

/** The first section of this name, if there is one. */
export function findSection(elf: Elf, name: string): ElfSection | undefined {
  return elf.sections.find((section) => section.name === name);
}

/** A section's content: a view into the file; empty for a NOBITS section. */
export function sectionBytes(bytes: Uint8Array, section: ElfSection): Uint8Array {
  if (section.type === SHT.NOBITS) return bytes.subarray(0, 0);
  return bytes.subarray(section.offset, section.offset + section.sizeBytes);
}

function decodeSections(bytes: Uint8Array, layout: Layout): ElfSection[] {
  const shoff = readWord(bytes, layout.shoff, layout, 'e_shoff');
  if (shoff === 0) return [];
  const shentsizeAt = layout.phentsize + 4;
  const shentsize = readU16(bytes, shentsizeAt);
  if (shentsize < layout.section.SIZE) {
    throw new WireError('e_shentsize', shentsizeAt, shentsize, `at least ${layout.section.SIZE}`);
  }
  const shnum = readU16(bytes, shentsizeAt + 2);
  // 0 would mean "65280 or more, counted elsewhere"; no firmware has that many.
  if (shnum === 0) {
    throw new WireError('e_shnum', shentsizeAt + 2, shnum, 'between 1 and 65279 sections');
  }
  checkRange(bytes, 'e_shoff', shoff, shnum * shentsize, layout.shoff);
  const shstrndx = readU16(bytes, shentsizeAt + 4);
  // 0 is SHN_UNDEF: a file whose sections have no names.
  if (shstrndx >= shnum) {
    throw new WireError('e_shstrndx', shentsizeAt + 4, shstrndx, `less than e_shnum (${shnum})`);
  }

  const raw: (ElfSection & { nameOffset: number; nameAt: number })[] = [];
  for (let index = 0; index < shnum; index++) {
    const at = shoff + index * shentsize;
    const field = `section[${index}]`;
    const section = {
      nameOffset: readU32(bytes, at),
      nameAt: at,
      name: '',
      type: readU32(bytes, at + 4),
      address: readWord(bytes, at + layout.section.addr, layout, `${field}.sh_addr`),
      offset: readWord(bytes, at + layout.section.offset, layout, `${field}.sh_offset`),
      sizeBytes: readWord(bytes, at + layout.section.size, layout, `${field}.sh_size`),
    };
    if (section.type !== SHT.NOBITS && section.type !== SHT.NULL) {
      checkRange(bytes, `${field}.sh_offset`, section.offset, section.sizeBytes, at + layout.section.offset);
    }
    raw.push(section);
  }
  const names = shstrndx === 0 ? undefined : raw[shstrndx];
  return raw.map(({ nameOffset, nameAt, ...section }, index) => {
    if (names === undefined || section.type === SHT.NULL) return section;
    return { ...section, name: readName(bytes, names, nameOffset, nameAt, `section[${index}].sh_name`) };
  });
}

function decodeSegments(bytes: Uint8Array, layout: Layout): ElfSegment[] {
  const phoff = readWord(bytes, layout.phoff, layout, 'e_phoff');
  const phnum = readU16(bytes, layout.phentsize + 2);
  if (phoff === 0 || phnum === 0) return [];
  const phentsize = readU16(bytes, layout.phentsize);
  if (phentsize < layout.segment.SIZE) {
    throw new WireError('e_phentsize', layout.phentsize, phentsize, `at least ${layout.segment.SIZE}`);
  }
  checkRange(bytes, 'e_phoff', phoff, phnum * phentsize, layout.phoff);
  const segments: ElfSegment[] = [];
  for (let index = 0; index < phnum; index++) {
    const at = phoff + index * phentsize;
    const field = `segment[${index}]`;
    const segment = {
      type: readU32(bytes, at),
      offset: readWord(bytes, at + layout.segment.offset, layout, `${field}.p_offset`),
      virtualAddress: readWord(bytes, at + layout.segment.vaddr, layout, `${field}.p_vaddr`),
      physicalAddress: readWord(bytes, at + layout.segment.paddr, layout, `${field}.p_paddr`),
      fileSizeBytes: readWord(bytes, at + layout.segment.filesz, layout, `${field}.p_filesz`),
      memorySizeBytes: readWord(bytes, at + layout.segment.memsz, layout, `${field}.p_memsz`),
    };
    checkRange(bytes, `${field}.p_offset`, segment.offset, segment.fileSizeBytes, at + layout.segment.offset);
    segments.push(segment);
  }
  return segments;
}

/** @param fieldAt where the offset itself was read, for the error */
function checkRange(bytes: Uint8Array, field: string, offset: number, sizeBytes: number, fieldAt = 0): void {
  if (offset + sizeBytes <= bytes.length) return;
  throw new WireError(
    field,
    fieldAt,
    offset,
    `${sizeBytes} bytes from there within the file's ${bytes.length} bytes`,
  );
}

/** Longest section name that is read; keeps a file without NULs from costing sections times size. */
const MAX_NAME_LENGTH = 255;

function readName(
  bytes: Uint8Array,
  names: ElfSection,
  nameOffset: number,
  at: number,
  field: string,
): string {
  // A string table that takes no room in the file holds no names.
  const sizeBytes = names.type === SHT.NOBITS || names.type === SHT.NULL ? 0 : names.sizeBytes;
  if (nameOffset >= sizeBytes) {
    throw new WireError(field, at, nameOffset, `less than ${sizeBytes}, the size of the names' section`);
  }
  const limit = Math.min(sizeBytes, nameOffset + MAX_NAME_LENGTH);
  let name = '';
  for (let i = nameOffset; i < limit; i++) {
    const byte = bytes[names.offset + i]!;
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

function readU16(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! | (bytes[offset + 1]! << 8);
}

function readU32(bytes: Uint8Array, offset: number): number {
  return (readU16(bytes, offset) | (readU16(bytes, offset + 2) << 16)) >>> 0;
}

/** An address, offset or size of the file's class. No co-processor has addresses beyond 2^53. */
function readWord(bytes: Uint8Array, offset: number, layout: Layout, field: string): number {
  const low = readU32(bytes, offset);
  if (layout.word === 4) return low;
  const high = readU32(bytes, offset + 4);
  if (high >= 0x20_0000) {
    throw new WireError(field, offset, (BigInt(high) << 32n) | BigInt(low), 'less than 2^53');
  }
  return high * 0x1_0000_0000 + low;
}
