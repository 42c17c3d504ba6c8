import { readFileSync } from 'node:fs';
import { decodeElf, findSection, RESOURCE_TABLE_SECTION } from '../wire/elf.ts';
import { decodeResourceTable, type ResourceTable } from '../wire/resource-table.ts';
import { CoprocessorError, describeOpenError, hex } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';

/**
 * Where the resource table is: at a device address, or where the firmware's ELF file puts a section, `.resource_table` unless
 * named.
 */
export type ResourceTableSource =
  | { readonly deviceAddress: number; readonly elf?: undefined }
  | { readonly elf: string; readonly section?: string | undefined; readonly deviceAddress?: undefined };

/** A table is a few hundred bytes; the copy that is decoded is bounded all the same. */
const MAX_TABLE_BYTES = 64 * 1024;
/** ver, num, reserved[2]. */
const HEADER_BYTES = 16;

/** Where the table lies in the co-processor's memory, and how long it may be. */
export interface TableLocation {
  readonly deviceAddress: number;
  readonly maxSizeBytes: number;
}

/**
 * Finds the table's place; whether a table is there yet is another question.
 * @throws CoprocessorError ERR_RESOURCE_TABLE when it is not in the configured memory, ERR_FIRMWARE when the ELF file cannot be
 * read or has no such section
 */
export function locateTable(source: ResourceTableSource, memory: DeviceMemory): TableLocation {
  const { deviceAddress, sectionBytes, where } = findPlace(source);
  const room = memory.bytesFrom(deviceAddress);
  if (room < HEADER_BYTES) {
    const ranges = memory.regions.map(
      (r) => `${hex(r.deviceAddress)}-${hex(r.deviceAddress + r.sizeBytes - 1)}`,
    );
    throw new CoprocessorError(
      'ERR_RESOURCE_TABLE',
      `resource table at device address ${hex(deviceAddress)}${where} is outside the configured memory (${ranges.join(', ')})`,
    );
  }
  if (deviceAddress % 4 !== 0) {
    throw new CoprocessorError(
      'ERR_RESOURCE_TABLE',
      `resource table at device address ${hex(deviceAddress)}${where} is not aligned to 4 bytes`,
    );
  }
  return { deviceAddress, maxSizeBytes: Math.min(room, sectionBytes, MAX_TABLE_BYTES) };
}

interface Place {
  readonly deviceAddress: number;
  readonly sectionBytes: number;
  /** For messages. */
  readonly where: string;
}

function findPlace(source: ResourceTableSource): Place {
  if (source.elf === undefined) {
    return { deviceAddress: source.deviceAddress, sectionBytes: Number.POSITIVE_INFINITY, where: '' };
  }
  const { elf: path, section: name = RESOURCE_TABLE_SECTION } = source;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const why = describeOpenError(path, error);
    throw new CoprocessorError('ERR_FIRMWARE', `resource table from firmware ${why}`, error);
  }
  let section: ReturnType<typeof findSection>;
  try {
    section = findSection(decodeElf(bytes), name);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CoprocessorError('ERR_FIRMWARE', `firmware ${path} is not a good ELF file: ${why}`, error);
  }
  if (section === undefined) {
    throw new CoprocessorError(
      'ERR_FIRMWARE',
      `firmware ${path} has no section ${name}; give the table's device address instead`,
    );
  }
  return {
    deviceAddress: section.address,
    sectionBytes: section.sizeBytes,
    where: ` (${name} of ${path})`,
  };
}

/**
 * Decodes a private copy of the table.
 * @throws CoprocessorError ERR_RESOURCE_TABLE naming the field, its value and what would be right
 */
export function readTable(location: TableLocation, memory: DeviceMemory): ResourceTable {
  const bytes = memory.copyOut(location.deviceAddress, location.maxSizeBytes);
  try {
    return decodeResourceTable(bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CoprocessorError(
      'ERR_RESOURCE_TABLE',
      `resource table at device address ${hex(location.deviceAddress)}: ${why}`,
      error,
    );
  }
}
