import { type LocatedVdev, TABLE_OFFSET, VDEV_OFFSET, VDEV_VRING_SIZE } from '../wire/resource-table.ts';
import { hex } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';

/** One word, and what it was when the vdev was bound. */
interface Watched {
  readonly words: Uint32Array;
  readonly index: number;
  readonly value: number;
  /** Offset in the table, for the message. */
  readonly offset: number;
}

/**
 * What the resource table said of a vdev when it was bound. A firmware that starts anew copies its table there anew: features
 * that nobody accepted, rings without addresses. The status byte is not looked at here, it has its own rules; nor is the config
 * space, which a device may change.
 */
export class TableWatch {
  readonly #watched: readonly Watched[];

  /** Remembers the table's head and the vdev's entry as they are now. @throws AddressError */
  constructor(memory: DeviceMemory, tableAddress: number, { offset, vrings }: LocatedVdev) {
    const offsets: number[] = [TABLE_OFFSET.VER, TABLE_OFFSET.NUM];
    for (let at = offset; at < offset + VDEV_OFFSET.STATUS; at += 4) offsets.push(at);
    const vringsEnd = offset + VDEV_OFFSET.VRING + vrings.length * VDEV_VRING_SIZE;
    for (let at = offset + VDEV_OFFSET.VRING; at < vringsEnd; at += 4) offsets.push(at);
    this.#watched = offsets.map((at) => {
      const words = memory.space.require('resource table', tableAddress + at, 4, 4).u32;
      const index = memory.space.offset >>> 2;
      return { words, index, value: words[index] as number, offset: at };
    });
  }

  /** What has changed, for people; null when nothing has. Allocates nothing then. */
  changed(): string | null {
    for (let i = 0; i < this.#watched.length; i++) {
      const { words, index, value, offset } = this.#watched[i] as Watched;
      const now = words[index] as number;
      if (now !== value)
        return `its resource table changed at offset ${offset}: ${hex(now)}, was ${hex(value)} when it was bound`;
    }
    return null;
  }
}
