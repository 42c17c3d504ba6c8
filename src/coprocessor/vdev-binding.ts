import { DriverQueue } from '../virtqueue/driver-queue.ts';
import {
  CARVEOUT_OFFSET,
  FW_RSC_ADDR_ANY,
  type LocatedVdev,
  type ResourceTable,
  VDEV_OFFSET,
  VDEV_VRING_OFFSET,
} from '../wire/resource-table.ts';
import { FEATURE_EVENT_IDX } from '../wire/vring.ts';
import type { BufferMemory, VdevBuffers } from './buffer-memory.ts';
import { CoprocessorError } from './coprocessor-error.ts';
import type { DeviceMemory } from './device-memory.ts';
import type { Doorbell } from './doorbell.ts';
import { TableWatch } from './table-watch.ts';
import { RemoteprocVdev } from './vdev.ts';
import { describeStatus, describeVdevId, VDEV_STATUS } from './vdev-status.ts';
import { type PlacedVring, placeVrings } from './vring-placement.ts';

/** What a binding needs of its co-processor. */
export interface BindingContext {
  readonly memory: DeviceMemory;
  readonly buffers: BufferMemory;
  readonly doorbell: Doorbell;
  readonly table: ResourceTable;
  readonly tableAddress: number;
  readonly onFail: (reason: string) => void;
  readonly onClose: (wasLive: boolean) => void;
}

/** The VDEV entries, in the table's order; a vdev's index counts in them. */
export function vdevsOf(table: ResourceTable): LocatedVdev[] {
  return table.entries.filter((entry) => entry.kind === 'vdev');
}

/**
 * Finds a vdev and checks that it is what is wanted.
 * @throws CoprocessorError ERR_VDEV saying what there is instead
 */
export function findVdev(table: ResourceTable, index: number, wantedId: number): LocatedVdev {
  const vdevs = vdevsOf(table);
  const vdev = vdevs[index];
  const there = vdevs.map((other, at) => `vdev ${at} with id ${describeVdevId(other.id)}`).join(', ');
  if (vdev === undefined) {
    throw new CoprocessorError(
      'ERR_VDEV',
      `the resource table has no vdev ${index}; it has ${there || 'none at all'}`,
    );
  }
  if (vdev.id !== wantedId) {
    throw new CoprocessorError(
      'ERR_VDEV',
      `vdev ${index} has id ${describeVdevId(vdev.id)}, expected ${describeVdevId(wantedId)}; the resource table has ${there}`,
    );
  }
  return vdev;
}

/**
 * Binds a vdev whose status is 0, up to and with its queues; the caller posts buffers and then says `driverOk`.
 * On failure the status is FAILED.
 * @throws CoprocessorError ERR_VDEV, ERR_CARVEOUT, ERR_DOORBELL
 */
