import { isDead } from '../native.ts';
import { AddressSpace, type MemoryWindow } from '../virtqueue/address-space.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import type { MemoryRegion } from './mapped-region.ts';

/**
 * The co-processor's memory by device addresses. Everything is read and written in aligned elements of 8, 16 or 32 bits: on
 * Arm, device memory faults on unaligned and vector accesses, so `DataView`, `set` and `slice` are out of the question.
 */
export class DeviceMemory {
  /** For queues and buffers. */
  readonly space = new AddressSpace();
  readonly regions: readonly MemoryRegion[];

  /** @throws CoprocessorError ERR_MEMORY when two regions overlap in the co-processor's address space */
  constructor(regions: readonly MemoryRegion[]) {
    this.regions = regions;
    const sorted = [...regions].sort((a, b) => a.deviceAddress - b.deviceAddress);
    for (let i = 1; i < sorted.length; i++) {
      const [below, above] = [sorted[i - 1] as MemoryRegion, sorted[i] as MemoryRegion];
      if (below.deviceAddress + below.sizeBytes > above.deviceAddress) {
        throw new CoprocessorError(
          'ERR_MEMORY',
          `memory at device address ${describeRange(below)} overlaps memory at ${describeRange(above)}`,
        );
      }
    }
    for (const { deviceAddress, buffer, byteOffset, sizeBytes } of regions) {
      this.space.add(deviceAddress, buffer, byteOffset, sizeBytes);
    }
  }

  /** Which memory was truncated by somebody who shares it: it reads as zeroes there. Null when none is. */
  get truncated(): string | null {
    const found = this.regions.find(({ buffer }) => isDead(buffer));
    if (found === undefined) return null;
    return `the memory at device address ${describeRange(found)} was truncated by somebody who shares it while it was mapped`;
  }

  /** Bytes from `deviceAddress` to the end of the region that it lies in; 0 outside all regions. */
  bytesFrom(deviceAddress: number): number {
    return (this.space.find(deviceAddress, 1)?.end ?? deviceAddress) - deviceAddress;
  }

  /** Whether all of a range lies in one region. */
  has(deviceAddress: number, sizeBytes: number): boolean {
    return this.space.find(deviceAddress, sizeBytes) !== null;
  }

  /** @throws AddressError outside the memory; so do all accessors here, and for an address that is not aligned */
  readU8(deviceAddress: number): number {
    return this.#at(deviceAddress, 1).u8[this.space.offset] as number;
  }

  readU16(deviceAddress: number): number {
    return this.#at(deviceAddress, 2).u16[this.space.offset >>> 1] as number;
  }

  readU32(deviceAddress: number): number {
    return this.#at(deviceAddress, 4).u32[this.space.offset >>> 2] as number;
  }

  /** An acquiring load: what the co-processor wrote before this value is seen by what is read after it. */
  loadU32(deviceAddress: number): number {
    return Atomics.load(this.#at(deviceAddress, 4).u32, this.space.offset >>> 2);
  }

  writeU8(deviceAddress: number, value: number): void {
    this.#at(deviceAddress, 1).u8[this.space.offset] = value;
  }

  writeU32(deviceAddress: number, value: number): void {
    this.#at(deviceAddress, 4).u32[this.space.offset >>> 2] = value;
  }

  /** A private copy: check and use this, not the memory, which the co-processor may change at any time. */
  copyOut(deviceAddress: number, sizeBytes: number): Uint8Array {
    const copy = new Uint8Array(sizeBytes);
    if (sizeBytes === 0) return copy;
    const { u8, u32 } = this.#at(deviceAddress, sizeBytes, 1);
    const from = this.space.offset;
    let done = 0;
    while (done < sizeBytes) {
      const at = from + done;
      // Whole words where possible: a field of 32 bits is then read in one piece, as it was written.
      if (at % 4 !== 0 || sizeBytes - done < 4) {
        copy[done++] = u8[at] as number;
        continue;
      }
      const word = u32[at >>> 2] as number;
      copy[done++] = word;
      copy[done++] = word >>> 8;
      copy[done++] = word >>> 16;
      copy[done++] = word >>> 24;
    }
    return copy;
  }

  /** Zeroes a range whose start is aligned to 4 bytes. */
  zero(deviceAddress: number, sizeBytes: number): void {
    const { u8, u32 } = this.#at(deviceAddress, sizeBytes, 4);
    const from = this.space.offset;
    const words = sizeBytes >>> 2;
    // Not fill(): it may store vectors.
    for (let i = 0; i < words; i++) u32[(from >>> 2) + i] = 0;
    for (let i = words * 4; i < sizeBytes; i++) u8[from + i] = 0;
  }

  #at(deviceAddress: number, sizeBytes: number, align = sizeBytes): MemoryWindow {
    return this.space.require('device memory', deviceAddress, sizeBytes, align);
  }
}

function describeRange({ deviceAddress, sizeBytes }: MemoryRegion): string {
  return `${hex(deviceAddress)}-${hex(deviceAddress + sizeBytes - 1)}`;
}
