/**
 * GPIO character device, second version of the kernel's user interface (Linux 5.10 and later): include/uapi/linux/gpio.h,
 * Documentation/userspace-api/gpio. The kernel's structures are in the host's byte order, which is little-endian on every
 * machine that Node has Linux binaries and this project has an addon for.
 *
 * | structure                      | offset | field                                                          |
 * |--------------------------------|--------|----------------------------------------------------------------|
 * | gpiochip_info (68)             | 0      | char name[32]                                                  |
 * |                                | 32     | char label[32]                                                 |
 * |                                | 64     | u32 lines                                                      |
 * | gpio_v2_line_attribute (16)    | 0      | u32 id (1 flags, 2 output values, 3 debounce)                  |
 * |                                | 4      | u32 padding                                                    |
 * |                                | 8      | u64 flags, u64 values or u32 debounce_period_us                |
 * | gpio_v2_line_config_attribute  | 0      | gpio_v2_line_attribute attr                                    |
 * | (24)                           | 16     | u64 mask (bit n: offsets[n] of the request)                    |
 * | gpio_v2_line_config (272)      | 0      | u64 flags                                                      |
 * |                                | 8      | u32 num_attrs                                                  |
 * |                                | 12     | u32 padding[5]                                                 |
 * |                                | 32     | gpio_v2_line_config_attribute attrs[10]                        |
 * | gpio_v2_line_request (592)     | 0      | u32 offsets[64]                                                |
 * |                                | 256    | char consumer[32]                                              |
 * |                                | 288    | gpio_v2_line_config config                                     |
 * |                                | 560    | u32 num_lines                                                  |
 * |                                | 564    | u32 event_buffer_size (in events)                              |
 * |                                | 568    | u32 padding[5]                                                 |
 * |                                | 588    | s32 fd (the kernel's answer)                                   |
 * | gpio_v2_line_info (256)        | 0      | char name[32]                                                  |
 * |                                | 32     | char consumer[32]                                              |
 * |                                | 64     | u32 offset                                                     |
 * |                                | 68     | u32 num_attrs                                                  |
 * |                                | 72     | u64 flags                                                      |
 * |                                | 80     | gpio_v2_line_attribute attrs[10]                               |
 * |                                | 240    | u32 padding[4]                                                 |
 * | gpio_v2_line_values (16)       | 0      | u64 bits                                                       |
 * |                                | 8      | u64 mask                                                       |
 * | gpio_v2_line_event (48)        | 0      | u64 timestamp_ns (CLOCK_MONOTONIC unless asked otherwise)      |
 * |                                | 8      | u32 id (1 rising, 2 falling)                                   |
 * |                                | 12     | u32 offset                                                     |
 * |                                | 16     | u32 seqno (of the request's events)                            |
 * |                                | 20     | u32 line_seqno (of the line's events)                          |
 * |                                | 24     | u32 padding[6]                                                 |
 */
import { WireError } from './wire-error.ts';

/** Bytes of a name, its terminating NUL included. */
export const GPIO_MAX_NAME_SIZE = 32;
/** Most lines of one request. */
export const GPIO_V2_LINES_MAX = 64;
/** Most attributes of one configuration. */
export const GPIO_V2_LINE_NUM_ATTRS_MAX = 10;

export const CHIP_INFO_SIZE = 68;
export const LINE_ATTRIBUTE_SIZE = 16;
export const LINE_CONFIG_ATTRIBUTE_SIZE = 24;
export const LINE_CONFIG_SIZE = 272;
export const LINE_REQUEST_SIZE = 592;
export const LINE_INFO_SIZE = 256;
export const LINE_VALUES_SIZE = 16;
export const LINE_EVENT_SIZE = 48;

export const LINE_INFO_OFFSET_OFFSET = 64;
export const LINE_REQUEST_FD_OFFSET = 588;
export const LINE_EVENT_TIMESTAMP_OFFSET = 0;
export const LINE_EVENT_ID_OFFSET = 8;
export const LINE_EVENT_LINE_SEQNO_OFFSET = 20;

const CONFIG_ATTRIBUTES_OFFSET = 32;
const REQUEST_CONSUMER_OFFSET = 256;
const REQUEST_CONFIG_OFFSET = 288;
const INFO_ATTRIBUTES_OFFSET = 80;

