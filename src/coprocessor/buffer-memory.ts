import { FW_RSC_ADDR_ANY, type LocatedEntry, type ResourceTable } from '../wire/resource-table.ts';
import { vringLayout } from '../wire/vring.ts';
import { Carveout } from './carveout.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { MemoryRegion } from './mapped-region.ts';

/** A range of device addresses. */
export interface AddressRange {
  readonly deviceAddress: number;
  readonly sizeBytes: number;
}

/** A range that is in use, and by what. */
export interface OccupiedRange extends AddressRange {
  readonly what: string;
}

type MemoryEntry = Extract<LocatedEntry, { kind: 'carveout' | 'devmem' }>;

/** Memory for a vdev's buffers, and for those of its vrings that the driver side places. */
export interface VdevBuffers {
  readonly carveout: Carveout;
  /** A CARVEOUT entry whose address the driver side chose: to be written back. */
  readonly chosen: { readonly entryOffset: number; readonly deviceAddress: number } | undefined;
}

/** Ranges that belong to the firmware: not to be written by us, whatever else may lie in the same memory. */
export function firmwareRanges(table: ResourceTable, tableAddress: number): OccupiedRange[] {
  const ranges = [{ what: 'the resource table', deviceAddress: tableAddress, sizeBytes: table.sizeBytes }];
  for (const entry of table.entries) {
    if (entry.kind !== 'carveout' && entry.kind !== 'devmem' && entry.kind !== 'trace') continue;
    if (entry.da === FW_RSC_ADDR_ANY) continue;
    ranges.push({ what: `${entry.kind} "${entry.name}"`, deviceAddress: entry.da, sizeBytes: entry.len });
  }
  return ranges;
}

/** Where the vrings are that have an address. */
export function vringRanges(table: ResourceTable): OccupiedRange[] {
  return table.entries
    .filter((entry) => entry.kind === 'vdev')
    .flatMap((vdev, index) =>
      vdev.vrings.map((vring, queue) => ({
        what: `vring ${queue} of vdev ${index}`,
        deviceAddress: vring.da,
        sizeBytes: vringLayout(vring.num, vring.align).sizeBytes,
      })),
    )
    .filter((range) => range.deviceAddress !== FW_RSC_ADDR_ANY);
}

export function overlaps(a: AddressRange, b: AddressRange): boolean {
  return a.deviceAddress < b.deviceAddress + b.sizeBytes && b.deviceAddress < a.deviceAddress + a.sizeBytes;
}

/**
 * Finds memory for buffers. The order, after what Linux does and what boards have:
 * 1. the CARVEOUT entry `vdev<N>buffer`, where it has an address;
 * 2. a configured region in which the table names nothing of the firmware's, neither itself nor a carveout or trace: reserved
 *    memory that exists for vrings and buffers. One without vrings is preferred. A `vdev<N>buffer` whose address is "any" gets its
 *    place there.
 * The rest of the region with the table in it is never taken: it is full of variables that no table lists.
 */
export class BufferMemory {
  readonly #memory: DeviceMemory;
  readonly #tableAddress: number;
  /** One ledger a region, as several vdevs may use one. */
  readonly #shared = new Map<MemoryRegion, Carveout>();

  constructor(memory: DeviceMemory, tableAddress: number) {
    this.#memory = memory;
    this.#tableAddress = tableAddress;
  }

  /**
   * @param index of the vdev in the table
   * @throws CoprocessorError ERR_CARVEOUT when there is no such memory
   */
  forVdev(index: number, table: ResourceTable): VdevBuffers {
    const name = `vdev${index}buffer`;
    const named = table.entries.find((entry) => entry.kind === 'carveout' && entry.name === name) as
      | MemoryEntry
      | undefined;
    const owned = firmwareRanges(table, this.#tableAddress);
    const placed = vringRanges(table);
    if (named !== undefined && named.da !== FW_RSC_ADDR_ANY) {
      if (!this.#memory.has(named.da, named.len)) {
        throw new CoprocessorError(
          'ERR_CARVEOUT',
          `carveout "${name}" at device address ${hex(named.da)} + ${named.len} bytes is outside the configured memory`,
        );
      }
      const carveout = new Carveout(named.da, named.len);
      for (const range of [...owned, ...placed]) {
        if (range.what === `carveout "${name}"`) continue;
        carveout.reserve(range.deviceAddress, range.sizeBytes);
      }
      return { carveout, chosen: undefined };
    }
    const region = this.#freeRegion(owned, placed);
    if (region === undefined) {
      throw new CoprocessorError(
        'ERR_CARVEOUT',
        `no memory for the buffers of vdev ${index}: the resource table has no carveout "${name}" with an address, and every configured memory region holds the table or something else of the firmware's; add one or the other`,
      );
    }
    const carveout = this.#sharedCarveout(region).share();
    for (const range of placed) carveout.reserve(range.deviceAddress, range.sizeBytes);
    if (named === undefined) return { carveout, chosen: undefined };
    const deviceAddress = carveout.allocate(named.len, 16, `carveout "${name}"`);
    return {
      carveout: new NestedCarveout(deviceAddress, named.len, carveout),
      chosen: { entryOffset: named.offset, deviceAddress },
    };
  }

  #freeRegion(owned: OccupiedRange[], placed: OccupiedRange[]): MemoryRegion | undefined {
    const holds = (region: MemoryRegion, ranges: OccupiedRange[]): boolean =>
      ranges.some((range) => overlaps(range, region));
    const free = this.#memory.regions.filter((region) => !holds(region, owned));
    return free.find((region) => !holds(region, placed)) ?? free[0];
  }

  #sharedCarveout(region: MemoryRegion): Carveout {
    let carveout = this.#shared.get(region);
    if (carveout === undefined) {
      carveout = new Carveout(region.deviceAddress, region.sizeBytes);
      this.#shared.set(region, carveout);
    }
    return carveout;
  }
}

/** A carveout within another one: giving it back gives the outer piece back. */
class NestedCarveout extends Carveout {
  readonly #outer: Carveout;

  constructor(deviceAddress: number, sizeBytes: number, outer: Carveout) {
    super(deviceAddress, sizeBytes);
    this.#outer = outer;
  }

  override releaseAll(): void {
    super.releaseAll();
    this.#outer.releaseAll();
  }
}
