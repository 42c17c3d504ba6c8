/**
 * virtio-gpio as drafted in June 2021 on the way to the standard; guest kernels with that patch series speak it. Device ID 41,
 * one queue, no interrupts. Little-endian.
 *
 * | structure | offset | field                                                                |
 * |-----------|--------|----------------------------------------------------------------------|
 * | config    | 0      | char name[32]                                                        |
 * |           | 32     | le16 ngpio                                                           |
 * |           | 34     | le16 padding                                                         |
 * |           | 36     | le32 gpio_names_size                                                 |
 * |           | 40     | names block: one NUL-terminated string a line, none of them empty    |
 * | request   | 0      | le16 type                                                            |
 * |           | 2      | le16 gpio                                                            |
 * |           | 4      | u8 data                                                              |
 * |           | 5      | u8 padding                                                           |
 * | response  | 0      | u8 status (0 OK, 1 ERR)                                              |
 * |           | 1      | u8 data                                                              |
 */
import { CONFIG_NAME_SIZE, putName } from './metux-gpio.ts';
import { encodeNames } from './virtio-gpio.ts';
import { WireError } from './wire-error.ts';

export const COMMAND_QUEUE = 0;

export const DRAFT_CONFIG_SIZE = 40;
export const DRAFT_REQUEST_SIZE = 6;
export const DRAFT_RESPONSE_SIZE = 2;

export const CONFIG_LINES_OFFSET = CONFIG_NAME_SIZE;
export const CONFIG_NAMES_SIZE_OFFSET = 36;

export const REQUEST_TYPE_OFFSET = 0;
export const REQUEST_GPIO_OFFSET = 2;
export const REQUEST_DATA_OFFSET = 4;

export const DRAFT_ACTIVATE = 1;
export const DRAFT_DEACTIVATE = 2;
/** Answered with {@link DRAFT_DIRECTION_OUT} or {@link DRAFT_DIRECTION_IN}. */
export const DRAFT_GET_DIRECTION = 3;
export const DRAFT_DIRECTION_INPUT = 4;
/** Direction and level (data) at once. */
export const DRAFT_DIRECTION_OUTPUT = 5;
export const DRAFT_GET_VALUE = 6;
export const DRAFT_SET_VALUE = 7;

/** Unlike virtio-gpio's numbers. */
export const DRAFT_DIRECTION_OUT = 0;
export const DRAFT_DIRECTION_IN = 1;

export const DRAFT_STATUS_OK = 0;
export const DRAFT_STATUS_ERR = 1;

/** The driver gives a device up for good that has not answered by then, in milliseconds. */
export const DRAFT_DRIVER_TIMEOUT_MS = 100;

export interface DraftConfig {
  readonly name: string;
  readonly lineCount: number;
  readonly namesSize: number;
}

/** @throws WireError when it is too short */
export function decodeDraftConfig(bytes: Uint8Array): DraftConfig {
  if (bytes.length < DRAFT_CONFIG_SIZE)
    throw new WireError('config', 0, bytes.length, `at least ${DRAFT_CONFIG_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.indexOf(0);
  const nameBytes = bytes.subarray(0, end < 0 ? CONFIG_NAME_SIZE : Math.min(end, CONFIG_NAME_SIZE));
  return {
    name: String.fromCharCode(...nameBytes),
    lineCount: view.getUint16(CONFIG_LINES_OFFSET, true),
    namesSize: view.getUint32(CONFIG_NAMES_SIZE_OFFSET, true),
  };
}

/**
 * A whole config space.
 * @param name of the device, cut to 31 bytes
 * @throws WireError for a line's name that is not printable ASCII or used twice
 */
export function encodeDraftConfig(name: string, lineNames: readonly string[]): Uint8Array {
  const names = encodeNames(fillDraftNames(lineNames));
  const bytes = new Uint8Array(DRAFT_CONFIG_SIZE + names.length);
  const view = new DataView(bytes.buffer);
  putName(bytes, 0, name);
  view.setUint16(CONFIG_LINES_OFFSET, lineNames.length, true);
  view.setUint32(CONFIG_NAMES_SIZE_OFFSET, names.length, true);
  bytes.set(names, DRAFT_CONFIG_SIZE);
  return bytes;
}

/** Names for lines that have none, `line13` for line 13, as the driver refuses empty ones: none that another line has. */
export function fillDraftNames(names: readonly string[]): string[] {
  const taken = new Set(names);
  return names.map((name, line) => {
    if (name !== '') return name;
    let made = `line${line}`;
    while (taken.has(made)) made += '_';
    taken.add(made);
    return made;
  });
}

/** For the guest's side. */
export function encodeDraftRequest(type: number, gpio: number, data: number): Uint8Array {
  const bytes = new Uint8Array(DRAFT_REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(REQUEST_TYPE_OFFSET, type, true);
  view.setUint16(REQUEST_GPIO_OFFSET, gpio, true);
  bytes[REQUEST_DATA_OFFSET] = data;
  return bytes;
}
