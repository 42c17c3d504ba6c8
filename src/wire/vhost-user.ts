/**
 * vhost-user messages (QEMU `docs/interop/vhost-user.rst`). Integers are in the native endianness of the machine that
 * both ends run on; all machines that this runs on are little-endian. u64 fields are bigint: this is the control path.
 *
 * | header      | at | | vring state | at | | vring address   | at | | memory region       | at | | config     | at | | in-flight       | at |
 * |-------------|----|-|-------------|----|-|-----------------|----|-|---------------------|----|-|------------|----|-|-----------------|----|
 * | u32 request | 0  | | u32 index   | 0  | | u32 index       | 0  | | u64 guest physical  | 0  | | u32 offset | 0  | | u64 mmap size   | 0  |
 * | u32 flags   | 4  | | u32 num     | 4  | | u32 flags       | 4  | | u64 size            | 8  | | u32 size   | 4  | | u64 mmap offset | 8  |
 * | u32 size    | 8  | |             |    | | u64 descriptor  | 8  | | u64 user address    | 16 | | u32 flags  | 8  | | u16 queues      | 16 |
 * | payload     | 12 | |             |    | | u64 used        | 16 | | u64 mmap offset     | 24 | | u8 data[]  | 12 | | u16 queue size  | 18 |
 * |             |    | |             |    | | u64 available   | 24 | |                     |    | |            |    | | padding         | 20 |
 * |             |    | |             |    | | u64 log         | 32 | |                     |    | |            |    | |                 |    |
 *
 * Memory table: u32 number of regions, u32 padding, then the regions. Single region: u64 padding, then the region.
 */
import { WireError } from './wire-error.ts';

/** Size of the header in bytes. */
export const HEADER_SIZE = 12;

/** Offsets within the header. */
export const HEADER_OFFSET = { REQUEST: 0, FLAGS: 4, SIZE: 8 } as const;

/**
 * The largest payload that is taken. The format knows no limit; this one leaves room for every message there is, with a
 * config space of nearly 4 KiB, and keeps a peer's number from making us wait for gigabytes.
 */
export const MAX_PAYLOAD_SIZE = 4096;

/** The only version there is (bits 0 and 1 of the flags). */
export const VERSION = 1;

/** Bits of the header's flags. */
export const HEADER_FLAG = {
  /** Bits 0 and 1: the version. */
  VERSION_MASK: 0x3,
  /** This message answers one. */
  REPLY: 0x4,
  /** An answer is wanted also where the request has none of its own (with REPLY_ACK). */
  NEED_REPLY: 0x8,
} as const;

/** Requests of the front-end. */
export const REQUEST = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SEND_RARP: 19,
  NET_SET_MTU: 20,
  SET_BACKEND_REQ_FD: 21,
  IOTLB_MSG: 22,
  SET_VRING_ENDIAN: 23,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  CREATE_CRYPTO_SESSION: 26,
  CLOSE_CRYPTO_SESSION: 27,
  POSTCOPY_ADVISE: 28,
  POSTCOPY_LISTEN: 29,
  POSTCOPY_END: 30,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  GPU_SET_SOCKET: 33,
  RESET_DEVICE: 34,
  VRING_KICK: 35,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

/** Requests of the back-end, on the socket of SET_BACKEND_REQ_FD. */
export const BACKEND_REQUEST = {
  IOTLB_MSG: 1,
  /** The device's config space has changed; no payload. */
  CONFIG_CHANGE: 2,
  VRING_HOST_NOTIFIER: 3,
  VRING_CALL: 4,
  VRING_ERR: 5,
} as const;

/** The bit of GET/SET_FEATURES that is vhost-user's own; the others are virtio's (wire/vring.ts and the device's). */
export const F_PROTOCOL_FEATURES = 1n << 30n;
/** The back-end logs what it writes, for migration. */
export const F_LOG_ALL = 1n << 26n;

/** Bits of GET/SET_PROTOCOL_FEATURES. */
export const PROTOCOL_FEATURE = {
  MQ: 1n << 0n,
  LOG_SHMFD: 1n << 1n,
  RARP: 1n << 2n,
  REPLY_ACK: 1n << 3n,
  MTU: 1n << 4n,
  BACKEND_REQ: 1n << 5n,
  CROSS_ENDIAN: 1n << 6n,
  CRYPTO_SESSION: 1n << 7n,
  PAGEFAULT: 1n << 8n,
  CONFIG: 1n << 9n,
  BACKEND_SEND_FD: 1n << 10n,
  HOST_NOTIFIER: 1n << 11n,
  INFLIGHT_SHMFD: 1n << 12n,
  RESET_DEVICE: 1n << 13n,
  INBAND_NOTIFICATIONS: 1n << 14n,
  CONFIGURE_MEM_SLOTS: 1n << 15n,
  STATUS: 1n << 16n,
} as const;