export const LINE_FLAG_USED = 1n << 0n;
export const LINE_FLAG_ACTIVE_LOW = 1n << 1n;
export const LINE_FLAG_INPUT = 1n << 2n;
export const LINE_FLAG_OUTPUT = 1n << 3n;
export const LINE_FLAG_EDGE_RISING = 1n << 4n;
export const LINE_FLAG_EDGE_FALLING = 1n << 5n;
export const LINE_FLAG_OPEN_DRAIN = 1n << 6n;
export const LINE_FLAG_OPEN_SOURCE = 1n << 7n;
export const LINE_FLAG_BIAS_PULL_UP = 1n << 8n;
export const LINE_FLAG_BIAS_PULL_DOWN = 1n << 9n;
export const LINE_FLAG_BIAS_DISABLED = 1n << 10n;
export const LINE_FLAG_EVENT_CLOCK_REALTIME = 1n << 11n;
export const LINE_FLAG_EVENT_CLOCK_HTE = 1n << 12n;

export const LINE_ATTR_ID_FLAGS = 1;
export const LINE_ATTR_ID_OUTPUT_VALUES = 2;
export const LINE_ATTR_ID_DEBOUNCE = 3;

export const LINE_EVENT_RISING_EDGE = 1;
export const LINE_EVENT_FALLING_EDGE = 2;

/** include/uapi/asm-generic/ioctl.h, as x86, Arm and RISC-V have it: direction, size, type, number. */
const IOC_WRITE = 1;
const IOC_READ = 2;
const GPIO_IOC_TYPE = 0xb4;

function ioctlNumber(direction: number, number: number, sizeBytes: number): number {
  return ((direction << 30) | (sizeBytes << 16) | (GPIO_IOC_TYPE << 8) | number) >>> 0;
}

export const GPIO_GET_CHIPINFO_IOCTL = ioctlNumber(IOC_READ, 0x01, CHIP_INFO_SIZE);
export const GPIO_V2_GET_LINEINFO_IOCTL = ioctlNumber(IOC_READ | IOC_WRITE, 0x05, LINE_INFO_SIZE);
export const GPIO_V2_GET_LINE_IOCTL = ioctlNumber(IOC_READ | IOC_WRITE, 0x07, LINE_REQUEST_SIZE);
export const GPIO_V2_LINE_SET_CONFIG_IOCTL = ioctlNumber(IOC_READ | IOC_WRITE, 0x0d, LINE_CONFIG_SIZE);
export const GPIO_V2_LINE_GET_VALUES_IOCTL = ioctlNumber(IOC_READ | IOC_WRITE, 0x0e, LINE_VALUES_SIZE);
export const GPIO_V2_LINE_SET_VALUES_IOCTL = ioctlNumber(IOC_READ | IOC_WRITE, 0x0f, LINE_VALUES_SIZE);

export interface ChipInfo {
  /** The kernel's name: `gpiochip0`. */
  readonly name: string;
  /** What the driver calls it: `pinctrl-bcm2711`; may be empty. */
  readonly label: string;
  readonly lines: number;
}

export interface LineAttribute {
  /** A LINE_ATTR_ID_ number. */
  readonly id: number;
  /** Flags, output values, or the debounce period in microseconds (32 bits). */
  readonly value: bigint;
}

export interface LineConfigAttribute extends LineAttribute {
  /** Bit n: the attribute is for `offsets[n]` of the request. */
  readonly mask: bigint;
}

export interface LineConfig {
  /** LINE_FLAG_ bits of the lines for which no attribute says otherwise. 0 in a request: the lines stay as they are. */
  readonly flags: bigint;
  readonly attributes: readonly LineConfigAttribute[];
}

export interface LineRequest {
  readonly offsets: readonly number[];
  /** Who asks, for others to see; at most 31 bytes. */
  readonly consumer: string;
  readonly config: LineConfig;
  /** Events that the kernel shall keep at least; 0: 16 a line. */
  readonly eventBufferSize: number;
  /** The request's descriptor, once the kernel has granted it. */
  readonly fd: number;
}

export interface LineInfo {
  readonly name: string;
  /** Who uses the line; may be empty all the same. */
  readonly consumer: string;
  readonly offset: number;
  readonly flags: bigint;
  readonly attributes: readonly LineAttribute[];
}

/** Bit n stands for `offsets[n]` of the request. */
export interface LineValues {
  readonly bits: bigint;
  readonly mask: bigint;
}

export interface LineEvent {
  readonly timestampNs: bigint;
  /** {@link LINE_EVENT_RISING_EDGE} or {@link LINE_EVENT_FALLING_EDGE}. */
  readonly id: number;
  readonly offset: number;
  readonly seqno: number;
  readonly lineSeqno: number;
}

