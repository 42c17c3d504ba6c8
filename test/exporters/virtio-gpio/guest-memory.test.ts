import { closeSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  GuestMemory,
  GuestMemoryError,
  MAX_MEMORY_SLOTS,
} from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import { createMemfd, mapDescriptor, NativeError, unmap } from '../../../src/native.ts';
import { AddressSpace } from '../../../src/virtqueue/address-space.ts';
import { FAULT_ADDRESS, FAULT_NONE } from '../../../src/virtqueue/descriptor-chain.ts';
import { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { DriverQueue } from '../../../src/virtqueue/driver-queue.ts';
import type { MemoryRegion } from '../../../src/wire/vhost-user.ts';
import { vringLayout } from '../../../src/wire/vring.ts';
import { openDescriptors } from './served-device.ts';

const KIB = 1024;
const GIB = 1024 ** 3;
const GUEST = 0x1_0000_0000;
const USER = 0x7000_0000_0000;

function region(sizeBytes: number, at: Partial<Record<keyof MemoryRegion, number>> = {}): MemoryRegion {
  return {
    guestPhysicalAddress: BigInt(at.guestPhysicalAddress ?? GUEST),
    sizeBytes: BigInt(sizeBytes),
    userAddress: BigInt(at.userAddress ?? USER),
    mmapOffset: BigInt(at.mmapOffset ?? 0),
  };
}

function memfd(sizeBytes: number): number {
  const fd = createMemfd('guest', sizeBytes);
  onTestFinished(() => closeSync(fd));
  return fd;
}

function guestMemory(windowBytes?: number, overlapBytes?: number): GuestMemory {
  const memory = new GuestMemory(windowBytes, overlapBytes);
  onTestFinished(() => memory.close());
  return memory;
}

/** The guest's own view of a part of its memory. */
function guestView(fd: number, offset: number, sizeBytes: number): AddressSpace {
  const buffer = mapDescriptor(fd, offset, sizeBytes);
  onTestFinished(() => unmap(buffer));
  const space = new AddressSpace();
  space.add(GUEST + offset, buffer);
  return space;
}

function poke(space: AddressSpace, address: number, bytes: readonly number[]): void {
  for (const [i, byte] of bytes.entries()) {
    const window = space.require('poke', address + i, 1, 1);
    window.u8[space.offset] = byte;
  }
}

function peek(space: AddressSpace, address: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const window = space.require('peek', address + i, 1, 1);
    return window.u8[space.offset]!;
  });
}

const ALIGN = 4096;

/** Both sides of a ring that begins at an offset of the guest's memory, which the guest sees through `view`. */
function ringAt(memory: GuestMemory, view: AddressSpace, offset: number, size = 64) {
  const layout = vringLayout(size, ALIGN);
  const places = (base: number) => ({
    descriptorAddress: base + offset,
    availableAddress: base + offset + layout.availableOffset,
    usedAddress: base + offset + layout.usedOffset,
  });
  const driver = new DriverQueue({ memory: view, size, ...places(GUEST), eventIdx: false });
  const device = new DeviceQueue({
    memory: memory.guest,
    ringMemory: memory.user,
    size,
    ...places(USER),
    eventIdx: false,
    indirect: true,
    nextAvailable: 0,
  });
  return { driver, device };
}

/** One request of 8 bytes and its response of 2, wherever they lie. */
function exchange(
  { driver, device }: ReturnType<typeof ringAt>,
  view: AddressSpace,
  request: number,
  response: number,
): void {
  poke(view, request, [1, 2, 3, 4, 5, 6, 7, 8]);
  poke(view, response, [0xee, 0xee]);
  const head = driver.add(request, 8, response, 2);
  driver.publish();
  const chain = device.pop()!;
  expect(chain.fault).toBe(FAULT_NONE);
  expect(chain.readableBytes).toBe(8);
  expect(chain.writableBytes).toBe(2);
  expect(chain.readU16(0)).toBe(0x0201);
  expect(chain.readU16(2)).toBe(0x0403);
  expect(chain.readU32(4)).toBe(0x08070605);
  chain.writeU8(0, 0xaa);
  chain.writeU8(1, 0xbb);
  device.push(chain, 2);
  device.publish();
  expect(driver.popUsed()).toBe(head);
  expect(driver.usedBytes).toBe(2);
  expect(peek(view, response, 2)).toEqual([0xaa, 0xbb]);
}

