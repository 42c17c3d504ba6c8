import { describe, expect, it } from 'vitest';
import { drainDescriptor } from '../../../src/native.ts';
import {
  KNOWN_FEATURES,
  KNOWN_PROTOCOL_FEATURES,
  type VhostUserFrontEnd,
} from '../../../src/testing/front-end.ts';
import { F_PROTOCOL_FEATURES, PROTOCOL_FEATURE, REQUEST } from '../../../src/wire/vhost-user.ts';
import {
  EVENT_QUEUE,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX } from '../../../src/wire/vring.ts';
import { serveSimulatedChip, until } from './served-device.ts';

const EVENT_IDX = 1n << BigInt(FEATURE_EVENT_IDX);
const NO_STATUS = KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.STATUS;

/** Whatever the guest has kicked for was looked at: the device and its socket share this process's loop. */
async function looked(guest: VhostUserFrontEnd): Promise<void> {
  await guest.control.getU64(REQUEST.GET_FEATURES);
  await guest.control.getU64(REQUEST.GET_FEATURES);
}

/** A request that is not awaited: what becomes of it is asked later. */
function offered(guest: VhostUserFrontEnd, type: number, gpio: number, value = 0) {
  const state = { answer: null as { status: number; value: number } | null };
  void guest.request(type, gpio, value).then(
    (answer) => {
      state.answer = answer;
    },
    () => {},
  );
  return state;
}

/** The messages that start one vring, without ENABLE. */
async function startVring(guest: VhostUserFrontEnd, index: number, base: number): Promise<void> {
  const vring = guest.vring(index);
  await guest.control.setVringState(REQUEST.SET_VRING_NUM, index, vring.size);
  await guest.control.setVringState(REQUEST.SET_VRING_BASE, index, base);
  await guest.control.setVringAddress(vring.addresses);
  await guest.control.setVringDescriptor(REQUEST.SET_VRING_CALL, index, vring.call.fd);
  await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, index, vring.kickFd);
}

/** Connected, negotiated, with memory; no vring started. */
async function prepared(features = KNOWN_FEATURES, protocolFeatures = KNOWN_PROTOCOL_FEATURES) {
  const { chip, served } = serveSimulatedChip();
  const guest = served.open({ features, protocolFeatures });
  await guest.negotiate();
  await guest.shareMemory();
  const eventIdx = (features & EVENT_IDX) !== 0n;
  for (const vring of guest.vrings) vring.restart(eventIdx);
  return { chip, served, guest };
}

/** A guest with an interrupt of line 1 (type both) waiting in a held event buffer. */
async function waiting(protocolFeatures = KNOWN_PROTOCOL_FEATURES, type = 3) {
  const { chip, served } = serveSimulatedChip();
  const guest = await served.connect({ protocolFeatures });
  await guest.request(MSG_SET_IRQ_TYPE, 1, type);
  guest.queueEvent(1);
  await guest.request(MSG_GET_VALUE, 0);
  await guest.request(MSG_GET_VALUE, 0);
  return { chip, served, guest };
}

