import { constants } from 'node:fs';
import { MappedRegion, type MemoryRegion } from './mapped-region.ts';
import { openMemoryDescriptor } from './memory-file.ts';

/** Physical memory through `/dev/mem`: needs CAP_SYS_RAWIO, and memory that the kernel does not use (`no-map`). */
export interface DevmemSource {
  readonly type: 'devmem';
  /** The device; `/dev/mem` unless given. */
  readonly path?: string | undefined;
  /** Need not be the start of a page. */
  readonly physicalAddress: number;
  readonly sizeBytes: number;
  readonly deviceAddress: number;
}

/** @throws CoprocessorError ERR_MEMORY */
export function openDevmem(source: DevmemSource): MemoryRegion {
  const { path = '/dev/mem', physicalAddress, sizeBytes, deviceAddress } = source;
  // O_SYNC maps uncached: the co-processor does not see our caches, nor we its writes through them.
  const fd = openMemoryDescriptor(path, constants.O_RDWR | constants.O_SYNC);
  const what = `memory ${path}`;
  return new MappedRegion(fd, { what, deviceAddress, offset: physicalAddress, sizeBytes });
}
