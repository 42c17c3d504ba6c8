import { closeSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createEventfd, createMemfd } from '../../../src/native.ts';
import {
  encodeHeader,
  encodeInflight,
  encodeMemoryTable,
  encodeMessage,
  encodeU64,
  HEADER_FLAG,
  HEADER_SIZE,
  type InflightDescription,
  memoryTableSize,
  PAYLOAD_SIZE,
  PROTOCOL_FEATURE,
  REQUEST,
  VERSION,
} from '../../../src/wire/vhost-user.ts';
import { MSG_GET_VALUE } from '../../../src/wire/virtio-gpio.ts';
import { RawFrontEnd } from './raw-front-end.ts';
import { openDescriptors, type ServedDevice, serveSimulatedChip, until } from './served-device.ts';

const NOTHING = new Uint8Array(0);

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  encodeU64(value, bytes);
  return bytes;
}

function inflight(description: Partial<InflightDescription>): Uint8Array {
  const bytes = new Uint8Array(PAYLOAD_SIZE.INFLIGHT);
  encodeInflight({ mmapSizeBytes: 0n, mmapOffset: 0n, queues: 0, queueSize: 0, ...description }, bytes);
  return bytes;
}

function header(request: number, size: number, flags: number = VERSION): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  encodeHeader({ request, flags, size }, bytes);
  return bytes;
}

function eventfds(count: number): number[] {
  const fds = Array.from({ length: count }, () => createEventfd());
  onTestFinished(() => {
    for (const fd of fds) closeSync(fd);
  });
  return fds;
}

/** A table of `count` regions of 4 KiB. */
function memoryTable(count: number): Uint8Array {
  const bytes = new Uint8Array(memoryTableSize(count));
  const regions = Array.from({ length: count }, (_, i) => ({
    guestPhysicalAddress: BigInt(i) << 20n,
    sizeBytes: 4096n,
    userAddress: BigInt(i) << 20n,
    mmapOffset: 0n,
  }));
  encodeMemoryTable(regions, bytes);
  return bytes;
}

/** The front-end was told off with one log line, nothing of it is left, and the next one is served. */
async function recovers(served: ServedDevice, before: number, reason: RegExp): Promise<void> {
  await until(() => !served.server.connected);
  expect(openDescriptors()).toHaveLength(before);
  expect(served.logged('warn')).toHaveLength(1);
  expect(served.logged('warn')[0]).toMatch(/^warn: guest vm1: connection closed: /);
  expect(served.logged('warn')[0]).toMatch(reason);
  expect(served.logged('error')).toEqual([]);
  const next = await served.connect();
  expect((await next.request(MSG_GET_VALUE, 0)).status).toBe(0);
}

describe('a front-end that disconnects in the middle of a message', () => {
  it.each([
    ['one byte of the header', 1],
    ['the header less a byte', HEADER_SIZE - 1],
    ['the header', HEADER_SIZE],
    ['all but a byte', HEADER_SIZE + 7],
  ])('after %s: the connection ends, the next is served', async (_what, count) => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.sendBytes(encodeMessage(REQUEST.SET_FEATURES, 0, u64(0n)).subarray(0, count));
    raw.close();
    await until(() => served.log.length >= 1);
    await recovers(served, before, /disconnected in the middle of a message/);
  });

  it('that came with descriptors: they are closed', async () => {
    const { served } = serveSimulatedChip();
    const fds = eventfds(8);
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.sendBytes(encodeMessage(REQUEST.SET_MEM_TABLE, 0, memoryTable(8)).subarray(0, 100), fds);
    raw.close();
    await until(() => served.log.length >= 1);
    await recovers(served, before, /disconnected in the middle of a message/);
  });

  it('and its rings run: everything of it ends', async () => {
    const { lines, served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const guest = await served.connect();
    await guest.request(3, 0, 1);
    guest.sendRaw(header(REQUEST.SET_FEATURES, 8));
    guest.close();
    await until(() => served.logged('warn').length === 1);
    expect(lines.lines[0]!.owner).toBeNull();
    await recovers(served, before, /disconnected in the middle of a message/);
  });
});