describe('GET_VRING_BASE', () => {
  it('stops a ring: what is offered then is not served', async () => {
    const { served, guest } = await waiting();
    const base = await guest.control.getVringBase(REQUEST_QUEUE);
    expect(base).toBe(guest.vring(REQUEST_QUEUE).availableIndex);
    const late = offered(guest, MSG_GET_VALUE, 0);
    guest.vring(REQUEST_QUEUE).kick();
    await looked(guest);
    expect(late.answer).toBeNull();
    expect(served.device.counters.requests).toBe(3);
  });

  it('resets nothing: outputs stay owned, interrupts enabled, and the ring goes on where it stood', async () => {
    const { chip, guest } = await waiting();
    await guest.request(MSG_SET_VALUE, 2, 1);
    await guest.request(MSG_SET_DIRECTION, 2, 1);
    const bases = await guest.stopVrings();
    expect(bases).toEqual([guest.vring(0).availableIndex, guest.vring(1).availableIndex]);
    expect(chip.level(2)).toBe(1);
    await guest.resumeVrings(bases);
    // An interrupt that were not enabled any more would take another type.
    expect((await guest.request(MSG_SET_IRQ_TYPE, 1, 1)).status).toBe(1);
    expect((await guest.request(MSG_SET_VALUE, 2, 0)).status).toBe(0);
    expect(chip.level(2)).toBe(0);
  });

  it('may come without ENABLE(0), and then KICK alone starts the ring again', async () => {
    const { guest } = await waiting();
    const base = await guest.control.getVringBase(REQUEST_QUEUE);
    await startVring(guest, REQUEST_QUEUE, base);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('may be told of a vring that never started', async () => {
    const { guest } = await prepared();
    expect(await guest.control.getVringBase(EVENT_QUEUE)).toBe(0);
  });

  it('may be sent twice', async () => {
    const { guest } = await waiting();
    const base = await guest.control.getVringBase(REQUEST_QUEUE);
    expect(await guest.control.getVringBase(REQUEST_QUEUE)).toBe(base);
  });
});

describe('event buffers that the device holds', () => {
  it('survive stop and start, and fire afterwards', async () => {
    const { chip, guest } = await waiting();
    for (let round = 0; round < 3; round++) {
      await guest.resumeVrings(await guest.stopVrings());
      chip.drive(1, round % 2 === 0 ? 1 : 0);
      expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
      guest.queueEvent(1);
      await guest.request(MSG_GET_VALUE, 0);
      await guest.request(MSG_GET_VALUE, 0);
    }
  });

  it('fire at the start when the edge came while the ring stood still, once', async () => {
    const { chip, served, guest } = await waiting();
    const bases = await guest.stopVrings();
    for (const level of [1, 0, 1] as const) chip.drive(1, level);
    await guest.resumeVrings(bases);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
    expect(served.device.counters.interrupts).toBe(1);
    chip.drive(1, 0);
    guest.queueEvent(1);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
  });

  it('of a level interrupt do not fire for a level that was active only while the ring stood still', async () => {
    const { chip, served, guest } = await waiting(KNOWN_PROTOCOL_FEATURES, 4);
    const bases = await guest.stopVrings();
    chip.drive(1, 1);
    chip.drive(1, 0);
    await guest.resumeVrings(bases);
    await guest.request(MSG_GET_VALUE, 0);
    await guest.request(MSG_GET_VALUE, 0);
    expect(served.device.counters.interrupts).toBe(0);
    chip.drive(1, 1);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
  });

  it('of a level interrupt fire at the start for a level that is active then', async () => {
    const { chip, guest } = await waiting(KNOWN_PROTOCOL_FEATURES, 4);
    const bases = await guest.stopVrings();
    chip.drive(1, 1);
    await guest.resumeVrings(bases);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
  });

  it('come back INVALID when the interrupt was disabled while the event queue alone stood still', async () => {
    const { guest } = await waiting();
    const base = await guest.control.getVringBase(EVENT_QUEUE);
    expect((await guest.request(MSG_SET_IRQ_TYPE, 1, 0)).status).toBe(0);
    await startVring(guest, EVENT_QUEUE, base);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 0, usedLength: 1 });
  });

  it('wait for the new type when the interrupt was disabled and enabled while the event queue stood still', async () => {
    const { chip, guest } = await waiting();
    const base = await guest.control.getVringBase(EVENT_QUEUE);
    await guest.request(MSG_SET_IRQ_TYPE, 1, 0);
    await startVring(guest, EVENT_QUEUE, base);
    expect((await guest.nextEvent()).status).toBe(0);
    await guest.request(MSG_SET_IRQ_TYPE, 1, 1);
    guest.queueEvent(1);
    chip.drive(1, 1);
    expect((await guest.nextEvent()).status).toBe(1);
  });
});

