/**
 * rpmsg character devices: include/uapi/linux/rpmsg.h. The structure is in the host's byte order, which is little-endian on
 * every machine that this project has an addon for.
 *
 * | structure                | offset | field                                                     |
 * |--------------------------|--------|-----------------------------------------------------------|
 * | rpmsg_endpoint_info (40) | 0      | char name[32]                                             |
 * |                          | 32     | u32 src (the endpoint's own address; ANY: the kernel's choice) |
 * |                          | 36     | u32 dst (where its messages go)                           |
 */
import { WireError } from './wire-error.ts';

/** Bytes of a channel's name, its terminating NUL included. */
export const RPMSG_NAME_SIZE = 32;
export const ENDPOINT_INFO_SIZE = 40;
export const ENDPOINT_INFO_OFFSET = { NAME: 0, SRC: 32, DST: 36 } as const;

/** An address that the kernel is to choose. */
export const RPMSG_ADDR_ANY = 0xffff_ffff;

/** To a `/dev/rpmsg_ctrlN`: makes a `/dev/rpmsgM` (`_IOW(0xb5, 0x1, struct rpmsg_endpoint_info)`). */
export const RPMSG_CREATE_EPT_IOCTL = 0x4028_b501;
/** To a `/dev/rpmsgM` that was made so: ends it (`_IO(0xb5, 0x2)`). */
export const RPMSG_DESTROY_EPT_IOCTL = 0x0000_b502;

export interface RpmsgEndpointInfo {
  /** 1 to 31 bytes of ASCII. */
  readonly name: string;
  readonly src: number;
  readonly dst: number;
}

/** @throws WireError for a name that is empty, too long or not ASCII */
export function encodeEndpointInfo({ name, src, dst }: RpmsgEndpointInfo): Uint8Array {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what is printable is not the question
  if (name.length < 1 || name.length >= RPMSG_NAME_SIZE || !/^[\x01-\x7f]*$/.test(name)) {
    throw new WireError('name', ENDPOINT_INFO_OFFSET.NAME, name, '1 to 31 ASCII characters');
  }
  const bytes = new Uint8Array(ENDPOINT_INFO_SIZE);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  view.setUint32(ENDPOINT_INFO_OFFSET.SRC, src, true);
  view.setUint32(ENDPOINT_INFO_OFFSET.DST, dst, true);
  return bytes;
}

/** @throws WireError for other than 40 bytes, or a name that has no end */
export function decodeEndpointInfo(bytes: Uint8Array): RpmsgEndpointInfo {
  if (bytes.length !== ENDPOINT_INFO_SIZE) {
    throw new WireError('rpmsg_endpoint_info', 0, bytes.length, `a length of ${ENDPOINT_INFO_SIZE} bytes`);
  }
  const end = bytes.indexOf(0);
  if (end < 0 || end >= RPMSG_NAME_SIZE) {
    throw new WireError('name', ENDPOINT_INFO_OFFSET.NAME, 'no NUL', 'a NUL within 32 bytes');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    name: String.fromCharCode(...bytes.subarray(0, end)),
    src: view.getUint32(ENDPOINT_INFO_OFFSET.SRC, true),
    dst: view.getUint32(ENDPOINT_INFO_OFFSET.DST, true),
  };
}
