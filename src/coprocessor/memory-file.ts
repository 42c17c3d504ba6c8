import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { CoprocessorError, describeOpenError, hex } from './coprocessor-error.ts';
import { MappedRegion, type MemoryRegion } from './mapped-region.ts';

/** A file that the co-processor's memory lies in: shared RAM of an emulator, or `/proc/PID/fd/N` of one. */
export interface FileSource {
  readonly type: 'file';
  readonly path: string;
  /** Where the memory begins in the file; 0 unless given. */
  readonly offset?: number | undefined;
  /** All that follows `offset` unless given. */
  readonly sizeBytes?: number | undefined;
  readonly deviceAddress: number;
}

/** @throws CoprocessorError ERR_MEMORY */
export function openFileMemory(source: FileSource): MemoryRegion {
  const { path, deviceAddress, offset = 0 } = source;
  const what = `memory file ${path}`;
  const fd = openMemoryDescriptor(path, constants.O_RDWR);
  let sizeBytes: number;
  try {
    sizeBytes = checkedSize(fd, source, what);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return new MappedRegion(fd, { what, deviceAddress, offset, sizeBytes });
}

/** Only what is there may be mapped: touching pages beyond the end of a file raises SIGBUS. */
function checkedSize(fd: number, { sizeBytes, offset = 0 }: FileSource, what: string): number {
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    throw new CoprocessorError(
      'ERR_MEMORY',
      `${what} is not a regular file; for a device use memory of type uio or devmem`,
    );
  }
  const wanted = sizeBytes ?? stat.size - offset;
  if (wanted > 0 && offset + wanted <= stat.size) return wanted;
  const asked = sizeBytes === undefined ? 'what follows' : `${sizeBytes} bytes from`;
  throw new CoprocessorError(
    'ERR_MEMORY',
    `${what} has ${stat.size} bytes, too few for ${asked} offset ${hex(offset)}`,
  );
}

/** Opens what memory lies in. @throws CoprocessorError ERR_MEMORY that says what to do */
export function openMemoryDescriptor(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw new CoprocessorError('ERR_MEMORY', `memory: ${describeOpenError(path, error)}`, error);
  }
}
