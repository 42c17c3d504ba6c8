import { closeSync } from 'node:fs';
import { mapDescriptor, unmap } from '../native.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import { pageSizeBytes } from './page-size.ts';

/** Memory of the co-processor that is mapped here. Whoever opened it closes it. */
export interface MemoryRegion {
  /** Where the co-processor sees its first byte. */
  readonly deviceAddress: number;
  /** Length in bytes; exactly what was asked for, though the mapping is made of whole pages. */
  readonly sizeBytes: number;
  /** The mapping; the region begins at {@link byteOffset} of it. */
  readonly buffer: ArrayBuffer;
  /** Where in {@link buffer} the region begins: not 0 when the memory does not begin at a page. */
  readonly byteOffset: number;
  /** The descriptor that is mapped. */
  readonly fd: number;
  /** Unmaps and closes; idempotent. Views of {@link buffer} are empty afterwards. */
  close(): void;
}

/** What to map of a descriptor. */
export interface MappingRequest {
  /** For messages, e.g. `memory "/dev/uio0" map 1`. */
  readonly what: string;
  readonly deviceAddress: number;
  /** Where the memory begins in the descriptor, in bytes; need not be the start of a page. */
  readonly offset: number;
  readonly sizeBytes: number;
  /**
   * UIO: what to ask mmap for to choose the memory area. Then `offset` counts from the area's first page, and everything from
   * there on is mapped.
   */
  readonly mmapOffset?: number;
}

/** The elements of rings are up to 16 bytes aligned: an address must be as aligned in the mapping as it is in the device. */
const ELEMENT_ALIGN = 16;

/** A region over a descriptor that it owns. */
export class MappedRegion implements MemoryRegion {
  readonly deviceAddress: number;
  readonly sizeBytes: number;
  readonly buffer: ArrayBuffer;
  readonly byteOffset: number;
  readonly fd: number;
  #closed = false;

  /**
   * Maps from the page below `offset` to the page above the end. Closes `fd` when that fails.
   * @throws CoprocessorError ERR_MEMORY
   */
  constructor(fd: number, request: MappingRequest) {
    const { what, offset, deviceAddress, sizeBytes } = request;
    this.fd = fd;
    this.deviceAddress = deviceAddress;
    this.sizeBytes = sizeBytes;
    const pageSize = pageSizeBytes();
    const mmapOffset = request.mmapOffset ?? offset - (offset % pageSize);
    this.byteOffset = request.mmapOffset === undefined ? offset - mmapOffset : offset;
    try {
      checkRange(request);
      if (deviceAddress % ELEMENT_ALIGN !== this.byteOffset % ELEMENT_ALIGN) {
        throw new CoprocessorError(
          'ERR_MEMORY',
          `${what}: begins at ${hex(offset)} and is said to appear at device address ${hex(deviceAddress)}, but both must have the same remainder by ${ELEMENT_ALIGN}`,
        );
      }
      this.buffer = mapDescriptor(fd, mmapOffset, this.byteOffset + sizeBytes);
    } catch (error) {
      closeSync(fd);
      if (error instanceof CoprocessorError) throw error;
      throw new CoprocessorError('ERR_MEMORY', describeMapError(request, error), error);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    unmap(this.buffer);
    closeSync(this.fd);
  }
}

function checkRange({ what, offset, sizeBytes, deviceAddress }: MappingRequest): void {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw new CoprocessorError('ERR_MEMORY', `${what}: size ${sizeBytes} bytes, expected 1 or more`);
  }
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new CoprocessorError('ERR_MEMORY', `${what}: offset ${offset}, expected 0 or more`);
  }
  // Device addresses are 32 bits wide in the resource table.
  if (!Number.isSafeInteger(deviceAddress) || deviceAddress < 0 || deviceAddress + sizeBytes > 2 ** 32) {
    const range = `${hex(deviceAddress)} + ${sizeBytes} bytes`;
    throw new CoprocessorError('ERR_MEMORY', `${what}: device address ${range} does not fit into 32 bits`);
  }
}

function describeMapError({ what, offset, sizeBytes }: MappingRequest, error: unknown): string {
  const range = `${sizeBytes} bytes at ${hex(offset)}`;
  const reason = error instanceof Error ? error.message : String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EPERM' || code === 'EACCES') {
    return `${what}: mapping ${range} is not permitted (${code}): the kernel lets nobody map memory that it uses itself (CONFIG_STRICT_DEVMEM, lockdown); reserve it with "no-map" in the device tree, or offer it as a UIO device`;
  }
  return `${what}: cannot map ${range}: ${reason}`;
}
