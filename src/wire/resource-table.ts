/**
 * Resource table of remoteproc firmware (kernel `include/linux/remoteproc.h`, ELF section `.resource_table`).
 * All fields are little-endian; every offset below is in bytes.
 *
 * | table          | at | | CARVEOUT / DEVMEM | at | | TRACE    | at | | VDEV            | at | | vring of a VDEV | at |
 * |----------------|----|-|-------------------|----|-|----------|----|-|-----------------|----|-|-----------------|----|
 * | u32 ver = 1    | 0  | | u32 type          | 0  | | u32 type | 0  | | u32 type        | 0  | | u32 da          | 0  |
 * | u32 num        | 4  | | u32 da            | 4  | | u32 da   | 4  | | u32 id          | 4  | | u32 align       | 4  |
 * | u32 reserved[2]| 8  | | u32 pa            | 8  | | u32 len  | 8  | | u32 notifyid    | 8  | | u32 num         | 8  |
 * | u32 offset[num]| 16 | | u32 len           | 12 | | u32 res. | 12 | | u32 dfeatures   | 12 | | u32 notifyid    | 12 |
 * |                |    | | u32 flags         | 16 | | char name| 16 | | u32 gfeatures   | 16 | | u32 pa          | 16 |
 * |                |    | | u32 reserved      | 20 | |   [32]   |    | | u32 config_len  | 20 | |                 |    |
 * |                |    | | char name[32]     | 24 | |          |    | | u8 status       | 24 | |                 |    |
 * |                |    | |                   |    | |          |    | | u8 num_of_vrings| 25 | |                 |    |
 * |                |    | |                   |    | |          |    | | u8 reserved[2]  | 26 | |                 |    |
 * |                |    | |                   |    | |          |    | | vring[], config | 28 | |                 |    |
 *
 * The driver side writes `status`, `gfeatures` and each vring's `da` in place, so the decoded entries carry their offsets.
 */
import { WireError } from './wire-error.ts';

/** The only version there is. */
export const RESOURCE_TABLE_VERSION = 1;

/** `da` or `pa` of this value: the driver side allocates, and writes the address back. */
export const FW_RSC_ADDR_ANY = 0xffff_ffff;

/** Types of entries (`enum fw_resource_type`). From `VENDOR_START` to `VENDOR_END` they belong to the SoC's vendor. */
export const RSC_TYPE = {
  CARVEOUT: 0,
  DEVMEM: 1,
  TRACE: 2,
  VDEV: 3,
  VENDOR_START: 128,
  VENDOR_END: 512,
} as const;

/** Offsets within the table. */
export const TABLE_OFFSET = { VER: 0, NUM: 4, RESERVED: 8, OFFSET: 16 } as const;

/** Offsets within a CARVEOUT or DEVMEM entry. */
export const CARVEOUT_OFFSET = {
  TYPE: 0,
  DA: 4,
  PA: 8,
  LEN: 12,
  FLAGS: 16,
  RESERVED: 20,
  NAME: 24,
} as const;

/** Offsets within a TRACE entry. */
export const TRACE_OFFSET = { TYPE: 0, DA: 4, LEN: 8, RESERVED: 12, NAME: 16 } as const;

/** Offsets within a VDEV entry. The config space follows the last vring. */
export const VDEV_OFFSET = {
  TYPE: 0,
  ID: 4,
  NOTIFYID: 8,
  DFEATURES: 12,
  GFEATURES: 16,
  CONFIG_LEN: 20,
  STATUS: 24,
  NUM_OF_VRINGS: 25,
  RESERVED: 26,
  VRING: 28,
} as const;

/** Offsets within one vring of a VDEV entry. */
export const VDEV_VRING_OFFSET = { DA: 0, ALIGN: 4, NUM: 8, NOTIFYID: 12, PA: 16 } as const;

/** Size of a CARVEOUT or DEVMEM entry in bytes. */
export const CARVEOUT_SIZE = 56;
/** Size of a TRACE entry in bytes. */
export const TRACE_SIZE = 48;
/** Size of a VDEV entry in bytes, without its vrings and config space. */
export const VDEV_SIZE = 28;
/** Size of one vring of a VDEV entry in bytes. */
export const VDEV_VRING_SIZE = 20;
/** Size of the name of a CARVEOUT, DEVMEM or TRACE entry in bytes; shorter names end with NUL. */
export const RSC_NAME_SIZE = 32;

/**
 * More entries than any firmware has. The format knows no limit; this one keeps a corrupt `num` in a large memory from
 * making a million objects.
 */
export const MAX_ENTRIES = 1024;

