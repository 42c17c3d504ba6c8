import { closeSync, ftruncateSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createMemfd, mapDescriptor, statDescriptor, unmap } from '../../../src/native.ts';
import { KNOWN_PROTOCOL_FEATURES, type VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { PROTOCOL_FEATURE, REQUEST } from '../../../src/wire/vhost-user.ts';
import {
  EVENT_VALID,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { serveSimulatedChip, until } from './served-device.ts';

const INFLIGHT = KNOWN_PROTOCOL_FEATURES | PROTOCOL_FEATURE.INFLIGHT_SHMFD;
const BOTH = 3;

/** The memory of GET_INFLIGHT_FD, seen through a mapping of our own. */
async function inflightOf(guest: VhostUserFrontEnd, queueSize = 64) {
  const { description, fd } = await guest.control.getInflight(2, queueSize);
  const bytes = Number(description.mmapSizeBytes);
  const buffer = mapDescriptor(fd, 0, bytes);
  onTestFinished(() => {
    unmap(buffer);
    closeSync(fd);
  });
  /** Descriptors in flight on a queue. */
  const inFlight = (queue: number): number => {
    const view = new DataView(buffer, (bytes / 2) * queue);
    return Array.from({ length: queueSize }, (_, head) => view.getUint8(16 + head * 16)).reduce(
      (a, b) => a + b,
    );
  };
  return { description, fd, buffer, inFlight };
}

describe('the memory of GET_INFLIGHT_FD', () => {
  it('has a region a queue, is zero, and of a size that nobody changes', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ protocolFeatures: INFLIGHT });
    const { description, fd, buffer } = await inflightOf(guest);
    expect(description).toEqual({ mmapSizeBytes: 2176n, mmapOffset: 0n, queues: 2, queueSize: 64 });
    expect(statDescriptor(fd).sizeBytes).toBe(2176);
    expect(new Uint8Array(buffer).every((byte) => byte === 0)).toBe(true);
    expect(() => ftruncateSync(fd, 0)).toThrow(/EPERM/);
  });

  it('may be set while the rings run: what lies in them is entered', async () => {
    const { served, chip } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 3, BOTH);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 0);
    const { description, fd, inFlight } = await inflightOf(guest);
    await guest.control.setInflight(description, fd);
    await until(() => inFlight(1) === 1);
    chip.drive(3, 1);
    expect((await guest.nextEvent()).status).toBe(EVENT_VALID);
    await until(() => inFlight(1) === 0);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(inFlight(0)).toBe(0);
  });

  it('is empty after a reset', async () => {
    const { served } = serveSimulatedChip();
    const guest = served.open({ protocolFeatures: INFLIGHT });
    await guest.start();
    const { description, fd, inFlight } = await inflightOf(guest);
    await guest.control.setInflight(description, fd);
    await guest.request(MSG_SET_IRQ_TYPE, 3, BOTH);
    guest.queueEvent(3);
    await until(() => inFlight(1) === 1);
    await guest.resetDevice();
    await guest.startVrings();
    // A region of the new driver's own; nothing of the old one's comes back.
    await guest.request(MSG_SET_IRQ_TYPE, 3, BOTH);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 0);
    expect(guest.vring(1).queue.badUsed).toBe(0);
    expect(served.device.counters.badChains).toEqual({});
  });

  it('is refused for a ring that is larger', async () => {
    const { served } = serveSimulatedChip();
    const guest = served.open({ protocolFeatures: INFLIGHT, queueSizes: [128, 64] });
    await guest.negotiate();
    await guest.shareMemory();
    const { description, fd } = await inflightOf(guest);
    await guest.control.setInflight(description, fd);
    await expect(guest.resumeVrings([0, 0])).rejects.toMatchObject({ code: 'ERR_FRONT_END_REFUSED' });
    expect(served.logged('warn')[0]).toMatch(/vring 0: 128 descriptors; the inflight memory is for 64/);
  });

  it('that the front-end truncates ends its connection, not the service', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const fd = createMemfd('inflight', 4096);
    onTestFinished(() => closeSync(fd));
    await guest.control.setInflight({ mmapSizeBytes: 2176n, mmapOffset: 0n, queues: 2, queueSize: 64 }, fd);
    ftruncateSync(fd, 0);
    void guest.request(MSG_GET_VALUE, 0).catch(() => {});
    await until(() => !served.server.connected);
    expect(served.logged('warn')).toEqual([
      'warn: guest vm1: connection closed: the front-end truncated the inflight memory',
    ]);
    const next = await served.connect();
    expect((await next.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('is closed with the connection, also the one of before', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ protocolFeatures: INFLIGHT });
    for (let i = 0; i < 3; i++) {
      await guest.disconnect();
      await until(() => !served.server.connected);
      await guest.reconnect('keep');
    }
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('a front-end that comes back to the same service', () => {
  it.each([
    ['with a grace and INFLIGHT_SHMFD', 60_000, INFLIGHT],
    ['with a grace', 60_000, KNOWN_PROTOCOL_FEATURES],
    ['without a grace', 0, KNOWN_PROTOCOL_FEATURES],
  ])('finds its interrupts armed: %s', async (_what, reconnectGraceMs, protocolFeatures) => {
    const { served, chip, lines } = serveSimulatedChip({ reconnectGraceMs });
    const guest = await served.connect({ protocolFeatures });
    await guest.request(MSG_SET_IRQ_TYPE, 3, BOTH);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 3);
    guest.disconnect();
    await until(() => !served.server.connected);
    expect(lines.lines[3]!.subscribed).toBe(0);
    await guest.reconnect('keep');
    expect((await guest.request(MSG_GET_VALUE, 3)).status).toBe(0);
    chip.drive(3, 1);
    expect(await guest.nextEvent()).toMatchObject({ gpio: 3, status: EVENT_VALID });
    expect(served.device.counters.invalidEvents).toBe(0);
  });

  it('does not find an output that it was too late for', async () => {
    const { served, lines } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_VALUE, 2, 1);
    await guest.request(MSG_SET_DIRECTION, 2, 1);
    guest.disconnect();
    await until(() => !served.server.connected);
    await guest.reconnect('keep');
    await guest.request(MSG_GET_VALUE, 3);
    expect(lines.lines[2]!.ownerName).toBeNull();
  });

  it('stopped its rings in order: they go on where they were told', async () => {
    const { served, chip } = serveSimulatedChip();
    const guest = await served.connect({ protocolFeatures: INFLIGHT });
    await guest.request(MSG_SET_IRQ_TYPE, 3, BOTH);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 3);
    const bases = await guest.stopVrings();
    // One buffer lies in the event queue: taken, not returned.
    expect(bases[1]).toBe(1);
    await guest.resumeVrings(bases);
    chip.drive(3, 1);
    expect((await guest.nextEvent()).status).toBe(EVENT_VALID);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
    expect(await guest.control.getU64(REQUEST.GET_QUEUE_NUM)).toBe(2n);
  });
});
