/**
 * virtio-gpio messages (virtio 1.2, section 5.18; device ID 41).
 *
 * | structure | offset | field                                                   |
 * |-----------|--------|---------------------------------------------------------|
 * | config    | 0      | le16 ngpio                                              |
 * |           | 2      | u8 padding[2]                                           |
 * |           | 4      | le32 gpio_names_size                                    |
 * | request   | 0      | le16 type                                               |
 * |           | 2      | le16 gpio                                               |
 * |           | 4      | le32 value                                              |
 * | response  | 0      | u8 status                                               |
 * |           | 1      | u8 value (GET_LINE_NAMES: u8 value[gpio_names_size])    |
 * | event     | 0      | le16 gpio (device-readable), then u8 status (writable)  |
 */
import { WireError } from './wire-error.ts';

export const VIRTIO_ID_GPIO = 41;
/** Feature bit number: the event queue and SET_IRQ_TYPE. */
export const VIRTIO_GPIO_F_IRQ = 0;

export const REQUEST_QUEUE = 0;
export const EVENT_QUEUE = 1;

export const CONFIG_SIZE = 8;
export const REQUEST_SIZE = 8;
export const RESPONSE_SIZE = 2;
export const EVENT_REQUEST_SIZE = 2;
export const EVENT_RESPONSE_SIZE = 1;

export const REQUEST_TYPE_OFFSET = 0;
export const REQUEST_GPIO_OFFSET = 2;
export const REQUEST_VALUE_OFFSET = 4;

export const MSG_GET_LINE_NAMES = 1;
export const MSG_GET_DIRECTION = 2;
export const MSG_SET_DIRECTION = 3;
export const MSG_GET_VALUE = 4;
export const MSG_SET_VALUE = 5;
export const MSG_SET_IRQ_TYPE = 6;

export const STATUS_OK = 0;
export const STATUS_ERR = 1;

export const EVENT_INVALID = 0;
export const EVENT_VALID = 1;

export interface VirtioGpioConfig {
  /** Number of lines, 1 to 65535. */
  readonly lineCount: number;
  /** Bytes of the names block; 0 = no names. */
  readonly namesSize: number;
}

/** @throws WireError when `bytes` is too short */
export function decodeConfig(bytes: Uint8Array): VirtioGpioConfig {
  if (bytes.length < CONFIG_SIZE)
    throw new WireError('config', 0, bytes.length, `at least ${CONFIG_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { lineCount: view.getUint16(0, true), namesSize: view.getUint32(4, true) };
}

export function encodeConfig(config: VirtioGpioConfig): Uint8Array {
  const bytes = new Uint8Array(CONFIG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, config.lineCount, true);
  view.setUint32(4, config.namesSize, true);
  return bytes;
}

/**
 * The names block: one NUL-terminated 7-bit ASCII string a line, an empty one for a line without a name.
 * @throws WireError for a block that does not hold exactly `lineCount` strings, or a byte that is not ASCII
 */
export function decodeNames(block: Uint8Array, lineCount: number): string[] {
  const names: string[] = [];
  let name = '';
  for (let i = 0; i < block.length; i++) {
    const byte = block[i] as number;
    if (byte === 0) {
      names.push(name);
      name = '';
      if (names.length > lineCount) throw new WireError('names', i, names.length, `${lineCount} names`);
    } else if (byte > 0x7e || byte < 0x20) {
      throw new WireError('names', i, byte, 'a printable ASCII character');
    } else {
      name += String.fromCharCode(byte);
    }
  }
  if (name !== '') throw new WireError('names', block.length, name, 'a NUL after the last name');
  if (names.length !== lineCount)
    throw new WireError('names', block.length, names.length, `${lineCount} names`);
  return names;
}

/**
 * The names block of a device; an empty block when no line has a name.
 * @throws WireError for a name that is not printable ASCII or used twice
 */
export function encodeNames(names: readonly string[]): Uint8Array {
  if (names.every((name) => name === '')) return new Uint8Array(0);
  const seen = new Set<string>();
  for (const [at, name] of names.entries()) {
    if (!/^[\x20-\x7e]*$/.test(name))
      throw new WireError(`names[${at}]`, 0, name, 'printable ASCII characters');
    if (name !== '' && seen.has(name))
      throw new WireError(`names[${at}]`, 0, name, 'a name that no other line has');
    seen.add(name);
  }
  return Uint8Array.from(names.flatMap((name) => [...name].map((c) => c.charCodeAt(0)).concat(0)));
}