/** No virtio device has a config space near this size; a corrupt length must not copy a whole memory. */
export const MAX_CONFIG_LEN = 4096;

/** The largest split virtqueue (virtio 1.x, 2.7). */
const MAX_VRING_NUM = 32768;
/** The used ring has to be aligned to 4 bytes (virtio 1.x, 2.7). */
const MIN_VRING_ALIGN = 4;

/** CARVEOUT (memory for the firmware) or DEVMEM (device memory to map for it). */
export interface MemoryEntry {
  readonly kind: 'carveout' | 'devmem';
  /** Device address; {@link FW_RSC_ADDR_ANY} when the driver side chooses. */
  readonly da: number;
  /** Physical address; {@link FW_RSC_ADDR_ANY} when the driver side chooses. */
  readonly pa: number;
  /** Size in bytes. */
  readonly len: number;
  /** IOMMU protection flags. */
  readonly flags: number;
  /** For people and for matching, e.g. `vdev0buffer`. */
  readonly name: string;
}

/** A text buffer that the firmware logs into. */
export interface TraceEntry {
  readonly kind: 'trace';
  /** Device address. */
  readonly da: number;
  /** Size in bytes. */
  readonly len: number;
  readonly name: string;
}

/** One vring of a {@link VdevEntry}. */
export interface VdevVring {
  /** Device address; {@link FW_RSC_ADDR_ANY} when the driver side allocates and writes it back. */
  readonly da: number;
  /** Alignment of the used ring in bytes: a power of two. */
  readonly align: number;
  /** Number of descriptors: a power of two from 1 to 32768. */
  readonly num: number;
  /** What a doorbell says to mean this vring. */
  readonly notifyid: number;
  /** Physical address; filled in by the driver side. */
  readonly pa: number;
}

/** A virtio device that the firmware offers. */
export interface VdevEntry {
  readonly kind: 'vdev';
  /** Virtio device ID: 41 GPIO, 7 rpmsg. */
  readonly id: number;
  /** What a doorbell says to mean the device itself (status or config changed). */
  readonly notifyid: number;
  /** Feature bits 0 to 31 offered by the firmware. */
  readonly dfeatures: number;
  /** Feature bits 0 to 31 accepted by the driver side. */
  readonly gfeatures: number;
  /** Virtio device status. */
  readonly status: number;
  readonly vrings: readonly VdevVring[];
  /** The device's config space (a copy). */
  readonly config: Uint8Array;
}

/** An entry of a type that is not described here; tolerated, as Linux does. */
export interface UnknownEntry {
  readonly kind: 'unknown';
  /** From 128 to 512: of the SoC's vendor. */
  readonly type: number;
}

/** One entry, without its place. */
export type ResourceEntry = MemoryEntry | TraceEntry | VdevEntry | UnknownEntry;

/** Where an entry lies: bytes from the start of the table to its `type` field. */
export interface Located {
  readonly offset: number;
}

/** A vring with its place: bytes from the start of the table to its `da` field. */
export type LocatedVring = VdevVring & Located;

/** A VDEV entry with its place, and that of each vring and of the config space. */
export interface LocatedVdev extends VdevEntry, Located {
  readonly vrings: readonly LocatedVring[];
  /** Bytes from the start of the table to the config space. */
  readonly configOffset: number;
}

/** An entry of a decoded table. */
export type LocatedEntry =
  | (MemoryEntry & Located)
  | (TraceEntry & Located)
  | LocatedVdev
  | (UnknownEntry & Located);

/** A decoded table. */
export interface ResourceTable {
  /** In the order of the table's `offset[]`. */
  readonly entries: readonly LocatedEntry[];
  /** From the start of the table to the end of its last known field: what an allocator has to leave alone. */
  readonly sizeBytes: number;
}

/**
 * Decodes a resource table. Each field is read once, so the bytes may be memory that the firmware still writes.
 *
 * @param bytes from the first byte of the table; may be longer than the table
 * @throws WireError naming the first field that is wrong; `expected` says what would be right
 */