describe('a new driver', () => {
  // A front-end with messages for a reset, and one (User-Mode Linux) that has none.
  it.each([
    ['STATUS', KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.RESET_DEVICE],
    ['neither', KNOWN_PROTOCOL_FEATURES & ~(PROTOCOL_FEATURE.RESET_DEVICE | PROTOCOL_FEATURE.STATUS)],
    ['RESET_DEVICE', KNOWN_PROTOCOL_FEATURES],
  ])('starts clean, told with %s', async (_what, protocolFeatures) => {
    const { chip, served, guest } = await waiting(protocolFeatures);
    await guest.request(MSG_SET_DIRECTION, 2, 1);
    await guest.request(MSG_SET_VALUE, 4, 1);
    await guest.resetDevice();
    await guest.startVrings();
    // Neither the interrupt, nor the held buffer, nor the held value are left.
    expect((await guest.request(MSG_SET_IRQ_TYPE, 1, 1)).status).toBe(0);
    chip.drive(1, 1);
    await guest.request(MSG_SET_DIRECTION, 4, 1);
    expect(chip.level(4)).toBe(0);
    expect(served.device.counters.interrupts).toBe(0);
    guest.queueEvent(1);
    expect(await guest.nextEvent()).toEqual({ gpio: 1, status: 1, usedLength: 1 });
    expect(guest.vring(EVENT_QUEUE).queue.badUsed).toBe(0);
  });
});

describe('SET_FEATURES', () => {
  it('does not disable rings', async () => {
    const { guest } = await waiting();
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('with EVENT_IDX takes effect on rings that run already', async () => {
    const { guest } = await prepared();
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features & ~EVENT_IDX);
    for (const index of [0, 1]) {
      await startVring(guest, index, 0);
      await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, index, 1);
    }
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features);
    // The driver kicks by the event index: one that is not kept up to date swallows kicks.
    for (let i = 0; i < 10; i++) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(guest.vring(0).kicks).toBe(10);
  });

  it('without EVENT_IDX takes effect on rings that run already', async () => {
    const { guest } = await prepared(KNOWN_FEATURES & ~EVENT_IDX);
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features | EVENT_IDX);
    for (const index of [0, 1]) {
      await startVring(guest, index, 0);
      await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, index, 1);
    }
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features);
    for (let i = 0; i < 10; i++) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('keeps held event buffers when it changes EVENT_IDX', async () => {
    const { chip, guest } = await waiting();
    await guest.control.setU64(REQUEST.SET_FEATURES, guest.features & ~EVENT_IDX);
    chip.drive(1, 1);
    await until(() => guest.vring(EVENT_QUEUE).usedIndex === 1);
  });

  it('refuses bits that were not offered', async () => {
    const { guest } = await prepared();
    await expect(guest.control.setU64(REQUEST.SET_FEATURES, 1n << 33n)).rejects.toThrow(/refused/);
    expect(await guest.control.getU64(REQUEST.GET_FEATURES)).toBe(guest.offeredFeatures);
  });
});

