import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_SILENT } from '../../../src/exporters/virtio-gpio/front-door.ts';
import { receiveMessage, signalDescriptor } from '../../../src/native.ts';
import { encodeMessage, REQUEST } from '../../../src/wire/vhost-user.ts';
import { MSG_GET_VALUE, REQUEST_QUEUE } from '../../../src/wire/virtio-gpio.ts';
import { RawFrontEnd } from './raw-front-end.ts';
import { openDescriptors, type ServedDevice, serveSimulatedChip, until } from './served-device.ts';

/** Header and u64. */
const ANSWER_BYTES = 20;
const NOTHING = new Uint8Array(0);
const GET_FEATURES = encodeMessage(REQUEST.GET_FEATURES, 0, NOTHING);

function connect(served: ServedDevice): RawFrontEnd {
  const raw = new RawFrontEnd(served.socketPath);
  onTestFinished(() => raw.close());
  return raw;
}

describe('connections that say nothing', () => {
  it('keep no guest out, and are turned away when one has come', async () => {
    const { served } = serveSimulatedChip();
    const silent = Array.from({ length: 5 }, () => connect(served));
    await until(() => served.server.counters.connections === 5);
    expect(served.server.connected).toBe(false);
    const guest = await served.connect();
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    await Promise.all(silent.map((raw) => raw.closedByPeer()));
    expect(served.server.counters).toMatchObject({ connections: 6, refusedConnections: 5 });
  });

  it('give place to newer ones when there are too many', async () => {
    const { served } = serveSimulatedChip();
    const before = openDescriptors().length;
    const silent: RawFrontEnd[] = [];
    for (let count = 1; count <= MAX_SILENT + 3; count++) {
      silent.push(connect(served));
      await until(() => served.server.counters.connections === count);
    }
    await Promise.all(silent.slice(0, 3).map((raw) => raw.closedByPeer()));
    // Both ends are this process's: what was put out is closed on both.
    expect(openDescriptors()).toHaveLength(before + 2 * MAX_SILENT + 3);
    expect(served.server.counters.displacedConnections).toBe(3);
    silent.at(-1)!.sendBytes(GET_FEATURES);
    await until(() => served.server.connected);
    expect(served.server.counters.refusedConnections).toBe(MAX_SILENT - 1);
  });

  it('may speak whenever they like', async () => {
    const { served } = serveSimulatedChip({ messageTimeoutMs: 20 });
    const guest = served.open();
    const late = connect(served);
    late.sendBytes(GET_FEATURES.subarray(0, 1));
    // The time of the one with half a message has run out; that of the silent one does not.
    await late.closedByPeer();
    await guest.start();
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('a message that does not go on', () => {
  it('is waited for no longer, before the device is taken', async () => {
    const { served } = serveSimulatedChip({ messageTimeoutMs: 20 });
    const raw = connect(served);
    raw.sendBytes(GET_FEATURES.subarray(0, 5));
    await raw.closedByPeer();
    expect(served.server.counters.stalledConnections).toBe(1);
    expect(served.logged('warn')[0]).toMatch(/a message that has begun was not complete after 0.02 s/);
  });

  it('ends a front-end that has the device', async () => {
    const { served } = serveSimulatedChip({ messageTimeoutMs: 20 });
    const raw = connect(served);
    raw.sendBytes(GET_FEATURES);
    await until(() => served.server.connected);
    raw.sendBytes(encodeMessage(REQUEST.SET_FEATURES, 0, new Uint8Array(8)).subarray(0, 15));
    await until(() => !served.server.connected);
    expect(served.server.counters).toMatchObject({ stalledConnections: 1, brokenConnections: 0 });
    const next = await served.connect();
    expect((await next.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('is not taken for one while messages complete', async () => {
    const { served } = serveSimulatedChip({ messageTimeoutMs: 60 });
    const raw = connect(served);
    // Each piece ends in the middle of a message; all of it takes several times as long as one message may.
    const stream = new Uint8Array(60 * GET_FEATURES.length);
    for (let i = 0; i < 60; i++) stream.set(GET_FEATURES, i * GET_FEATURES.length);
    for (let at = 0; at < stream.length; at += 18) {
      raw.sendBytes(stream.subarray(at, at + 18));
      await setTimeout(5);
    }
    expect(served.server.connected).toBe(true);
    expect(served.server.counters.stalledConnections).toBe(0);
  });
});

describe('a front-end that does not read its answers', () => {
  it('is put out when the socket is full', async () => {
    const { served } = serveSimulatedChip();
    const raw = connect(served);
    const many = new Uint8Array(100 * GET_FEATURES.length);
    for (let i = 0; i < 100; i++) many.set(GET_FEATURES, i * GET_FEATURES.length);
    await until(() => {
      raw.trySend(many);
      return served.server.counters.unreadConnections === 1;
    });
    expect(served.server.connected).toBe(false);
    expect(served.logged('warn').at(-1)).toMatch(/does not read its answers/);
  });
});

describe('messages without end', () => {
  it('leave each turn of the loop to others', async () => {
    const { served } = serveSimulatedChip();
    const raw = connect(served);
    raw.sendBytes(GET_FEATURES);
    await until(() => served.server.connected);
    const many = new Uint8Array(50 * GET_FEATURES.length);
    for (let i = 0; i < 50; i++) many.set(GET_FEATURES, i * GET_FEATURES.length);
    raw.sendBytes(many);
    const slots = new Int32Array(8);
    const bytesATurn: number[] = [];
    let gotBytes = 0;
    for (const limitMs = performance.now() + 5000; gotBytes < 51 * ANSWER_BYTES; ) {
      if (performance.now() > limitMs) throw new Error(`${gotBytes} bytes of answers came`);
      await setImmediate();
      const length = Math.max(0, receiveMessage(raw.fd, new Uint8Array(4096), slots));
      if (length > 0) bytesATurn.push(length);
      gotBytes += length;
    }
    // 50 answers, and no more than 16 receives in a turn: whatever ran in between had at least three turns.
    expect(bytesATurn.length).toBeGreaterThanOrEqual(3);
  });
});

describe('a guest that kicks without pause', () => {
  it('is listened to only now and then, and served as before', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const { kickFd } = guest.vring(REQUEST_QUEUE);
    await until(() => {
      signalDescriptor(kickFd);
      return served.server.counters.kickPauses >= 3;
    });
    const { needlessKicks } = served.server.counters;
    expect(needlessKicks).toBeGreaterThanOrEqual(256);
    for (let i = 0; i < 20; i++) {
      signalDescriptor(kickFd);
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    }
  });
});
