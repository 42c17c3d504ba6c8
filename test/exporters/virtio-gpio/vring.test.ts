import { closeSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DeviceCounters } from '../../../src/exporters/virtio-gpio/counters.ts';
import type { ExportedDevice } from '../../../src/exporters/virtio-gpio/exported-device.ts';
import { GuestMemory } from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import { InflightRegion, inflightRegionBytes } from '../../../src/exporters/virtio-gpio/inflight.ts';
import { Vring } from '../../../src/exporters/virtio-gpio/vring.ts';
import { createEventfd, createMemfd, drainDescriptor } from '../../../src/native.ts';
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

/** A ring in a guest's memory: available ring at 0x100, used ring at 0x200. */
function placedRing(index: number, device: ExportedDevice) {
  const memory = new GuestMemory();
  const fd = createMemfd('guest', 0x1000);
  const address = BigInt(BASE);
  memory.add({ guestPhysicalAddress: address, sizeBytes: 0x1000n, userAddress: address, mmapOffset: 0n }, fd);
  closeSync(fd);
  const vring = new Vring(index, device, memory);
  onTestFinished(() => {
    vring.close();
    memory.close();
  });
  vring.setSize(SIZE);
  vring.setAddresses({ descriptor: address, available: address + 0x100n, used: address + 0x200n });
  vring.enabled = true;
  const { u16 } = memory.user.windows[0] as MemoryWindow;
  return { vring, u16 };
}

describe('the call that a killed process owed its guest', () => {
  it.each([
    ['before the ring starts', true],
    ['after it', false],
  ])('is made by the next one, whose call descriptor comes %s', (_when, isEarly) => {
    const { vring, u16 } = placedRing(0, idleDevice());
    const call = createEventfd();
    // Both requests were answered, and the guest sleeps.
    u16[(0x100 + 2) / 2] = 2;
    u16[(0x200 + 2) / 2] = 2;
    vring.setBase(2);
    if (isEarly) vring.setCall(call);
    vring.start(createEventfd());
    if (!isEarly) vring.setCall(call);
    // An eventfd's count.
    expect(drainDescriptor(call)).toBe(8);
    // Nothing is owed where the same process goes on.
    vring.detach();
    vring.attach();
    expect(drainDescriptor(call)).toBe(0);
  });

  it('is none to a new driver', () => {
    const { vring } = placedRing(0, idleDevice());
    const call = createEventfd();
    vring.setCall(call);
    vring.start(createEventfd());
    expect(drainDescriptor(call)).toBe(0);
  });
});

it('hands out what a former process had taken, also when the ring stands still before that was looked at', () => {
  const device = idleDevice();
  const { vring, u16 } = placedRing(0, device);
  // The available ring's index: all three had been offered.
  u16[(0x100 + 2) / 2] = 3;
  const inflight = new InflightRegion(new ArrayBuffer(inflightRegionBytes(SIZE)), 0, SIZE);
  inflight.recover(0);
  for (const head of [5, 2, 7]) inflight.taken(head);

  vring.setInflight(inflight);
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
