import { describe, expect, it } from 'vitest';
import { createSocketPair } from '../../../src/native.ts';
import { KNOWN_FEATURES, KNOWN_PROTOCOL_FEATURES } from '../../../src/testing/front-end.ts';
import {
  encodeMessage,
  encodeU64,
  F_PROTOCOL_FEATURES,
  HEADER_FLAG,
  PAYLOAD_SIZE,
  PROTOCOL_FEATURE,
  REQUEST,
} from '../../../src/wire/vhost-user.ts';
import {
  EVENT_QUEUE,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { RawFrontEnd } from './raw-front-end.ts';
import { DEADLINE_MS, openDescriptors, serveSimulatedChip, until } from './served-device.ts';

const NEEDS_RESET = 0x40n;
const ACKNOWLEDGE_DRIVER_OK = 0x0fn;

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(PAYLOAD_SIZE.U64);
  encodeU64(value, bytes);
  return bytes;
}

describe('features', () => {
  it('offered are those that design.md names', async () => {
    const { served } = serveSimulatedChip();
    const { control } = served.open();
    // F_IRQ 0, INDIRECT_DESC 28, EVENT_IDX 29, protocol features 30, VERSION_1 32.
    expect(await control.getU64(REQUEST.GET_FEATURES)).toBe(0x1_7000_0001n);
    const { MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS } =
      PROTOCOL_FEATURE;
    expect(await control.getU64(REQUEST.GET_PROTOCOL_FEATURES)).toBe(
      MQ | REPLY_ACK | BACKEND_REQ | CONFIG | INFLIGHT_SHMFD | RESET_DEVICE | CONFIGURE_MEM_SLOTS | STATUS,
    );
    expect(await control.getU64(REQUEST.GET_QUEUE_NUM)).toBe(2n);
    expect(await control.getU64(REQUEST.GET_MAX_MEM_SLOTS)).toBeGreaterThanOrEqual(8n);
  });
});

describe('REPLY_ACK', () => {
  const ack = encodeMessage(REQUEST.SET_OWNER, HEADER_FLAG.REPLY, u64(0n));

  it('answers 0 to what asks for it', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, 0, u64(PROTOCOL_FEATURE.REPLY_ACK));
    raw.send(REQUEST.SET_OWNER, HEADER_FLAG.NEED_REPLY);
    expect(await raw.receive()).toEqual(ack);
  });

  it('answers nothing to what does not ask for it', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, 0, u64(PROTOCOL_FEATURE.REPLY_ACK));
    raw.send(REQUEST.SET_FEATURES, 0, u64(F_PROTOCOL_FEATURES));
    raw.send(REQUEST.SET_OWNER, HEADER_FLAG.NEED_REPLY);
    expect(await raw.receive()).toEqual(ack);
  });

  it('is not done where it was not negotiated', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_FEATURES, HEADER_FLAG.NEED_REPLY, u64(F_PROTOCOL_FEATURES));
    raw.send(REQUEST.GET_QUEUE_NUM, 0);
    expect(await raw.receive()).toEqual(encodeMessage(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.REPLY, u64(2n)));
  });

  it('adds no second answer to a request that has one of its own', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, 0, u64(PROTOCOL_FEATURE.REPLY_ACK));
    raw.send(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.NEED_REPLY);
    raw.send(REQUEST.SET_OWNER, HEADER_FLAG.NEED_REPLY);
    expect(await raw.receive()).toEqual(encodeMessage(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.REPLY, u64(2n)));
    expect(await raw.receive()).toEqual(ack);
  });

  it('answers the very SET_PROTOCOL_FEATURES that negotiates it, as User-Mode Linux asks, once', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, HEADER_FLAG.NEED_REPLY, u64(PROTOCOL_FEATURE.REPLY_ACK));
    raw.send(REQUEST.SET_OWNER, HEADER_FLAG.NEED_REPLY);
    expect(await raw.receive()).toEqual(
      encodeMessage(REQUEST.SET_PROTOCOL_FEATURES, HEADER_FLAG.REPLY, u64(0n)),
    );
    expect(await raw.receive()).toEqual(ack);
  });

  it('answers a SET_PROTOCOL_FEATURES without REPLY_ACK nothing', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, HEADER_FLAG.NEED_REPLY, u64(PROTOCOL_FEATURE.MQ));
    raw.send(REQUEST.GET_QUEUE_NUM, 0);
    expect(await raw.receive()).toEqual(encodeMessage(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.REPLY, u64(2n)));
  });

  it('answers 1 to what is refused, and goes on', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(REQUEST.SET_PROTOCOL_FEATURES, 0, u64(PROTOCOL_FEATURE.REPLY_ACK));
    raw.send(REQUEST.SET_FEATURES, HEADER_FLAG.NEED_REPLY, u64(1n << 40n));
    raw.send(REQUEST.SET_OWNER, HEADER_FLAG.NEED_REPLY);
    expect(await raw.receive()).toEqual(encodeMessage(REQUEST.SET_FEATURES, HEADER_FLAG.REPLY, u64(1n)));
    expect(await raw.receive()).toEqual(ack);
    expect(served.logged('warn')).toEqual([
      'warn: guest vm1: SET_FEATURES refused: features 0x10000000000 were not offered',
    ]);
  });
});