export function bind(
  vdev: LocatedVdev,
  index: number,
  wantedFeatures: number,
  context: BindingContext,
): RemoteprocVdev {
  const { memory, doorbell, tableAddress } = context;
  const entryAddress = tableAddress + vdev.offset;
  const statusAddress = entryAddress + VDEV_OFFSET.STATUS;
  const setStatus = (status: number): void => storeStatus(memory, statusAddress, status);
  setStatus(VDEV_STATUS.ACKNOWLEDGE);
  setStatus(VDEV_STATUS.ACKNOWLEDGE | VDEV_STATUS.DRIVER);
  let found: VdevBuffers | undefined;
  try {
    checkNotifyIds(vdev, index, doorbell);
    const buffers = context.buffers.forVdev(index, context.table);
    found = buffers;
    const placed = placeVrings(vdev, index, buffers.carveout, context);
    const features = (vdev.dfeatures & wantedFeatures) >>> 0;
    memory.writeU32(entryAddress + VDEV_OFFSET.GFEATURES, features);
    const queues = placed.map((vring) => buildQueue(vring, features, memory));
    const forget = writeBack(placed, buffers, tableAddress, memory);
    return new RemoteprocVdev({
      index,
      id: vdev.id,
      features,
      memory,
      queues,
      buffers: buffers.carveout,
      doorbell,
      statusAddress,
      configAddress: tableAddress + vdev.configOffset,
      configSizeBytes: vdev.config.length,
      notifyId: vdev.notifyid,
      queueNotifyIds: vdev.vrings.map((vring) => vring.notifyid),
      tableWatch: new TableWatch(memory, tableAddress, vdev),
      onFail: context.onFail,
      onClose: (wasLive) => {
        // Not when somebody else drives it by now.
        if (memory.readU8(statusAddress) === 0) forget();
        context.onClose(wasLive);
      },
    });
  } catch (error) {
    found?.carveout.releaseAll();
    setStatus(VDEV_STATUS.ACKNOWLEDGE | VDEV_STATUS.DRIVER | VDEV_STATUS.FAILED);
    doorbell.ring(vdev.notifyid);
    if (error instanceof CoprocessorError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new CoprocessorError('ERR_VDEV', `vdev ${index}: ${why}`, error);
  }
}

/** Writes the status byte of a vdev, after all that was written before. */
export function storeStatus(memory: DeviceMemory, statusAddress: number, status: number): void {
  const { u8 } = memory.space.require('vdev status', statusAddress, 1, 1);
  Atomics.store(u8, memory.space.offset, status);
}

/** @throws CoprocessorError ERR_VDEV when somebody drives the vdev */
export function refuseDriven(status: number, index: number): void {
  const isDriven = (status & VDEV_STATUS.DRIVER) !== 0 && (status & VDEV_STATUS.FAILED) === 0;
  if (!isDriven) return;
  throw new CoprocessorError(
    'ERR_VDEV',
    `vdev ${index} is driven by somebody else: its status is ${describeStatus(status)}. If that is a former run that ended without a reset, start with takeOver: true`,
  );
}

function checkNotifyIds(vdev: LocatedVdev, index: number, doorbell: Doorbell): void {
  const ids = [vdev.notifyid, ...vdev.vrings.map((vring) => vring.notifyid)];
  const largest = Math.max(...ids);
  if (largest > doorbell.maxNotifyId) {
    throw new CoprocessorError(
      'ERR_DOORBELL',
      `vdev ${index} has notifyid ${largest}, but this doorbell can say 0 to ${doorbell.maxNotifyId}`,
    );
  }
}

function buildQueue(
  { vring, layout, deviceAddress }: PlacedVring,
  features: number,
  memory: DeviceMemory,
): DriverQueue {
  memory.zero(deviceAddress, layout.sizeBytes);
  return new DriverQueue({
    memory: memory.space,
    size: vring.num,
    descriptorAddress: deviceAddress,
    availableAddress: deviceAddress + layout.availableOffset,
    usedAddress: deviceAddress + layout.usedOffset,
    eventIdx: ((features >>> FEATURE_EVENT_IDX) & 1) !== 0,
  });
}

/**
 * Tells the firmware the addresses that we chose.
 * @returns what makes them "any" again, so that a later driver chooses anew
 */
function writeBack(
  placed: readonly PlacedVring[],
  { chosen }: VdevBuffers,
  tableAddress: number,
  memory: DeviceMemory,
): () => void {
  const written: number[] = [];
  const write = (address: number, value: number): void => {
    memory.writeU32(address, value);
    written.push(address);
  };
  for (const { isChosen, vring, deviceAddress } of placed) {
    if (isChosen) write(tableAddress + vring.offset + VDEV_VRING_OFFSET.DA, deviceAddress);
  }
  if (chosen !== undefined) {
    write(tableAddress + chosen.entryOffset + CARVEOUT_OFFSET.DA, chosen.deviceAddress);
  }
  return () => {
    for (const address of written) memory.writeU32(address, FW_RSC_ADDR_ANY);
  };
}
