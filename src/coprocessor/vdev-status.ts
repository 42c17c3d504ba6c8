/** Device status bits (virtio 1.2, section 2.1), in the `status` byte of a vdev. */
export const VDEV_STATUS = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  /** Never set on this path: features have 32 bits, so VERSION_1 cannot be negotiated. */
  FEATURES_OK: 0x08,
  /** Set by the co-processor when it cannot go on. */
  NEEDS_RESET: 0x40,
  /** Set by the driver when it gives up. */
  FAILED: 0x80,
} as const;

/** For messages: the bits by their names. */
export function describeStatus(status: number): string {
  const names = Object.entries(VDEV_STATUS).flatMap(([name, bit]) => ((status & bit) !== 0 ? [name] : []));
  return `0x${status.toString(16)}${names.length > 0 ? ` (${names.join(', ')})` : ''}`;
}

const ID_NAMES: Readonly<Record<number, string>> = { 7: 'rpmsg', 30: 'early metux gpio', 41: 'gpio' };

/** For messages: a virtio device ID with what it means here. */
export function describeVdevId(id: number): string {
  return `${id} (${ID_NAMES[id] ?? 'not known here'})`;
}
