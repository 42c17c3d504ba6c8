import { closeSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { DeviceCounters } from '../../../src/exporters/virtio-gpio/counters.ts';
import type { ExportedDevice } from '../../../src/exporters/virtio-gpio/exported-device.ts';
import { GuestMemory } from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import { InflightRegion, inflightRegionBytes } from '../../../src/exporters/virtio-gpio/inflight.ts';
import { Vring } from '../../../src/exporters/virtio-gpio/vring.ts';
import { createEventfd, createMemfd } from '../../../src/native.ts';
import type { MemoryWindow } from '../../../src/virtqueue/address-space.ts';
import type { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { popAll } from '../../virtqueue/rings.ts';

const SIZE = 8;
const BASE = 0x1_0000;

/** A device that takes nothing until the test does. */
function idleDevice(): ExportedDevice & { queue: DeviceQueue | null } {
  return {
    name: 'guest vm1',
    config: new Uint8Array(0),
    features: 0n,
    queueCount: 1,
    lineCount: 0,
    counters: new DeviceCounters(() => {}),
    pollUs: 0,
    onBroken: null,
    hasLostMemory: null,
    needsReset: false,
    queue: null,
    setFeatures() {},
    setQueue(_index, queue) {
      this.queue = queue;
    },
    settle() {},
    kicked() {},
    reset() {},
    suspend() {},
    configure() {},
    close() {},
  };
}

it('hands out what a former process had taken, also when the ring stands still before that was looked at', () => {
  const memory = new GuestMemory();
  const fd = createMemfd('guest', 0x1000);
  const address = BigInt(BASE);
  memory.add({ guestPhysicalAddress: address, sizeBytes: 0x1000n, userAddress: address, mmapOffset: 0n }, fd);
  closeSync(fd);
  // The available ring's index: all three had been offered.
  (memory.user.windows[0] as MemoryWindow).u16[(0x100 + 2) / 2] = 3;
  const inflight = new InflightRegion(new ArrayBuffer(inflightRegionBytes(SIZE)), 0, SIZE);
  inflight.recover(0);
  for (const head of [5, 2, 7]) inflight.taken(head);

  const device = idleDevice();
  const vring = new Vring(0, device, memory);
  onTestFinished(() => {
    vring.close();
    memory.close();
  });
  vring.setSize(SIZE);
  vring.setAddresses({ descriptor: address, available: address + 0x100n, used: address + 0x200n });
  vring.setInflight(inflight);
  vring.enabled = true;
  vring.start(createEventfd());
  const first = device.queue;
  expect(first?.hasWork()).toBe(true);

  // One of them is taken, then the memory table changes.
  expect(first?.pop()?.head).toBe(5);
  vring.detach();
  expect(device.queue).toBeNull();
  vring.attach();
  expect(device.queue?.hasWork()).toBe(true);
  // And again, without anything in between.
  vring.detach();
  vring.attach();
  expect(popAll(device.queue as unknown as DeviceQueue)).toEqual([2, 7]);
  vring.detach();
  vring.attach();
  expect(device.queue?.hasWork()).toBe(false);
});
