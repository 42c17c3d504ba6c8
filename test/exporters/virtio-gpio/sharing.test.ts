import { describe, expect, it, onTestFinished } from 'vitest';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import type { LineSelector } from '../../../src/gpio/line-selection.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../../src/wire/virtio-gpio.ts';
import { ServedDevice, until } from './served-device.ts';

const OUT = 1;
const IN = 2;
const OK = 0;
const ERR = 1;

/** Two guests of one chip of 8 lines. */
async function twoGuests(first: readonly LineSelector[] = ['*'], second: readonly LineSelector[] = ['*']) {
  const chip = new SimulatedChip('sim', 8);
  const lines = new ChipLines(chip);
  const poller = new Poller();
  onTestFinished(() => poller.close());
  const servedA = new ServedDevice([lines], poller, { name: 'a', lines: first });
  const servedB = new ServedDevice([lines], poller, { name: 'b', lines: second });
  const a = await servedA.connect();
  const b = await servedB.connect();
  return { chip, lines, servedA, servedB, a, b };
}

describe('an input', () => {
  it('is both guests’: levels and interrupts go to each, by the type that each asked for', async () => {
    const { chip, a, b } = await twoGuests();
    expect((await a.request(MSG_SET_IRQ_TYPE, 3, 1)).status).toBe(OK);
    expect((await b.request(MSG_SET_IRQ_TYPE, 3, 2)).status).toBe(OK);
    for (let round = 0; round < 3; round++) {
      a.queueEvent(3);
      chip.drive(3, 1);
      expect(await a.nextEvent()).toEqual({ gpio: 3, status: 1, usedLength: 1 });
      b.queueEvent(3);
      chip.drive(3, 0);
      expect(await b.nextEvent()).toEqual({ gpio: 3, status: 1, usedLength: 1 });
    }
    chip.drive(3, 1);
    expect((await a.request(MSG_GET_VALUE, 3)).value).toBe(1);
    expect((await b.request(MSG_GET_VALUE, 3)).value).toBe(1);
  });

  it('keeps its interrupt for one guest when the other gives it up or goes away', async () => {
    const { chip, servedB, a, b } = await twoGuests();
    await a.request(MSG_SET_IRQ_TYPE, 3, 3);
    await b.request(MSG_SET_IRQ_TYPE, 3, 3);
    a.queueEvent(3);
    await b.request(MSG_SET_IRQ_TYPE, 3, 0);
    chip.drive(3, 1);
    expect((await a.nextEvent()).status).toBe(1);
    await b.request(MSG_SET_IRQ_TYPE, 3, 3);
    a.queueEvent(3);
    b.close();
    await until(() => !servedB.server.connected);
    chip.drive(3, 0);
    expect((await a.nextEvent()).status).toBe(1);
  });

  it('of one guest cannot be made an output by the other', async () => {
    const { a, b } = await twoGuests();
    await a.request(MSG_SET_DIRECTION, 3, IN);
    expect((await b.request(MSG_SET_DIRECTION, 3, OUT)).status).toBe(ERR);
    await a.request(MSG_SET_DIRECTION, 3, 0);
    expect((await b.request(MSG_SET_DIRECTION, 3, OUT)).status).toBe(OK);
  });
});

describe('an output', () => {
  it('is owned by the guest that made it one: ERR for the other, which may read it', async () => {
    const { chip, a, b } = await twoGuests();
    await a.request(MSG_SET_VALUE, 0, 1);
    expect((await a.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(OK);
    expect((await b.request(MSG_SET_VALUE, 0, 0)).status).toBe(ERR);
    expect((await b.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(ERR);
    expect((await b.request(MSG_SET_DIRECTION, 0, IN)).status).toBe(ERR);
    expect((await b.request(MSG_SET_IRQ_TYPE, 0, 1)).status).toBe(ERR);
    expect(chip.level(0)).toBe(1);
    expect((await b.request(MSG_GET_VALUE, 0)).value).toBe(1);
    expect((await b.request(MSG_GET_DIRECTION, 0)).value).toBe(OUT);
    // Giving up what one does not own takes it from nobody.
    await b.request(MSG_SET_DIRECTION, 0, 0);
    expect((await a.request(MSG_SET_VALUE, 0, 0)).status).toBe(OK);
    expect(chip.level(0)).toBe(0);
  });

  it.each([
    [
      'gives it up',
      async ({ a }: Awaited<ReturnType<typeof twoGuests>>) => a.request(MSG_SET_DIRECTION, 0, 0),
    ],
    ['is reset', async ({ a }: Awaited<ReturnType<typeof twoGuests>>) => a.resetDevice()],
    [
      'goes away',
      async ({ a, servedA }: Awaited<ReturnType<typeof twoGuests>>) => {
        a.close();
        await until(() => !servedA.server.connected);
      },
    ],
  ])('can be taken over when its owner %s', async (_what, end) => {
    const guests = await twoGuests();
    await guests.a.request(MSG_SET_DIRECTION, 0, OUT);
    expect((await guests.b.request(MSG_SET_VALUE, 0, 1)).status).toBe(ERR);
    await end(guests);
    expect((await guests.b.request(MSG_SET_VALUE, 0, 1)).status).toBe(OK);
    expect((await guests.b.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(OK);
    expect(guests.chip.level(0)).toBe(1);
  });

  it('of one guest is the other’s input by the wire between them', async () => {
    const { a, b } = await twoGuests(['sim/sim0', 'sim/sim2'], ['sim/sim1']);
    await a.request(MSG_SET_DIRECTION, 0, OUT);
    await b.request(MSG_SET_IRQ_TYPE, 0, 3);
    for (const level of [1, 0, 1]) {
      b.queueEvent(0);
      await a.request(MSG_SET_VALUE, 0, level);
      expect((await b.nextEvent()).status).toBe(1);
      expect((await b.request(MSG_GET_VALUE, 0)).value).toBe(level);
    }
  });
});

describe('access', () => {
  it('read never drives, owner keeps others from driving, whether it drives or not', async () => {
    const { a, b } = await twoGuests(
      [
        { line: 'sim/sim0', access: 'read' },
        { line: 'sim/sim2', access: 'owner' },
      ],
      ['sim/sim0', 'sim/sim2'],
    );
    expect((await a.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(ERR);
    expect((await b.request(MSG_SET_DIRECTION, 0, OUT)).status).toBe(OK);
    expect((await b.request(MSG_SET_DIRECTION, 1, OUT)).status).toBe(ERR);
    expect((await b.request(MSG_SET_VALUE, 1, 1)).status).toBe(ERR);
    expect((await a.request(MSG_SET_DIRECTION, 1, OUT)).status).toBe(OK);
  });
});

describe('a guest with a broken ring', () => {
  it('takes nothing from the other', async () => {
    const { servedA, a, b } = await twoGuests();
    a.vring(0).writeAvailableIndex(0x7000);
    a.vring(0).kick();
    await until(() => servedA.device.needsReset);
    expect((await b.request(MSG_GET_VALUE, 0)).status).toBe(OK);
  });
});
