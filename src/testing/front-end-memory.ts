import { closeSync } from 'node:fs';
import { createMemfd, mapDescriptor, unmap } from '../native.ts';
import { AddressSpace } from '../virtqueue/address-space.ts';
import type { MemoryRegion } from '../wire/vhost-user.ts';
import { FrontEndError } from './front-end-error.ts';

/** Where one region of a guest's memory lies. Everything in bytes; sizes and offsets are multiples of the page size. */
export interface FrontEndRegion {
  readonly guestPhysicalAddress: number;
  readonly sizeBytes: number;
  /** Address in the front-end's own terms, in which ring addresses are told; default: one far from the guest-physical. */
  readonly userAddress?: number;
  /** Where the region begins in its memfd; default 0. */
  readonly mmapOffset?: number;
}

/** One region above 4 GiB, so that addresses need all their bits. */
export const DEFAULT_REGIONS: readonly FrontEndRegion[] = [
  { guestPhysicalAddress: 0x1_0000_0000, sizeBytes: 0x10_0000 },
];

const USER_BASE = 0x7f00_0000_0000;
const USER_STRIDE = 0x1_0000_0000;

interface MappedRegion {
  readonly region: Required<FrontEndRegion>;
  readonly fd: number;
  readonly buffer: ArrayBuffer;
  /** Bytes allocated from the start. */
  allocated: number;
}

/** A guest's memory: memfds, mapped here and shared with the back-end, with an allocator that never frees. */
export class FrontEndMemory {
  /** The memory by guest-physical addresses. */
  readonly guest = new AddressSpace();
  readonly #regions: MappedRegion[] = [];

  /** @throws NativeError when the memory cannot be made */
  constructor(regions: readonly FrontEndRegion[] = DEFAULT_REGIONS) {
    try {
      for (const [index, given] of regions.entries()) this.#add(given, USER_BASE + index * USER_STRIDE);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #add(given: FrontEndRegion, userAddress: number): void {
    const region = { userAddress, mmapOffset: 0, ...given };
    const fd = createMemfd('rproc-gpio-guest', region.mmapOffset + region.sizeBytes);
    let buffer: ArrayBuffer;
    try {
      buffer = mapDescriptor(fd, region.mmapOffset, region.sizeBytes);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#regions.push({ region, fd, buffer, allocated: 0 });
    this.guest.add(region.guestPhysicalAddress, buffer);
  }

  /** The regions as SET_MEM_TABLE tells them. */
  get table(): MemoryRegion[] {
    return this.#regions.map(({ region }) => ({
      guestPhysicalAddress: BigInt(region.guestPhysicalAddress),
      sizeBytes: BigInt(region.sizeBytes),
      userAddress: BigInt(region.userAddress),
      mmapOffset: BigInt(region.mmapOffset),
    }));
  }

  /** The memfds, in the order of {@link table}: to truncate one, for instance. They belong to this object. */
  get descriptors(): number[] {
    return this.#regions.map(({ fd }) => fd);
  }

  /**
   * Takes memory that nothing else uses, zeroed.
   *
   * @param align a power of two
   * @param regionIndex of which region
   * @returns its guest-physical address
   * @throws FrontEndError `ERR_FRONT_END_FULL`
   */
  allocate(sizeBytes: number, align = 16, regionIndex = 0): number {
    const mapped = this.#regions[regionIndex];
    if (mapped === undefined) {
      throw new FrontEndError(
        'ERR_FRONT_END_FULL',
        `no region ${regionIndex}, there are ${this.#regions.length}`,
      );
    }
    const { region } = mapped;
    const start = Math.ceil(mapped.allocated / align) * align;
    if (start + sizeBytes > region.sizeBytes) {
      throw new FrontEndError(
        'ERR_FRONT_END_FULL',
        `${sizeBytes} bytes of guest memory wanted, ${region.sizeBytes - start} of region ${regionIndex} are left`,
      );
    }
    mapped.allocated = start + sizeBytes;
    return region.guestPhysicalAddress + start;
  }

  /** The front-end's own address of a guest-physical one, for SET_VRING_ADDR. @throws AddressError */
  userAddress(guestPhysicalAddress: number): bigint {
    this.guest.require('guest-physical address', guestPhysicalAddress, 1, 1);
    for (const { region } of this.#regions) {
      const offset = guestPhysicalAddress - region.guestPhysicalAddress;
      if (offset >= 0 && offset < region.sizeBytes) return BigInt(region.userAddress + offset);
    }
    throw new Error(`0x${guestPhysicalAddress.toString(16)} is mapped, but in no region`);
  }

  /** Copies bytes in, one by one. @throws AddressError when they do not lie in one region */
  write(guestPhysicalAddress: number, bytes: Uint8Array): void {
    const { u8 } = this.guest.require('write', guestPhysicalAddress, bytes.length, 1);
    const { offset } = this.guest;
    for (let index = 0; index < bytes.length; index++) u8[offset + index] = bytes[index]!;
  }

  /** Copies bytes out, one by one. @throws AddressError when they do not lie in one region */
  read(guestPhysicalAddress: number, sizeBytes: number): Uint8Array {
    const { u8 } = this.guest.require('read', guestPhysicalAddress, sizeBytes, 1);
    const { offset } = this.guest;
    return Uint8Array.from({ length: sizeBytes }, (_, index) => u8[offset + index]!);
  }

  /** Unmaps and closes everything; idempotent. */
  close(): void {
    this.guest.clear();
    for (const { fd, buffer } of this.#regions.splice(0)) {
      unmap(buffer);
      closeSync(fd);
    }
  }
}
