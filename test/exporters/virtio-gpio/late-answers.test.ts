import { describe, expect, it } from 'vitest';
import { KNOWN_PROTOCOL_FEATURES, type VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { PROTOCOL_FEATURE, REQUEST } from '../../../src/wire/vhost-user.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { DeferredChip } from './deferred-chip.ts';
import { serveChip, until } from './served-device.ts';

const OK = 0;
const ERR = 1;
const INFLIGHT = KNOWN_PROTOCOL_FEATURES | PROTOCOL_FEATURE.INFLIGHT_SHMFD;

/** A guest of a chip whose answers wait for the test. */
async function slowGuest(queueSize = 64, protocolFeatures = KNOWN_PROTOCOL_FEATURES) {
  const chip = new DeferredChip(8);
  const { lines, served } = serveChip(chip);
  const guest = await served.connect({
    queueSizes: [queueSize, 64],
    protocolFeatures,
    regions: [{ guestPhysicalAddress: 0x4000_0000, sizeBytes: 0x40_0000 }],
  });
  const answered: string[] = [];
  const ask = (name: string, type: number, gpio: number, value = 0): void => {
    void guest.request(type, gpio, value).then(
      ({ status }) => answered.push(`${name} ${status}`),
      () => answered.push(`${name} lost`),
    );
  };
  return { chip, lines, served, guest, answered, ask };
}

async function looked(guest: VhostUserFrontEnd): Promise<void> {
  await guest.control.getU64(REQUEST.GET_FEATURES);
  await guest.control.getU64(REQUEST.GET_FEATURES);
}

describe('answers that take time', () => {
  it('come in order for one line, one request of it at the chip at a time', async () => {
    const { chip, guest, answered, ask } = await slowGuest();
    ask('a', MSG_GET_VALUE, 0);
    ask('b', MSG_SET_VALUE, 0, 7); // Refused at once, when its turn comes.
    ask('c', MSG_GET_VALUE, 0);
    ask('d', MSG_GET_VALUE, 0);
    await looked(guest);
    expect(chip.waiting).toEqual(['get 0']);
    expect(answered).toEqual([]);
    chip.answer();
    await until(() => answered.length === 2);
    expect(chip.waiting).toEqual(['get 0']);
    chip.answer();
    await until(() => answered.length === 3);
    chip.answer();
    await until(() => answered.length === 4);
    expect(answered).toEqual([`a ${OK}`, `b ${ERR}`, `c ${OK}`, `d ${OK}`]);
  });

  it('for thousands that wait for one line come some at a time, in order', async () => {
    const { chip, served, guest, answered, ask } = await slowGuest(2048, INFLIGHT);
    ask('first', MSG_GET_VALUE, 0);
    // Answered by the service itself, when their turn comes.
    const names = Array.from({ length: 600 }, (_, i) => `bad ${i}`);
    for (const name of names) ask(name, 99, 0);
    ask('last', MSG_GET_VALUE, 0);
    await looked(guest);
    await until(() => chip.waiting.length === 1);
    expect(answered).toEqual([]);
    expect(served.device.counters.errors).toBe(0);
    chip.answer();
    // In the chip's own turn; the others have turns of the device's.
    expect(served.device.counters.errors).toBe(32);
    await until(() => answered.length === 601 && chip.waiting.length === 1);
    expect(answered).toEqual([`first ${OK}`, ...names.map((name) => `${name} ${ERR}`)]);
    chip.answer();
    await until(() => answered.length === 602);
    expect(answered.at(-1)).toBe(`last ${OK}`);
  });

  it('of different lines go back in the order of the ring, which is all that a restart would go by', async () => {
    const { chip, guest, answered, ask } = await slowGuest();
    for (const gpio of [0, 1, 2]) ask(`line ${gpio}`, MSG_GET_VALUE, gpio);
    ask('line 9', MSG_GET_VALUE, 9);
    await looked(guest);
    expect(chip.waiting).toEqual(['get 0', 'get 1', 'get 2']);
    chip.answer(1);
    await looked(guest);
    expect(answered).toEqual([]);
    chip.answer(0);
    await until(() => answered.length === 2);
    chip.answer(0);
    await until(() => answered.length === 4);
    expect(answered).toEqual([`line 0 ${OK}`, `line 1 ${OK}`, `line 2 ${OK}`, `line 9 ${ERR}`]);
  });

  it('of different lines overtake each other where the front-end keeps what is in flight', async () => {
    const { chip, guest, answered, ask } = await slowGuest(64, INFLIGHT);
    for (const gpio of [0, 1, 2]) ask(`line ${gpio}`, MSG_GET_VALUE, gpio);
    ask('line 9', MSG_GET_VALUE, 9);
    await looked(guest);
    expect(chip.waiting).toEqual(['get 0', 'get 1', 'get 2']);
    chip.answer(2);
    await until(() => answered.length === 2);
    chip.answer(1);
    await until(() => answered.length === 3);
    chip.answer(0);
    await until(() => answered.length === 4);
    expect(answered).toEqual([`line 9 ${ERR}`, `line 2 ${OK}`, `line 1 ${OK}`, `line 0 ${OK}`]);
  });

  it('of many requests for one line do not pile up on the stack', async () => {
    const { chip, served, guest } = await slowGuest(32768);
    const count = 16_000;
    // All but the first are refused without the chip, one after the other as soon as the first is answered.
    const first = guest.request(MSG_GET_VALUE, 0);
    const others = Promise.allSettled(
      Array.from({ length: count }, () => guest.request(MSG_SET_VALUE, 0, 7)),
    );
    await until(() => served.device.counters.requests === count + 1);
    expect(chip.waiting).toEqual(['get 0']);
    chip.answer();
    expect((await first).status).toBe(OK);
    const answers = (await others).map((other) =>
      other.status === 'fulfilled' ? other.value.status : 'lost',
    );
    expect([...new Set(answers)]).toEqual([ERR]);
  });

  it('are ERR when the ring stops before, and what the chip says then reaches nobody', async () => {
    const { chip, guest, answered, ask } = await slowGuest();
    ask('a', MSG_GET_VALUE, 0);
    ask('b', MSG_GET_VALUE, 0);
    ask('c', MSG_GET_VALUE, 1);
    await looked(guest);
    const base = await guest.control.getVringBase(REQUEST_QUEUE);
    expect(base).toBe(3);
    // Visible in memory when GET_VRING_BASE is answered: the front-end may look at once.
    expect(guest.vring(REQUEST_QUEUE).usedIndex).toBe(3);
    chip.answerAll();
    await guest.resumeVrings([3, 0]);
    ask('d', MSG_GET_VALUE, 0);
    await until(() => chip.waiting.length === 1);
    chip.answer();
    await until(() => answered.length === 4);
    expect(answered.sort()).toEqual([`a ${ERR}`, `b ${ERR}`, `c ${ERR}`, `d ${OK}`]);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
    expect(guest.vring(REQUEST_QUEUE).usedIndex).toBe(4);
  });

  it('are ERR when the memory changes before', async () => {
    const { chip, guest, answered, ask } = await slowGuest();
    ask('a', MSG_GET_VALUE, 0);
    await looked(guest);
    await guest.control.setMemoryTable(guest.memory.table, guest.memory.descriptors);
    await until(() => answered.length === 1);
    expect(answered).toEqual([`a ${ERR}`]);
    chip.answerAll();
    ask('b', MSG_GET_VALUE, 0);
    await until(() => chip.waiting.length === 1);
    chip.answer();
    await until(() => answered.length === 2);
    expect(answered[1]).toBe(`b ${OK}`);
  });

  it.each([
    ['a reset', async (guest: VhostUserFrontEnd) => guest.resetDevice()],
    ['the end of the connection', async (guest: VhostUserFrontEnd) => guest.disconnect()],
  ])('do not reach the next driver over %s', async (_what, end) => {
    const { chip, served, guest, answered, ask } = await slowGuest();
    ask('a', MSG_GET_VALUE, 0);
    ask('b', MSG_GET_VALUE, 0);
    await looked(guest);
    await end(guest);
    if (guest.closedReason !== null) {
      await until(() => !served.server.connected);
      await guest.reconnect();
    } else {
      await guest.startVrings();
    }
    answered.length = 0;
    ask('c', MSG_GET_VALUE, 0);
    await until(() => chip.waiting.length === 2);
    chip.answer();
    await looked(guest);
    expect(answered).toEqual([]);
    chip.answer();
    await until(() => answered.length === 1);
    expect(answered).toEqual([`c ${OK}`]);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
  });

  it('make the line an output with the value first, and answer when both are done', async () => {
    const { chip, answered, ask } = await slowGuest();
    ask('value', MSG_SET_VALUE, 0, 1);
    await until(() => answered.length === 1);
    ask('direction', MSG_SET_DIRECTION, 0, 1);
    for (const operation of ['set 0 1', 'direction 0 1']) {
      await until(() => chip.waiting.length > 0);
      expect(answered).toHaveLength(1);
      expect(chip.waiting[0]).toBe(operation);
      chip.answer();
    }
    await until(() => answered.length === 2);
    expect(answered).toEqual([`value ${OK}`, `direction ${OK}`]);
  });

  it('to SET_IRQ_TYPE come when the chip has confirmed it', async () => {
    const { chip, guest, answered, ask } = await slowGuest();
    ask('irq', MSG_SET_IRQ_TYPE, 1, 1);
    await until(() => chip.waiting.length > 0);
    await looked(guest);
    expect(answered).toEqual([]);
    chip.answerAll();
    await until(() => answered.length === 1);
    expect(answered).toEqual([`irq ${OK}`]);
  });
});
