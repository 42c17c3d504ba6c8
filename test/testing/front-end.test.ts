import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  type CallKind,
  encodeDescriptor,
  encodeRequest,
  type FrontEndError,
  KNOWN_FEATURES,
  KNOWN_PROTOCOL_FEATURES,
  VhostUserFrontEnd,
} from '../../src/testing/front-end.ts';
import { F_PROTOCOL_FEATURES, PROTOCOL_FEATURE, REQUEST } from '../../src/wire/vhost-user.ts';
import * as gpio from '../../src/wire/virtio-gpio.ts';
import {
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  FEATURE_EVENT_IDX,
  FEATURE_VERSION_1,
} from '../../src/wire/vring.ts';
import { mappingsNamed, openDescriptors } from '../native/scratch.ts';
import { connect, startBackEnd } from './back-end.ts';

const IN = 2;
const OUT = 1;
const BOTH = 3;
const OK = { status: gpio.STATUS_OK, value: 0, usedLength: 2 };
const ERR = { status: gpio.STATUS_ERR, value: 0, usedLength: 2 };
const VERSION_1 = 1n << BigInt(FEATURE_VERSION_1);

async function codeOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => null,
    (thrown: FrontEndError) => thrown,
  );
  return error?.code ?? 'nothing was thrown';
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited 5 s for ${what}`);
    await turn();
  }
}

/** A request and room for its answer in guest memory. */
function placeRequest(frontEnd: VhostUserFrontEnd, type: number, line: number, value = 0): [number, number] {
  const request = frontEnd.memory.allocate(8);
  const response = frontEnd.memory.allocate(2);
  frontEnd.memory.write(request, encodeRequest(type, line, value));
  return [request, response];
}

/** A guest uses the device: an output is read back at its partner line, and an input's edge arrives. */
async function useDevice(frontEnd: VhostUserFrontEnd): Promise<void> {
  expect(await frontEnd.request(gpio.MSG_SET_VALUE, 2, 1)).toEqual(OK);
  expect(await frontEnd.request(gpio.MSG_SET_DIRECTION, 2, OUT)).toEqual(OK);
  expect(await frontEnd.request(gpio.MSG_GET_VALUE, 3)).toEqual({ ...OK, value: 1 });
  expect(await frontEnd.request(gpio.MSG_SET_DIRECTION, 3, IN)).toEqual(OK);
  expect(await frontEnd.request(gpio.MSG_SET_IRQ_TYPE, 3, BOTH)).toEqual(OK);
  frontEnd.queueEvent(3);
  expect(await frontEnd.request(gpio.MSG_SET_VALUE, 2, 0)).toEqual(OK);
  expect(await frontEnd.nextEvent()).toEqual({ gpio: 3, status: gpio.EVENT_VALID, usedLength: 1 });
  expect(await frontEnd.request(gpio.MSG_SET_DIRECTION, 2, 0)).toEqual(OK);
  expect(await frontEnd.request(gpio.MSG_SET_DIRECTION, 3, 0)).toEqual(OK);
}

describe('VhostUserFrontEnd with a device', () => {
  it('negotiates everything and reads the config space', async () => {
    const frontEnd = await connect(startBackEnd(8, ['led', '', 'button', '', '', '', '', '']));
    expect(frontEnd.features & KNOWN_FEATURES).toBe(KNOWN_FEATURES);
    expect(frontEnd.control.has(PROTOCOL_FEATURE.REPLY_ACK)).toBe(true);
    expect(await frontEnd.config()).toEqual({ lineCount: 8, namesSize: 'led'.length + 'button'.length + 8 });
    expect(await frontEnd.readConfig(0, 2)).toEqual(Uint8Array.of(8, 0));
    expect(await frontEnd.lineNames()).toEqual(['led', '', 'button', '', '', '', '', '']);
    expect(await codeOf(frontEnd.readConfig(4, 8))).toBe('ERR_FRONT_END_REFUSED');
  });

  it('knows a device without names', async () => {
    const frontEnd = await connect(startBackEnd(2, ['', '']));
    expect(await frontEnd.lineNames()).toEqual(['', '']);
  });

  it.each<CallKind>(['eventfd', 'pipe', 'socket', 'none'])('is called by %s', async (callKind) => {
    await useDevice(await connect(startBackEnd(), { callKind }));
  });

  it.each([
    ['without EVENT_IDX', { features: KNOWN_FEATURES & ~(1n << BigInt(FEATURE_EVENT_IDX)) }],
    ['without protocol features', { features: KNOWN_FEATURES & ~F_PROTOCOL_FEATURES }],
    ['without REPLY_ACK', { protocolFeatures: KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.REPLY_ACK }],
    [
      'with memory slots',
      { protocolFeatures: KNOWN_PROTOCOL_FEATURES | PROTOCOL_FEATURE.CONFIGURE_MEM_SLOTS },
    ],
    ['with queues of 4', { queueSizes: [4, 4] }],
    [
      'with two regions, a ring in each, and a large offset',
      {
        regions: [
          { guestPhysicalAddress: 0, sizeBytes: 0x8000 },
          {
            guestPhysicalAddress: 0x12_3456_0000,
            sizeBytes: 0x8000,
            mmapOffset: 0x40_0000,
            userAddress: 0x1000_0000,
          },
        ],
        vringRegions: [0, 1],
      },
    ],
  ])('works %s', async (_, options) => {
    await useDevice(await connect(startBackEnd(), options));
  });

  it('has many requests under way at once, and says when there are too many', async () => {
    const frontEnd = await connect(startBackEnd(), { queueSizes: [16, 4] });
    const answers = Array.from({ length: 8 }, (_, line) => frontEnd.request(gpio.MSG_GET_DIRECTION, line));
    expect(await codeOf(frontEnd.request(gpio.MSG_GET_DIRECTION, 0))).toBe('ERR_FRONT_END_FULL');
    expect(await Promise.all(answers)).toEqual(new Array(8).fill(OK));
    expect(await frontEnd.request(gpio.MSG_GET_DIRECTION, 0)).toEqual(OK);
    expect(await frontEnd.request(gpio.MSG_GET_DIRECTION, 8)).toEqual(ERR);
    frontEnd.queueEvent(0);
    frontEnd.queueEvent(0);
    expect(() => frontEnd.queueEvent(0)).toThrow('0 of 4 descriptors are free');
  });

  it('gives events to listeners, first those that nobody took', async () => {
    const backEnd = startBackEnd();
    const frontEnd = await connect(backEnd);
    expect(await frontEnd.request(gpio.MSG_SET_DIRECTION, 0, IN)).toEqual(OK);
    expect(await frontEnd.request(gpio.MSG_SET_IRQ_TYPE, 0, BOTH)).toEqual(OK);
    frontEnd.queueEvent(5);
    await until(() => frontEnd.vring(gpio.EVENT_QUEUE).queue.outstanding === 0, 'the INVALID buffer');
    const seen: number[][] = [];
    const stop = frontEnd.onEvent((event) => seen.push([event.gpio, event.status]));
    expect(seen).toEqual([[5, gpio.EVENT_INVALID]]);
    frontEnd.queueEvent(0);
    await frontEnd.request(gpio.MSG_GET_VALUE, 0);
    backEnd.chip.drive(0, 1);
    await until(() => seen.length === 2, 'the event');
    expect(seen[1]).toEqual([0, gpio.EVENT_VALID]);
    stop();
    frontEnd.queueEvent(5);
    expect(await frontEnd.nextEvent()).toMatchObject({ gpio: 5, status: gpio.EVENT_INVALID });
    expect(seen).toHaveLength(2);
    expect(await codeOf(frontEnd.nextEvent(1))).toBe('ERR_FRONT_END_TIMEOUT');
  });

  it('stops and resumes the vrings where they stood', async () => {
    const frontEnd = await connect(startBackEnd());
    for (let count = 0; count < 3; count++) await frontEnd.request(gpio.MSG_GET_DIRECTION, 0);
    const bases = await frontEnd.stopVrings();
    expect(bases).toEqual([3, 0]);
    const late = frontEnd.request(gpio.MSG_GET_DIRECTION, 1);
    await frontEnd.resumeVrings(bases);
    expect(await late).toEqual(OK);
    expect(frontEnd.vring(0).usedIndex).toBe(4);
    await useDevice(frontEnd);
  });

  it.each([
    ['RESET_DEVICE', KNOWN_PROTOCOL_FEATURES],
    ['status 0', KNOWN_PROTOCOL_FEATURES & ~PROTOCOL_FEATURE.RESET_DEVICE],
    ['disabled rings', KNOWN_PROTOCOL_FEATURES & ~(PROTOCOL_FEATURE.RESET_DEVICE | PROTOCOL_FEATURE.STATUS)],
  ])('resets the device by %s', async (_, protocolFeatures) => {
    const backEnd = startBackEnd();
    const frontEnd = await connect(backEnd, { protocolFeatures });
    await frontEnd.request(gpio.MSG_SET_VALUE, 0, 1);
    await frontEnd.request(gpio.MSG_SET_DIRECTION, 0, OUT);
    const line = backEnd.lines.lines[0]!;
    expect(line.owner).not.toBeNull();
    await frontEnd.resetDevice();
    const unanswered = codeOf(frontEnd.request(gpio.MSG_GET_DIRECTION, 0));
    await frontEnd.startVrings();
    expect(await unanswered).toBe('ERR_FRONT_END_RESET');
    await until(() => line.owner === null, 'the guest to lose the line');
    expect(await frontEnd.request(gpio.MSG_GET_DIRECTION, 1)).toEqual(OK);
    await useDevice(frontEnd);
  });

  it('reconnects with a new driver', async () => {
    const frontEnd = await connect(startBackEnd());
    await useDevice(frontEnd);
    await frontEnd.reconnect();
    expect(frontEnd.vring(0).usedIndex).toBe(0);
    await useDevice(frontEnd);
  });

  it('reconnects with the rings as they are, and what was open is answered', async () => {
    const frontEnd = await connect(startBackEnd());
    await frontEnd.request(gpio.MSG_GET_DIRECTION, 0);
    frontEnd.disconnect();
    const open = frontEnd.request(gpio.MSG_GET_DIRECTION, 1);
    await frontEnd.reconnect('keep');
    expect(await open).toEqual(OK);
    expect(frontEnd.vring(0).usedIndex).toBe(2);
    await useDevice(frontEnd);
  });

  it('gives back every descriptor and mapping', async () => {
    const backEnd = startBackEnd();
    const before = openDescriptors().size;
    for (const callKind of ['eventfd', 'socket'] as const) {
      const frontEnd = await VhostUserFrontEnd.connect({ socketPath: backEnd.socketPath, callKind });
      await frontEnd.reconnect();
      await useDevice(frontEnd);
      frontEnd.close();
      frontEnd.close();
      await until(() => !backEnd.server.connected, 'the server to notice');
    }
    expect(mappingsNamed('rproc-gpio-guest')).toBe(0);
    expect(openDescriptors().size).toBe(before);
    expect(() => VhostUserFrontEnd.open({ socketPath: `${backEnd.socketPath}.none` })).toThrow('ENOENT');
    expect(() => VhostUserFrontEnd.open({ socketPath: backEnd.socketPath, queueSizes: [3] })).toThrow(
      'power of two',
    );
    expect(() => VhostUserFrontEnd.open({})).toThrow('no socketPath');
    expect(openDescriptors().size).toBe(before);
  });
});

describe('VhostUserFrontEnd for hostile tests', () => {
  it('offers any framing of a request', async () => {
    const frontEnd = await connect(startBackEnd());
    const [request, response] = placeRequest(frontEnd, gpio.MSG_SET_VALUE, 4, 1);
    const used = await frontEnd.rawChain([
      { address: request, length: 3, flags: DESC_F_NEXT },
      { address: request + 3, length: 5, flags: DESC_F_NEXT },
      { address: response, length: 1, flags: DESC_F_WRITE | DESC_F_NEXT },
      { address: response + 1, length: 1, flags: DESC_F_WRITE },
    ]);
    expect(used).toBe(2);
    expect(frontEnd.memory.read(response, 2)).toEqual(Uint8Array.of(gpio.STATUS_OK, 0));
    await useDevice(frontEnd);
  });

  it('offers an indirect table', async () => {
    const frontEnd = await connect(startBackEnd());
    const [request, response] = placeRequest(frontEnd, gpio.MSG_GET_DIRECTION, 0);
    const table = frontEnd.memory.allocate(32);
    frontEnd.memory.write(
      table,
      encodeDescriptor({ address: request, length: 8, flags: DESC_F_NEXT, next: 1 }),
    );
    frontEnd.memory.write(
      table + 16,
      encodeDescriptor({ address: response, length: 2, flags: DESC_F_WRITE }),
    );
    expect(await frontEnd.rawChain([{ address: table, length: 32, flags: DESC_F_INDIRECT }])).toBe(2);
  });

  it.each([
    ['a loop', { next: 0 }],
    ['a next beyond the table', { next: 999 }],
    ['an address in no region', { address: 0xffff_ffff_ffff_fff8n }],
  ])('offers %s, and ordinary requests still work', async (_, wrong) => {
    const frontEnd = await connect(startBackEnd());
    const [request] = placeRequest(frontEnd, gpio.MSG_GET_DIRECTION, 0);
    const descriptor = { address: request, length: 8, flags: DESC_F_NEXT, ...wrong };
    expect(await frontEnd.rawChain([descriptor, { ...descriptor, next: 0 }])).toBe(0);
    await useDevice(frontEnd);
  });

  it('makes the available index jump, and sees the error signal', async () => {
    const backEnd = startBackEnd();
    const frontEnd = await connect(backEnd, { timeoutMs: 500 });
    const vring = frontEnd.vring(0);
    await frontEnd.request(gpio.MSG_GET_DIRECTION, 0);
    expect(vring.availableIndex).toBe(1);
    vring.writeAvailableHead(1, 0xffff);
    vring.writeAvailableIndex(1000);
    vring.kick();
    await vring.errorSignal(5000);
    await vring.errorSignal(0);
    expect(await codeOf(frontEnd.request(gpio.MSG_GET_DIRECTION, 0))).toBe('ERR_FRONT_END_TIMEOUT');
    await frontEnd.resetDevice();
    await frontEnd.startVrings();
    await useDevice(frontEnd);
  });

  it('tells a refusal from a success', async () => {
    const frontEnd = await connect(startBackEnd());
    expect(await codeOf(frontEnd.control.setVringState(REQUEST.SET_VRING_NUM, 0, 3))).toBe(
      'ERR_FRONT_END_REFUSED',
    );
    expect(await codeOf(frontEnd.control.setU64(REQUEST.SET_FEATURES, 1n << 40n))).toBe(
      'ERR_FRONT_END_REFUSED',
    );
    await useDevice(frontEnd);
  });

  it('sends raw bytes, and sees the connection end', async () => {
    const backEnd = startBackEnd();
    const frontEnd = await connect(backEnd);
    expect(frontEnd.closedReason).toBeNull();
    expect(frontEnd.sendRaw(new Uint8Array(12).fill(0xff))).toBe(12);
    expect(await frontEnd.disconnected()).toBe('the back-end closed the connection');
    expect(frontEnd.sendRaw(new Uint8Array(12))).toBe(-32);
    expect(await codeOf(frontEnd.config())).toBe('ERR_FRONT_END_CLOSED');
    await frontEnd.reconnect();
    await useDevice(frontEnd);
  });

  it('connects without a word', async () => {
    const frontEnd = VhostUserFrontEnd.open({ socketPath: startBackEnd().socketPath });
    expect((await frontEnd.control.getU64(REQUEST.GET_FEATURES)) & VERSION_1).toBe(VERSION_1);
    expect(await codeOf(frontEnd.disconnected(1))).toBe('ERR_FRONT_END_TIMEOUT');
    const open = codeOf(frontEnd.control.getU64(REQUEST.GET_FEATURES));
    frontEnd.close();
    expect(await open).toBe('ERR_FRONT_END_CLOSED');
  });
});
