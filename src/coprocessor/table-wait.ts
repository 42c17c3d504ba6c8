import { RESOURCE_TABLE_VERSION, TABLE_OFFSET } from '../wire/resource-table.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { FirmwareWait } from './firmware-wait.ts';
import type { TableLocation } from './table-source.ts';

/** How to wait for a resource table. */
export interface TableWaitOptions {
  readonly wait: FirmwareWait;
  /** What is left of `timeoutMs`. */
  readonly leftMs: number;
  /** For the message. */
  readonly timeoutMs: number;
  /** The memory was zero before the firmware wrote: a version other than 0 and 1 is a fault, not garbage. */
  readonly isFresh: boolean;
  /** Look at an interval too, as the firmware may come up without a call. */
  readonly isRechecked: boolean;
}

/**
 * Resolves when the table is there: `ver` is what firmware writes last, and RAM may hold anything before.
 * @throws CoprocessorError ERR_RESOURCE_TABLE for another version, ERR_START_TIMEOUT when there is none
 */
export function waitForTable(
  memory: DeviceMemory,
  { deviceAddress }: TableLocation,
  { wait, leftMs, timeoutMs, isFresh, isRechecked }: TableWaitOptions,
): Promise<void> {
  const at = `resource table at device address ${hex(deviceAddress)}`;
  const expected = `expected ${RESOURCE_TABLE_VERSION}`;
  const readVersion = (): number => memory.loadU32(deviceAddress + TABLE_OFFSET.VER);
  const isThere = (): boolean => {
    const version = readVersion();
    if (version === RESOURCE_TABLE_VERSION) return true;
    if (!isFresh || version === 0) return false;
    throw new CoprocessorError('ERR_RESOURCE_TABLE', `${at}: version is ${version}, ${expected}`);
  };
  const describeTimeout = (): CoprocessorError => {
    const version = readVersion();
    const found = `${at}: version is still ${version} (${hex(version)}) after ${timeoutMs} ms, ${expected}`;
    if (version !== 0) return new CoprocessorError('ERR_RESOURCE_TABLE', found);
    const advice = 'the firmware does not run, or its table is elsewhere';
    return new CoprocessorError('ERR_START_TIMEOUT', `${found}: ${advice}`);
  };
  return wait.until(isThere, leftMs, isRechecked, describeTimeout);
}
