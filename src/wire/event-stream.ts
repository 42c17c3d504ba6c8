/**
 * Event stream: this project's negotiated extension of virtio-gpio (docs/firmware.md). The standard's event queue binds a
 * buffer to a line and an event carries no level, so bursts merge. With this feature the event queue's buffers are
 * device-writable records, bound to no line:
 *
 * | offset | field                                                                       |
 * |--------|-----------------------------------------------------------------------------|
 * | 0      | le16 line                                                                   |
 * | 2      | u8 level (0, 1)                                                             |
 * | 3      | u8 flags (bit 0: earlier changes of this line were merged into this record) |
 * | 4      | le32 seq (counts the device's changes; a gap = changes dropped)             |
 * | 8      | le64 timestampNs (the co-processor's clock)                                 |
 */
import { WireError } from './wire-error.ts';

/** Feature bit number in the vdev's device features. */
export const FEATURE_EVENT_STREAM = 16;
export const SIZE = 16;
export const LINE_OFFSET = 0;
export const LEVEL_OFFSET = 2;
export const FLAGS_OFFSET = 3;
export const SEQ_OFFSET = 4;
export const TIMESTAMP_OFFSET = 8;
export const FLAG_DROPPED = 1;

export interface EventRecord {
  readonly line: number;
  readonly level: number;
  readonly dropped: boolean;
  readonly seq: number;
  readonly timestampNs: bigint;
}

/** @throws WireError for a short record, a level other than 0 and 1, or unknown flags */
export function decodeEventRecord(bytes: Uint8Array): EventRecord {
  if (bytes.length < SIZE) throw new WireError('record', 0, bytes.length, `${SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const level = view.getUint8(LEVEL_OFFSET);
  if (level > 1) throw new WireError('level', LEVEL_OFFSET, level, '0 or 1');
  const flags = view.getUint8(FLAGS_OFFSET);
  if ((flags & ~FLAG_DROPPED) !== 0) throw new WireError('flags', FLAGS_OFFSET, flags, 'only bit 0 set');
  return {
    line: view.getUint16(LINE_OFFSET, true),
    level,
    dropped: (flags & FLAG_DROPPED) !== 0,
    seq: view.getUint32(SEQ_OFFSET, true),
    timestampNs: view.getBigUint64(TIMESTAMP_OFFSET, true),
  };
}

export function encodeEventRecord(record: EventRecord): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(LINE_OFFSET, record.line, true);
  view.setUint8(LEVEL_OFFSET, record.level);
  view.setUint8(FLAGS_OFFSET, record.dropped ? FLAG_DROPPED : 0);
  view.setUint32(SEQ_OFFSET, record.seq, true);
  view.setBigUint64(TIMESTAMP_OFFSET, record.timestampNs, true);
  return bytes;
}