/** Sizes of the payloads in bytes; of MEMORY_TABLE and CONFIG the part before what varies. */
export const PAYLOAD_SIZE = {
  U64: 8,
  VRING_STATE: 8,
  VRING_ADDRESS: 40,
  MEMORY_TABLE: 8,
  MEMORY_REGION: 32,
  SINGLE_MEMORY_REGION: 40,
  CONFIG: 12,
  /** The C struct's, with its trailing padding. */
  INFLIGHT: 24,
} as const;

/** Regions of one SET_MEM_TABLE, and descriptors of one message. */
export const MAX_MEMORY_REGIONS = 8;

/** SET_VRING_KICK, CALL and ERR: the message carries no descriptor (bit 8). */
export const VRING_NO_FD = 0x100;
/** SET_VRING_KICK, CALL and ERR: the bits of the vring's index. */
export const VRING_INDEX_MASK = 0xff;

/** SET_VRING_ADDR: log what is written to the used ring. */
export const VRING_F_LOG = 1;

/** Flags of SET_CONFIG. */
export const CONFIG_FLAG = { WRITABLE: 0, MIGRATION: 1 } as const;

/** The largest config space that one message can carry, in bytes. */
export const MAX_CONFIG_SIZE = MAX_PAYLOAD_SIZE - PAYLOAD_SIZE.CONFIG;

export interface VhostUserHeader {
  /** One of {@link REQUEST} or {@link BACKEND_REQUEST}, or one that this list does not know. */
  readonly request: number;
  /** {@link HEADER_FLAG} bits, the version included. */
  readonly flags: number;
  /** Of the payload, in bytes. */
  readonly size: number;
}

/** SET_VRING_NUM, SET/GET_VRING_BASE, SET_VRING_ENABLE. */
export interface VringState {
  readonly index: number;
  readonly num: number;
}

/** SET_VRING_KICK, CALL, ERR. */
export interface VringDescriptor {
  readonly index: number;
  /** False: no descriptor comes with the message (poll instead, or stop signalling). */
  readonly hasDescriptor: boolean;
}

/** SET_VRING_ADDR. The addresses are the front-end's own (virtual) ones. */
export interface VringAddress {
  readonly index: number;
  /** {@link VRING_F_LOG} */
  readonly flags: number;
  readonly descriptor: bigint;
  readonly used: bigint;
  readonly available: bigint;
  /** Guest-physical address of the used ring, for logging. */
  readonly log: bigint;
}

export interface MemoryRegion {
  readonly guestPhysicalAddress: bigint;
  readonly sizeBytes: bigint;
  /** Where the front-end has mapped it: ring addresses are given in these terms. */
  readonly userAddress: bigint;
  /** Where the region begins in the file of its descriptor, in bytes. */
  readonly mmapOffset: bigint;
}

/** GET_CONFIG and its answer, SET_CONFIG. */
export interface ConfigPayload {
  /** In bytes from the start of the config space. */
  readonly offset: number;
  /** {@link CONFIG_FLAG} */
  readonly flags: number;
  readonly bytes: Uint8Array;
}

/** GET_INFLIGHT_FD and its answer, SET_INFLIGHT_FD. */
export interface InflightDescription {
  readonly mmapSizeBytes: bigint;
  readonly mmapOffset: bigint;
  readonly queues: number;
  readonly queueSize: number;
}

const U64_END = 1n << 64n;

