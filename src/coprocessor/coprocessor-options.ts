import type { NeedlessRings } from '../virtqueue/needless-rings.ts';
import { CoprocessorError } from './coprocessor-error.ts';
import type { DoorbellOptions } from './doorbell.ts';
import type { ExecOptions } from './firmware-process.ts';
import type { Log } from './log.ts';
import type { MemorySource } from './memory-region.ts';
import type { ResourceTableSource } from './table-source.ts';

/** How a co-processor is reached. */
export interface CoprocessorOptions {
  /** For messages. */
  readonly name: string;
  readonly memory: readonly MemorySource[];
  readonly resourceTable: ResourceTableSource;
  readonly doorbell: DoorbellOptions;
  /** Firmware that is a process here; else it is there already, or comes by itself. */
  readonly exec?: ExecOptions | undefined;
  /** How long the firmware may take to offer its resource table; 10000 unless given. */
  readonly startTimeoutMs?: number | undefined;
  /** Resets vdevs that somebody drives (a former run of ours that was killed), instead of refusing them. */
  readonly takeOver?: boolean | undefined;
  /** Indices of the vdevs that will be bound: `takeOver` leaves the others alone. All unless given. */
  readonly vdevs?: readonly number[] | undefined;
  readonly onLog?: Log | undefined;
  /** Somebody else logs why it ended or lost a device: then that is told to the debug log only. */
  readonly isSupervised?: boolean | undefined;
  /** Counts calls without cause, over the lives of the co-processor. */
  readonly calls?: NeedlessRings | undefined;
  /** Where sysfs is mounted; `/sys` unless given. */
  readonly sysfsRoot?: string | undefined;
}

export const DEFAULT_START_TIMEOUT_MS = 10_000;

/**
 * What does not go together, said before anything is opened.
 * @throws CoprocessorError
 */
export function checkOptions({ memory, doorbell, exec }: CoprocessorOptions): void {
  if (memory.length === 0) {
    throw new CoprocessorError('ERR_MEMORY', 'no memory is configured, expected one region or more');
  }
  if (exec === undefined && doorbell.type === 'eventfd') {
    throw new CoprocessorError(
      'ERR_DOORBELL',
      'a doorbell of type eventfd needs exec: only a process that is started here can inherit it; others use socket, uio or poll',
    );
  }
  if (exec === undefined && memory.some((source) => source.type === 'memfd')) {
    throw new CoprocessorError(
      'ERR_MEMORY',
      'memory of type memfd needs exec: only a process that is started here can inherit it; others use file, uio or devmem',
    );
  }
  if (exec !== undefined && doorbell.type === 'eventfd' && !memory.some(isInheritable)) {
    throw new CoprocessorError(
      'ERR_EXEC',
      'exec with a doorbell of type eventfd needs memory of type memfd or file, for the process to inherit',
    );
  }
}

/** Memory that a process can be handed as a descriptor. */
export function isInheritable(source: MemorySource): boolean {
  return source.type === 'memfd' || source.type === 'file';
}
