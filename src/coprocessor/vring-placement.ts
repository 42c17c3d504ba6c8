import {
  FW_RSC_ADDR_ANY,
  type LocatedVdev,
  type LocatedVring,
  type ResourceTable,
} from '../wire/resource-table.ts';
import { DESCRIPTOR_ALIGN, type VringLayout, vringLayout } from '../wire/vring.ts';
import { firmwareRanges, type OccupiedRange, overlaps, vringRanges } from './buffer-memory.ts';
import type { Carveout } from './carveout.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';

/** A vring with its place in the co-processor's memory. */
export interface PlacedVring {
  readonly vring: LocatedVring;
  readonly layout: VringLayout;
  readonly deviceAddress: number;
  /** We chose the address: it has to be written back. */
  readonly isChosen: boolean;
}

/** What the table says around the vdev that is placed. */
export interface PlacementContext {
  readonly table: ResourceTable;
  readonly tableAddress: number;
  readonly memory: DeviceMemory;
}

/**
 * Places the vrings of a vdev: where the firmware says, after checking that; in a carveout of the kernel's name
 * (`vdev0vring1`) where there is one; else in `carveout`.
 * @param index of the vdev in the table
 * @throws CoprocessorError ERR_VDEV or ERR_CARVEOUT naming the vring
 */
export function placeVrings(
  vdev: LocatedVdev,
  index: number,
  carveout: Carveout,
  context: PlacementContext,
): PlacedVring[] {
  const chosen: OccupiedRange[] = [];
  return vdev.vrings.map((vring, queue) => {
    const what = `vring ${queue} of vdev ${index}`;
    const layout = vringLayout(vring.num, vring.align);
    if (vring.da !== FW_RSC_ADDR_ANY) {
      checkPlace({ what, deviceAddress: vring.da, sizeBytes: layout.sizeBytes }, vring.align, context);
      return { vring, layout, deviceAddress: vring.da, isChosen: false };
    }
    const { sizeBytes } = layout;
    const deviceAddress =
      namedPlace(`vdev${index}vring${queue}`, { what, sizeBytes, align: vring.align, chosen }, context) ??
      carveout.allocate(sizeBytes, Math.max(vring.align, DESCRIPTOR_ALIGN), what);
    chosen.push({ what, deviceAddress, sizeBytes });
    return { vring, layout, deviceAddress, isChosen: true };
  });
}

/** The rings must be ours and the firmware's alone, and reachable by aligned elements. */
function checkPlace(range: OccupiedRange, vringAlign: number, context: PlacementContext): void {
  const { what, deviceAddress, sizeBytes } = range;
  const place = `${what} at device address ${hex(deviceAddress)} (${sizeBytes} bytes)`;
  checkAligned(place, deviceAddress, vringAlign);
  if (!context.memory.has(deviceAddress, sizeBytes)) {
    const ranges = context.memory.regions.map(
      (region) => `${hex(region.deviceAddress)}-${hex(region.deviceAddress + region.sizeBytes - 1)}`,
    );
    throw new CoprocessorError(
      'ERR_VDEV',
      `${place} is outside the configured memory (${ranges.join(', ')})`,
    );
  }
  checkFree(place, range, [], context);
}

/**
 * Firmware may well put its vrings into a carveout of the table: only the table itself and other vrings are in the way.
 * @param chosen vrings that have just been given a place, which the table does not name yet
 */
function checkFree(
  place: string,
  range: OccupiedRange,
  chosen: readonly OccupiedRange[],
  context: PlacementContext,
): void {
  const [table] = firmwareRanges(context.table, context.tableAddress) as [OccupiedRange];
  const other = [table, ...vringRanges(context.table), ...chosen].find(
    (candidate) => candidate.what !== range.what && overlaps(candidate, range),
  );
  if (other !== undefined) {
    throw new CoprocessorError(
      'ERR_VDEV',
      `${place} overlaps ${other.what} at ${hex(other.deviceAddress)} (${other.sizeBytes} bytes)`,
    );
  }
}

/** A vring that goes to a carveout of its own. */
interface NamedVring {
  readonly what: string;
  readonly sizeBytes: number;
  readonly align: number;
  /** Those that have been given a place before. */
  readonly chosen: readonly OccupiedRange[];
}

/** The used ring is aligned from the vring's start in our layout and by its address in others': both agree on an aligned start. */
function checkAligned(place: string, deviceAddress: number, vringAlign: number): void {
  const align = Math.max(vringAlign, DESCRIPTOR_ALIGN);
  if (deviceAddress % align !== 0) {
    throw new CoprocessorError('ERR_VDEV', `${place} is not aligned to ${align} bytes`);
  }
}

function namedPlace(name: string, vring: NamedVring, context: PlacementContext): number | undefined {
  const { what, sizeBytes, align, chosen } = vring;
  const { table, memory } = context;
  for (const entry of table.entries) {
    if (entry.kind !== 'carveout' || entry.name !== name || entry.da === FW_RSC_ADDR_ANY) continue;
    const place = `${what} in carveout "${name}" at device address ${hex(entry.da)}`;
    checkAligned(place, entry.da, align);
    if (entry.len < sizeBytes) {
      throw new CoprocessorError('ERR_CARVEOUT', `${place} needs ${sizeBytes} bytes, it has ${entry.len}`);
    }
    if (!memory.has(entry.da, sizeBytes)) {
      throw new CoprocessorError('ERR_CARVEOUT', `${place} is outside the configured memory`);
    }
    checkFree(place, { what, deviceAddress: entry.da, sizeBytes }, chosen, context);
    return entry.da;
  }
  return undefined;
}