describe('RESET_DEVICE', () => {
  it('stops and disables the rings, gives the lines back, and the device can be used anew', async () => {
    const { lines, chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    await guest.control.tell(REQUEST.RESET_DEVICE);
    expect(lines.lines[0]!.owner).toBeNull();
    // Levels and directions stay: a reset of the guest is none of the hardware.
    expect(lines.lines[0]!.direction).toBe(1);
    const { size, addresses, kickFd } = guest.vring(REQUEST_QUEUE);
    guest.vring(REQUEST_QUEUE).restart(true);
    await guest.control.setVringState(REQUEST.SET_VRING_NUM, 0, size);
    await guest.control.setVringState(REQUEST.SET_VRING_BASE, 0, 0);
    await guest.control.setVringAddress(addresses);
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, 0, kickFd);
    const { requests } = served.device.counters;
    const answer = guest.request(MSG_GET_VALUE, 1);
    await guest.control.getU64(REQUEST.GET_FEATURES);
    await guest.control.getU64(REQUEST.GET_FEATURES);
    // "Disable all rings": nothing is served before SET_VRING_ENABLE.
    expect(served.device.counters.requests).toBe(requests);
    await guest.control.setVringState(REQUEST.SET_VRING_ENABLE, 0, 1);
    expect((await answer).status).toBe(0);
    chip.drive(2, 1);
    expect((await guest.request(MSG_GET_VALUE, 2)).value).toBe(1);
  });
});

