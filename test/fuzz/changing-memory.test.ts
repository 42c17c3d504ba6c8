import { describe, expect, it } from 'vitest';
import { AddressSpace } from '../../src/virtqueue/address-space.ts';
import { FAULT_NONE } from '../../src/virtqueue/descriptor-chain.ts';
import { DeviceQueue } from '../../src/virtqueue/device-queue.ts';
import { vringLayout } from '../../src/wire/vring.ts';
import { ByteSource } from './byte-source.ts';
import {
  ChangingRule,
  startMutatingWorker,
  WatchedMemory,
  watchSpace,
  withWatchedAtomics,
} from './changing-memory.ts';

describe('watched memory', () => {
  it('counts what is read and written, also by Atomics, and refuses what is not shared', () => {
    const memory = new WatchedMemory(new ArrayBuffer(64), { begin: 16, end: 48 });
    const space = new AddressSpace();
    const window = space.add(0, memory.raw.buffer);
    watchSpace(space, memory);
    window.u32[4] = 7;
    expect([window.u32[4], window.u16[8], memory.reads, memory.writes]).toEqual([7, 7, 2, 1]);
    expect(() => window.u8[15]).toThrow('read of 1 bytes at 15');
    expect(() => window.u32[12]).toThrow('outside of what is shared');
    expect(() => {
      window.u8[48] = 1;
    }).toThrow('write of 1 bytes at 48');
    expect(() => window.u8[Number.NaN]).toThrow('outside');
    expect(window.u8.length).toBe(64);
    expect(() => Atomics.load(window.u16, 8)).toThrow(TypeError);
    withWatchedAtomics(() => {
      expect(Atomics.load(window.u16, 8)).toBe(7);
      expect(Atomics.store(window.u16, 8, 9)).toBe(9);
      expect(() => Atomics.load(window.u16, 0)).toThrow('outside');
    });
    expect([memory.reads, memory.writes, memory.raw[16]]).toEqual([3, 2, 9]);
    memory.allow(1);
    expect(window.u8[16]).toBe(9);
    expect(() => window.u8[16]).toThrow('not bounded');
  });

  it('changes by its rule while it is read, the same way for the same input', () => {
    const read = (input: number[]): number[] => {
      const memory = new WatchedMemory(new ArrayBuffer(32));
      memory.rule = new ChangingRule(memory.raw, new ByteSource(Uint8Array.from(input)));
      return Array.from({ length: 40 }, () => memory.u8[0] as number);
    };
    // Every second read, the byte that is read goes up by one.
    expect(read([1, 0, 0, 0, 0]).slice(0, 6)).toEqual([0, 1, 1, 2, 2, 3]);
    expect(read([3, 3, 77, 2, 5])).toEqual(read([3, 3, 77, 2, 5]));
    expect(new Set(read([0, 3, 77, 3, 5]))).toContain(77);
  });

  it('tells of every Atomics.load, and leaves Atomics as they were', () => {
    const { load } = Atomics;
    const told: number[] = [];
    const array = new Uint32Array(4);
    expect(() =>
      withWatchedAtomics(
        () => {
          Atomics.load(array, 3);
          throw new Error('in between');
        },
        (_array, index) => told.push(index),
      ),
    ).toThrow('in between');
    expect(told).toEqual([3]);
    expect(Atomics.load).toBe(load);
  });
});

it('a queue in memory that another thread really changes is bounded, and stays in its memory', async () => {
  const size = 16;
  const { availableOffset, usedOffset } = vringLayout(size, 16);
  const buffer = new SharedArrayBuffer(0x4000);
  // All but the indices, as a ring that jumps ends at once.
  const ranges = [
    { begin: 0, end: availableOffset },
    { begin: availableOffset + 4, end: availableOffset + 4 + size * 2 },
  ];
  const worker = await startMutatingWorker(buffer, ranges, 1);
  try {
    const memory = new AddressSpace();
    memory.add(0, buffer);
    const queue = new DeviceQueue({
      ...{ memory, size, eventIdx: true, indirect: true, nextAvailable: 0 },
      ...{ descriptorAddress: 0, availableAddress: availableOffset, usedAddress: usedOffset },
    });
    const index = new Uint16Array(buffer, availableOffset + 2, 1);
    let [pops, faults] = [0, 0];
    for (let passes = 0; passes < 3000; passes++) {
      Atomics.store(index, 0, queue.nextAvailable + size);
      for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
        pops++;
        if (chain.fault !== FAULT_NONE) faults++;
        expect(chain.head).toBeLessThan(size);
        chain.readU32(0);
        chain.writeU8(0, 1);
        queue.push(chain, 1);
      }
      queue.publish();
      // What a chain writes may be the index itself.
      queue.broken = null;
      // A turn for the other thread, on one core, too.
      if (passes % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect([pops > 0, faults > 0, queue.inFlight]).toEqual([true, true, 0]);
  } finally {
    await worker.stop();
  }
}, 30_000);
