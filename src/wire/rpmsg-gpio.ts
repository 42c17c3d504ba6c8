/**
 * GPIO over rpmsg as proposed for Linux (2025-2026, not merged): codecs are named by layout, as the proposal still moves.
 *
 * Its revisions 9 to 13, channel `rpmsg-io`: packets of 6 bytes in both directions.
 *
 * | offset | field                                                                                        |
 * |--------|----------------------------------------------------------------------------------------------|
 * | 0      | u8 type (0 send, 1 reply, 2 notification)                                                    |
 * | 1      | u8 command (virtio-gpio's numbers 2 to 6; 10 NOTIFY_REPLY, optional, never sent by us)       |
 * | 2      | u8 port                                                                                      |
 * | 3      | u8 line                                                                                      |
 * | 4      | u8 argument of a request; error of a reply                                                   |
 * | 5      | u8 wakeup of SET_IRQ_TYPE; value of a reply                                                  |
 *
 * Its revision 14, channel `rpmsg-io-<index>`, one controller of at most 32 lines each: requests are virtio-gpio's of 8 bytes
 * (le16 type, le16 line, le32 value). What comes back has 3 bytes, in one of two layouts: the revision's, and that of a neighbour.
 *
 * | offset | reply                       | notification, v14       | notification, kind0 |
 * |--------|-----------------------------|-------------------------|---------------------|
 * | 0      | u8 kind (v14: 1, kind0: 0)  | u8 kind (2)             | u8 kind (1)         |
 * | 1      | u8 status (0 ok, 1 error)   | u8 line                 | le16 line           |
 * | 2      | u8 value                    | u8 trigger              |                     |
 */
import {
  REQUEST_GPIO_OFFSET,
  REQUEST_SIZE,
  REQUEST_TYPE_OFFSET,
  REQUEST_VALUE_OFFSET,
} from './virtio-gpio.ts';
import { WireError } from './wire-error.ts';

export const PACKET_CHANNEL = 'rpmsg-io';
/** What the channels of revision 14 begin with; a number follows. */
export const REPORT_CHANNEL_PREFIX = 'rpmsg-io-';

export const PACKET_SIZE = 6;
export const PACKET_TYPE_OFFSET = 0;
export const PACKET_COMMAND_OFFSET = 1;
export const PACKET_PORT_OFFSET = 2;
export const PACKET_LINE_OFFSET = 3;
/** Of a request. */
export const PACKET_ARGUMENT_OFFSET = 4;
/** Of a reply. */
export const PACKET_ERROR_OFFSET = 4;
export const PACKET_VALUE_OFFSET = 5;

export const PACKET_SEND = 0;
export const PACKET_REPLY = 1;
export const PACKET_NOTIFICATION = 2;

export const COMMAND_NOTIFY_REPLY = 10;

export const ERROR_NONE = 0;
export const ERROR_GENERAL = 1;
export const ERROR_UNSUPPORTED = 2;
export const ERROR_NOT_AVAILABLE = 3;
export const ERROR_BUSY = 4;
export const ERROR_PARAMETER = 5;

/**
 * How GET_DIRECTION's reply numbers directions: the proposal's documentation says 0 out, 1 in; its driver (revision 12) reads
 * virtio-gpio's 1 out, 2 in.
 */
export const DOC_DIRECTION_OUT = 0;
export const DOC_DIRECTION_IN = 1;

/** Lines of a controller of revision 14. */
export const MAX_REPORT_LINES = 32;
export const REPORT_SIZE = 3;
export const REPORT_KIND_OFFSET = 0;
/** Of a reply. */
export const REPORT_STATUS_OFFSET = 1;
export const REPORT_VALUE_OFFSET = 2;
/** Of a notification: a byte, or two of kind0. */
export const REPORT_LINE_OFFSET = 1;
export const REPORT_TRIGGER_OFFSET = 2;
/** A request of revision 14: whether the line may wake the system up. */
export const MSG_SET_WAKEUP = 0x0010;

export type ReportLayout = 'v14' | 'kind0';

/** What the first byte says, by layout. */
export const REPORT_KINDS = {
  v14: { reply: 1, notification: 2 },
  kind0: { reply: 0, notification: 1 },
} as const satisfies Record<ReportLayout, { reply: number; notification: number }>;

export interface RpmsgGpioPacket {
  /** `PACKET_SEND`, `PACKET_REPLY` or `PACKET_NOTIFICATION`. */
  readonly type: number;
  readonly command: number;
  readonly port: number;
  readonly line: number;
  /** Argument and wakeup of a request, error and value of a reply. */
  readonly data: readonly [number, number];
}

