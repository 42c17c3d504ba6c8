import { isDead, mapDescriptor, unmap } from '../../native.ts';
import { AddressSpace, type MemoryWindow } from '../../virtqueue/address-space.ts';
import type { MemoryRegion } from '../../wire/vhost-user.ts';

/** Node 20 takes no external ArrayBuffer over 4 GiB, so bigger regions are seen through several windows. */
const WINDOW_BYTES = 0x8000_0000;
/** Windows of a region overlap by more than the largest ring, so that no ring crosses an edge. */
const OVERLAP_BYTES = 0x10_0000;
const PAGE_BYTES = 4096;
/** Beyond this a number is not exact; no address space is that big. */
const MAX_ADDRESS = BigInt(Number.MAX_SAFE_INTEGER);

/** Most regions that are kept mapped (GET_MAX_MEM_SLOTS). */
export const MAX_MEMORY_SLOTS = 64;

/** The front-end's memory cannot be used as it describes it. */
export class GuestMemoryError extends Error {
  readonly code = 'ERR_GUEST_MEMORY';
  constructor(message: string) {
    super(message);
    this.name = 'GuestMemoryError';
  }
}

interface MappedRegion {
  readonly region: MemoryRegion;
  readonly buffers: readonly ArrayBuffer[];
  readonly guestWindows: readonly MemoryWindow[];
  readonly userWindows: readonly MemoryWindow[];
}

/** For messages. */
function describe({ guestPhysicalAddress, sizeBytes }: MemoryRegion): string {
  return `region 0x${guestPhysicalAddress.toString(16)} + 0x${sizeBytes.toString(16)}`;
}

function overlap(aStart: bigint, aSize: bigint, bStart: bigint, bSize: bigint): boolean {
  return aStart < bStart + bSize && bStart < aStart + aSize;
}

/**
 * A guest's memory as the front-end shares it: descriptor addresses are guest-physical ({@link guest}), ring addresses are
 * the front-end's virtual ones ({@link user}). Owns the mappings, not the descriptors.
 */
export class GuestMemory {
  readonly guest = new AddressSpace();
  readonly user = new AddressSpace();
  #regions: MappedRegion[] = [];
  readonly #windowBytes: number;
  readonly #overlapBytes: number;

  /** @param windowBytes for tests: the size from which a region is seen through several windows */
  constructor(windowBytes = WINDOW_BYTES, overlapBytes = OVERLAP_BYTES) {
    this.#windowBytes = windowBytes;
    this.#overlapBytes = overlapBytes;
  }

  get regionCount(): number {
    return this.#regions.length;
  }

  /** A region that the front-end truncated, for messages (`region 0x… + 0x…`): it reads as zeroes there; null when none is. */
  get truncated(): string | null {
    const found = this.#regions.find(({ buffers }) => buffers.some(isDead));
    return found === undefined ? null : describe(found.region);
  }

  /**
   * Maps one more region.
   * @throws GuestMemoryError when it overlaps another one or no slot is left, NativeError when it cannot be mapped
   */
  add(region: MemoryRegion, fd: number): void {
    const { guestPhysicalAddress, sizeBytes, userAddress, mmapOffset } = region;
    const what = describe(region);
    if (this.#regions.length >= MAX_MEMORY_SLOTS) {
      throw new GuestMemoryError(
        `${what}: ${MAX_MEMORY_SLOTS} regions are mapped already, and no more are taken`,
      );
    }
    for (const end of [guestPhysicalAddress + sizeBytes, userAddress + sizeBytes, mmapOffset + sizeBytes]) {
      if (end > MAX_ADDRESS) throw new GuestMemoryError(`${what} ends at 0x${end.toString(16)}, beyond 2^53`);
    }
    for (const { region: other } of this.#regions) {
      if (
        overlap(guestPhysicalAddress, sizeBytes, other.guestPhysicalAddress, other.sizeBytes) ||
        overlap(userAddress, sizeBytes, other.userAddress, other.sizeBytes)
      ) {
        throw new GuestMemoryError(`${what} overlaps ${describe(other)}`);
      }
    }
    const mapped = {
      region,
      buffers: [] as ArrayBuffer[],
      guestWindows: [] as MemoryWindow[],
      userWindows: [] as MemoryWindow[],
    };
    try {
      this.#map(mapped, fd);
    } catch (error) {
      this.#drop(mapped);
      throw error;
    }
    this.#regions.push(mapped);
  }

  #map(
    mapped: {
      region: MemoryRegion;
      buffers: ArrayBuffer[];
      guestWindows: MemoryWindow[];
      userWindows: MemoryWindow[];
    },
    fd: number,
  ): void {
    const size = Number(mapped.region.sizeBytes);
    const fileOffset = Number(mapped.region.mmapOffset);
    const guestAddress = Number(mapped.region.guestPhysicalAddress);
    const userAddress = Number(mapped.region.userAddress);
    for (let start = 0; start < size; start += this.#windowBytes) {
      const bytes = Math.min(size - start, this.#windowBytes + this.#overlapBytes);
      // The front-end need not give a page-aligned offset; the mapping begins at the page.
      const skip = (fileOffset + start) % PAGE_BYTES;
      const buffer = mapDescriptor(fd, fileOffset + start - skip, bytes + skip);
      mapped.buffers.push(buffer);
      mapped.guestWindows.push(this.guest.add(guestAddress + start, buffer, skip, bytes));
      mapped.userWindows.push(this.user.add(userAddress + start, buffer, skip, bytes));
    }
  }

  /**
   * Unmaps a region; nothing may use it any more.
   * @throws GuestMemoryError when there is no such region
   */
  remove(region: MemoryRegion): void {
    const found = this.#regions.find(
      ({ region: other }) =>
        other.guestPhysicalAddress === region.guestPhysicalAddress &&
        other.userAddress === region.userAddress &&
        other.sizeBytes === region.sizeBytes,
    );
    if (found === undefined) {
      throw new GuestMemoryError(`no ${describe(region)} is mapped`);
    }
    this.#regions = this.#regions.filter((other) => other !== found);
    this.#drop(found);
  }

  #drop(mapped: MappedRegion): void {
    for (const window of mapped.guestWindows) this.guest.remove(window);
    for (const window of mapped.userWindows) this.user.remove(window);
    for (const buffer of mapped.buffers) unmap(buffer);
  }

  /** Unmaps everything; idempotent. */
  close(): void {
    for (const mapped of this.#regions) this.#drop(mapped);
    this.#regions = [];
  }
}
