import type { MemoryRegion } from './mapped-region.ts';
import { type DevmemSource, openDevmem } from './memory-devmem.ts';
import { type FileSource, openFileMemory } from './memory-file.ts';
import { type MemfdSource, openMemfd } from './memory-memfd.ts';
import { openUioMemory, type UioSource } from './memory-uio.ts';

export type { DevmemSource, FileSource, MemfdSource, MemoryRegion, UioSource };

/** Where memory of the co-processor is found, and the device address at which the co-processor sees it. */
export type MemorySource = MemfdSource | FileSource | UioSource | DevmemSource;

/**
 * Maps memory of the co-processor.
 * @param sysfsRoot where sysfs is mounted
 * @throws CoprocessorError ERR_MEMORY: names the path, the sizes asked for and found, and what to do about a permission
 */
export function openMemory(source: MemorySource, sysfsRoot = '/sys'): MemoryRegion {
  switch (source.type) {
    case 'memfd':
      return openMemfd(source);
    case 'file':
      return openFileMemory(source);
    case 'uio':
      return openUioMemory(source, sysfsRoot);
    case 'devmem':
      return openDevmem(source);
  }
}
