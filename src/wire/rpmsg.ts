/**
 * rpmsg over virtio (Linux `virtio_rpmsg_bus`, OpenAMP, rpmsg-lite; device ID 7). vring 0 carries messages from the co-processor to
 * Linux, vring 1 those from Linux. Linux is the driver of both and owns the buffers. How large these are is an agreement that no
 * field carries: 512 bytes unless both sides were built for another size.
 *
 * | structure    | offset | field                                                          |
 * |--------------|--------|----------------------------------------------------------------|
 * | header       | 0      | le32 src                                                       |
 * |              | 4      | le32 dst                                                       |
 * |              | 8      | le32 reserved                                                  |
 * |              | 12     | le16 len, of what follows the header                           |
 * |              | 14     | le16 flags                                                     |
 * | announcement | 0      | char name[32], NUL-terminated                                  |
 * |              | 32     | le32 addr                                                      |
 * |              | 36     | le32 flags (bit 0: the channel is destroyed, else created)     |
 */
import { WireError } from './wire-error.ts';

export const VIRTIO_ID_RPMSG = 7;
/** Feature bit number: the co-processor announces its channels. */
export const VIRTIO_RPMSG_F_NS = 0;

/** From the co-processor to Linux. */
export const RECEIVE_QUEUE = 0;
/** From Linux to the co-processor. */
export const TRANSMIT_QUEUE = 1;

/** Bytes of a buffer, header included, unless both sides agreed on another size. */
export const DEFAULT_BUFFER_SIZE = 512;

/** Where announcements are sent to. */
export const NAME_SERVICE_ADDRESS = 53;
/** Lower addresses are for well-known services. */
export const FIRST_DYNAMIC_ADDRESS = 1024;
/** No particular address: never one that a message carries. */
export const ANY_ADDRESS = 0xffff_ffff;

export const HEADER_SIZE = 16;
export const SOURCE_OFFSET = 0;
export const DESTINATION_OFFSET = 4;
export const RESERVED_OFFSET = 8;
export const LENGTH_OFFSET = 12;
export const FLAGS_OFFSET = 14;

/** Longest payload that the header can tell. */
export const MAX_PAYLOAD_SIZE = 0xffff;

export const ANNOUNCEMENT_SIZE = 40;
/** Bytes of a channel's name, its NUL included. */
export const NAME_SIZE = 32;
export const ANNOUNCED_ADDRESS_OFFSET = 32;
export const ANNOUNCEMENT_FLAGS_OFFSET = 36;
/** Announcement flag: the channel goes away. */
export const ANNOUNCEMENT_DESTROY = 1;

export interface RpmsgHeader {
  readonly source: number;
  readonly destination: number;
  /** Of the payload, in bytes. */
  readonly length: number;
  /** None is defined. */
  readonly flags: number;
}

export interface RpmsgAnnouncement {
  /** 1 to 31 printable ASCII characters. */
  readonly name: string;
  /** Of the channel's endpoint on the co-processor. */
  readonly address: number;
  /** The channel goes away; else it is new. */
  readonly destroyed: boolean;
}

/**
 * The header of a message in its buffer.
 * @param bytes the used part of the buffer, from the header on
 * @throws WireError when the header is cut short, or the payload would reach beyond `bytes`
 */
export function decodeHeader(bytes: Uint8Array): RpmsgHeader {
  if (bytes.length < HEADER_SIZE)
    throw new WireError('message', 0, bytes.length, `at least ${HEADER_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint16(LENGTH_OFFSET, true);
  if (length > bytes.length - HEADER_SIZE)
    throw new WireError(
      'len',
      LENGTH_OFFSET,
      length,
      `at most the ${bytes.length - HEADER_SIZE} bytes there are`,
    );
  return {
    source: view.getUint32(SOURCE_OFFSET, true),
    destination: view.getUint32(DESTINATION_OFFSET, true),
    length,
    flags: view.getUint16(FLAGS_OFFSET, true),
  };
}

/** @throws WireError when `into` is too short or a number does not fit its field */
export function encodeHeader(header: RpmsgHeader, into: Uint8Array): void {
  if (into.length < HEADER_SIZE)
    throw new WireError('message', 0, into.length, `room for ${HEADER_SIZE} bytes`);
  if (header.length > MAX_PAYLOAD_SIZE)
    throw new WireError('len', LENGTH_OFFSET, header.length, `at most ${MAX_PAYLOAD_SIZE}`);
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  view.setUint32(SOURCE_OFFSET, header.source, true);
  view.setUint32(DESTINATION_OFFSET, header.destination, true);
  view.setUint32(RESERVED_OFFSET, 0, true);
  view.setUint16(LENGTH_OFFSET, header.length, true);
  view.setUint16(FLAGS_OFFSET, header.flags, true);
}

/**
 * The payload of a message to the name service. Linux cuts a name without a NUL off; here it is refused: what was announced is
 * then not the name that firmware and configuration know.
 * @throws WireError for another size, a name that is empty, not printable or without a NUL, and the address "any"
 */
export function decodeAnnouncement(bytes: Uint8Array): RpmsgAnnouncement {
  if (bytes.length !== ANNOUNCEMENT_SIZE)
    throw new WireError('announcement', 0, bytes.length, `${ANNOUNCEMENT_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let name = '';
  let at = 0;
  for (; at < NAME_SIZE; at++) {
    const byte = bytes[at] as number;
    if (byte === 0) break;
    if (byte < 0x20 || byte > 0x7e) throw new WireError('name', at, byte, 'a printable ASCII character');
    name += String.fromCharCode(byte);
  }
  if (at === NAME_SIZE) throw new WireError('name', 0, name, `a NUL within ${NAME_SIZE} bytes`);
  if (name === '') throw new WireError('name', 0, name, 'at least one character');
  const address = view.getUint32(ANNOUNCED_ADDRESS_OFFSET, true);
  if (address === ANY_ADDRESS)
    throw new WireError('addr', ANNOUNCED_ADDRESS_OFFSET, address, 'the address of an endpoint');
  const flags = view.getUint32(ANNOUNCEMENT_FLAGS_OFFSET, true);
  return { name, address, destroyed: (flags & ANNOUNCEMENT_DESTROY) !== 0 };
}

/** @throws WireError for a name that is empty, too long or not printable */
export function encodeAnnouncement(announcement: RpmsgAnnouncement): Uint8Array {
  const { name, address, destroyed } = announcement;
  if (name.length >= NAME_SIZE || !/^[\x20-\x7e]+$/.test(name))
    throw new WireError('name', 0, name, `1 to ${NAME_SIZE - 1} printable ASCII characters`);
  const bytes = new Uint8Array(ANNOUNCEMENT_SIZE);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  view.setUint32(ANNOUNCED_ADDRESS_OFFSET, address, true);
  view.setUint32(ANNOUNCEMENT_FLAGS_OFFSET, destroyed ? ANNOUNCEMENT_DESTROY : 0, true);
  return bytes;
}
