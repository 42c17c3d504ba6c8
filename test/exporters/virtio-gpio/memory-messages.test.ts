import { closeSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createMemfd } from '../../../src/native.ts';
import { type FrontEndRegion, KNOWN_PROTOCOL_FEATURES } from '../../../src/testing/front-end.ts';
import { PROTOCOL_FEATURE, REQUEST } from '../../../src/wire/vhost-user.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_IRQ_TYPE,
  REQUEST_QUEUE,
  RESPONSE_SIZE,
} from '../../../src/wire/virtio-gpio.ts';
import { DESC_F_NEXT, DESC_F_WRITE } from '../../../src/wire/vring.ts';
import { openDescriptors, serveSimulatedChip, until } from './served-device.ts';

const MIB = 1024 ** 2;
const SLOTS = KNOWN_PROTOCOL_FEATURES | PROTOCOL_FEATURE.CONFIGURE_MEM_SLOTS;

/** Regions one after the other with gaps, not all at the start of their files. */
function regions(count: number): FrontEndRegion[] {
  return Array.from({ length: count }, (_, index) => ({
    guestPhysicalAddress: 0x8000_0000 + index * 16 * MIB,
    sizeBytes: MIB,
    mmapOffset: (index % 3) * 4096,
  }));
}

const GET_VALUE_OF_LINE_0 = Uint8Array.of(MSG_GET_VALUE, 0, 0, 0, 0, 0, 0, 0);

describe.each([
  ['SET_MEM_TABLE', KNOWN_PROTOCOL_FEATURES],
  ['ADD_MEM_REG', SLOTS],
])('memory shared with %s', (_what, protocolFeatures) => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('in %i regions serves rings and buffers in each', async (count) => {
    const { served } = serveSimulatedChip();
    const vringRegions = [count - 1, 0];
    const guest = await served.connect({ regions: regions(count), vringRegions, protocolFeatures });
    for (let index = 0; index < count; index++) {
      const request = guest.memory.allocate(8, 8, index);
      const response = guest.memory.allocate(RESPONSE_SIZE, 8, (index + 1) % count);
      guest.memory.write(request, GET_VALUE_OF_LINE_0);
      guest.memory.write(response, Uint8Array.of(0xee, 0xee));
      const used = await guest.rawChain([
        { address: request, length: 8, flags: DESC_F_NEXT },
        { address: response, length: RESPONSE_SIZE, flags: DESC_F_WRITE },
      ]);
      expect(used).toBe(RESPONSE_SIZE);
      expect([...guest.memory.read(response, 2)]).toEqual([0, 0]);
    }
  });

  it('keeps no descriptor of the memory open', async () => {
    const { served } = serveSimulatedChip();
    const guest = served.open({ regions: regions(8), protocolFeatures });
    await guest.negotiate();
    const before = openDescriptors().length;
    await guest.shareMemory();
    expect(openDescriptors()).toHaveLength(before);
  });
});

describe('SET_MEM_TABLE while rings run', () => {
  it('with the same memory changes nothing for them: requests, interrupts and held buffers go on', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    guest.queueEvent(1);
    for (let i = 0; i < 3; i++) {
      const answer = guest.request(MSG_GET_VALUE, 0);
      await guest.control.setMemoryTable(guest.memory.table, guest.memory.descriptors);
      expect((await answer).status).toBe(0);
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    }
    chip.drive(1, 1);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
  });

  it('may give the front-end’s addresses anew', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2) });
    const [first, second] = guest.memory.table;
    const moved = { ...second!, userAddress: second!.userAddress + 0x10_0000_0000n };
    await guest.control.setMemoryTable([first!, moved], guest.memory.descriptors);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('without the rings’ memory makes them stand still until it is back', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2) });
    const { table, descriptors } = guest.memory;
    await guest.control.setMemoryTable([table[1]!], [descriptors[1]!]);
    expect(served.logged('warn')).toHaveLength(2);
    expect(served.logged('warn')[0]).toMatch(/vring 0 stands still: .* is not inside the shared memory/);
    const answer = guest.request(MSG_GET_VALUE, 0);
    await guest.control.setMemoryTable(table, descriptors);
    expect((await answer).status).toBe(0);
  });

  it('gives an event buffer back whose memory it took away, and counts it', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2), vringRegions: [1, 1] });
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    guest.queueEvent(1);
    await guest.request(MSG_GET_VALUE, 0);
    await guest.request(MSG_GET_VALUE, 0);
    const { table, descriptors } = guest.memory;
    await guest.control.setMemoryTable([table[1]!], [descriptors[1]!]);
    await until(() => guest.vring(1).usedIndex === 1);
    expect(served.device.counters.badChains).toEqual({ 'address-outside-memory': 1 });
    await guest.control.setMemoryTable(table, descriptors);
    chip.drive(1, 1);
    expect((await guest.nextEvent()).usedLength).toBe(0);
    guest.queueEvent(1);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
  });
});

