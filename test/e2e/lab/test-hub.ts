import {
  encodeResourceTable,
  FW_RSC_ADDR_ANY,
  type MemoryEntry,
  TABLE_OFFSET,
  VDEV_OFFSET,
  type VdevEntry,
} from '../../../src/wire/resource-table.ts';
import { elfImage } from '../../wire/elf-image.ts';

/** Of kernel/coprocessor_test.c. */
export const MEMORY_DEVICE_ADDRESS = 0x1000_0000;
export const DEBUGFS = '/sys/kernel/debug/coprocessor-test';
/** Where the table of {@link firmware} is. */
export const TABLE_ADDRESS = MEMORY_DEVICE_ADDRESS + 0x1000;
/** Of the table's vdev, in the memory: the first of `entryCount` entries. */
export function statusOffset(entryCount: number): number {
  const vdev = TABLE_OFFSET.OFFSET + 4 * entryCount;
  return TABLE_ADDRESS - MEMORY_DEVICE_ADDRESS + vdev + VDEV_OFFSET.STATUS;
}
/** What the firmware's doorbell says: the vdev itself, and its vrings. */
export const NOTIFY_ID = { VDEV: 3, VRING0: 5, VRING1: 6 } as const;
const VRING_ADDRESS = MEMORY_DEVICE_ADDRESS + 0x4000;
const BUFFER_ADDRESS = MEMORY_DEVICE_ADDRESS + 0x1_0000;
const EM_ARM = 40;

/**
 * Firmware for the co-processor of the lab's kernel, in base64: nothing but a resource table with one vdev of two vrings.
 * @param isForKernel puts the table where the kernel's remoteproc looks, and leaves it the choice of addresses
 */
export function firmware(id: number, isForKernel: boolean): string {
  const table = new Uint8Array(256);
  const vring = (index: number) => ({
    da: isForKernel ? FW_RSC_ADDR_ANY : VRING_ADDRESS + index * 0x2000,
    align: 4096,
    num: 16,
    notifyid: NOTIFY_ID.VRING0 + index,
    pa: 0,
  });
  const vdev: VdevEntry = {
    kind: 'vdev',
    id,
    notifyid: NOTIFY_ID.VDEV,
    dfeatures: 0,
    gfeatures: 0,
    status: 0,
    vrings: [vring(0), vring(1)],
    config: new Uint8Array(8),
  };
  // The kernel has buffers of its own.
  const buffers: MemoryEntry = {
    kind: 'carveout',
    da: BUFFER_ADDRESS,
    pa: FW_RSC_ADDR_ANY,
    len: 0x4000,
    flags: 0,
    name: 'vdev0buffer',
  };
  encodeResourceTable(isForKernel ? [vdev] : [vdev, buffers], table);
  const name = isForKernel ? '.resource_table' : '.hub_table';
  const image = elfImage(32, EM_ARM, [{ name, address: TABLE_ADDRESS, content: table }]);
  return Buffer.from(image).toString('base64');
}