export function decodeResourceTable(bytes: Uint8Array): ResourceTable {
  const ver = readU32(bytes, TABLE_OFFSET.VER, 'ver');
  if (ver !== RESOURCE_TABLE_VERSION) throw new WireError('ver', TABLE_OFFSET.VER, ver, '1');
  const num = readU32(bytes, TABLE_OFFSET.NUM, 'num');
  const roomForOffsets = Math.max(0, Math.floor((bytes.length - TABLE_OFFSET.OFFSET) / 4));
  const maxNum = Math.min(MAX_ENTRIES, roomForOffsets);
  if (num > maxNum) {
    throw new WireError('num', TABLE_OFFSET.NUM, num, `at most ${maxNum} entries in ${bytes.length} bytes`);
  }
  checkZero(bytes, TABLE_OFFSET.RESERVED, 'reserved[0]');
  checkZero(bytes, TABLE_OFFSET.RESERVED + 4, 'reserved[1]');

  const headerSizeBytes = TABLE_OFFSET.OFFSET + 4 * num;
  let sizeBytes = headerSizeBytes;
  const entries: LocatedEntry[] = [];
  for (let index = 0; index < num; index++) {
    const at = TABLE_OFFSET.OFFSET + 4 * index;
    const offset = readU32(bytes, at, `offset[${index}]`);
    if (offset < headerSizeBytes || offset > bytes.length - 4) {
      const range = `between ${headerSizeBytes} (the end of the offsets) and ${bytes.length - 4} (the end of the bytes)`;
      throw new WireError(`offset[${index}]`, at, offset, range);
    }
    const { entry, end } = decodeEntry(bytes, offset, index);
    entries.push(entry);
    sizeBytes = Math.max(sizeBytes, end);
  }
  return { entries, sizeBytes };
}

interface DecodedEntry {
  readonly entry: LocatedEntry;
  /** Offset of the first byte after the entry. */
  readonly end: number;
}

function decodeEntry(bytes: Uint8Array, offset: number, index: number): DecodedEntry {
  const field = `entry[${index}]`;
  const type = readU32(bytes, offset, `${field}.type`);
  switch (type) {
    case RSC_TYPE.CARVEOUT:
      return decodeMemory(bytes, offset, 'carveout', `${field}.carveout`);
    case RSC_TYPE.DEVMEM:
      return decodeMemory(bytes, offset, 'devmem', `${field}.devmem`);
    case RSC_TYPE.TRACE:
      return decodeTrace(bytes, offset, `${field}.trace`);
    case RSC_TYPE.VDEV:
      return decodeVdev(bytes, offset, `${field}.vdev`);
    default:
      return { entry: { kind: 'unknown', type, offset }, end: offset + 4 };
  }
}

function decodeMemory(
  bytes: Uint8Array,
  offset: number,
  kind: 'carveout' | 'devmem',
  field: string,
): DecodedEntry {
  checkFits(bytes, offset, CARVEOUT_SIZE, field);
  checkZero(bytes, offset + CARVEOUT_OFFSET.RESERVED, `${field}.reserved`);
  const entry = {
    kind,
    offset,
    da: readU32(bytes, offset + CARVEOUT_OFFSET.DA, `${field}.da`),
    pa: readU32(bytes, offset + CARVEOUT_OFFSET.PA, `${field}.pa`),
    len: readU32(bytes, offset + CARVEOUT_OFFSET.LEN, `${field}.len`),
    flags: readU32(bytes, offset + CARVEOUT_OFFSET.FLAGS, `${field}.flags`),
    name: readName(bytes, offset + CARVEOUT_OFFSET.NAME),
  };
  return { entry, end: offset + CARVEOUT_SIZE };
}

function decodeTrace(bytes: Uint8Array, offset: number, field: string): DecodedEntry {
  checkFits(bytes, offset, TRACE_SIZE, field);
  checkZero(bytes, offset + TRACE_OFFSET.RESERVED, `${field}.reserved`);
  const entry = {
    kind: 'trace' as const,
    offset,
    da: readU32(bytes, offset + TRACE_OFFSET.DA, `${field}.da`),
    len: readU32(bytes, offset + TRACE_OFFSET.LEN, `${field}.len`),
    name: readName(bytes, offset + TRACE_OFFSET.NAME),
  };
  return { entry, end: offset + TRACE_SIZE };
}

