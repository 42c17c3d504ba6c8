import { describe, expect, it } from 'vitest';
import type { GpioEvent, VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { KNOWN_FEATURES } from '../../../src/testing/front-end.ts';
import {
  EVENT_QUEUE,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../../src/wire/virtio-gpio.ts';
import { DESC_F_NEXT, DESC_F_WRITE, FEATURE_EVENT_IDX } from '../../../src/wire/vring.ts';
import { serveSimulatedChip, until } from './served-device.ts';

const RISING = 1;
const FALLING = 2;
const BOTH = 3;
const HIGH = 4;
const LOW = 8;

const valid = (gpio: number): GpioEvent => ({ gpio, status: 1, usedLength: 1 });
const invalid = (gpio: number): GpioEvent => ({ gpio, status: 0, usedLength: 1 });

/** Everything that the guest has done so far is seen by the device, and what comes of it by the guest. */
async function settled(guest: VhostUserFrontEnd): Promise<void> {
  // The queues are served one after the other in one pass: after two more requests the event queue was looked at.
  await guest.request(MSG_GET_VALUE, 0);
  await guest.request(MSG_GET_VALUE, 0);
  // The calls of both queues are read in the same turns of this process's loop.
  await until(() => guest.vring(EVENT_QUEUE).usedIndex === usedOf(guest));
}

const taken = new WeakMap<VhostUserFrontEnd, GpioEvent[]>();

function usedOf(guest: VhostUserFrontEnd): number {
  return eventsOf(guest).length;
}

/** All events of a guest, since the first call. */
function eventsOf(guest: VhostUserFrontEnd): GpioEvent[] {
  let events = taken.get(guest);
  if (events === undefined) {
    const list: GpioEvent[] = [];
    guest.onEvent((event) => list.push(event));
    taken.set(guest, list);
    events = list;
  }
  return events;
}

/** A guest that drives line 0, which is wired to line 1. */
async function loopBack(features = KNOWN_FEATURES) {
  const { chip, served } = serveSimulatedChip();
  const guest = await served.connect({ features });
  const events = eventsOf(guest);
  await guest.request(MSG_SET_DIRECTION, 0, 1);
  await guest.request(MSG_SET_DIRECTION, 1, 2);
  const drive = async (level: number): Promise<void> => {
    expect((await guest.request(MSG_SET_VALUE, 0, level)).status).toBe(0);
  };
  const subscribe = (type: number) => guest.request(MSG_SET_IRQ_TYPE, 1, type);
  return { chip, served, guest, events, drive, subscribe };
}

describe.each([
  ['with EVENT_IDX', KNOWN_FEATURES],
  ['without EVENT_IDX', KNOWN_FEATURES & ~(1n << BigInt(FEATURE_EVENT_IDX))],
])('edge interrupts %s', (_what, features) => {
  it.each([
    ['rising', RISING, [1, 1, 1]],
    ['falling', FALLING, [0, 0, 0]],
    ['both', BOTH, [1, 0, 1, 0, 1, 0]],
  ])('of type %s come for those edges, each once', async (_name, type, expected) => {
    const { guest, events, drive, subscribe } = await loopBack(features);
    await subscribe(type);
    guest.queueEvent(1);
    const levels: number[] = [];
    for (const level of [1, 0, 1, 0, 1, 0]) {
      await drive(level);
      await settled(guest);
      if (events.length > levels.length) {
        levels.push(level);
        guest.queueEvent(1);
        await settled(guest);
      }
    }
    expect(levels).toEqual(expected);
    expect(events).toEqual(expected.map(() => valid(1)));
  });
});

describe('edges while masked', () => {
  it('are latched, merged into one, and delivered as soon as a buffer is queued', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await subscribe(BOTH);
    for (const level of [1, 0, 1]) await drive(level);
    await settled(guest);
    expect(events).toEqual([]);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([valid(1)]);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([valid(1)]);
  });

  it('are discarded by SET_IRQ_TYPE(none)', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await subscribe(BOTH);
    await drive(1);
    await subscribe(0);
    await subscribe(BOTH);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([]);
  });

  it('are nobody’s before the interrupt is enabled', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await drive(1);
    await subscribe(RISING);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([]);
  });
});

describe('level interrupts', () => {
  it.each([
    ['high', HIGH, 1],
    ['low', LOW, 0],
  ])('of type %s come while the level is active and the driver re-queues', async (_name, type, active) => {
    const { guest, events, drive, subscribe } = await loopBack();
    await drive(1 - active);
    await subscribe(type);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([]);
    await drive(active);
    await settled(guest);
    expect(events).toEqual([valid(1)]);
    for (const count of [2, 3, 4]) {
      guest.queueEvent(1);
      await settled(guest);
      expect(events).toHaveLength(count);
    }
    await drive(1 - active);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toHaveLength(4);
  });

  it('are not latched: an active level that has gone again while masked is none', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await subscribe(HIGH);
    await drive(1);
    await drive(0);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([]);
  });

  it('come at once for a level that was active before the subscription', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await drive(1);
    await subscribe(HIGH);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([valid(1)]);
  });
});

