import { createMemfd } from '../native.ts';
import { CoprocessorError } from './coprocessor-error.ts';
import { MappedRegion, type MemoryRegion } from './mapped-region.ts';

/** Memory that is made here, for firmware that runs as a process (`exec`). */
export interface MemfdSource {
  readonly type: 'memfd';
  readonly deviceAddress: number;
  readonly sizeBytes: number;
}

/**
 * The memory is zero, and sealed: its size cannot change any more, so the firmware cannot truncate it under our feet.
 * @throws CoprocessorError ERR_MEMORY
 */
export function openMemfd(source: MemfdSource): MemoryRegion {
  const { deviceAddress, sizeBytes } = source;
  const what = `memfd memory of ${sizeBytes} bytes`;
  let fd: number;
  try {
    fd = createMemfd('rproc-gpio', sizeBytes, true);
  } catch (error) {
    throw new CoprocessorError('ERR_MEMORY', `${what}: ${(error as Error).message}`, error);
  }
  return new MappedRegion(fd, { what, deviceAddress, offset: 0, sizeBytes });
}