function decodeVdev(bytes: Uint8Array, offset: number, field: string): DecodedEntry {
  checkFits(bytes, offset, VDEV_SIZE, field);
  // gfeatures and the vrings' da are written in place as whole 32-bit elements, which have to be aligned.
  if (offset % 4 !== 0) throw new WireError(field, offset, offset, 'an offset that is a multiple of 4');
  const numOfVrings = bytes[offset + VDEV_OFFSET.NUM_OF_VRINGS]!;
  const configLen = readU32(bytes, offset + VDEV_OFFSET.CONFIG_LEN, `${field}.config_len`);
  for (let i = 0; i < 2; i++) {
    const at = offset + VDEV_OFFSET.RESERVED + i;
    const reserved = bytes[at]!;
    if (reserved !== 0) throw new WireError(`${field}.reserved[${i}]`, at, reserved, '0');
  }
  const configOffset = offset + VDEV_OFFSET.VRING + numOfVrings * VDEV_VRING_SIZE;
  if (configOffset > bytes.length) {
    const at = offset + VDEV_OFFSET.NUM_OF_VRINGS;
    const room = Math.floor((bytes.length - offset - VDEV_OFFSET.VRING) / VDEV_VRING_SIZE);
    throw new WireError(
      `${field}.num_of_vrings`,
      at,
      numOfVrings,
      `at most ${room} in ${bytes.length} bytes`,
    );
  }
  const maxConfigLen = Math.min(MAX_CONFIG_LEN, bytes.length - configOffset);
  if (configLen > maxConfigLen) {
    const at = offset + VDEV_OFFSET.CONFIG_LEN;
    throw new WireError(`${field}.config_len`, at, configLen, `at most ${maxConfigLen}`);
  }
  const vrings: LocatedVring[] = [];
  for (let i = 0; i < numOfVrings; i++) {
    vrings.push(decodeVring(bytes, offset + VDEV_OFFSET.VRING + i * VDEV_VRING_SIZE, `${field}.vring[${i}]`));
  }
  const config = new Uint8Array(configLen);
  for (let i = 0; i < configLen; i++) config[i] = bytes[configOffset + i]!;
  const entry: LocatedVdev = {
    kind: 'vdev',
    offset,
    id: readU32(bytes, offset + VDEV_OFFSET.ID, `${field}.id`),
    notifyid: readU32(bytes, offset + VDEV_OFFSET.NOTIFYID, `${field}.notifyid`),
    dfeatures: readU32(bytes, offset + VDEV_OFFSET.DFEATURES, `${field}.dfeatures`),
    gfeatures: readU32(bytes, offset + VDEV_OFFSET.GFEATURES, `${field}.gfeatures`),
    status: bytes[offset + VDEV_OFFSET.STATUS]!,
    vrings,
    configOffset,
    config,
  };
  return { entry, end: configOffset + configLen };
}

function decodeVring(bytes: Uint8Array, offset: number, field: string): LocatedVring {
  const align = readU32(bytes, offset + VDEV_VRING_OFFSET.ALIGN, `${field}.align`);
  if (!isPowerOfTwo(align) || align < MIN_VRING_ALIGN) {
    const expected = `a power of two, at least ${MIN_VRING_ALIGN}`;
    throw new WireError(`${field}.align`, offset + VDEV_VRING_OFFSET.ALIGN, align, expected);
  }
  const num = readU32(bytes, offset + VDEV_VRING_OFFSET.NUM, `${field}.num`);
  if (!isPowerOfTwo(num) || num > MAX_VRING_NUM) {
    const expected = `a power of two between 1 and ${MAX_VRING_NUM}`;
    throw new WireError(`${field}.num`, offset + VDEV_VRING_OFFSET.NUM, num, expected);
  }
  return {
    offset,
    da: readU32(bytes, offset + VDEV_VRING_OFFSET.DA, `${field}.da`),
    align,
    num,
    notifyid: readU32(bytes, offset + VDEV_VRING_OFFSET.NOTIFYID, `${field}.notifyid`),
    pa: readU32(bytes, offset + VDEV_VRING_OFFSET.PA, `${field}.pa`),
  };
}

/**
 * Encodes a table: header, offsets, then the entries in order, each at a multiple of 4. An unknown entry is its type alone.
 *
 * @param into receives the table from its first byte
 * @returns the size of the table in bytes
 * @throws WireError when `into` is too small or a name longer than 32 bytes
 */
export function encodeResourceTable(entries: readonly ResourceEntry[], into: Uint8Array): number {
  let end = TABLE_OFFSET.OFFSET + 4 * entries.length;
  const offsets = entries.map((entry) => {
    const offset = alignTo4(end);
    end = offset + sizeOfEntry(entry);
    return offset;
  });
  if (end > into.length) throw new WireError('into', 0, into.length, `at least ${end} bytes`);
  into.fill(0, 0, end);
  writeU32(into, TABLE_OFFSET.VER, RESOURCE_TABLE_VERSION);
  writeU32(into, TABLE_OFFSET.NUM, entries.length);
  entries.forEach((entry, index) => {
    const offset = offsets[index]!;
    writeU32(into, TABLE_OFFSET.OFFSET + 4 * index, offset);
    encodeEntry(entry, into, offset);
  });
  return end;
}

