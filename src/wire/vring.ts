/**
 * Split virtqueue layout (virtio 1.2, section 2.7; legacy alignment rule: section 2.7.2).
 *
 * | part       | offset within the part | field                                  |
 * |------------|------------------------|----------------------------------------|
 * | descriptor | 0                      | le64 addr                              |
 * |            | 8                      | le32 len                               |
 * |            | 12                     | le16 flags                             |
 * |            | 14                     | le16 next                              |
 * | available  | 0                      | le16 flags                             |
 * |            | 2                      | le16 idx                               |
 * |            | 4                      | le16 ring[num], then le16 used_event   |
 * | used       | 0                      | le16 flags                             |
 * |            | 2                      | le16 idx                               |
 * |            | 4                      | {le32 id, le32 len}[num], then le16 avail_event |
 */

/** Largest queue size of a split virtqueue (virtio 1.2, section 2.7). */
export const MAX_QUEUE_SIZE = 32768;

export const DESCRIPTOR_SIZE = 16;
export const DESCRIPTOR_ALIGN = 16;
export const AVAILABLE_ALIGN = 2;
export const USED_ALIGN = 4;

/** Descriptor flags (section 2.7.5). */
export const DESC_F_NEXT = 1;
export const DESC_F_WRITE = 2;
export const DESC_F_INDIRECT = 4;

/** Available ring flag: the driver does not want to be called. */
export const AVAIL_F_NO_INTERRUPT = 1;
/** Used ring flag: the device does not want to be kicked. */
export const USED_F_NO_NOTIFY = 1;

/** Feature bit numbers that concern the ring itself. */
export const FEATURE_NOTIFY_ON_EMPTY = 24;
export const FEATURE_INDIRECT_DESC = 28;
export const FEATURE_EVENT_IDX = 29;
export const FEATURE_VERSION_1 = 32;

/** Whether `size` is a legal split queue size: a power of two from 1 to 32768. */
export function isQueueSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= MAX_QUEUE_SIZE && (size & (size - 1)) === 0;
}

/** Bytes of the descriptor table. */
export function descriptorTableBytes(size: number): number {
  return DESCRIPTOR_SIZE * size;
}

/** Bytes of the available ring, `used_event` included (also when EVENT_IDX is off: the layout keeps its place). */
export function availableRingBytes(size: number): number {
  return 4 + 2 * size + 2;
}

/** Bytes of the used ring, `avail_event` included. */
export function usedRingBytes(size: number): number {
  return 4 + 8 * size + 2;
}

/** Where the parts of a vring lie that is placed as one piece, as remoteproc and legacy virtio do. */
export interface VringLayout {
  readonly availableOffset: number;
  readonly usedOffset: number;
  readonly sizeBytes: number;
}

/**
 * Offsets of the available and used ring in a vring of one piece.
 * @param size number of descriptors, a power of two
 * @param align alignment of the used ring, a power of two
 */
export function vringLayout(size: number, align: number): VringLayout {
  const availableOffset = descriptorTableBytes(size);
  const end = availableOffset + availableRingBytes(size);
  const usedOffset = Math.ceil(end / align) * align;
  return { availableOffset, usedOffset, sizeBytes: usedOffset + usedRingBytes(size) };
}

/**
 * Whether moving an index from `before` to `after` passes `event` (section 2.7.7.2, with EVENT_IDX):
 * notify if and only if this holds. All three are 16-bit.
 */
export function needsEvent(event: number, after: number, before: number): boolean {
  return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
}