describe('SET_STATUS', () => {
  it('is what GET_STATUS tells', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    expect(await guest.control.getU64(REQUEST.GET_STATUS)).toBe(ACKNOWLEDGE_DRIVER_OK);
    await guest.control.setU64(REQUEST.SET_STATUS, 3n);
    expect(await guest.control.getU64(REQUEST.GET_STATUS)).toBe(3n);
  });

  it('of 0 with rings that run is a reset', async () => {
    const { lines, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    await guest.control.setU64(REQUEST.SET_STATUS, 0n);
    expect(await guest.control.getU64(REQUEST.GET_STATUS)).toBe(0n);
    expect(lines.lines[0]!.owner).toBeNull();
    await guest.startVrings();
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('SET_STATUS of 0 after GET_VRING_BASE of all rings', () => {
  it('keeps what the guest claimed: it may have been a mere pause', async () => {
    const { chip, lines, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    await guest.request(MSG_SET_IRQ_TYPE, 3, 1);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 0);
    await guest.request(MSG_GET_VALUE, 0);
    const bases = await guest.stopVrings();
    await guest.control.setU64(REQUEST.SET_STATUS, 0n);
    chip.drive(3, 1);
    expect(lines.lines[0]!.owner).not.toBeNull();
    await guest.resumeVrings(bases);
    expect(await guest.nextEvent()).toEqual({ gpio: 3, status: 1, usedLength: 1 });
    expect((await guest.request(MSG_SET_IRQ_TYPE, 3, 2)).status).toBe(1);
  });

  it('leaves the clean start to a new driver', async () => {
    const { lines, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    await guest.stopVrings();
    await guest.control.setU64(REQUEST.SET_STATUS, 0n);
    await guest.startVrings();
    await guest.request(MSG_GET_VALUE, 1);
    expect(lines.lines[0]!.owner).toBeNull();
  });
});

describe('a ring whose available index jumps by more than its size', () => {
  it.each([
    ['RESET_DEVICE', KNOWN_PROTOCOL_FEATURES],
    ['SET_STATUS', KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.RESET_DEVICE],
    ['nothing but a new driver', PROTOCOL_FEATURE.REPLY_ACK | PROTOCOL_FEATURE.CONFIG],
  ])(
    'stops with NEEDS_RESET and the error descriptor, and works again after %s',
    async (_what, protocolFeatures) => {
      const { served } = serveSimulatedChip();
      const guest = await served.connect({ protocolFeatures });
      await guest.request(MSG_GET_VALUE, 0);
      const vring = guest.vring(REQUEST_QUEUE);
      vring.writeAvailableIndex(vring.availableIndex + vring.size + 1);
      vring.kick();
      await vring.errorSignal(DEADLINE_MS);
      expect(served.logged('error')).toHaveLength(1);
      expect(served.device.needsReset).toBe(true);
      if (guest.control.has(PROTOCOL_FEATURE.STATUS)) {
        expect((await guest.control.getU64(REQUEST.GET_STATUS)) & NEEDS_RESET).toBe(NEEDS_RESET);
      }
      await guest.resetDevice();
      await guest.startVrings();
      expect(served.device.needsReset).toBe(false);
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
      expect(served.logged('error')).toHaveLength(1);
    },
  );

  it('leaves the other ring to go on, also over a change of the memory', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    const events = guest.vring(EVENT_QUEUE);
    events.writeAvailableIndex(events.availableIndex + events.size + 1);
    events.kick();
    await events.errorSignal(DEADLINE_MS);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    await guest.control.setMemoryTable(guest.memory.table, guest.memory.descriptors);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    // Nobody hears of it, and nothing breaks.
    chip.drive(1, 1);
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
    expect(served.logged('error')).toHaveLength(1);
  });

  it('is noticed while requests of it are under way', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const answer = guest.request(MSG_GET_VALUE, 0);
    const vring = guest.vring(REQUEST_QUEUE);
    vring.writeAvailableIndex(0x8000);
    vring.kick();
    await vring.errorSignal(DEADLINE_MS);
    vring.abandon('ERR_FRONT_END_RESET', 'given up');
    await expect(answer).rejects.toThrow(/given up/);
    await guest.resetDevice();
    await guest.startVrings();
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(served.device.needsReset).toBe(false);
  });

  it('without an error descriptor is logged all the same', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ features: KNOWN_FEATURES });
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_ERR, 0, -1);
    guest.vring(0).writeAvailableIndex(0x4000);
    guest.vring(0).kick();
    await until(() => served.logged('error').length === 1);
    expect(served.logged('error')[0]).toMatch(
      /^error: guest vm1: queue 0 stopped: available index 16384 is 16384 ahead of 0, more than the queue size 64$/,
    );
  });
});

describe('SET_BACKEND_REQ_FD', () => {
  it('is taken, again too, and each descriptor is closed with its successor or the connection', async () => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const guest = await served.connect();
    const counts = new Set<number>();
    for (let i = 0; i < 4; i++) {
      const [ours, theirs] = createSocketPair();
      await guest.control.tell(REQUEST.SET_BACKEND_REQ_FD, new Uint8Array(0), [theirs]);
      RawFrontEnd.closeAll(ours, theirs);
      // The first one ends the channel that the front-end itself had set up.
      if (i > 0) counts.add(openDescriptors().length);
    }
    expect(counts.size).toBe(1);
    guest.close();
    await until(() => !served.server.connected);
    expect(openDescriptors()).toHaveLength(before);
  });
});
