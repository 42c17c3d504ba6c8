import { constants } from 'node:fs';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import { MappedRegion, type MemoryRegion } from './mapped-region.ts';
import { openMemoryDescriptor } from './memory-file.ts';
import { readUioMap, uioPath } from './uio-device.ts';

/** A memory area of a UIO device (`uio_pdrv_genirq` in the device tree, or a driver of the board's maker). */
export interface UioSource {
  readonly type: 'uio';
  /** `/dev/uio0`, or its name. */
  readonly device: string;
  /** Number of the memory area; 0 unless given. */
  readonly map?: number | undefined;
  /** Where to begin in the memory area, in bytes; 0 unless given. */
  readonly offset?: number | undefined;
  /** All that follows `offset` unless given. */
  readonly sizeBytes?: number | undefined;
  readonly deviceAddress: number;
}

/** @throws CoprocessorError ERR_MEMORY */
export function openUioMemory(source: UioSource, sysfsRoot: string): MemoryRegion {
  const { map = 0, offset = 0, deviceAddress } = source;
  const path = uioPath(source.device);
  const what = `memory ${path} map ${map}`;
  const found = readUioMap(sysfsRoot, path, map, 'ERR_MEMORY');
  const sizeBytes = source.sizeBytes ?? found.sizeBytes - offset;
  if (sizeBytes <= 0 || offset < 0 || offset + sizeBytes > found.sizeBytes) {
    throw new CoprocessorError(
      'ERR_MEMORY',
      `${what} has ${found.sizeBytes} bytes, too few for ${sizeBytes} bytes from offset ${hex(offset)}`,
    );
  }
  const fd = openMemoryDescriptor(path, constants.O_RDWR);
  // Within a map, mmap offsets are page numbers that choose the map: everything is mapped from the map's first page on.
  return new MappedRegion(fd, {
    what,
    deviceAddress,
    offset: found.inPageOffset + offset,
    sizeBytes,
    mmapOffset: found.mmapOffset,
  });
}
