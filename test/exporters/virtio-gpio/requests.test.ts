import { describe, expect, it } from 'vitest';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { KNOWN_FEATURES } from '../../../src/testing/front-end.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  VIRTIO_GPIO_F_IRQ,
} from '../../../src/wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX, FEATURE_INDIRECT_DESC } from '../../../src/wire/vring.ts';
import { ServedDevice, serveSimulatedChip } from './served-device.ts';

const OK = { status: 0, usedLength: 2 };
const ERR = { status: 1, value: 0, usedLength: 2 };
const bit = (number: number): bigint => 1n << BigInt(number);

describe('config space and names', () => {
  it('tells the number of lines and the size of the names', async () => {
    const { served } = serveSimulatedChip({ lineCount: 3 });
    const guest = await served.connect();
    expect(await guest.config()).toEqual({ lineCount: 3, namesSize: 15 });
    expect(await guest.lineNames()).toEqual(['sim0', 'sim1', 'sim2']);
  });

  it('has no names block when no line has a name, and refuses to tell names then', async () => {
    const { served } = serveSimulatedChip({ lineCount: 2, names: [] });
    const guest = await served.connect();
    expect(await guest.config()).toEqual({ lineCount: 2, namesSize: 0 });
    expect(await guest.request(1, 0)).toEqual(ERR);
  });

  it('tells unnamed lines as empty names', async () => {
    const { served } = serveSimulatedChip({ lineCount: 4, names: ['A', '', 'C', ''] });
    expect(await (await served.connect()).lineNames()).toEqual(['A', '', 'C', '']);
  });

  it('serves lines as the selection names and orders them, of several chips', async () => {
    const poller = new Poller();
    const hub = new ChipLines(new SimulatedChip('hub', 4));
    const aux = new ChipLines(new SimulatedChip('aux', 2, ['X', 'Y']));
    const lines = ['aux/Y', { line: 'hub/sim2', name: 'BUTTON' }, 'hub/#0'];
    const served = new ServedDevice([hub, aux], poller, { lines });
    const guest = await served.connect();
    expect(await guest.lineNames()).toEqual(['Y', 'BUTTON', 'sim0']);
    (hub.chip as SimulatedChip).drive(2, 1);
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
    expect((await guest.request(MSG_GET_VALUE, 0)).value).toBe(0);
    poller.close();
  });

  it('serves as many lines as the format can number', async () => {
    const { chip, served } = serveSimulatedChip({ lineCount: 65535 });
    const guest = await served.connect();
    expect((await guest.config()).lineCount).toBe(65535);
    const names = await guest.lineNames();
    expect(names[65534]).toBe('sim65534');
    chip.drive(65534, 1);
    expect(await guest.request(MSG_GET_VALUE, 65534)).toEqual({ ...OK, value: 1 });
    expect(await guest.request(MSG_GET_VALUE, 65535)).toEqual(ERR);
  });
});

// Each set of features lays the rings out or signals differently.
describe.each([
  ['all features', KNOWN_FEATURES],
  ['no EVENT_IDX', KNOWN_FEATURES & ~bit(FEATURE_EVENT_IDX)],
  ['no EVENT_IDX, no INDIRECT_DESC', KNOWN_FEATURES & ~(bit(FEATURE_EVENT_IDX) | bit(FEATURE_INDIRECT_DESC))],
  ['nothing but F_IRQ', bit(VIRTIO_GPIO_F_IRQ)],
])('requests with %s', (_what, features) => {
  it('answers every one of them', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect({ features });
    expect(await guest.request(MSG_GET_DIRECTION, 0)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_SET_DIRECTION, 0, 1)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_GET_DIRECTION, 0)).toEqual({ ...OK, value: 1 });
    expect(await guest.request(MSG_SET_VALUE, 0, 1)).toEqual({ ...OK, value: 0 });
    expect(chip.level(0)).toBe(1);
    expect(await guest.request(MSG_GET_VALUE, 0)).toEqual({ ...OK, value: 1 });
    expect(await guest.request(MSG_SET_DIRECTION, 1, 2)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual({ ...OK, value: 1 });
    expect(await guest.request(MSG_SET_IRQ_TYPE, 1, 3)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_SET_IRQ_TYPE, 1, 0)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_SET_DIRECTION, 0, 0)).toEqual({ ...OK, value: 0 });
    expect(await guest.request(MSG_GET_DIRECTION, 0)).toEqual({ ...OK, value: 0 });
  });

  it('answers more requests than the queue holds at once, all and each once', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect({ features, queueSizes: [8, 8] });
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    for (let round = 0; round < 200; round++) {
      const level = round % 2;
      const answers = await Promise.all([
        guest.request(MSG_SET_VALUE, 0, level),
        guest.request(MSG_GET_VALUE, 1),
        guest.request(MSG_GET_VALUE, 0),
        guest.request(MSG_GET_VALUE, 9),
      ]);
      expect(answers).toEqual([{ ...OK, value: 0 }, { ...OK, value: level }, { ...OK, value: level }, ERR]);
    }
    expect(chip.level(1)).toBe(1);
    expect(guest.vring(0).queue.badUsed).toBe(0);
  });
});