function viewOf(bytes: Uint8Array, what: string, sizeBytes: number): DataView {
  if (bytes.length < sizeBytes) throw new WireError(what, 0, bytes.length, `at least ${sizeBytes} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The kernel cuts longer names, also in the middle of a character: that becomes U+FFFD. */
function decodeName(bytes: Uint8Array, field: string, offset: number): string {
  const end = bytes.indexOf(0, offset);
  if (end < 0 || end >= offset + GPIO_MAX_NAME_SIZE)
    throw new WireError(field, offset, GPIO_MAX_NAME_SIZE, `a NUL within ${GPIO_MAX_NAME_SIZE} bytes`);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(offset, end));
}

function encodeName(name: string, into: Uint8Array, field: string, offset: number): void {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length >= GPIO_MAX_NAME_SIZE || bytes.includes(0))
    throw new WireError(field, offset, name, `at most ${GPIO_MAX_NAME_SIZE - 1} bytes without NUL`);
  into.set(bytes, offset);
}

function decodeAttributeCount(view: DataView, offset: number): number {
  const count = view.getUint32(offset, true);
  if (count > GPIO_V2_LINE_NUM_ATTRS_MAX)
    throw new WireError('num_attrs', offset, count, `at most ${GPIO_V2_LINE_NUM_ATTRS_MAX}`);
  return count;
}

function requireAttributeCount(count: number, offset: number): void {
  if (count > GPIO_V2_LINE_NUM_ATTRS_MAX)
    throw new WireError('num_attrs', offset, count, `at most ${GPIO_V2_LINE_NUM_ATTRS_MAX}`);
}

/** @throws WireError for too few bytes or a name without an end */
export function decodeChipInfo(bytes: Uint8Array): ChipInfo {
  const view = viewOf(bytes, 'gpiochip_info', CHIP_INFO_SIZE);
  return {
    name: decodeName(bytes, 'name', 0),
    label: decodeName(bytes, 'label', GPIO_MAX_NAME_SIZE),
    lines: view.getUint32(64, true),
  };
}

/** @throws WireError for a name of more than 31 bytes */
export function encodeChipInfo(info: ChipInfo): Uint8Array {
  const bytes = new Uint8Array(CHIP_INFO_SIZE);
  encodeName(info.name, bytes, 'name', 0);
  encodeName(info.label, bytes, 'label', GPIO_MAX_NAME_SIZE);
  new DataView(bytes.buffer).setUint32(64, info.lines, true);
  return bytes;
}

/** @throws WireError for too few bytes or more than 10 attributes */
export function decodeLineConfig(bytes: Uint8Array): LineConfig {
  const view = viewOf(bytes, 'gpio_v2_line_config', LINE_CONFIG_SIZE);
  const attributes = Array.from({ length: decodeAttributeCount(view, 8) }, (_, index) => {
    const at = CONFIG_ATTRIBUTES_OFFSET + index * LINE_CONFIG_ATTRIBUTE_SIZE;
    return {
      id: view.getUint32(at, true),
      value: view.getBigUint64(at + 8, true),
      mask: view.getBigUint64(at + 16, true),
    };
  });
  return { flags: view.getBigUint64(0, true), attributes };
}

/** @throws WireError for more than 10 attributes */
export function encodeLineConfig(config: LineConfig): Uint8Array {
  requireAttributeCount(config.attributes.length, 8);
  const bytes = new Uint8Array(LINE_CONFIG_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, config.flags, true);
  view.setUint32(8, config.attributes.length, true);
  for (const [index, { id, value, mask }] of config.attributes.entries()) {
    const at = CONFIG_ATTRIBUTES_OFFSET + index * LINE_CONFIG_ATTRIBUTE_SIZE;
    view.setUint32(at, id, true);
    view.setBigUint64(at + 8, value, true);
    view.setBigUint64(at + 16, mask, true);
  }
  return bytes;
}

/** @throws WireError for too few bytes, more than 64 lines or 10 attributes, a consumer's name without an end */
export function decodeLineRequest(bytes: Uint8Array): LineRequest {
  const view = viewOf(bytes, 'gpio_v2_line_request', LINE_REQUEST_SIZE);
  const count = view.getUint32(560, true);
  if (count > GPIO_V2_LINES_MAX) throw new WireError('num_lines', 560, count, `at most ${GPIO_V2_LINES_MAX}`);
  return {
    offsets: Array.from({ length: count }, (_, index) => view.getUint32(index * 4, true)),
    consumer: decodeName(bytes, 'consumer', REQUEST_CONSUMER_OFFSET),
    config: decodeLineConfig(bytes.subarray(REQUEST_CONFIG_OFFSET)),
    eventBufferSize: view.getUint32(564, true),
    fd: view.getInt32(LINE_REQUEST_FD_OFFSET, true),
  };
}

/** @throws WireError for more than 64 lines or 10 attributes, a consumer's name of more than 31 bytes */
export function encodeLineRequest(request: LineRequest): Uint8Array {
  const { offsets, consumer, config, eventBufferSize, fd } = request;
  if (offsets.length > GPIO_V2_LINES_MAX)
    throw new WireError('num_lines', 560, offsets.length, `at most ${GPIO_V2_LINES_MAX}`);
  const bytes = new Uint8Array(LINE_REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [index, offset] of offsets.entries()) view.setUint32(index * 4, offset, true);
  encodeName(consumer, bytes, 'consumer', REQUEST_CONSUMER_OFFSET);
  bytes.set(encodeLineConfig(config), REQUEST_CONFIG_OFFSET);
  view.setUint32(560, offsets.length, true);
  view.setUint32(564, eventBufferSize, true);
  view.setInt32(LINE_REQUEST_FD_OFFSET, fd, true);
  return bytes;
}

/** @throws WireError for too few bytes, a name without an end, more than 10 attributes */
export function decodeLineInfo(bytes: Uint8Array): LineInfo {
  const view = viewOf(bytes, 'gpio_v2_line_info', LINE_INFO_SIZE);
  const attributes = Array.from({ length: decodeAttributeCount(view, 68) }, (_, index) => {
    const at = INFO_ATTRIBUTES_OFFSET + index * LINE_ATTRIBUTE_SIZE;
    return { id: view.getUint32(at, true), value: view.getBigUint64(at + 8, true) };
  });
  return {
    name: decodeName(bytes, 'name', 0),
    consumer: decodeName(bytes, 'consumer', GPIO_MAX_NAME_SIZE),
    offset: view.getUint32(LINE_INFO_OFFSET_OFFSET, true),
    flags: view.getBigUint64(72, true),
    attributes,
  };
}

/** @throws WireError for names of more than 31 bytes, more than 10 attributes */
export function encodeLineInfo(info: LineInfo): Uint8Array {
  requireAttributeCount(info.attributes.length, 68);
  const bytes = new Uint8Array(LINE_INFO_SIZE);
  const view = new DataView(bytes.buffer);
  encodeName(info.name, bytes, 'name', 0);
  encodeName(info.consumer, bytes, 'consumer', GPIO_MAX_NAME_SIZE);
  view.setUint32(LINE_INFO_OFFSET_OFFSET, info.offset, true);
  view.setUint32(68, info.attributes.length, true);
  view.setBigUint64(72, info.flags, true);
  for (const [index, { id, value }] of info.attributes.entries()) {
    const at = INFO_ATTRIBUTES_OFFSET + index * LINE_ATTRIBUTE_SIZE;
    view.setUint32(at, id, true);
    view.setBigUint64(at + 8, value, true);
  }
  return bytes;
}

/** @throws WireError for too few bytes */
export function decodeLineValues(bytes: Uint8Array): LineValues {
  const view = viewOf(bytes, 'gpio_v2_line_values', LINE_VALUES_SIZE);
  return { bits: view.getBigUint64(0, true), mask: view.getBigUint64(8, true) };
}

export function encodeLineValues(values: LineValues): Uint8Array {
  const bytes = new Uint8Array(LINE_VALUES_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, values.bits, true);
  view.setBigUint64(8, values.mask, true);
  return bytes;
}

/** @throws WireError for too few bytes or an edge that is neither rising nor falling */
export function decodeLineEvent(bytes: Uint8Array): LineEvent {
  const view = viewOf(bytes, 'gpio_v2_line_event', LINE_EVENT_SIZE);
  const id = view.getUint32(LINE_EVENT_ID_OFFSET, true);
  if (id !== LINE_EVENT_RISING_EDGE && id !== LINE_EVENT_FALLING_EDGE)
    throw new WireError('id', LINE_EVENT_ID_OFFSET, id, '1 (rising) or 2 (falling)');
  return {
    timestampNs: view.getBigUint64(LINE_EVENT_TIMESTAMP_OFFSET, true),
    id,
    offset: view.getUint32(12, true),
    seqno: view.getUint32(16, true),
    lineSeqno: view.getUint32(LINE_EVENT_LINE_SEQNO_OFFSET, true),
  };
}

export function encodeLineEvent(event: LineEvent): Uint8Array {
  const bytes = new Uint8Array(LINE_EVENT_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(LINE_EVENT_TIMESTAMP_OFFSET, event.timestampNs, true);
  view.setUint32(LINE_EVENT_ID_OFFSET, event.id, true);
  view.setUint32(12, event.offset, true);
  view.setUint32(16, event.seqno, true);
  view.setUint32(LINE_EVENT_LINE_SEQNO_OFFSET, event.lineSeqno, true);
  return bytes;
}
