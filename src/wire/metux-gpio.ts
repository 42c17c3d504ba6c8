/**
 * "metux" virtio-gpio: the protocol of the out-of-tree Linux driver of 2020 and 2021, with devices in the field (device ID 41,
 * 30 in the first drivers). Little-endian; the drivers before June 2021 write native-endian.
 *
 * Queue 0 goes from the device to the CPU: replies, and LEVEL at any time; queue 1 from the CPU to the device.
 *
 * | structure | offset | field                                                                            |
 * |-----------|--------|----------------------------------------------------------------------------------|
 * | config    | 0x00   | u8 version (1)                                                                   |
 * |           | 0x02   | le16 num_gpios                                                                   |
 * |           | 0x04   | le32 names_size                                                                  |
 * |           | 0x20   | char name[32]                                                                    |
 * |           | 0x40   | names block: one NUL-terminated string a line                                    |
 * | message   | 0      | le16 type; a reply has `type | REPLY`                                            |
 * |           | 2      | le16 line                                                                        |
 * |           | 4      | le32 value; of replies signed, a negative errno says what went wrong             |
 */
import { decodeNames } from './virtio-gpio.ts';
import { WireError } from './wire-error.ts';

/** Replies and notifications, into the buffers that the CPU keeps posted there. */
export const FROM_DEVICE_QUEUE = 0;
export const TO_DEVICE_QUEUE = 1;

export const METUX_VERSION = 1;
export const METUX_CONFIG_SIZE = 64;
export const METUX_MESSAGE_SIZE = 8;

export const CONFIG_VERSION_OFFSET = 0;
export const CONFIG_LINES_OFFSET = 2;
export const CONFIG_NAMES_SIZE_OFFSET = 4;
export const CONFIG_NAME_OFFSET = 0x20;
export const CONFIG_NAME_SIZE = 32;

export const MESSAGE_TYPE_OFFSET = 0;
export const MESSAGE_LINE_OFFSET = 2;
export const MESSAGE_VALUE_OFFSET = 4;

/** The line is going to be used. */
export const METUX_REQUEST = 0x0001;
export const METUX_DIRECTION_INPUT = 0x0002;
/** Direction and level at once. */
export const METUX_DIRECTION_OUTPUT = 0x0003;
export const METUX_GET_DIRECTION = 0x0004;
export const METUX_GET_LEVEL = 0x0005;
/** Outputs only; the reply's value is the new level. */
export const METUX_SET_LEVEL = 0x0006;
/** From the device, unasked: the level of a line has changed. Never answered. */
export const METUX_LEVEL = 0x0011;

/** What a reply's type has besides the request's: since June 2021. */
export const REPLY_2021 = 0x8000;
/** Of the drivers of November and December 2020. */
export const REPLY_2020 = 0xf000;
/** Set in replies of either kind. */
export const REPLY_BIT = 0x8000;
/** What of a reply's type is the request's. */
export const COMMAND_MASK = 0x0fff;

/** GET_DIRECTION's answers: unlike virtio-gpio's numbers. */
export const METUX_DIRECTION_OUT = 0;
export const METUX_DIRECTION_IN = 1;

/** Linux's errno numbers, as replies carry them, negative. */
export const EPERM = 1;
export const EIO = 5;
export const EACCES = 13;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOSYS = 38;
export const EOPNOTSUPP = 95;
export const ETIMEDOUT = 110;

export interface MetuxConfig {
  /** 1 to 65535. */
  readonly lineCount: number;
  /** Bytes of the names block; 0 = no names. */
  readonly namesSize: number;
  /** The device's own name. */
  readonly name: string;
}

export interface MetuxMessage {
  /** `METUX_…`, with a reply bit in replies. */
  readonly type: number;
  readonly line: number;
  /** Signed. */
  readonly value: number;
}

/**
 * Whether a config space of device ID 41 is this protocol's. The length decides (the standard's has 8 bytes), since a standard
 * device of one line begins with 1, too; in case of a longer config space of the standard the bytes that are its padding, and
 * here the number of lines, are 0.
 */