describe('a message that is wrong ends the connection:', () => {
  const U64 = { size: 8, fds: 0 };
  const known: Readonly<Record<string, { size: number; fds: number }>> = {
    GET_FEATURES: { size: 0, fds: 0 },
    SET_FEATURES: U64,
    SET_OWNER: { size: 0, fds: 0 },
    RESET_OWNER: { size: 0, fds: 0 },
    SET_VRING_NUM: U64,
    SET_VRING_ADDR: { size: 40, fds: 0 },
    SET_VRING_BASE: U64,
    GET_VRING_BASE: U64,
    SET_VRING_KICK: { size: 8, fds: 1 },
    SET_VRING_CALL: { size: 8, fds: 1 },
    SET_VRING_ERR: { size: 8, fds: 1 },
    GET_PROTOCOL_FEATURES: { size: 0, fds: 0 },
    SET_PROTOCOL_FEATURES: U64,
    GET_QUEUE_NUM: { size: 0, fds: 0 },
    SET_VRING_ENABLE: U64,
    SET_BACKEND_REQ_FD: { size: 0, fds: 1 },
    RESET_DEVICE: { size: 0, fds: 0 },
    GET_MAX_MEM_SLOTS: { size: 0, fds: 0 },
    ADD_MEM_REG: { size: 40, fds: 1 },
    REM_MEM_REG: { size: 40, fds: 0 },
    SET_STATUS: U64,
    GET_STATUS: { size: 0, fds: 0 },
  };
  const requests = Object.entries(known).map(([name, form]) => ({
    name,
    request: REQUEST[name as keyof typeof REQUEST],
    ...form,
  }));

  it.each(requests)('$name with a byte too many', async ({ name, request, size, fds }) => {
    const { served } = serveSimulatedChip();
    const descriptors = eventfds(fds);
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(request, 0, new Uint8Array(size + 1), descriptors);
    await raw.closedByPeer();
    raw.close();
    await recovers(served, before, new RegExp(`${name} with ${size + 1} bytes of payload; it has ${size}`));
  });

  it.each(requests.filter(({ size }) => size > 0))('$name with a byte too few', async (form) => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(form.request, 0, new Uint8Array(form.size - 1));
    await raw.closedByPeer();
    raw.close();
    await recovers(served, before, new RegExp(`${form.name} with ${form.size - 1} bytes`));
  });

  it.each(requests)('$name with two descriptors too many', async ({ name, request, size, fds }) => {
    const { served } = serveSimulatedChip();
    const descriptors = eventfds(fds + 2);
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    // ADD and REM_MEM_REG want a region that is none.
    const payload = new Uint8Array(size);
    if (size === 40) payload[17] = 0x10;
    raw.send(request, 0, payload, descriptors);
    await raw.closedByPeer();
    raw.close();
    await recovers(served, before, new RegExp(`${name} with ${fds + 2} descriptors; it has ${fds}`));
  });

  it.each([
    ['SET_MEM_TABLE of 0 regions', REQUEST.SET_MEM_TABLE, new Uint8Array(8), 0, /num_regions/],
    [
      'SET_MEM_TABLE of 9 regions',
      REQUEST.SET_MEM_TABLE,
      Uint8Array.of(9, ...new Uint8Array(400)),
      0,
      /num_regions/,
    ],
    [
      'SET_MEM_TABLE shorter than its regions',
      REQUEST.SET_MEM_TABLE,
      memoryTable(2).subarray(0, 71),
      2,
      /size/,
    ],
    [
      'SET_MEM_TABLE with too few descriptors',
      REQUEST.SET_MEM_TABLE,
      memoryTable(3),
      2,
      /2 descriptors; it has 3/,
    ],
    [
      'SET_MEM_TABLE with too many descriptors',
      REQUEST.SET_MEM_TABLE,
      memoryTable(3),
      4,
      /4 descriptors; it has 3/,
    ],
    [
      'SET_MEM_TABLE with 9 descriptors',
      REQUEST.SET_MEM_TABLE,
      memoryTable(8),
      9,
      /more descriptors than any/,
    ],
    ['SET_FEATURES with 100 descriptors', REQUEST.SET_FEATURES, u64(0n), 100, /more descriptors than any/],
    ['SET_VRING_KICK without its descriptor', REQUEST.SET_VRING_KICK, u64(0n), 0, /0 descriptors; it has 1/],
    [
      'SET_VRING_CALL without one, but with it',
      REQUEST.SET_VRING_CALL,
      u64(0x100n),
      1,
      /1 descriptors; it has 0/,
    ],
    ['SET_VRING_KICK with unknown bits', REQUEST.SET_VRING_KICK, u64(0x200n), 1, /index below 256/],
    ['GET_CONFIG shorter than its header', REQUEST.GET_CONFIG, new Uint8Array(11), 0, /at least 12/],
    [
      'GET_CONFIG shorter than it says',
      REQUEST.GET_CONFIG,
      Uint8Array.of(0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0),
      0,
      /size/,
    ],
    ['an empty ADD_MEM_REG', REQUEST.ADD_MEM_REG, new Uint8Array(40), 1, /at least 1/],
    [
      'SET_LOG_BASE, which is not offered',
      REQUEST.SET_LOG_BASE,
      new Uint8Array(16),
      1,
      /SET_LOG_BASE is not one/,
    ],
    [
      'GET_INFLIGHT_FD for no queue',
      REQUEST.GET_INFLIGHT_FD,
      inflight({ queues: 0, queueSize: 64 }),
      0,
      /0 queues; the device has 2/,
    ],
    [
      'GET_INFLIGHT_FD for more queues than there are',
      REQUEST.GET_INFLIGHT_FD,
      inflight({ queues: 3, queueSize: 64 }),
      0,
      /3 queues; the device has 2/,
    ],
    [
      'GET_INFLIGHT_FD for queues that nobody can have',
      REQUEST.GET_INFLIGHT_FD,
      inflight({ queues: 2, queueSize: 65535 }),
      0,
      /queues of 65535; a power of two/,
    ],
    ['GET_INFLIGHT_FD cut short', REQUEST.GET_INFLIGHT_FD, new Uint8Array(19), 0, /at least 20/],
    [
      'SET_INFLIGHT_FD without a descriptor',
      REQUEST.SET_INFLIGHT_FD,
      inflight({ queues: 2, queueSize: 64, mmapSizeBytes: 4096n }),
      0,
      /0 descriptors; it has 1/,
    ],
    [
      'SET_INFLIGHT_FD of too little memory',
      REQUEST.SET_INFLIGHT_FD,
      inflight({ queues: 2, queueSize: 64, mmapSizeBytes: 64n }),
      1,
      /64 bytes; 2 queues of 64 need 2176/,
    ],
    [
      'SET_INFLIGHT_FD at an odd offset',
      REQUEST.SET_INFLIGHT_FD,
      inflight({ queues: 2, queueSize: 64, mmapSizeBytes: 4096n, mmapOffset: 3n }),
      1,
      /offset 3; a multiple of 8/,
    ],
    [
      'SET_INFLIGHT_FD of what is no memory',
      REQUEST.SET_INFLIGHT_FD,
      inflight({ queues: 2, queueSize: 64, mmapSizeBytes: 4096n }),
      1,
      /map 2176 bytes/,
    ],
    ['request 0', 0, NOTHING, 0, /request 0 is not one/],
    ['request 41', 41, NOTHING, 0, /request 41 is not one/],
    ['request 0xffffffff', 0xffff_ffff, NOTHING, 2, /request 4294967295 is not one/],
  ])('%s', async (_what, request, payload, fdCount, reason) => {
    const { served } = serveSimulatedChip();
    const descriptors = eventfds(fdCount);
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.send(request, 0, payload, descriptors);
    await raw.closedByPeer();
    raw.close();
    await recovers(served, before, reason);
  });

  it.each([
    ['version 0', header(REQUEST.GET_FEATURES, 0, 0), /version/],
    ['version 2', header(REQUEST.GET_FEATURES, 0, 2), /version/],
    ['a payload of 4097 bytes', header(REQUEST.SET_FEATURES, 4097), /at most 4096/],
    ['a payload of 4 GiB', header(REQUEST.SET_FEATURES, 0xffff_ffff), /at most 4096/],
    ['text', new TextEncoder().encode('GET / HTTP/1.1\r\n'), /version/],
  ])('a header with %s', async (_what, bytes, reason) => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    raw.sendBytes(bytes);
    await raw.closedByPeer();
    raw.close();
    await recovers(served, before, reason);
  });
});

