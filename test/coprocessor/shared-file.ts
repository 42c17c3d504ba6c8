import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import { DeviceMemory } from '../../src/coprocessor/device-memory.ts';
import { openMemory } from '../../src/coprocessor/memory-region.ts';
import { VDEV_STATUS } from '../../src/coprocessor/vdev-status.ts';
import { readDescriptor, writeDescriptor } from '../../src/native.ts';
import {
  decodeResourceTable,
  encodeResourceTable,
  FW_RSC_ADDR_ANY,
  type LocatedVdev,
  type ResourceEntry,
  type ResourceTable,
  VDEV_OFFSET,
  type VdevEntry,
} from '../../src/wire/resource-table.ts';
import { scratchFolder, zeroFile } from './scratch-folder.ts';
import { Peer } from './socket-pair.ts';

export const BASE = 0x2000_0000;
export const SIZE = 0x10000;
export const CONFIG = Uint8Array.of(16, 0, 0, 0, 100, 0, 0, 0);

/** A VDEV entry of a gpio device with two vrings. */
export function vdevEntry(
  changes: Partial<VdevEntry> = {},
  das = [FW_RSC_ADDR_ANY, FW_RSC_ADDR_ANY],
): VdevEntry {
  return {
    kind: 'vdev',
    id: 41,
    notifyid: 0,
    dfeatures: 0x2001_0001,
    gfeatures: 0,
    status: 0,
    vrings: das.map((da, index) => ({ da, align: 64, num: 16 << index, notifyid: index + 1, pa: 0 })),
    config: CONFIG,
    ...changes,
  };
}

export function carveoutEntry(name: string, da: number, len: number): ResourceEntry {
  return { kind: 'carveout', da, pa: FW_RSC_ADDR_ANY, len, flags: 0, name };
}

export const BUFFER = carveoutEntry('vdev0buffer', BASE + 0x4000, 0x8000);

/** A co-processor that is a file and a socket: this test plays the firmware. */
export class SharedFile {
  readonly path: string;
  readonly peer = new Peer();
  readonly memory: DeviceMemory;
  readonly sysfsRoot = scratchFolder();
  readonly log: string[] = [];
  readonly #region;

  constructor(entries: readonly ResourceEntry[] = [BUFFER, vdevEntry()]) {
    this.path = zeroFile(join(scratchFolder(), 'ram'), SIZE);
    this.writeTable(entries);
    this.#region = openMemory({ type: 'file', path: this.path, deviceAddress: BASE });
    this.memory = new DeviceMemory([this.#region]);
  }

  writeTable(entries: readonly ResourceEntry[]): void {
    const bytes = readFileSync(this.path);
    encodeResourceTable(entries, bytes);
    writeFileSync(this.path, bytes, { flag: 'r+' });
  }

  get options(): CoprocessorOptions {
    return {
      name: 'hub',
      memory: [{ type: 'file', path: this.path, deviceAddress: BASE }],
      resourceTable: { deviceAddress: BASE },
      doorbell: { type: 'socket', path: this.peer.path },
      startTimeoutMs: 5000,
      sysfsRoot: this.sysfsRoot,
      onLog: (level, message) => this.log.push(`${level} ${message}`),
    };
  }

  get table(): ResourceTable {
    return decodeResourceTable(this.memory.copyOut(BASE, 0x1000));
  }

  vdev(index = 0): LocatedVdev {
    return this.table.entries.filter((entry) => entry.kind === 'vdev')[index] as LocatedVdev;
  }

  setStatus(status: number, index = 0): void {
    this.memory.writeU8(BASE + this.vdev(index).offset + VDEV_OFFSET.STATUS, status);
  }

  close(): void {
    this.peer.close();
    this.#region.close();
  }
}

/** The bytes that arrived. */
export function heard(fd: number): number[] {
  const bytes = new Uint8Array(256);
  const count = readDescriptor(fd, bytes);
  return [...bytes.subarray(0, Math.max(0, count))];
}

export function call(fd: number, notifyId: number): void {
  writeDescriptor(fd, Uint8Array.of(notifyId));
}

export const BOUND = VDEV_STATUS.ACKNOWLEDGE | VDEV_STATUS.DRIVER;
export const LIVE = BOUND | VDEV_STATUS.DRIVER_OK;
