import { ftruncateSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import type { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { REQUEST } from '../../src/wire/vhost-user.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  REQUEST_QUEUE,
  REQUEST_SIZE,
  RESPONSE_SIZE,
} from '../../src/wire/virtio-gpio.ts';
import { DESC_F_NEXT, DESC_F_WRITE } from '../../src/wire/vring.ts';
import { openDescriptors, ServedDevice, until } from './virtio-gpio/served-device.ts';

/** As long as nobody serves, nothing watches for dead memory either. */
const DESCRIPTORS_AT_FIRST = openDescriptors().length;

const OUT = 1;
const OK = 0;
const ERR = 1;
const MIB = 1024 ** 2;

/** Rings in the first one, buffers wherever a test puts them. */
const REGIONS = [
  { guestPhysicalAddress: 0x8000_0000, sizeBytes: MIB },
  { guestPhysicalAddress: 0x1_0000_0000, sizeBytes: 2 * MIB, mmapOffset: 0x3000 },
];
const FIRST_REGION = 'region 0x80000000 + 0x100000';
const SECOND_REGION = 'region 0x100000000 + 0x200000';

function closedLine(guest: string, region: string): string {
  return `warn: guest ${guest}: connection closed: the front-end truncated the memory it shares (${region})`;
}

/** Two guests of one chip; neither owns a line yet. */
function twoGuests(pollUs = 0) {
  const chip = new SimulatedChip('sim', 8);
  const lines = new ChipLines(chip);
  const poller = new Poller();
  onTestFinished(() => poller.close());
  const vm1 = new ServedDevice([lines], poller, { name: 'vm1', pollUs });
  const vm2 = new ServedDevice([lines], poller, { name: 'vm2', pollUs });
  return { chip, vm1, vm2 };
}

/** Truncates a region's file and makes the device look at its rings. */
function truncateUnder(guest: VhostUserFrontEnd, regionIndex: number): void {
  ftruncateSync(guest.memory.descriptors[regionIndex]!, 0);
  guest.vring(REQUEST_QUEUE).kick();
}

describe.each([0, 200])('a guest that truncates its memory (pollUs %i)', (pollUs) => {
  it('is disconnected with one line, its device reset; another guest goes on', async () => {
    const { chip, vm1, vm2 } = twoGuests(pollUs);
    const guest = await vm1.connect({ regions: REGIONS });
    const other = await vm2.connect();
    await guest.request(MSG_SET_DIRECTION, 0, OUT);
    expect((await other.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(ERR);
    await other.request(MSG_SET_IRQ_TYPE, 3, 1);
    other.queueEvent(3);

    truncateUnder(guest, 0);
    await guest.disconnected();
    expect(vm1.log).toEqual(['info: guest vm1: front-end connected', closedLine('vm1', FIRST_REGION)]);
    expect([vm1.server.connected, vm1.device.needsReset]).toEqual([false, false]);

    // What the guest owned is free, and the other one has missed nothing.
    expect((await other.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(OK);
    chip.drive(3, 1);
    expect(await other.nextEvent()).toEqual({ gpio: 3, status: 1, usedLength: 1 });
    expect(vm2.log).toEqual(['info: guest vm2: front-end connected']);
  });

  it('is served again when it connects again, as often as it likes', async () => {
    const { vm1, vm2 } = twoGuests(pollUs);
    for (let round = 0; round < 4; round++) {
      const guest = await vm1.connect({ regions: REGIONS });
      expect((await guest.request(MSG_SET_DIRECTION, 1, OUT)).status).toBe(OK);
      truncateUnder(guest, 0);
      await guest.disconnected();
      guest.close();
    }
    const guest = await vm1.connect();
    expect((await guest.request(MSG_GET_VALUE, 1)).status).toBe(OK);
    guest.close();
    vm1.server.close();
    vm2.server.close();
    expect(openDescriptors()).toHaveLength(DESCRIPTORS_AT_FIRST);
    expect(vm1.logged('warn')).toEqual(new Array(4).fill(closedLine('vm1', FIRST_REGION)));
    expect(vm1.logged('error')).toEqual([]);
  });
});

describe('the region that is gone', () => {
  it('is named, also when it holds but the buffers, and only a part of it is missing', async () => {
    const { vm1 } = twoGuests();
    const guest = await vm1.connect({ regions: REGIONS });
    guest.memory.allocate(MIB, 8, 1);
    const buffer = guest.memory.allocate(16, 8, 1);
    ftruncateSync(guest.memory.descriptors[1]!, 0x3000 + MIB);
    const chain = guest.rawChain([
      { address: buffer, length: REQUEST_SIZE, flags: DESC_F_NEXT },
      { address: buffer + 8, length: RESPONSE_SIZE, flags: DESC_F_WRITE },
    ]);
    // Answered or not: the response is where nobody sees it.
    chain.catch(() => {});
    await guest.disconnected();
    expect(vm1.logged('warn')).toEqual([closedLine('vm1', SECOND_REGION)]);
  });

  it('is not missed while nobody looks there', async () => {
    const { vm1 } = twoGuests();
    const guest = await vm1.connect({ regions: REGIONS });
    ftruncateSync(guest.memory.descriptors[1]!, 0x3000 + MIB);
    for (let round = 0; round < 3; round++) {
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(OK);
    }
    expect(guest.closedReason).toBeNull();
  });

  it('is noticed where an interrupt is delivered', async () => {
    const { chip, vm1 } = twoGuests();
    const guest = await vm1.connect({ regions: REGIONS });
    await guest.request(MSG_SET_IRQ_TYPE, 3, 1);
    guest.queueEvent(3);
    // Answered in order: the event buffer before it has been taken.
    await guest.request(MSG_GET_VALUE, 0);
    ftruncateSync(guest.memory.descriptors[0]!, 0);
    chip.drive(3, 1);
    await guest.disconnected();
    expect(vm1.logged('warn')).toEqual([closedLine('vm1', FIRST_REGION)]);
    expect(vm1.logged('error')).toEqual([]);
  });

  it('does not keep the next front-end waiting, which may come in the same turn', async () => {
    const { vm1 } = twoGuests();
    const guest = await vm1.connect({ regions: REGIONS });
    // The rings are set up anew in missing memory, by a message that the device reads before it accepts.
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, 0, 0);
    ftruncateSync(guest.memory.descriptors[0]!, 0);
    void guest.control.setVringState(REQUEST.SET_VRING_ENABLE, 0, 1).catch(() => {});
    const next = await vm1.connect();
    expect((await next.request(MSG_GET_VALUE, 0)).status).toBe(OK);
    await until(() => guest.closedReason !== null);
    expect(vm1.logged('warn')).toEqual([closedLine('vm1', FIRST_REGION)]);
  });
});