describe('a region that is seen through several windows', () => {
  const WINDOW = 64 * KIB;
  const OVERLAP = 16 * KIB;
  const SIZE = 256 * KIB;

  it('serves rings and buffers wherever they lie, over the edges of windows too', () => {
    const fd = memfd(SIZE);
    const memory = guestMemory(WINDOW, OVERLAP);
    memory.add(region(SIZE), fd);
    expect(memory.regionCount).toBe(1);
    expect(memory.guest.windows).toHaveLength(4);
    const view = guestView(fd, 0, SIZE);
    // The ring of 64 descriptors has 4614 bytes: before, on and behind the edge of a window.
    for (const ring of [0, WINDOW - 4096, WINDOW - 2048, WINDOW - 16, WINDOW, 3 * WINDOW - 1024]) {
      const sides = ringAt(memory, view, ring);
      for (const edge of [2 * WINDOW, 2 * WINDOW + OVERLAP, WINDOW + OVERLAP, 3 * WINDOW + OVERLAP]) {
        for (const before of [0, 1, 4, 7, 8]) {
          exchange(sides, view, GUEST + edge - before + 0x800, GUEST + edge - 1 + 0x900);
          exchange(sides, view, GUEST + edge - before, GUEST + edge + 0x100 - 1);
        }
      }
    }
  });

  it('gives one segment after the other of a buffer that is larger than a window', () => {
    const fd = memfd(SIZE);
    const memory = guestMemory(WINDOW, OVERLAP);
    memory.add(region(SIZE), fd);
    const view = guestView(fd, 0, SIZE);
    const { driver, device } = ringAt(memory, view, 0);
    const bytes = 3 * WINDOW;
    driver.add(GUEST + 0x8000, 8, GUEST + 0x8000, bytes);
    driver.publish();
    const chain = device.pop()!;
    expect(chain.writableBytes).toBe(bytes);
    const pattern = Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 0xff);
    expect(chain.write(0, pattern)).toBe(bytes);
    expect(peek(view, GUEST + 0x8000, bytes)).toEqual([...pattern]);
  });

  it('refuses what lies past its end', () => {
    const fd = memfd(SIZE);
    const memory = guestMemory(WINDOW, OVERLAP);
    memory.add(region(SIZE), fd);
    const view = guestView(fd, 0, SIZE);
    const { driver, device } = ringAt(memory, view, 0);
    driver.add(GUEST + SIZE - 4, 8, GUEST, 2);
    driver.publish();
    expect(device.pop()!.fault).toBe(FAULT_ADDRESS);
  });
});

// Node 20 takes no ArrayBuffer over 4 GiB: this is what the windows are for.
describe('a region of more than 4 GiB', () => {
  it('is mapped whole, and rings and buffers over the edges of its windows work', () => {
    const size = 5 * GIB;
    const fd = memfd(size);
    const memory = guestMemory();
    memory.add(region(size), fd);
    expect(memory.guest.windows.length).toBeGreaterThan(1);
    // Windows of 2 GiB, with 1 MiB of overlap.
    for (const edge of [2 * GIB, 4 * GIB]) {
      const view = guestView(fd, edge - 64 * KIB, 2 * 1024 * KIB);
      const sides = ringAt(memory, view, edge - 2048);
      for (const before of [0, 1, 5, 8]) {
        exchange(sides, view, GUEST + edge - before - 0x1000, GUEST + edge + 0x10_0000 - 1);
        exchange(sides, view, GUEST + edge + 0x10_0000 - before, GUEST + edge - 0x2000 - 1);
      }
    }
    const view = guestView(fd, size - 64 * KIB, 64 * KIB);
    exchange(ringAt(memory, view, size - 16 * KIB), view, GUEST + size - 10, GUEST + size - 2);
  });
});

