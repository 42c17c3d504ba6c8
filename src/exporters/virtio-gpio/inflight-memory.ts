import { createMemfd, isDead, mapDescriptor, unmap } from '../../native.ts';
import type { InflightDescription } from '../../wire/vhost-user.ts';
import { isQueueSize } from '../../wire/vring.ts';
import { InflightRegion, inflightRegionBytes } from './inflight.ts';

const PAGE_BYTES = 4096;
const ALIGN = 8;

/** What the front-end says of the inflight memory makes no sense. */
export class InflightError extends Error {
  readonly code = 'ERR_INFLIGHT';
  constructor(message: string) {
    super(message);
    this.name = 'InflightError';
  }
}

function neededBytes(queues: number, queueSize: number, queueCount: number): number {
  if (queues < 1 || queues > queueCount)
    throw new InflightError(`inflight memory for ${queues} queues; the device has ${queueCount}`);
  if (!isQueueSize(queueSize))
    throw new InflightError(
      `inflight memory for queues of ${queueSize}; a power of two from 1 to 32768 is needed`,
    );
  return queues * inflightRegionBytes(queueSize);
}

/**
 * Makes the memory that GET_INFLIGHT_FD hands out: zeroed, and of a size that nobody can change.
 *
 * @param queueCount of the device
 * @returns its descriptor, which is the caller's to close, and what the answer says of it
 * @throws InflightError, NativeError
 */
export function createInflightMemory(
  { queues, queueSize }: Pick<InflightDescription, 'queues' | 'queueSize'>,
  queueCount: number,
): { readonly fd: number; readonly description: InflightDescription } {
  const bytes = neededBytes(queues, queueSize, queueCount);
  const fd = createMemfd('rproc-gpio-inflight', bytes, true);
  return { fd, description: { mmapSizeBytes: BigInt(bytes), mmapOffset: 0n, queues, queueSize } };
}

/** The memory of SET_INFLIGHT_FD: one region a queue. Owns the mapping, not the descriptor. */
export class InflightMemory {
  readonly queues: number;
  readonly #regions: readonly InflightRegion[];
  readonly #buffer: ArrayBuffer;

  /** @throws InflightError for sizes that do not fit, NativeError when it cannot be mapped (a file shorter than said) */
  constructor(description: InflightDescription, fd: number, queueCount: number) {
    const { queues, queueSize, mmapSizeBytes, mmapOffset } = description;
    const bytes = neededBytes(queues, queueSize, queueCount);
    if (mmapSizeBytes < BigInt(bytes)) {
      throw new InflightError(
        `inflight memory of ${mmapSizeBytes} bytes; ${queues} queues of ${queueSize} need ${bytes}`,
      );
    }
    if (mmapOffset % BigInt(ALIGN) !== 0n || mmapOffset > BigInt(Number.MAX_SAFE_INTEGER - bytes))
      throw new InflightError(`inflight memory at offset ${mmapOffset}; a multiple of ${ALIGN} is needed`);
    const offset = Number(mmapOffset);
    const skip = offset % PAGE_BYTES;
    const buffer = mapDescriptor(fd, offset - skip, bytes + skip);
    this.queues = queues;
    this.#buffer = buffer;
    const regionBytes = inflightRegionBytes(queueSize);
    this.#regions = Array.from(
      { length: queues },
      (_, index) => new InflightRegion(buffer, skip + index * regionBytes, queueSize),
    );
  }

  /** null for a queue that it has no region for. */
  region(queueIndex: number): InflightRegion | null {
    return this.#regions[queueIndex] ?? null;
  }

  /** The front-end truncated it: it reads as zeroes now. */
  get isDead(): boolean {
    return isDead(this.#buffer);
  }

  /** Idempotent. No ring may use it any more. */
  close(): void {
    unmap(this.#buffer);
  }
}