describe('descriptors', () => {
  it('of a message that is refused are closed', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const before = openDescriptors().length;
    for (const request of [REQUEST.SET_VRING_KICK, REQUEST.SET_VRING_CALL, REQUEST.SET_VRING_ERR]) {
      await expect(guest.control.setVringDescriptor(request, 2, guest.vring(0).kickFd)).rejects.toThrow();
    }
    const memfd = createMemfd('other', 4096);
    await expect(guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, 0, memfd)).rejects.toThrow(
      /refused/,
    );
    closeSync(memfd);
    // Nobody kicks any more: what could not be watched was given up, with the descriptor before it.
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, 0, guest.vring(0).kickFd);
    expect(openDescriptors()).toHaveLength(before);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('are all closed after a hundred connections of all kinds', async () => {
    const { served } = serveSimulatedChip();
    const fds = eventfds(8);
    const cycle = async (round: number): Promise<void> => {
      const guest = await served.connect({ callKind: (['eventfd', 'pipe', 'socket'] as const)[round % 3]! });
      await guest.request(MSG_GET_VALUE, 0);
      if (round % 2 === 0) guest.sendRaw(header(REQUEST.SET_MEM_TABLE, 100), fds);
      guest.close();
      await until(() => !served.server.connected);
    };
    for (let round = 0; round < 6; round++) await cycle(round);
    const before = openDescriptors().length;
    for (let round = 0; round < 94; round++) await cycle(round);
    expect(openDescriptors()).toHaveLength(before);
  });
});