export interface RpmsgGpioRequest {
  /** `MSG_…` of virtio-gpio, or {@link MSG_SET_WAKEUP}. */
  readonly type: number;
  readonly line: number;
  readonly value: number;
}

export type RpmsgGpioReport =
  | { readonly kind: 'reply'; readonly status: number; readonly value: number }
  /** `trigger` is 0 where the layout does not tell. */
  | { readonly kind: 'notification'; readonly line: number; readonly trigger: number };

/** @throws WireError for a packet that is cut short, or of an unknown type */
export function decodePacket(bytes: Uint8Array): RpmsgGpioPacket {
  if (bytes.length < PACKET_SIZE)
    throw new WireError('packet', 0, bytes.length, `at least ${PACKET_SIZE} bytes`);
  const [type, command, port, line, first, second] = bytes as Uint8Array & number[];
  if ((type as number) > PACKET_NOTIFICATION)
    throw new WireError('type', PACKET_TYPE_OFFSET, type as number, '0, 1 or 2');
  return {
    type: type as number,
    command: command as number,
    port: port as number,
    line: line as number,
    data: [first as number, second as number],
  };
}

/** @throws WireError for a number that is no byte */
export function encodePacket({ type, command, port, line, data }: RpmsgGpioPacket): Uint8Array {
  return bytesOf({ type, command, port, line, 'data[0]': data[0], 'data[1]': data[1] });
}

/** @throws WireError for a request that is cut short */
export function decodeRequest(bytes: Uint8Array): RpmsgGpioRequest {
  if (bytes.length < REQUEST_SIZE)
    throw new WireError('request', 0, bytes.length, `at least ${REQUEST_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    type: view.getUint16(REQUEST_TYPE_OFFSET, true),
    line: view.getUint16(REQUEST_GPIO_OFFSET, true),
    value: view.getUint32(REQUEST_VALUE_OFFSET, true),
  };
}

export function encodeRequest({ type, line, value }: RpmsgGpioRequest): Uint8Array {
  const bytes = new Uint8Array(REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(REQUEST_TYPE_OFFSET, type, true);
  view.setUint16(REQUEST_GPIO_OFFSET, line, true);
  view.setUint32(REQUEST_VALUE_OFFSET, value, true);
  return bytes;
}

/** @throws WireError for a report that is cut short, of an unknown kind or a line that cannot be */
export function decodeReport(bytes: Uint8Array, layout: ReportLayout): RpmsgGpioReport {
  if (bytes.length < REPORT_SIZE)
    throw new WireError('report', 0, bytes.length, `at least ${REPORT_SIZE} bytes`);
  const [kind, first, second] = bytes as Uint8Array & [number, number, number];
  const { reply, notification } = REPORT_KINDS[layout];
  if (kind === reply) return { kind: 'reply', status: first, value: second };
  if (kind !== notification)
    throw new WireError('kind', REPORT_KIND_OFFSET, kind, `${reply} or ${notification}`);
  const line = layout === 'v14' ? first : first | (second << 8);
  if (line >= MAX_REPORT_LINES)
    throw new WireError('line', REPORT_LINE_OFFSET, line, `0 to ${MAX_REPORT_LINES - 1}`);
  return { kind: 'notification', line, trigger: layout === 'v14' ? second : 0 };
}

/** @throws WireError for a number that does not fit */
export function encodeReport(report: RpmsgGpioReport, layout: ReportLayout): Uint8Array {
  const kind = REPORT_KINDS[layout][report.kind];
  if (report.kind === 'reply') return bytesOf({ kind, status: report.status, value: report.value });
  const { line, trigger } = report;
  if (!Number.isInteger(line) || line < 0 || line >= MAX_REPORT_LINES)
    throw new WireError('line', REPORT_LINE_OFFSET, line, `0 to ${MAX_REPORT_LINES - 1}`);
  if (layout === 'v14') return bytesOf({ kind, line, trigger });
  if (trigger !== 0)
    throw new WireError('trigger', REPORT_TRIGGER_OFFSET, trigger, '0: this layout has none');
  return bytesOf({ kind, line, 'upper half of line': 0 });
}

/** A byte a field, in order. */
function bytesOf(fields: Readonly<Record<string, number>>): Uint8Array {
  for (const [offset, [field, value]] of Object.entries(fields).entries()) {
    if (!Number.isInteger(value) || value < 0 || value > 0xff)
      throw new WireError(field, offset, value, 'a byte');
  }
  return Uint8Array.from(Object.values(fields));
}