describe('requests that the specification or the arbiter refuses', () => {
  it.each([
    ['GET_VALUE of a line that is not there', MSG_GET_VALUE, 8, 0],
    ['SET_VALUE of 2', MSG_SET_VALUE, 0, 2],
    ['SET_VALUE of 0xffffffff', MSG_SET_VALUE, 0, 0xffff_ffff],
    ['SET_DIRECTION to 3', MSG_SET_DIRECTION, 0, 3],
    ['SET_IRQ_TYPE of 5', MSG_SET_IRQ_TYPE, 0, 5],
    ['SET_IRQ_TYPE of 0x10003', MSG_SET_IRQ_TYPE, 0, 0x10003],
    ['type 0', 0, 0, 0],
    ['type 7', 7, 0, 0],
    ['type 0xffff', 0xffff, 0, 0],
    ['GET_LINE_NAMES without room for them', 1, 0, 0],
  ])('answers ERR to %s and goes on', async (_what, type, gpio, value) => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    expect(await guest.request(type, gpio, value)).toEqual(ERR);
    expect(served.device.counters.errors).toBe(1);
    expect(await guest.request(MSG_GET_VALUE, 0)).toEqual({ ...OK, value: 0 });
  });

  it('answers ERR to SET_IRQ_TYPE without F_IRQ', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect({ features: KNOWN_FEATURES & ~bit(VIRTIO_GPIO_F_IRQ) });
    expect(await guest.request(MSG_SET_IRQ_TYPE, 0, 1)).toEqual(ERR);
    expect(served.device.counters.badChains).toEqual({ 'irq-not-negotiated': 1 });
  });

  it('answers ERR to SET_IRQ_TYPE on an output', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    expect(await guest.request(MSG_SET_IRQ_TYPE, 0, 1)).toEqual(ERR);
  });

  it('answers ERR to a change of the type that does not go through none, OK to the same type again', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 0, 1);
    expect(await guest.request(MSG_SET_IRQ_TYPE, 0, 2)).toEqual(ERR);
    expect(await guest.request(MSG_SET_IRQ_TYPE, 0, 1)).toMatchObject(OK);
  });

  it('drives nothing through a line that is exported with access read', async () => {
    const { chip, served } = serveSimulatedChip({ lines: [{ line: 'sim/*', access: 'read' }] });
    const guest = await served.connect();
    expect(await guest.request(MSG_SET_DIRECTION, 0, 1)).toEqual(ERR);
    expect(await guest.request(MSG_SET_VALUE, 0, 1)).toEqual(ERR);
    expect(chip.level(0)).toBe(0);
    expect(await guest.request(MSG_SET_DIRECTION, 0, 2)).toMatchObject(OK);
  });
});

describe('SET_VALUE before SET_DIRECTION(out)', () => {
  it('is kept and used when the line becomes an output', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    expect(await guest.request(MSG_SET_VALUE, 0, 1)).toMatchObject(OK);
    expect(chip.level(0)).toBe(0);
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    expect(chip.level(0)).toBe(1);
  });
});