describe('SET_VRING_KICK', () => {
  it('does not disable a ring, nor lose its place', async () => {
    const { guest } = await waiting();
    const { kickFd } = guest.vring(REQUEST_QUEUE);
    for (let i = 0; i < 3; i++) {
      await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, REQUEST_QUEUE, kickFd);
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    }
  });

  it('does not enable a ring where protocol features are negotiated', async () => {
    const { guest, served } = await prepared();
    await startVring(guest, REQUEST_QUEUE, 0);
    const early = offered(guest, MSG_GET_VALUE, 0);
    await looked(guest);
    expect(served.device.counters.requests).toBe(0);
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    await until(() => early.answer?.status === 0);
  });

  it('starts enabled rings where protocol features are not negotiated', async () => {
    const { guest } = await prepared(KNOWN_FEATURES & ~F_PROTOCOL_FEATURES);
    await startVring(guest, REQUEST_QUEUE, 0);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('may come after SET_VRING_ENABLE', async () => {
    const { guest } = await prepared();
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    await startVring(guest, REQUEST_QUEUE, 0);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('is refused before the ring has a size and addresses', async () => {
    const { guest } = await prepared();
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    const { kickFd } = guest.vring(REQUEST_QUEUE);
    const kick = guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, REQUEST_QUEUE, kickFd);
    await expect(kick).rejects.toThrow(/refused/);
    // It is a ring like any other once they are there.
    await startVring(guest, REQUEST_QUEUE, 0);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('SET_VRING_ENABLE', () => {
  it('(0) stops serving, keeps everything, and (1) goes on', async () => {
    const { chip, guest } = await waiting();
    for (const { index } of guest.vrings) {
      await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, index, 0);
    }
    const late = offered(guest, MSG_GET_VALUE, 0);
    await looked(guest);
    expect(late.answer).toBeNull();
    for (const { index } of guest.vrings) {
      await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, index, 1);
    }
    await until(() => late.answer?.status === 0);
    chip.drive(1, 1);
    expect((await guest.nextEvent()).status).toBe(1);
  });

  it('(0) before GET_VRING_BASE leaves the base where the ring stood', async () => {
    const { guest } = await waiting();
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 0);
    offered(guest, MSG_GET_VALUE, 0);
    await looked(guest);
    const { availableIndex } = guest.vring(REQUEST_QUEUE);
    expect(await guest.control.getVringBase(REQUEST_QUEUE)).toBe(availableIndex - 1);
  });

  it('refuses anything but 0 and 1', async () => {
    const { guest } = await waiting();
    await expect(guest.control.setVringState(REQUEST.SET_VRING_ENABLE, 0, 2)).rejects.toThrow(/refused/);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('the available ring', () => {
  it('is scanned after a start, without a kick', async () => {
    const { guest } = await prepared();
    const early = offered(guest, MSG_GET_VALUE, 0);
    expect(drainDescriptor(guest.vring(REQUEST_QUEUE).kickFd)).toBe(8);
    await startVring(guest, REQUEST_QUEUE, 0);
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    await until(() => early.answer?.status === 0);
  });

  it('is scanned after a restart, without a kick', async () => {
    const { guest } = await waiting();
    const bases = await guest.stopVrings();
    const between = [offered(guest, MSG_GET_VALUE, 0), offered(guest, MSG_GET_VALUE, 1)];
    drainDescriptor(guest.vring(REQUEST_QUEUE).kickFd);
    await guest.resumeVrings(bases);
    await until(() => between.every(({ answer }) => answer?.status === 0));
  });
});

describe('numbers of the front-end', () => {
  const bad = [
    [
      'SET_VRING_NUM of 0',
      (guest: VhostUserFrontEnd) => guest.control.setVringState(REQUEST.SET_VRING_NUM, 0, 0),
    ],
    [
      'SET_VRING_NUM of 3',
      (guest: VhostUserFrontEnd) => guest.control.setVringState(REQUEST.SET_VRING_NUM, 0, 3),
    ],
    [
      'SET_VRING_NUM of 65536',
      (guest: VhostUserFrontEnd) => guest.control.setVringState(REQUEST.SET_VRING_NUM, 0, 65536),
    ],
    [
      'SET_VRING_NUM of a vring that is not there',
      (guest: VhostUserFrontEnd) => guest.control.setVringState(REQUEST.SET_VRING_NUM, 2, 64),
    ],
    [
      'SET_VRING_BASE of 65536',
      (guest: VhostUserFrontEnd) => guest.control.setVringState(REQUEST.SET_VRING_BASE, 0, 65536),
    ],
    [
      'SET_VRING_ADDR outside the memory',
      (guest: VhostUserFrontEnd) =>
        guest.control.setVringAddress({ ...guest.vring(0).addresses, used: 0x1000n }),
    ],
    [
      'SET_VRING_ADDR of 2^64 - 1',
      (guest: VhostUserFrontEnd) =>
        guest.control.setVringAddress({ ...guest.vring(0).addresses, available: (1n << 64n) - 1n }),
    ],
    [
      'SET_VRING_CALL of a vring that is not there',
      (guest: VhostUserFrontEnd) =>
        guest.control.setVringDescriptor(REQUEST.SET_VRING_CALL, 7, guest.vring(0).call.fd),
    ],
    [
      'SET_PROTOCOL_FEATURES bits that were not offered',
      (guest: VhostUserFrontEnd) =>
        guest.control.setU64(
          REQUEST.SET_PROTOCOL_FEATURES,
          PROTOCOL_FEATURE.REPLY_ACK | PROTOCOL_FEATURE.PAGEFAULT,
        ),
    ],
    ['SET_CONFIG', (guest: VhostUserFrontEnd) => guest.control.tell(REQUEST.SET_CONFIG, new Uint8Array(12))],
  ] as const;

  it.each(bad)('%s: refused where an answer is asked for, and the ring runs on', async (_what, send) => {
    const { guest, served } = await waiting();
    await expect(send(guest)).rejects.toThrow(/refused/);
    expect(served.logged('warn')).toHaveLength(1);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it.each(bad)('%s: ends the connection where no answer is', async (_what, send) => {
    const { served } = serveSimulatedChip();
    const protocolFeatures = KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.REPLY_ACK;
    const guest = await served.connect({ protocolFeatures });
    await send(guest);
    await guest.disconnected();
    expect(served.logged('warn')).toHaveLength(1);
  });

  // The region has 0x100000 bytes, the ring 64 descriptors.
  it.each([
    ['a misaligned descriptor table', 'descriptor', 0x8000n + 8n],
    ['a misaligned available ring', 'available', 0x8000n + 1n],
    ['a misaligned used ring', 'used', 0x8000n + 2n],
    ['a descriptor table past the end of its region', 'descriptor', 0x100000n - 1024n + 16n],
    ['an available ring past the end of its region', 'available', 0x100000n - 134n + 2n],
    ['a used ring past the end of its region', 'used', 0x100000n - 518n + 2n],
  ] as const)('%s: refused at the start', async (_what, field, offset) => {
    const { guest } = await prepared();
    await startVring(guest, REQUEST_QUEUE, 0);
    const address = guest.memory.table[0]!.userAddress + offset;
    await guest.control.setVringAddress({ ...guest.vring(0).addresses, [field]: address });
    const enable = guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    await expect(enable).rejects.toThrow(/refused/);
    await guest.control.setVringAddress(guest.vring(0).addresses);
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, REQUEST_QUEUE, 1);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('a ring as large as the format allows is served', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({
      queueSizes: [32768, 1],
      regions: [{ guestPhysicalAddress: 0x4000_0000, sizeBytes: 0x20_0000 }],
    });
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('queues of two descriptors are served', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ queueSizes: [2, 2] });
    for (let i = 0; i < 5; i++) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('GET_CONFIG', () => {
  it('gives any part of the config space', async () => {
    const { guest } = await waiting(NO_STATUS);
    expect([...(await guest.readConfig(0, 8))]).toEqual([8, 0, 0, 0, 40, 0, 0, 0]);
    expect([...(await guest.readConfig(0, 2))]).toEqual([8, 0]);
    expect([...(await guest.readConfig(4, 4))]).toEqual([40, 0, 0, 0]);
    expect([...(await guest.readConfig(7, 1))]).toEqual([0]);
  });

  it.each([
    [0, 9],
    [4, 8],
    [8, 1],
    [0xffff_ffff, 1],
    [0xffff_fff8, 16],
    [0, 256],
  ])(
    'of %i and %i bytes, beyond the config space, is answered with an empty payload',
    async (offset, size) => {
      const { guest } = await waiting();
      await expect(guest.readConfig(offset, size)).rejects.toThrow(/payload of 0 bytes/);
      expect([...(await guest.readConfig(0, 2))]).toEqual([8, 0]);
    },
  );
});