function encodeEntry(entry: ResourceEntry, into: Uint8Array, offset: number): void {
  switch (entry.kind) {
    case 'carveout':
    case 'devmem':
      writeU32(into, offset, entry.kind === 'carveout' ? RSC_TYPE.CARVEOUT : RSC_TYPE.DEVMEM);
      writeU32(into, offset + CARVEOUT_OFFSET.DA, entry.da);
      writeU32(into, offset + CARVEOUT_OFFSET.PA, entry.pa);
      writeU32(into, offset + CARVEOUT_OFFSET.LEN, entry.len);
      writeU32(into, offset + CARVEOUT_OFFSET.FLAGS, entry.flags);
      writeName(into, offset + CARVEOUT_OFFSET.NAME, entry.name);
      break;
    case 'trace':
      writeU32(into, offset, RSC_TYPE.TRACE);
      writeU32(into, offset + TRACE_OFFSET.DA, entry.da);
      writeU32(into, offset + TRACE_OFFSET.LEN, entry.len);
      writeName(into, offset + TRACE_OFFSET.NAME, entry.name);
      break;
    case 'vdev':
      encodeVdev(entry, into, offset);
      break;
    case 'unknown':
      writeU32(into, offset, entry.type);
      break;
  }
}

function encodeVdev(entry: VdevEntry, into: Uint8Array, offset: number): void {
  writeU32(into, offset, RSC_TYPE.VDEV);
  writeU32(into, offset + VDEV_OFFSET.ID, entry.id);
  writeU32(into, offset + VDEV_OFFSET.NOTIFYID, entry.notifyid);
  writeU32(into, offset + VDEV_OFFSET.DFEATURES, entry.dfeatures);
  writeU32(into, offset + VDEV_OFFSET.GFEATURES, entry.gfeatures);
  writeU32(into, offset + VDEV_OFFSET.CONFIG_LEN, entry.config.length);
  into[offset + VDEV_OFFSET.STATUS] = entry.status;
  into[offset + VDEV_OFFSET.NUM_OF_VRINGS] = entry.vrings.length;
  entry.vrings.forEach((vring, index) => {
    const at = offset + VDEV_OFFSET.VRING + index * VDEV_VRING_SIZE;
    writeU32(into, at + VDEV_VRING_OFFSET.DA, vring.da);
    writeU32(into, at + VDEV_VRING_OFFSET.ALIGN, vring.align);
    writeU32(into, at + VDEV_VRING_OFFSET.NUM, vring.num);
    writeU32(into, at + VDEV_VRING_OFFSET.NOTIFYID, vring.notifyid);
    writeU32(into, at + VDEV_VRING_OFFSET.PA, vring.pa);
  });
  into.set(entry.config, offset + VDEV_OFFSET.VRING + entry.vrings.length * VDEV_VRING_SIZE);
}

function sizeOfEntry(entry: ResourceEntry): number {
  switch (entry.kind) {
    case 'carveout':
    case 'devmem':
      return CARVEOUT_SIZE;
    case 'trace':
      return TRACE_SIZE;
    case 'vdev':
      return VDEV_SIZE + entry.vrings.length * VDEV_VRING_SIZE + entry.config.length;
    case 'unknown':
      return 4;
  }
}

function alignTo4(offset: number): number {
  return (offset + 3) & ~3;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

function checkFits(bytes: Uint8Array, offset: number, sizeBytes: number, field: string): void {
  if (offset + sizeBytes > bytes.length) {
    throw new WireError(field, offset, `cut off at ${bytes.length}`, `at least ${offset + sizeBytes} bytes`);
  }
}

function checkZero(bytes: Uint8Array, offset: number, field: string): void {
  const value = readU32(bytes, offset, field);
  if (value !== 0) throw new WireError(field, offset, value, '0');
}

function readU32(bytes: Uint8Array, offset: number, field: string): number {
  if (offset + 4 > bytes.length) {
    throw new WireError(field, offset, `cut off at ${bytes.length}`, `at least ${offset + 4} bytes`);
  }
  const low = bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16);
  return (low | (bytes[offset + 3]! << 24)) >>> 0;
}

function writeU32(into: Uint8Array, offset: number, value: number): void {
  into[offset] = value;
  into[offset + 1] = value >>> 8;
  into[offset + 2] = value >>> 16;
  into[offset + 3] = value >>> 24;
}

/** One character a byte up to the first NUL; what is not ASCII stays visible as Latin-1. */
function readName(bytes: Uint8Array, offset: number): string {
  let name = '';
  for (let i = 0; i < RSC_NAME_SIZE; i++) {
    const byte = bytes[offset + i]!;
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

function writeName(into: Uint8Array, offset: number, name: string): void {
  if (name.length > RSC_NAME_SIZE) {
    throw new WireError('name', offset, name, `at most ${RSC_NAME_SIZE} characters`);
  }
  for (let i = 0; i < name.length; i++) into[offset + i] = name.charCodeAt(i);
}