describe('several regions', () => {
  it('are told apart, and a buffer may lie over two that are neighbours for the guest', () => {
    const fds = [memfd(64 * KIB), memfd(64 * KIB), memfd(64 * KIB)];
    const memory = guestMemory();
    memory.add(region(64 * KIB), fds[0]!);
    memory.add(
      region(64 * KIB, { guestPhysicalAddress: GUEST + 64 * KIB, userAddress: USER + 16 * GIB }),
      fds[1]!,
    );
    memory.add(region(64 * KIB, { guestPhysicalAddress: 0, userAddress: USER + 32 * GIB }), fds[2]!);
    const view = guestView(fds[0]!, 0, 64 * KIB);
    const second = mapDescriptor(fds[1]!, 0, 64 * KIB);
    const third = mapDescriptor(fds[2]!, 0, 64 * KIB);
    onTestFinished(() => unmap(second));
    onTestFinished(() => unmap(third));
    view.add(GUEST + 64 * KIB, second);
    view.add(0, third);
    const sides = ringAt(memory, view, 0);
    exchange(sides, view, GUEST + 64 * KIB - 3, 0);
    exchange(sides, view, 64 * KIB - 8, GUEST + 64 * KIB - 1);
    // Between the third and the first there is nothing.
    sides.driver.add(64 * KIB - 4, 8, GUEST, 2);
    sides.driver.publish();
    expect(sides.device.pop()!.fault).toBe(FAULT_ADDRESS);
  });

  it('of which a part of a file is shared need no page-aligned offset', () => {
    const fd = memfd(64 * KIB);
    const memory = guestMemory();
    memory.add(region(32 * KIB, { mmapOffset: 0x1010 }), fd);
    const buffer = mapDescriptor(fd, 0, 64 * KIB);
    onTestFinished(() => unmap(buffer));
    const view = new AddressSpace();
    view.add(GUEST, buffer, 0x1010, 32 * KIB);
    exchange(ringAt(memory, view, 0), view, GUEST + 32 * KIB - 16, GUEST + 32 * KIB - 2);
  });

  it.each([
    ['the same', {}],
    ['one that begins in it', { guestPhysicalAddress: GUEST + 60 * KIB, userAddress: USER + GIB }],
    ['one that ends in it', { guestPhysicalAddress: GUEST - 60 * KIB, userAddress: USER + GIB }],
    [
      'one that overlaps only for the front-end',
      { guestPhysicalAddress: GUEST + GIB, userAddress: USER + 4 * KIB },
    ],
  ])('are refused when one overlaps another: %s', (_what, at) => {
    const memory = guestMemory();
    const fd = memfd(64 * KIB);
    memory.add(region(64 * KIB), fd);
    expect(() => memory.add(region(64 * KIB, at), fd)).toThrow(GuestMemoryError);
    expect(memory.regionCount).toBe(1);
  });

  it('are refused beyond the number of slots', () => {
    const memory = guestMemory();
    const fd = memfd(4 * KIB);
    const at = (i: number) => ({ guestPhysicalAddress: GUEST + i * GIB, userAddress: USER + i * GIB });
    for (let i = 0; i < MAX_MEMORY_SLOTS; i++) memory.add(region(4 * KIB, at(i)), fd);
    expect(() => memory.add(region(4 * KIB, at(MAX_MEMORY_SLOTS)), fd)).toThrow(/64 regions/);
  });

  it.each([
    ['guest-physical', { guestPhysicalAddress: 2 ** 53 - 4096 }],
    ['front-end', { userAddress: 2 ** 53 - 4096 }],
    ['file', { mmapOffset: 2 ** 53 - 4096 }],
  ])('are refused beyond 2^53, %s address', (_what, at) => {
    const memory = guestMemory();
    expect(() => memory.add(region(64 * KIB, at), memfd(64 * KIB))).toThrow(/beyond 2\^53/);
  });

  it('are refused when the file is shorter, and nothing of them stays', () => {
    const memory = guestMemory(64 * KIB, 16 * KIB);
    const fd = memfd(128 * KIB);
    expect(() => memory.add(region(256 * KIB), fd)).toThrow(NativeError);
    expect(memory.regionCount).toBe(0);
    expect(memory.guest.windows).toEqual([]);
    memory.add(region(128 * KIB), fd);
    expect(memory.regionCount).toBe(1);
  });

  it('are removed by their addresses and size; others are not there', () => {
    const memory = guestMemory(64 * KIB, 16 * KIB);
    memory.add(region(256 * KIB), memfd(256 * KIB));
    expect(() => memory.remove(region(128 * KIB))).toThrow(GuestMemoryError);
    // The offset in the file is not part of the name (vhost-user.rst, REM_MEM_REG).
    memory.remove(region(256 * KIB, { mmapOffset: 4096 }));
    expect(memory.regionCount).toBe(0);
    expect(memory.guest.find(GUEST, 1)).toBeNull();
    expect(memory.user.find(USER, 1)).toBeNull();
    expect(() => memory.remove(region(256 * KIB))).toThrow(GuestMemoryError);
  });

  it('leave no descriptor open', () => {
    const fd = memfd(64 * KIB);
    const before = openDescriptors();
    const memory = guestMemory();
    memory.add(region(64 * KIB), fd);
    memory.close();
    memory.close();
    expect(openDescriptors()).toEqual(before);
  });
});