function viewOf(bytes: Uint8Array, sizeBytes: number, field: string): DataView {
  if (bytes.length < sizeBytes) {
    throw new WireError(`${field}.size`, bytes.length, bytes.length, `at least ${sizeBytes} bytes`);
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * @param bytes at least 12 bytes, the header first
 * @throws WireError for another version than 1 or a payload above {@link MAX_PAYLOAD_SIZE}. An unknown request is none
 */
export function decodeHeader(bytes: Uint8Array): VhostUserHeader {
  const view = viewOf(bytes, HEADER_SIZE, 'header');
  const request = view.getUint32(HEADER_OFFSET.REQUEST, true);
  const flags = view.getUint32(HEADER_OFFSET.FLAGS, true);
  const size = view.getUint32(HEADER_OFFSET.SIZE, true);
  if ((flags & HEADER_FLAG.VERSION_MASK) !== VERSION) {
    throw new WireError('header.flags', HEADER_OFFSET.FLAGS, flags, `version ${VERSION} in bits 0 and 1`);
  }
  if (size > MAX_PAYLOAD_SIZE) {
    throw new WireError('header.size', HEADER_OFFSET.SIZE, size, `at most ${MAX_PAYLOAD_SIZE}`);
  }
  return { request, flags, size };
}

export function encodeHeader(header: VhostUserHeader, into: Uint8Array): void {
  const view = viewOf(into, HEADER_SIZE, 'header');
  view.setUint32(HEADER_OFFSET.REQUEST, header.request, true);
  view.setUint32(HEADER_OFFSET.FLAGS, header.flags, true);
  view.setUint32(HEADER_OFFSET.SIZE, header.size, true);
}

/**
 * A whole message.
 *
 * @param flags {@link HEADER_FLAG} bits; the version is added
 */
export function encodeMessage(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_SIZE + payload.length);
  encodeHeader({ request, flags: flags | VERSION, size: payload.length }, message);
  message.set(payload, HEADER_SIZE);
  return message;
}

/**
 * GET/SET_FEATURES, GET/SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, SET/GET_STATUS, and the answer that
 * REPLY_ACK asks for (0 = done).
 *
 * @throws WireError
 */
export function decodeU64(bytes: Uint8Array): bigint {
  return viewOf(bytes, PAYLOAD_SIZE.U64, 'u64').getBigUint64(0, true);
}

export function encodeU64(value: bigint, into: Uint8Array): void {
  viewOf(into, PAYLOAD_SIZE.U64, 'u64').setBigUint64(0, value, true);
}

/** @throws WireError */
export function decodeVringState(bytes: Uint8Array): VringState {
  const view = viewOf(bytes, PAYLOAD_SIZE.VRING_STATE, 'vring state');
  return { index: view.getUint32(0, true), num: view.getUint32(4, true) };
}

export function encodeVringState(state: VringState, into: Uint8Array): void {
  const view = viewOf(into, PAYLOAD_SIZE.VRING_STATE, 'vring state');
  view.setUint32(0, state.index, true);
  view.setUint32(4, state.num, true);
}

/** @throws WireError when bits beyond the index and the no-descriptor bit are set */
export function decodeVringDescriptor(bytes: Uint8Array): VringDescriptor {
  const value = viewOf(bytes, PAYLOAD_SIZE.U64, 'vring descriptor').getBigUint64(0, true);
  if (value > BigInt(VRING_NO_FD | VRING_INDEX_MASK)) {
    throw new WireError('vring descriptor.u64', 0, value, 'an index below 256, and bit 8 for no descriptor');
  }
  const low = Number(value);
  return { index: low & VRING_INDEX_MASK, hasDescriptor: (low & VRING_NO_FD) === 0 };
}

export function encodeVringDescriptor(vring: VringDescriptor, into: Uint8Array): void {
  encodeU64(BigInt(vring.index | (vring.hasDescriptor ? 0 : VRING_NO_FD)), into);
}

/** @throws WireError */
export function decodeVringAddress(bytes: Uint8Array): VringAddress {
  const view = viewOf(bytes, PAYLOAD_SIZE.VRING_ADDRESS, 'vring address');
  return {
    index: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    descriptor: view.getBigUint64(8, true),
    used: view.getBigUint64(16, true),
    available: view.getBigUint64(24, true),
    log: view.getBigUint64(32, true),
  };
}

export function encodeVringAddress(address: VringAddress, into: Uint8Array): void {
  const view = viewOf(into, PAYLOAD_SIZE.VRING_ADDRESS, 'vring address');
  view.setUint32(0, address.index, true);
  view.setUint32(4, address.flags, true);
  view.setBigUint64(8, address.descriptor, true);
  view.setBigUint64(16, address.used, true);
  view.setBigUint64(24, address.available, true);
  view.setBigUint64(32, address.log, true);
}

/** None of a region's three ranges may be empty or wrap around 2^64: every later sum relies on it. */
function decodeRegionAt(view: DataView, at: number, field: string): MemoryRegion {
  const region = {
    guestPhysicalAddress: view.getBigUint64(at, true),
    sizeBytes: view.getBigUint64(at + 8, true),
    userAddress: view.getBigUint64(at + 16, true),
    mmapOffset: view.getBigUint64(at + 24, true),
  };
  const { sizeBytes } = region;
  if (sizeBytes === 0n) throw new WireError(`${field}.size`, at + 8, sizeBytes, 'at least 1');
  const limit = U64_END - sizeBytes;
  const wanted = `at most 2^64 less the size of ${sizeBytes}`;
  if (region.guestPhysicalAddress > limit) {
    throw new WireError(`${field}.guest_phys_addr`, at, region.guestPhysicalAddress, wanted);
  }
  if (region.userAddress > limit) {
    throw new WireError(`${field}.userspace_addr`, at + 16, region.userAddress, wanted);
  }
  if (region.mmapOffset > limit) {
    throw new WireError(`${field}.mmap_offset`, at + 24, region.mmapOffset, wanted);
  }
  return region;
}

function encodeRegionAt(view: DataView, at: number, region: MemoryRegion): void {
  view.setBigUint64(at, region.guestPhysicalAddress, true);
  view.setBigUint64(at + 8, region.sizeBytes, true);
  view.setBigUint64(at + 16, region.userAddress, true);
  view.setBigUint64(at + 24, region.mmapOffset, true);
}

/**
 * SET_MEM_TABLE. Bytes after the last region are ignored: User-Mode Linux always sends room for two.
 *
 * @throws WireError for 0 or more than 8 regions, or a region that is empty or wraps around
 */
export function decodeMemoryTable(bytes: Uint8Array): MemoryRegion[] {
  const view = viewOf(bytes, PAYLOAD_SIZE.MEMORY_TABLE, 'memory table');
  const count = view.getUint32(0, true);
  if (count < 1 || count > MAX_MEMORY_REGIONS) {
    throw new WireError('memory table.num_regions', 0, count, `between 1 and ${MAX_MEMORY_REGIONS}`);
  }
  viewOf(bytes, memoryTableSize(count), 'memory table');
  const regions: MemoryRegion[] = [];
  for (let index = 0; index < count; index++) {
    regions.push(decodeRegionAt(view, memoryTableSize(index), `memory table.region[${index}]`));
  }
  return regions;
}

/** Bytes of a memory table of `count` regions. */
export function memoryTableSize(count: number): number {
  return PAYLOAD_SIZE.MEMORY_TABLE + count * PAYLOAD_SIZE.MEMORY_REGION;
}

export function encodeMemoryTable(regions: readonly MemoryRegion[], into: Uint8Array): void {
  const view = viewOf(into, memoryTableSize(regions.length), 'memory table');
  view.setUint32(0, regions.length, true);
  view.setUint32(4, 0, true);
  for (const [index, region] of regions.entries()) encodeRegionAt(view, memoryTableSize(index), region);
}

/**
 * ADD_MEM_REG, REM_MEM_REG.
 *
 * @throws WireError for a region that is empty or wraps around
 */
export function decodeSingleMemoryRegion(bytes: Uint8Array): MemoryRegion {
  return decodeRegionAt(
    viewOf(bytes, PAYLOAD_SIZE.SINGLE_MEMORY_REGION, 'memory region'),
    8,
    'memory region',
  );
}

export function encodeSingleMemoryRegion(region: MemoryRegion, into: Uint8Array): void {
  const view = viewOf(into, PAYLOAD_SIZE.SINGLE_MEMORY_REGION, 'memory region');
  view.setBigUint64(0, 0n, true);
  encodeRegionAt(view, 8, region);
}

/**
 * GET_CONFIG, SET_CONFIG. Whether offset and size lie in the device's config space is the device's to check.
 *
 * @returns `bytes` is a view of what was given
 * @throws WireError when fewer bytes follow than the size says
 */
export function decodeConfig(bytes: Uint8Array): ConfigPayload {
  const view = viewOf(bytes, PAYLOAD_SIZE.CONFIG, 'config');
  const size = view.getUint32(4, true);
  const there = bytes.length - PAYLOAD_SIZE.CONFIG;
  if (size > there) throw new WireError('config.size', 4, size, `at most ${there}, the bytes that follow`);
  return {
    offset: view.getUint32(0, true),
    flags: view.getUint32(8, true),
    bytes: bytes.subarray(PAYLOAD_SIZE.CONFIG, PAYLOAD_SIZE.CONFIG + size),
  };
}

export function encodeConfig(config: ConfigPayload, into: Uint8Array): void {
  const view = viewOf(into, PAYLOAD_SIZE.CONFIG + config.bytes.length, 'config');
  view.setUint32(0, config.offset, true);
  view.setUint32(4, config.bytes.length, true);
  view.setUint32(8, config.flags, true);
  into.set(config.bytes, PAYLOAD_SIZE.CONFIG);
}

/** @throws WireError */
export function decodeInflight(bytes: Uint8Array): InflightDescription {
  const view = viewOf(bytes, PAYLOAD_SIZE.INFLIGHT - 4, 'inflight');
  return {
    mmapSizeBytes: view.getBigUint64(0, true),
    mmapOffset: view.getBigUint64(8, true),
    queues: view.getUint16(16, true),
    queueSize: view.getUint16(18, true),
  };
}

export function encodeInflight(inflight: InflightDescription, into: Uint8Array): void {
  const view = viewOf(into, PAYLOAD_SIZE.INFLIGHT, 'inflight');
  view.setBigUint64(0, inflight.mmapSizeBytes, true);
  view.setBigUint64(8, inflight.mmapOffset, true);
  view.setUint16(16, inflight.queues, true);
  view.setUint16(18, inflight.queueSize, true);
  view.setUint32(20, 0, true);
}
