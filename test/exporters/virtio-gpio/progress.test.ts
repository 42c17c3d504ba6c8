import { closeSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DeviceCounters } from '../../../src/exporters/virtio-gpio/counters.ts';
import type { ExportedDevice } from '../../../src/exporters/virtio-gpio/exported-device.ts';
import { GuestMemory } from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import { Vring } from '../../../src/exporters/virtio-gpio/vring.ts';
import { createEventfd, createMemfd, signalDescriptor } from '../../../src/native.ts';
import type { MemoryWindow } from '../../../src/virtqueue/address-space.ts';
import type { DescriptorChain } from '../../../src/virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';

const SIZE = 8;
const BASE = 0x1_0000;

/** A ring that runs, with a device whose `serves` says whether it takes what it is kicked for. */
function runningRing(more: Partial<ExportedDevice> = {}) {
  const memory = new GuestMemory();
  const fd = createMemfd('guest', 0x1000);
  const address = BigInt(BASE);
  memory.add({ guestPhysicalAddress: address, sizeBytes: 0x1000n, userAddress: address, mmapOffset: 0n }, fd);
  closeSync(fd);
  const taken: DescriptorChain[] = [];
  const state = { serves: true, queue: null as DeviceQueue | null, kicks: 0 };
  const device: ExportedDevice = {
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
    setFeatures() {},
    setQueue(_index, queue) {
      state.queue = queue;
    },
    settle() {},
    kicked() {
      state.kicks++;
      if (!state.serves) return;
      for (let chain = state.queue?.pop(); chain; chain = state.queue?.pop()) taken.push(chain);
    },
    reset() {},
    suspend() {},
    configure() {},
    close() {},
    ...more,
  };
  const vring = new Vring(0, device, memory);
  onTestFinished(() => {
    vring.close();
    memory.close();
  });
  vring.setSize(SIZE);
  vring.setAddresses({ descriptor: address, available: address + 0x100n, used: address + 0x200n });
  vring.enabled = true;
  const kick = createEventfd();
  vring.start(kick);
  const ring = (memory.user.windows[0] as MemoryWindow).u16;
  let index = 0;
  /** The guest offers one more buffer; its kick is another thing. */
  const offer = (): void => {
    ring[0x100 / 2 + 2 + (index % SIZE)] = index % SIZE;
    ring[0x100 / 2 + 1] = ++index;
  };
  const giveBack = (): void => {
    for (const chain of taken.splice(0)) state.queue?.push(chain, 0);
    state.queue?.publish();
  };
  return { vring, state, taken, offer, giveBack, kick: () => signalDescriptor(kick) };
}

describe('whether a ring goes on', () => {
  it('a guest that never kicks is no fault of ours: what it offers is taken by the look itself', () => {
    const { vring, taken, offer, giveBack, state } = runningRing();
    for (let round = 0; round < 50; round++) {
      offer();
      expect(vring.stuck()).toBeNull();
      expect(taken).toHaveLength(1);
      giveBack();
    }
    expect(vring.stuck()).toBeNull();
    // Nothing was there at the last look: nobody was woken.
    expect(state.kicks).toBe(50);
  });

  it('a device that takes nothing is, at the second look, until it does', () => {
    const { vring, offer, state } = runningRing();
    state.serves = false;
    offer();
    expect(vring.stuck()).toBeNull();
    const said = 'guest vm1: queue 0: what the guest offered is not taken';
    expect([vring.stuck(), vring.stuck()]).toEqual([said, said]);
    offer();
    expect(vring.stuck()).toBe(said);
    state.serves = true;
    expect([vring.stuck(), vring.stuck()]).toEqual([said, null]);
  });

  it('one that takes nothing because the guest lets it give nothing back is not', () => {
    const { vring, offer, state } = runningRing({ wants: () => false });
    state.serves = false;
    offer();
    expect([vring.stuck(), vring.stuck(), vring.stuck()]).toEqual([null, null, null]);
  });

  it('kicks that the event loop does not tell of are, though the looks serve the guest', () => {
    const { vring, offer, kick, giveBack } = runningRing();
    // The event loop of this test does not run in between.
    for (const expected of [null, 'guest vm1: queue 0: kicks are not noticed']) {
      offer();
      kick();
      expect(vring.stuck()).toBe(expected);
      giveBack();
    }
  });

  it('kicks that it tells of in between are not', async () => {
    const { vring, offer, kick, giveBack, state } = runningRing();
    for (let round = 0; round < 3; round++) {
      kick();
      const before = state.kicks;
      await vi.waitFor(() => expect(state.kicks).toBeGreaterThan(before));
      offer();
      kick();
      expect(vring.stuck()).toBeNull();
      giveBack();
    }
  });

  it('answers that stay out are, after five seconds, where a device has to answer', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    onTestFinished(() => now.mockRestore());
    const { vring, offer, giveBack } = runningRing({ isAnswered: () => true });
    offer();
    // Taken by the first look, owed from the second on.
    expect([vring.stuck(), vring.stuck()]).toEqual([null, null]);
    now.mockReturnValue(6000);
    expect(vring.stuck()).toBeNull();
    now.mockReturnValue(6001);
    expect(vring.stuck()).toBe('guest vm1: queue 0: no request was answered for 5001 ms');
    giveBack();
    expect(vring.stuck()).toBeNull();
  });

  it('event buffers that lie for days are not', () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000);
    onTestFinished(() => now.mockRestore());
    const { vring, offer } = runningRing({ isAnswered: () => false });
    offer();
    vring.stuck();
    now.mockReturnValue(1e9);
    expect([vring.stuck(), vring.stuck()]).toEqual([null, null]);
  });
});
