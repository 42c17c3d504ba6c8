import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import { pageSizeBytes } from './page-size.ts';

/** `/dev/uio0`, also when only `uio0` was said. */
export function uioPath(device: string): string {
  return device.includes('/') ? device : `/dev/${device}`;
}

/** One memory area of a UIO device, as the kernel describes it (Documentation/driver-api/uio-howto.rst). */
export interface UioMap {
  /** Bytes from the start of the mapping to the start of the memory. */
  readonly inPageOffset: number;
  /** Length of the memory in bytes, from `inPageOffset` on. */
  readonly sizeBytes: number;
  /** What to ask mmap for: map M is chosen by M pages of offset. */
  readonly mmapOffset: number;
}

/**
 * Reads `/sys/class/uio/uioN/maps/mapM/{addr,size,offset}`.
 * @throws CoprocessorError with `code` when the device or the map is not there
 */
export function readUioMap(
  sysfsRoot: string,
  device: string,
  map: number,
  code: 'ERR_MEMORY' | 'ERR_DOORBELL',
): UioMap {
  const name = basename(device);
  const folder = join(sysfsRoot, 'class/uio', name);
  const mapFolder = join(folder, 'maps', `map${map}`);
  const read = (file: string): bigint => {
    const path = join(mapFolder, file);
    let text: string;
    try {
      text = readFileSync(path, 'utf8').trim();
    } catch (error) {
      throw new CoprocessorError(code, describeMissing(folder, name, map), error);
    }
    if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) {
      throw new CoprocessorError(code, `${path} holds ${JSON.stringify(text)}, expected a number`);
    }
    return BigInt(text);
  };
  const pageSize = pageSizeBytes();
  // Drivers of memory that they allocated give the kernel's own address of it, which no Number holds (0xffff888012340000).
  const address = read('addr');
  const size = Number(read('size'));
  const offset = Number(read('offset'));
  const inAddress = Number(address % BigInt(pageSize));
  // Older drivers give the exact address and size; newer ones (uio_pdrv_genirq since 5.3) a page's address, the offset in it, and
  // a size that counts from the page.
  const inPageOffset = inAddress !== 0 ? inAddress : offset;
  const sizeBytes = inAddress !== 0 ? size : size - offset;
  if (sizeBytes <= 0 || inPageOffset >= pageSize) {
    throw new CoprocessorError(
      code,
      `${mapFolder}: address 0x${address.toString(16)}, size ${hex(size)} and offset ${hex(offset)} do not describe memory`,
    );
  }
  return { inPageOffset, sizeBytes, mmapOffset: map * pageSize };
}

function describeMissing(folder: string, name: string, map: number): string {
  let maps: string[];
  try {
    maps = readdirSync(join(folder, 'maps'));
  } catch {
    return `UIO device ${name} does not exist or has no memory: ${join(folder, 'maps')} cannot be read`;
  }
  const known = maps.map((entry) => entry.replace(/^map/, '')).sort((a, b) => Number(a) - Number(b));
  return `UIO device ${name} has no map ${map}; it has ${known.join(', ') || 'none'}`;
}
