import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MetuxDevice } from '../../../src/exporters/virtio-gpio/metux-device.ts';
import { MetuxLevels } from '../../../src/exporters/virtio-gpio/metux-levels.ts';
import type { LineSelector } from '../../../src/gpio/line-selection.ts';
import { KNOWN_PROTOCOL_FEATURES, type VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import {
  decodeMetuxConfig,
  decodeMetuxNames,
  REPLY_2020,
  TO_DEVICE_QUEUE,
} from '../../../src/wire/metux-gpio.ts';
import { PROTOCOL_FEATURE, REQUEST } from '../../../src/wire/vhost-user.ts';
import { DESC_F_NEXT, DESC_F_WRITE } from '../../../src/wire/vring.ts';
import { DeferredChip } from './deferred-chip.ts';
import { MetuxGuest } from './metux-guest.ts';
import { until } from './served-device.ts';
import { serveOther } from './served-other.ts';

interface Options {
  readonly buffers?: number;
  readonly lines?: LineSelector[];
  readonly replyMask?: number;
  readonly features?: bigint;
  readonly reconnectGraceMs?: number;
}

async function guestOf(options: Options = {}) {
  const chip = new SimulatedChip('sim', 4);
  const { buffers = 16, replyMask, features, ...rest } = options;
  const mask = replyMask === undefined ? {} : { replyMask };
  const served = serveOther(chip, (given) => new MetuxDevice({ ...given, ...mask }), rest);
  const frontEnd = await served.connect({
    ...(features === undefined ? {} : { features }),
    regions: [{ guestPhysicalAddress: 0x4000_0000, sizeBytes: 0x40_0000 }],
  });
  return { chip, ...served, frontEnd, guest: new MetuxGuest(frontEnd, buffers) };
}

/** Two turns of messages: what was kicked before has been looked at. */
async function looked(frontEnd: VhostUserFrontEnd): Promise<void> {
  await frontEnd.control.getU64(REQUEST.GET_FEATURES);
  await frontEnd.control.getU64(REQUEST.GET_FEATURES);
}

describe('the config space', () => {
  it('has the names of the lines, and the guest’s as its own', async () => {
    const { frontEnd, device } = await guestOf({ lines: ['sim/sim2', { line: 'sim/sim0', name: 'LED' }] });
    const bytes = await frontEnd.readConfig(0, device.config.length);
    const config = decodeMetuxConfig(bytes);
    expect(config).toEqual({ lineCount: 2, namesSize: 9, name: 'vm1' });
    expect(decodeMetuxNames(bytes, config)).toEqual(['sim2', 'LED']);
    expect(frontEnd.offeredFeatures & 1n).toBe(0n);
    await expect(frontEnd.readConfig(0, device.config.length + 1)).rejects.toThrow();
  });
});

describe.each([[0n], [undefined]])('requests (features %s)', (features) => {
  it('are answered as the protocol says', async () => {
    const { chip, guest } = await guestOf(features === undefined ? {} : { features });
    expect(await guest.ask(4, 0)).toBe('8004:0=1');
    expect(await guest.ask(1, 0)).toBe('8001:0=0');
    expect(await guest.ask(3, 0, 1)).toBe('8003:0=0');
    expect(chip.level(0)).toBe(1);
    expect(await guest.ask(4, 0)).toBe('8004:0=0');
    expect(await guest.ask(5, 1)).toBe('8005:1=1');
    expect(await guest.ask(6, 0, 0)).toBe('8006:0=0');
    expect(await guest.ask(6, 0, 1)).toBe('8006:0=1');
    expect(await guest.ask(2, 0)).toBe('8002:0=0');
    expect(await guest.ask(4, 0)).toBe('8004:0=1');
    expect(guest.odd).toEqual([]);
    await until(() => guest.returned === 9);
  });

  it('that cannot be done are answered with an errno', async () => {
    const { guest, device } = await guestOf({
      ...(features === undefined ? {} : { features }),
      lines: ['sim/sim0', { line: 'sim/sim1', access: 'read' }],
    });
    expect(await guest.ask(6, 0, 1)).toBe('8006:0=-1');
    expect(await guest.ask(3, 0, 2)).toBe('8003:0=-22');
    expect(await guest.ask(3, 1, 1)).toBe('8003:1=-1');
    expect(await guest.ask(5, 2)).toBe('8005:2=-22');
    expect(await guest.ask(5, 0xffff)).toBe('8005:65535=-22');
    expect(await guest.ask(7, 0)).toBe('8007:0=-38');
    expect(await guest.ask(0, 0)).toBe('8000:0=-38');
    expect(device.counters.badChains).toEqual({ 'line-out-of-range': 2, 'unknown-type': 2 });
    expect(device.counters.errors).toBe(7);
  });
});

it('replies have the mask that is set', async () => {
  const { guest } = await guestOf({ replyMask: REPLY_2020 });
  expect(await guest.ask(5, 3)).toBe('f005:3=0');
});

it('a line that another guest drives is busy', async () => {
  const { guest, lines } = await guestOf();
  const other = lines.open(0, { name: 'other', interrupt: () => {} }, 0);
  other.drive(1, { complete: () => {} }, 0);
  expect(await guest.ask(3, 0, 0)).toBe('8003:0=-16');
  expect(await guest.ask(6, 0, 0)).toBe('8006:0=-16');
});

describe('replies', () => {
  it('come in the order of the requests, with as many outstanding as the queue holds', async () => {
    const chip = new DeferredChip(4);
    const { connect } = serveOther(chip, (given) => new MetuxDevice(given));
    const guest = new MetuxGuest(await connect(), 8);
    for (const line of [0, 1, 1, 2]) guest.send(5, line);
    await until(() => chip.waiting.length === 3);
    chip.inner.drive(2, 1);
    chip.answer(2);
    chip.answer(1);
    await until(() => chip.waiting.length === 2);
    expect(guest.received).toEqual([]);
    chip.answerAll();
    await until(() => guest.received.length === 4);
    expect(guest.received).toEqual(['8005:0=0', '8005:1=0', '8005:1=0', '8005:2=1']);
  });

  it('wait for buffers, all of them, and one buffer is enough', async () => {
    const { guest, frontEnd, chip } = await guestOf({ buffers: 0 });
    guest.send(1, 0);
    for (let i = 0; i < 40; i++) guest.send(5, 1);
    await looked(frontEnd);
    expect(guest.received).toEqual([]);
    expect(guest.returned).toBe(0);
    for (const level of [1, 0, 1] as const) chip.drive(0, level);
    guest.post(1);
    await until(() => guest.replies.length === 41 && guest.levels.length === 1);
    expect(guest.received).toEqual(['8001:0=0', '11:0=1', ...new Array<string>(40).fill('8005:1=0')]);
    expect(guest.returned).toBe(41);
  });

  it('and levels take turns where there are both: who asks without end hears of changes all the same', async () => {
    const { guest, frontEnd, chip } = await guestOf({ buffers: 0 });
    for (const line of [0, 2, 3]) guest.send(1, line);
    for (let i = 0; i < 6; i++) guest.send(5, 1);
    await looked(frontEnd);
    for (const line of [0, 2, 3]) chip.drive(line, 1);
    guest.post(1);
    await until(() => guest.received.length === 12);
    expect(guest.received.map((text) => text.split(':')[0])).toEqual([
      '8001',
      '11',
      '8001',
      '11',
      '8001',
      '11',
      ...new Array<string>(6).fill('8005'),
    ]);
  });

  it('never come to a guest that gives no buffers, whose ring then fills up', async () => {
    const { guest, frontEnd, chip, device } = await guestOf({ buffers: 0 });
    guest.send(1, 0);
    for (let i = 0; i < 63; i++) guest.send(5, 1);
    expect(() => guest.send(5, 1)).toThrow(/0 of 64 descriptors are free/);
    await looked(frontEnd);
    for (let i = 0; i < 1000; i++) chip.drive(0, i % 2 === 0 ? 1 : 0);
    await looked(frontEnd);
    expect([guest.returned, guest.received.length]).toEqual([0, 0]);
    expect(device.mergedLevels).toBeGreaterThan(900);
  });

  it('come one an interrupt: the next one when the guest has handed a buffer back, or has had time to', async () => {
    const { guest, frontEnd } = await guestOf({ buffers: 8 });
    guest.handsBack = false;
    const calls = frontEnd.vring(TO_DEVICE_QUEUE).call.count;
    const before = performance.now();
    for (let i = 0; i < 8; i++) guest.send(5, 1);
    await until(() => guest.received.length === 8);
    // 5 ms after each but the last one, as no buffer comes back.
    expect(performance.now() - before).toBeGreaterThan(7 * 4);
    // One call for each, on the queue on which the driver of June 2021 waits.
    expect(frontEnd.vring(TO_DEVICE_QUEUE).call.count - calls).toBeGreaterThanOrEqual(8);
  });

  it('of what is under way when the ring stops come when it goes on', async () => {
    const chip = new DeferredChip(4);
    const { connect } = serveOther(chip, (given) => new MetuxDevice(given));
    const frontEnd = await connect();
    const guest = new MetuxGuest(frontEnd, 0);
    const address = frontEnd.memory.allocate(16, 8);
    guest.send(5, 0);
    const short = frontEnd.rawChain([{ address, length: 7, flags: 0 }], TO_DEVICE_QUEUE);
    guest.send(5, 1);
    await until(() => chip.waiting.length === 2);
    const bases = await frontEnd.stopVrings();
    expect(bases).toEqual([0, 0]);
    expect(guest.returned).toBe(0);
    chip.answerAll();
    chip.inner.drive(1, 1);
    await frontEnd.resumeVrings(bases);
    guest.post(1);
    await until(() => chip.waiting.length === 2);
    chip.answerAll();
    await until(() => guest.received.length === 2);
    expect(guest.received).toEqual(['8005:0=0', '8005:1=1']);
    expect(await short).toBe(0);
  });
});

describe('LEVEL messages', () => {
  it('come for lines that were requested, when their level changes', async () => {
    const { guest, chip, frontEnd } = await guestOf();
    chip.drive(1, 1);
    await looked(frontEnd);
    await guest.ask(1, 0);
    for (const level of [1, 0] as const) {
      chip.drive(0, level);
      await until(() => guest.levels.length === 2 - level);
    }
    expect(guest.levels).toEqual(['11:0=1', '11:0=0']);
    expect(await guest.ask(5, 0)).toBe('8005:0=0');
  });

  it('do not come for what the guest drives itself, but for its partner', async () => {
    const { guest } = await guestOf();
    await guest.ask(1, 0);
    await guest.ask(2, 1);
    await guest.ask(3, 0, 1);
    await until(() => guest.levels.length === 1);
    await guest.ask(6, 0, 0);
    await until(() => guest.levels.length === 2);
    expect(guest.levels).toEqual(['11:1=1', '11:1=0']);
  });

  it('tell the newest level of each line when there are buffers again', async () => {
    const { guest, chip, frontEnd } = await guestOf({ buffers: 2 });
    guest.handsBack = false;
    await guest.ask(1, 0);
    await guest.ask(1, 2);
    for (const level of [1, 0, 1] as const) chip.drive(0, level);
    for (const level of [1, 0] as const) chip.drive(2, level);
    await looked(frontEnd);
    expect(guest.levels).toEqual([]);
    guest.post(8);
    await until(() => guest.levels.length === 2);
    await looked(frontEnd);
    expect(guest.levels).toEqual(['11:0=1', '11:2=0']);
    expect(guest.posted).toBe(6);
  });

  it('go on over a pause, and tell what changed meanwhile', async () => {
    const { guest, chip, frontEnd } = await guestOf();
    await guest.ask(1, 0);
    const bases = await frontEnd.stopVrings();
    chip.drive(0, 1);
    await frontEnd.resumeVrings(bases);
    await until(() => guest.levels.length === 1);
    expect(guest.levels).toEqual(['11:0=1']);
    expect(await guest.ask(5, 0)).toBe('8005:0=1');
  });

  it('end with a reset, as do outputs', async () => {
    const { guest, chip, frontEnd, lines } = await guestOf();
    await guest.ask(1, 2);
    await guest.ask(3, 0, 1);
    expect(lines.lines[0]!.ownerName).toBe('guest vm1');
    await frontEnd.resetDevice();
    expect(lines.lines[0]!.ownerName).toBeNull();
    await frontEnd.startVrings();
    const next = new MetuxGuest(frontEnd, 4);
    chip.drive(2, 1);
    expect(await next.ask(5, 2)).toBe('8005:2=1');
    expect(next.levels).toEqual([]);
  });

  it('come again to a guest whose front-end came back', async () => {
    const { guest, chip, frontEnd, lines } = await guestOf({ reconnectGraceMs: 5000 });
    await guest.ask(1, 2);
    await guest.ask(3, 0, 1);
    await frontEnd.reconnect('keep');
    chip.drive(2, 1);
    await until(() => guest.levels.length === 1);
    expect(guest.levels).toEqual(['11:2=1']);
    expect(lines.lines[0]!.ownerName).toBe('guest vm1');
    expect(await guest.ask(6, 0, 0)).toBe('8006:0=0');
  });
});

describe.each([
  ['without', 0n],
  ['with', PROTOCOL_FEATURE.INFLIGHT_SHMFD],
])('a service that was started again, %s INFLIGHT_SHMFD', (_what, feature) => {
  it('answers what the guest had asked before, and tells of all lines, as it cannot know which were requested', async () => {
    const slow = new DeferredChip(4);
    const first = serveOther(slow, (given) => new MetuxDevice(given));
    const { socketPath } = first;
    const frontEnd = await first.connect({ protocolFeatures: KNOWN_PROTOCOL_FEATURES | feature });
    const guest = new MetuxGuest(frontEnd, 4);
    const asked = guest.ask(1, 0);
    slow.answerAll();
    expect(await asked).toBe('8001:0=0');
    // It takes a request and dies: nothing is settled, and the socket is gone.
    guest.send(5, 2);
    await until(() => slow.waiting.includes('get 2'));
    frontEnd.disconnect();
    first.server.close();
    const chip = new SimulatedChip('sim', 4);
    serveOther(chip, (given) => new MetuxDevice(given), { socketPath });
    await frontEnd.reconnect('keep');
    chip.drive(3, 1);
    await until(() => guest.levels.length === 1);
    expect(guest.levels).toEqual(['11:3=1']);
    expect(await guest.ask(5, 3)).toBe('8005:3=1');
    expect(guest.replies).toEqual(['8001:0=0', '8005:2=0', '8005:3=1']);
    // A pause, and everything goes on again.
    await frontEnd.resumeVrings(await frontEnd.stopVrings());
    for (let i = 0; i < 100; i++) expect(await guest.ask(5, 1)).toBe('8005:1=0');
    await until(() => guest.returned === 103);
  });
});

describe('what makes no sense', () => {
  it('goes back unanswered and is counted; what follows is answered', async () => {
    const { guest, frontEnd, device } = await guestOf();
    const address = frontEnd.memory.allocate(16, 8);
    const { memory } = frontEnd;
    const raw = (...descriptors: Parameters<VhostUserFrontEnd['rawChain']>[0]) =>
      frontEnd.rawChain(descriptors, TO_DEVICE_QUEUE);
    expect(await raw({ address, length: 7, flags: 0 })).toBe(0);
    expect(await raw({ address, length: 8, flags: DESC_F_WRITE })).toBe(0);
    expect(await raw({ address: 0x10, length: 8, flags: 0 })).toBe(0);
    expect(
      await raw({ address, length: 4, flags: DESC_F_NEXT, next: 99 }, { address, length: 4, flags: 0 }),
    ).toBe(0);
    for (const type of [0x8005, 0x0011]) {
      memory.write(address, Uint8Array.of(type & 0xff, type >> 8, 0, 0, 0, 0, 0, 0));
      expect(await raw({ address, length: 8, flags: 0 })).toBe(0);
    }
    expect(await guest.ask(5, 0)).toBe('8005:0=0');
    expect(device.counters.badChains).toEqual({
      'short-request': 2,
      'address-outside-memory': 1,
      'next-out-of-range': 1,
      'unknown-type': 2,
    });
  });

  it('in receive buffers: they go back empty, and others are used', async () => {
    const { guest, device } = await guestOf({ buffers: 0 });
    guest.handsBack = false;
    guest.post(2, 7);
    guest.post(1);
    expect(await guest.ask(5, 0)).toBe('8005:0=0');
    expect(guest.odd).toEqual([0, 0]);
    expect(device.counters.badChains).toEqual({ 'no-room-for-message': 2 });
  });

  it('in a ring itself: the device needs a reset, after which it works', async () => {
    const { frontEnd, guest, device, log } = await guestOf();
    const vring = frontEnd.vring(TO_DEVICE_QUEUE);
    vring.writeAvailableIndex(1000);
    vring.kick();
    await vring.errorSignal(2000);
    expect(device.needsReset).toBe(true);
    expect(log.some((line) => line.startsWith('error: guest vm1: queue 1 stopped'))).toBe(true);
    await frontEnd.resetDevice();
    await frontEnd.startVrings();
    expect(await new MetuxGuest(frontEnd, 2).ask(5, 0)).toBe('8005:0=0');
    expect(guest.received).toEqual([]);
  });
});

it('whatever is asked with however few buffers, each request has its one reply, in order', async () => {
  const request = fc.record({ type: fc.integer({ min: 0, max: 8 }), line: fc.nat(5), value: fc.nat(2) });
  const action = fc.oneof(request, fc.record({ post: fc.integer({ min: 1, max: 2 }) }));
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
      const { guest, frontEnd, server } = await guestOf({ buffers: 0 });
      guest.handsBack = false;
      const asked: string[] = [];
      let posted = 0;
      for (const one of actions) {
        if ('post' in one) {
          if (posted + one.post <= 60) guest.post(one.post);
          posted += one.post;
        } else {
          asked.push(`${(one.type | 0x8000).toString(16)}:${one.line}`);
          guest.send(one.type, one.line, one.value);
        }
      }
      guest.handsBack = true;
      guest.post(2);
      await until(() => guest.replies.length >= asked.length);
      await looked(frontEnd);
      expect(guest.replies.map((reply) => reply.split('=')[0])).toEqual(asked);
      frontEnd.close();
      server.close();
    }),
    { numRuns: 25 },
  );
});

it('levels owed are the newest ones, once a line, whatever happens in between', () => {
  const step = fc.oneof(fc.record({ line: fc.nat(2), level: fc.nat(1) }), fc.constant(null));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const levels = new MetuxLevels(3);
      const now = [-1, -1, -1];
      const told = [-1, -1, -1];
      const take = (): boolean => {
        const line = levels.take();
        if (line < 0) return false;
        told[line] = levels.level(line);
        expect(told[line]).toBe(now[line]);
        return true;
      };
      for (const one of steps) {
        if (one === null) take();
        else if (now[one.line] !== one.level) {
          now[one.line] = one.level;
          levels.changed(one.line, one.level);
        }
      }
      let left = 0;
      while (take()) left++;
      expect(left).toBeLessThanOrEqual(3);
      expect(told).toEqual(now);
      expect(levels.isOwed).toBe(false);
    }),
  );
});

it('a closed device has nothing left that would run', async () => {
  const { server, guest, device } = await guestOf();
  await guest.ask(1, 0);
  onTestFinished(() => server.close());
  server.close();
  server.close();
  expect(device.handles.every((handle) => !handle.watching)).toBe(true);
});