describe('a front-end that does not read its answers', () => {
  it('is dropped, and the next one is served', async () => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const raw = new RawFrontEnd(served.socketPath);
    const message = encodeMessage(REQUEST.GET_FEATURES, 0, NOTHING);
    await until(() => {
      // A full socket takes nothing for now.
      for (let i = 0; i < 500 && raw.trySend(message); i++);
      return served.logged('warn').length > 0;
    });
    raw.close();
    await recovers(served, before, /send failed|does not read/);
  });
});

describe('messages', () => {
  it('in pieces of one byte, and many in one piece, are understood', async () => {
    const { served } = serveSimulatedChip();
    const raw = new RawFrontEnd(served.socketPath);
    const ask = encodeMessage(REQUEST.GET_QUEUE_NUM, 0, NOTHING);
    const answer = encodeMessage(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.REPLY, u64(2n));
    const set = encodeMessage(REQUEST.SET_PROTOCOL_FEATURES, 0, u64(PROTOCOL_FEATURE.MQ));
    for (const byte of [...set, ...ask]) raw.sendBytes(Uint8Array.of(byte));
    expect(await raw.receive()).toEqual(answer);
    raw.sendBytes(Uint8Array.of(...ask, ...set, ...ask, ...ask));
    for (let i = 0; i < 3; i++) expect(await raw.receive()).toEqual(answer);
    expect(served.logged('warn')).toEqual([]);
  });

  it('of any bytes end the connection at worst', async () => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const message = fc
      .record({
        request: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.nat(0xffff_ffff)),
        flags: fc.constantFrom(0, HEADER_FLAG.NEED_REPLY, HEADER_FLAG.REPLY, 0xffff_fff0),
        payload: fc.uint8Array({ maxLength: 80 }),
      })
      .map(({ request, flags, payload }) => encodeMessage(request, flags >>> 0, payload));
    const bytes = fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .array(message, { maxLength: 6 })
          .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part]))),
      },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const raw = new RawFrontEnd(served.socketPath);
        if (sent.length > 0) raw.trySend(sent);
        raw.close();
        await until(() => !served.server.connected);
        const guest = await served.connect();
        expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
        guest.close();
        await until(() => !served.server.connected);
      }),
      { numRuns: 150 },
    );
    expect(openDescriptors()).toHaveLength(before);
    expect(served.logged('error')).toEqual([]);
  });
});