describe('ADD_MEM_REG and REM_MEM_REG', () => {
  it('add and remove a region while rings run', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2), protocolFeatures: SLOTS });
    const { table, descriptors } = guest.memory;
    const request = guest.memory.allocate(8, 8, 1);
    guest.memory.write(request, GET_VALUE_OF_LINE_0);
    const response = guest.memory.allocate(2, 8, 0);
    const chain = [
      { address: request, length: 8, flags: DESC_F_NEXT },
      { address: response, length: 2, flags: DESC_F_WRITE },
    ];
    expect(await guest.rawChain(chain)).toBe(2);
    await guest.control.removeMemoryRegion(table[1]!);
    expect(await guest.rawChain(chain)).toBe(0);
    expect(served.device.counters.badChains).toEqual({ 'address-outside-memory': 1 });
    await guest.control.addMemoryRegion(table[1]!, descriptors[1]!);
    expect(await guest.rawChain(chain)).toBe(2);
  });

  it('take a descriptor with REM_MEM_REG, as older front-ends send it, and close it', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2), protocolFeatures: SLOTS });
    const before = openDescriptors().length;
    const payload = new Uint8Array(40);
    const view = new DataView(payload.buffer);
    const { guestPhysicalAddress, sizeBytes, userAddress } = guest.memory.table[1]!;
    view.setBigUint64(8, guestPhysicalAddress, true);
    view.setBigUint64(16, sizeBytes, true);
    view.setBigUint64(24, userAddress, true);
    await guest.control.tell(REQUEST.REM_MEM_REG, payload, [guest.memory.descriptors[1]!]);
    expect(openDescriptors()).toHaveLength(before);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('refuse a region that overlaps, that is not there or that cannot be mapped; the rings run on', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ regions: regions(2), protocolFeatures: SLOTS });
    const [first, second] = guest.memory.table;
    const fd = guest.memory.descriptors[0]!;
    const before = openDescriptors().length;
    await expect(guest.control.addMemoryRegion(first!, fd)).rejects.toThrow(/refused/);
    const elsewhere = { ...second!, guestPhysicalAddress: 0n, userAddress: 0x1000_0000n };
    await expect(guest.control.removeMemoryRegion(elsewhere)).rejects.toThrow(/refused/);
    const beyond = { ...elsewhere, mmapOffset: 0x1000_0000n };
    await expect(guest.control.addMemoryRegion(beyond, fd)).rejects.toThrow(/refused/);
    const eventfd = guest.vring(REQUEST_QUEUE).kickFd;
    await expect(guest.control.addMemoryRegion(elsewhere, eventfd)).rejects.toThrow(/refused/);
    expect(openDescriptors()).toHaveLength(before);
    expect(served.logged('warn')).toHaveLength(4);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('serve a region of more than 4 GiB', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ protocolFeatures: SLOTS });
    const sizeBytes = 5 * 1024 ** 3;
    const fd = createMemfd('large', sizeBytes);
    onTestFinished(() => closeSync(fd));
    const large = {
      guestPhysicalAddress: 0x100_0000_0000n,
      sizeBytes: BigInt(sizeBytes),
      userAddress: 0x1000_0000_0000n,
      mmapOffset: 0n,
    };
    await guest.control.addMemoryRegion(large, fd);
    // All zeros: a request of type 0, whose answer then lies in the ordinary region.
    const response = guest.memory.allocate(2, 8);
    for (const offset of [0, 2 * 1024 ** 3 - 4, 4 * 1024 ** 3, sizeBytes - 8]) {
      guest.memory.write(response, Uint8Array.of(0xee, 0xee));
      const used = await guest.rawChain([
        { address: 0x100_0000_0000 + offset, length: 8, flags: DESC_F_NEXT },
        { address: response, length: 2, flags: DESC_F_WRITE },
      ]);
      expect(used).toBe(2);
      expect([...guest.memory.read(response, 2)]).toEqual([1, 0]);
    }
    expect(served.device.counters.badChains).toEqual({ 'unknown-type': 4 });
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
  });
});