export function isMetuxConfig(bytes: Uint8Array): boolean {
  if (bytes.length < METUX_CONFIG_SIZE || bytes[CONFIG_VERSION_OFFSET] !== METUX_VERSION) return false;
  return bytes[CONFIG_LINES_OFFSET] !== 0 || bytes[CONFIG_LINES_OFFSET + 1] !== 0;
}

/** @throws WireError when it is too short, of another version, or has no lines */
export function decodeMetuxConfig(bytes: Uint8Array): MetuxConfig {
  if (bytes.length < METUX_CONFIG_SIZE)
    throw new WireError('config', 0, bytes.length, `at least ${METUX_CONFIG_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(CONFIG_VERSION_OFFSET);
  if (version !== METUX_VERSION)
    throw new WireError('version', CONFIG_VERSION_OFFSET, version, `${METUX_VERSION}`);
  const lineCount = view.getUint16(CONFIG_LINES_OFFSET, true);
  if (lineCount === 0) throw new WireError('num_gpios', CONFIG_LINES_OFFSET, 0, 'at least 1');
  let name = '';
  for (let at = CONFIG_NAME_OFFSET; at < CONFIG_NAME_OFFSET + CONFIG_NAME_SIZE; at++) {
    const byte = bytes[at] as number;
    if (byte === 0) break;
    // Only shown to people: what cannot be shown must not keep the device from being used.
    name += byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : '?';
  }
  return { lineCount, namesSize: view.getUint32(CONFIG_NAMES_SIZE_OFFSET, true), name };
}

/**
 * The names in a config space, '' for a line without.
 * @throws WireError for a block that is cut short or does not hold one string a line
 */
export function decodeMetuxNames(bytes: Uint8Array, { lineCount, namesSize }: MetuxConfig): string[] {
  if (namesSize === 0) return new Array<string>(lineCount).fill('');
  const left = bytes.length - METUX_CONFIG_SIZE;
  if (namesSize > left)
    throw new WireError('names_size', CONFIG_NAMES_SIZE_OFFSET, namesSize, `at most ${left}, which follow`);
  return decodeNames(bytes.subarray(METUX_CONFIG_SIZE, METUX_CONFIG_SIZE + namesSize), lineCount);
}

/** A whole config space. @param name cut to 31 bytes  @param names the names block, as encodeNames gives it */
export function encodeMetuxConfig(name: string, lineCount: number, names: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(METUX_CONFIG_SIZE + names.length);
  const view = new DataView(bytes.buffer);
  bytes[CONFIG_VERSION_OFFSET] = METUX_VERSION;
  view.setUint16(CONFIG_LINES_OFFSET, lineCount, true);
  view.setUint32(CONFIG_NAMES_SIZE_OFFSET, names.length, true);
  putName(bytes, CONFIG_NAME_OFFSET, name);
  bytes.set(names, METUX_CONFIG_SIZE);
  return bytes;
}

/** A NUL-terminated name in 32 bytes, cut where it is longer; what is not ASCII is shown as `?`. */
export function putName(bytes: Uint8Array, at: number, name: string): void {
  for (let i = 0; i < Math.min(name.length, CONFIG_NAME_SIZE - 1); i++) {
    const code = name.charCodeAt(i);
    bytes[at + i] = code >= 0x20 && code <= 0x7e ? code : 0x3f;
  }
}

/** @throws WireError when it is cut short */
export function decodeMetuxMessage(bytes: Uint8Array): MetuxMessage {
  if (bytes.length < METUX_MESSAGE_SIZE)
    throw new WireError('message', 0, bytes.length, `at least ${METUX_MESSAGE_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    type: view.getUint16(MESSAGE_TYPE_OFFSET, true),
    line: view.getUint16(MESSAGE_LINE_OFFSET, true),
    value: view.getInt32(MESSAGE_VALUE_OFFSET, true),
  };
}

/** @param value may be negative */
export function encodeMetuxMessage(
  { type, line, value }: MetuxMessage,
  bytes = new Uint8Array(METUX_MESSAGE_SIZE),
): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint16(MESSAGE_TYPE_OFFSET, type, true);
  view.setUint16(MESSAGE_LINE_OFFSET, line, true);
  view.setInt32(MESSAGE_VALUE_OFFSET, value, true);
  return bytes;
}