describe('event buffers that come back INVALID', () => {
  it('a queued one when the interrupt is disabled', async () => {
    const { guest, served, events, subscribe } = await loopBack();
    await subscribe(BOTH);
    guest.queueEvent(1);
    await settled(guest);
    await subscribe(0);
    await settled(guest);
    expect(events).toEqual([invalid(1)]);
    expect(served.device.counters.invalidEvents).toBe(1);
  });

  it('a queued one when the direction becomes none, which also ends the interrupt', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await subscribe(BOTH);
    guest.queueEvent(1);
    await settled(guest);
    await guest.request(MSG_SET_DIRECTION, 1, 0);
    await settled(guest);
    expect(events).toEqual([invalid(1)]);
    await drive(1);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([invalid(1), invalid(1)]);
  });

  it('one for a line whose interrupt is not enabled', async () => {
    const { guest, events } = await loopBack();
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([invalid(1)]);
  });

  it('a second one for a line that has one', async () => {
    const { guest, events, drive, subscribe } = await loopBack();
    await subscribe(RISING);
    guest.queueEvent(1);
    await settled(guest);
    guest.queueEvent(1);
    await settled(guest);
    expect(events).toEqual([invalid(1)]);
    await drive(1);
    await settled(guest);
    expect(events).toEqual([invalid(1), valid(1)]);
  });

  it('one for a line that the device does not have, which is counted', async () => {
    const { guest, served, events } = await loopBack();
    guest.queueEvent(8);
    guest.queueEvent(0xffff);
    await settled(guest);
    expect(events).toEqual([invalid(8), invalid(0xffff)]);
    expect(served.device.counters.badChains).toEqual({ 'line-out-of-range': 2 });
  });
});

describe('bad chains on the event queue', () => {
  it('are completed and counted, and the next buffer is served', async () => {
    const { guest, served, events, drive, subscribe } = await loopBack();
    const buffer = guest.memory.allocate(16);
    const write = { flags: DESC_F_WRITE, length: 1 };
    // Too short a request; no room for the answer; an address outside the memory; only something to write.
    const cases = [
      {
        reason: 'short-event-request',
        chain: [
          { address: buffer, length: 1, flags: DESC_F_NEXT },
          { address: buffer + 8, ...write },
        ],
        used: 1,
      },
      { reason: 'no-room-for-event', chain: [{ address: buffer, length: 2, flags: 0 }], used: 0 },
      {
        reason: 'address-outside-memory',
        chain: [
          { address: 0x7_0000_0000, length: 2, flags: DESC_F_NEXT },
          { address: buffer + 8, ...write },
        ],
        used: 0,
      },
      { reason: 'short-event-request', chain: [{ address: buffer + 8, ...write }], used: 1 },
      {
        reason: 'write-before-read',
        chain: [
          { address: buffer + 8, length: 1, flags: DESC_F_WRITE | DESC_F_NEXT },
          { address: buffer, length: 2, flags: 0 },
        ],
        used: 0,
      },
    ];
    for (const { chain, used } of cases) expect(await guest.rawChain(chain, EVENT_QUEUE)).toBe(used);
    const { badChains } = served.device.counters;
    expect(badChains).toEqual({
      'short-event-request': 2,
      'no-room-for-event': 1,
      'address-outside-memory': 1,
      'write-before-read': 1,
    });
    await subscribe(RISING);
    guest.queueEvent(1);
    await drive(1);
    await until(() => events.length === 1);
    expect(events).toEqual([valid(1)]);
  });
});

describe('a burst', () => {
  it('of edges on many lines loses none', async () => {
    const { chip, served } = serveSimulatedChip({ lineCount: 200 });
    const guest = await served.connect({ queueSizes: [64, 256] });
    const counts = new Array<number>(100).fill(0);
    guest.onEvent(({ gpio, status }) => {
      expect(status).toBe(1);
      counts[gpio / 2]!++;
      guest.queueEvent(gpio);
    });
    for (let line = 0; line < 200; line += 2) {
      await guest.request(MSG_SET_IRQ_TYPE, line, BOTH);
      guest.queueEvent(line);
    }
    for (let round = 1; round <= 20; round++) {
      for (let line = 0; line < 200; line += 2) chip.drive(line, (round % 2) as 0 | 1);
      await until(() => counts.every((count) => count === round));
    }
    expect(served.device.counters.interrupts).toBe(2000);
  });
});
