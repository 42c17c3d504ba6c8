import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import {
  encodeMetuxConfig,
  encodeMetuxMessage,
  REPLY_2020,
  REPLY_2021,
} from '../../../src/wire/metux-gpio.ts';
import { encodeNames } from '../../../src/wire/virtio-gpio.ts';
import { TokenLog } from './played-firmware.ts';
import { PlayedMetux, type PlayedMetuxOptions, simpleDevice } from './played-metux.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function opened(options: PlayedMetuxOptions = {}) {
  const played = new PlayedMetux(options);
  const chip = await played.open();
  const log = new TokenLog();
  const edges: string[] = [];
  const losses: string[] = [];
  chip.listen({
    edge: ({ offset, level, merged }) => edges.push(`${offset}=${level}${merged ? ' merged' : ''}`),
    availability: (available, reason) => losses.push(`${available} ${reason}`),
  });
  const device = simpleDevice(played.lineCount);
  const serve = () => {
    chip.flush();
    return played.serve(device.answer);
  };
  return { played, chip, log, edges, losses, device, serve };
}

describe('opening', () => {
  it('tells names and number of lines from the config space', async () => {
    const { chip } = await opened({ lineCount: 3, names: ['A', '', 'C'] });
    expect(chip.lineCount).toBe(3);
    expect([0, 1, 2, 3].map((line) => chip.lineName(line))).toEqual(['A', '', 'C', '']);
    expect([chip.label, chip.streamsLevels]).toEqual(['metux virtio-gpio on m4', true]);
    chip.close();
  });

  it('posts as many receive buffers as the queue has room for, one included', async () => {
    for (const size of [1, 2, 64]) {
      const played = new PlayedMetux({ queueSizes: [size, 4] });
      const chip = await played.open();
      let posted = 0;
      while (played.level(0, 0)) posted++;
      expect(posted).toBe(size);
      chip.close();
    }
  });

  it.each([
    ['8 bytes of config', { config: new Uint8Array(8) }, /config space is not metux.*at least 64 bytes/],
    ['another version', { config: new Uint8Array(64).fill(2, 0, 1) }, /version at offset 0 is 2, expected 1/],
    ['no lines', { config: new Uint8Array(64).fill(1, 0, 1) }, /num_gpios/],
    [
      'names cut short',
      { config: encodeMetuxConfig('x', 2, encodeNames(['A', 'B'])).subarray(0, 67) },
      /names_size/,
    ],
    ['one vring', { queueSizes: [16] }, /has 1 vrings; metux virtio-gpio needs 2/],
  ])('is refused with %s', async (_what, options, message) => {
    const opening = new PlayedMetux(options as PlayedMetuxOptions).opening();
    await expect(opening).rejects.toMatchObject({
      code: 'ERR_VDEV',
      message: expect.stringMatching(message),
    });
  });

  it('is refused when nothing is answered, and when the co-processor goes away', async () => {
    const silent = new PlayedMetux().opening();
    const refused = expect(silent).rejects.toThrow('no answer to GET_DIRECTION within 500 ms');
    await vi.advanceTimersByTimeAsync(501);
    await refused;
    const played = new PlayedMetux();
    const gone = played.opening();
    played.firmware.lose('it exited');
    await expect(gone).rejects.toThrow('m4: vdev 0: it exited');
  });

  it('takes any answer, a late one too', async () => {
    const played = new PlayedMetux();
    const opening = played.opening();
    await vi.advanceTimersByTimeAsync(450);
    expect(played.take().map(PlayedMetux.text)).toEqual(['4:0=0']);
    played.reply({ type: 4, line: 0, value: 0 }, -22);
    played.ring();
    (await opening).close();
  });
});

describe('what is asked', () => {
  it('is the messages of the protocol; a line is requested once, before its first use', async () => {
    const { chip, log, device, serve } = await opened();
    chip.getDirection(0, log, 0);
    expect(serve()).toEqual(['4:0=0']);
    chip.getValue(0, log, 1);
    expect(serve()).toEqual(['1:0=0', '5:0=0']);
    device.levels[0] = 1;
    chip.getValue(0, log, 2);
    expect(serve()).toEqual(['5:0=0']);
    chip.setDirection(0, 2, log, 3);
    expect(serve()).toEqual(['2:0=0']);
    expect(log.taken()).toEqual(['0: 0 2', '1: 0 0', '2: 0 1', '3: 0 0']);
    chip.close();
  });

  it('has an output take the value along that was set before, or else the level that it has', async () => {
    const { chip, log, device, serve } = await opened();
    device.levels[1] = 1;
    chip.setValue(0, 1, log, 0);
    chip.setDirection(0, 1, log, 1);
    chip.setDirection(1, 1, log, 2);
    chip.setValue(0, 0, log, 3);
    chip.getDirection(0, log, 4);
    expect(serve()).toEqual([
      ...['1:0=0', '1:1=0', '4:0=0', '4:1=0', '3:0=1', '5:1=0', '6:0=0', '3:1=1', '4:0=0'],
    ]);
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0', '3: 0 0', '2: 0 0', '4: 0 1']);
    expect(device.levels).toEqual([0, 1, 0, 0]);
    chip.close();
  });

  it('sets an output that the firmware made one, and leaves one that stays one alone', async () => {
    const { chip, log, device, serve } = await opened();
    device.directions[2] = 0;
    chip.setValue(2, 1, log, 0);
    expect(serve()).toEqual(['1:2=0', '4:2=0', '6:2=1']);
    chip.setDirection(2, 1, log, 1);
    expect(serve()).toEqual([]);
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0']);
    chip.close();
  });

  it('has direction none as an input, which tells nothing any more', async () => {
    const { chip, played, log, edges, serve } = await opened();
    chip.setIrqType(0, 3, log, 0);
    chip.setDirection(0, 0, log, 1);
    chip.getDirection(0, log, 2);
    expect(serve()).toEqual(['1:0=0', '4:0=0', '5:0=0', '2:0=0', '4:0=0']);
    played.level(0, 1);
    played.ring();
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0', '2: 0 2']);
    expect(edges).toEqual([]);
    chip.close();
  });

  it('refuses what there is not without asking', async () => {
    const { chip, log, serve } = await opened();
    chip.setDirection(0, 3, log, 0);
    chip.setIrqType(0, 5, log, 1);
    expect(serve()).toEqual([]);
    expect(log.taken()).toEqual(['0: 6 0', '1: 6 0']);
    chip.close();
  });

  it('goes over different lines at the same time, and of one line in order', async () => {
    const { played, chip, log } = await opened();
    for (let line = 0; line < 4; line++) chip.getDirection(line, log, line);
    for (let line = 0; line < 4; line++) chip.getDirection(line, log, 4 + line);
    chip.flush();
    const first = played.take();
    expect(first.map(PlayedMetux.text)).toEqual(['4:0=0', '4:1=0', '4:2=0', '4:3=0']);
    for (const message of first) played.reply(message, message.line & 1);
    played.ring();
    expect(played.take().length).toBe(4);
    expect(log.taken()).toEqual(['0: 0 1', '1: 0 2', '2: 0 1', '3: 0 2']);
    chip.close();
  });

  it('waits for room in a queue that is full', async () => {
    const { chip, log, serve } = await opened({ lineCount: 40, queueSizes: [4, 2] });
    for (let line = 0; line < 40; line++) chip.getDirection(line, log, line);
    expect(serve()).toHaveLength(40);
    expect(log.taken()).toEqual(Array.from({ length: 40 }, (_, line) => `${line}: 0 2`));
    chip.close();
  });

  it.each([REPLY_2020, REPLY_2021])('is answered with replies of mask %i', async (replyMask) => {
    const { chip, log, serve } = await opened({ replyMask });
    chip.getValue(3, log, 0);
    serve();
    expect(log.taken()).toEqual(['0: 0 0']);
    chip.close();
  });

  it.each([
    [-16, '4 0'],
    [-22, '6 0'],
    [-5, '1 0'],
    [-1, '1 0'],
    [-0x80000000, '1 0'],
    // Nothing that a level can be.
    [2, '1 0'],
    [0x7fffffff, '1 0'],
  ])('and answered with %i is "%s"', async (value, outcome) => {
    const { played, chip, log } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    played.serve(({ type }) => (type === 1 ? 0 : value));
    expect(log.taken()).toEqual([`0: ${outcome}`]);
    chip.getValue(0, log, 1);
    chip.flush();
    expect(played.serve(() => 1)).toEqual(['5:0=0']);
    expect(log.taken()).toEqual(['1: 0 1']);
    chip.close();
  });

  it('tells of a line that somebody else has, and of a device that has no REQUEST', async () => {
    const { played, chip, log } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    expect(played.serve(() => -16)).toEqual(['1:0=0']);
    chip.getValue(0, log, 1);
    chip.flush();
    expect(played.serve(({ type }) => (type === 1 ? -38 : 1))).toEqual(['1:0=0', '5:0=0']);
    expect(log.taken()).toEqual(['0: 4 0', '1: 0 1']);
    chip.close();
  });

  it('is answered as unavailable when the device is lost, and after', async () => {
    const { played, chip, log, losses } = await opened();
    chip.getValue(0, log, 0);
    chip.getValue(0, log, 1);
    chip.flush();
    played.firmware.lose('it exited');
    chip.getValue(1, log, 2);
    expect(log.taken()).toEqual(['0: 3 0', '1: 3 0', '2: 3 0']);
    expect(losses).toEqual(['false it exited']);
    chip.close();
  });

  it('is not asked of a device that has been reset behind our back', async () => {
    const { played, chip, log, losses } = await opened();
    played.firmware.readStatus = () => 0;
    chip.getValue(0, log, 0);
    chip.flush();
    expect(log.taken()).toEqual(['0: 3 0']);
    expect(losses).toEqual(['false vdev 0 was reset by the co-processor: its status is 0x0']);
    chip.close();
  });
});

describe('LEVEL messages', () => {
  it('are edges of subscribed lines, with levels; the same level again is none', async () => {
    const { played, chip, log, edges, serve } = await opened();
    chip.setIrqType(1, 3, log, 0);
    expect(serve()).toEqual(['1:1=0', '4:1=0', '5:1=0']);
    for (const level of [0, 1, 1, 0]) played.level(1, level);
    played.level(2, 1);
    played.ring();
    expect(edges).toEqual(['1=1', '1=0']);
    expect(chip.counters.repeatedLevels).toBe(2);
    chip.setIrqType(1, 0, log, 1);
    expect(serve()).toEqual([]);
    played.level(1, 1);
    played.ring();
    expect(edges).toEqual(['1=1', '1=0']);
    chip.close();
  });

  it.each([
    [1, ['0=1', '0=1']],
    [2, ['0=0', '0=0']],
    [4, ['0=1', '0=1']],
    [8, ['0=0', '0=0']],
  ])('are told of as type %i says', async (type, told) => {
    const { played, chip, log, edges, serve } = await opened();
    chip.setIrqType(0, type, log, 0);
    serve();
    for (const level of [1, 0, 1, 0]) played.level(0, level);
    played.ring();
    expect(edges).toEqual(told);
    chip.close();
  });

  it('come between a request and its reply', async () => {
    const { played, chip, log, edges, serve } = await opened();
    chip.setIrqType(0, 3, log, 0);
    serve();
    chip.getValue(0, log, 1);
    chip.flush();
    const [request] = played.take();
    played.level(0, 1);
    played.reply(request!, 1);
    played.ring();
    expect(edges).toEqual(['0=1']);
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 1']);
    chip.close();
  });

  it('come after a read that was ahead of them, or after one that was lost', async () => {
    const { played, chip, log, edges, device, serve } = await opened();
    chip.setIrqType(0, 3, log, 0);
    serve();
    device.levels[0] = 1;
    chip.getValue(0, log, 1);
    serve();
    played.level(0, 1);
    played.ring();
    expect(edges.splice(0)).toEqual(['0=1']);
    device.levels[0] = 0;
    chip.getValue(0, log, 2);
    serve();
    // That of the fall was lost.
    played.level(0, 1);
    played.ring();
    expect(edges).toEqual(['0=1']);
    chip.close();
  });

  it('of an output are nobody’s, and it cannot be subscribed to', async () => {
    const { played, chip, log, edges, serve } = await opened();
    chip.setIrqType(0, 3, log, 0);
    chip.setValue(0, 1, log, 1);
    chip.setDirection(0, 1, log, 2);
    serve();
    played.level(0, 0);
    played.ring();
    chip.setIrqType(0, 3, log, 3);
    serve();
    expect(edges).toEqual([]);
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0', '2: 0 0', '3: 6 0']);
    chip.close();
  });

  it('keep the level shadow, so that reads of a watched line need no request', async () => {
    const { played, chip, serve } = await opened();
    const lines = new ChipLines(chip);
    const heard: string[] = [];
    const consumer = {
      name: 'test',
      interrupt: () => {},
      edge: (_handle: unknown, level: number) => heard.push(`edge ${level}`),
      observed: (_handle: unknown, level: number) => heard.push(`is ${level}`),
    };
    const handle = lines.open(2, consumer, 0);
    handle.watch(true);
    serve();
    played.level(2, 1);
    played.ring();
    const log = new TokenLog();
    handle.getValue(log, 0);
    expect(serve()).toEqual([]);
    expect(log.taken()).toEqual(['0: 0 1']);
    expect(heard).toEqual(['is 0', 'edge 1']);
    handle.close();
    chip.close();
  });
});

describe('what makes no sense', () => {
  it('is dropped and counted by reason, and the chip goes on', async () => {
    const { played, chip, log, edges, serve } = await opened();
    chip.setIrqType(0, 3, log, 0);
    serve();
    const send = (type: number, line: number, value: number, usedBytes = 8) => {
      played.raw(encodeMetuxMessage({ type, line, value }), usedBytes);
      played.ring();
    };
    send(0x0012, 0, 1);
    send(0x0001, 0, 1);
    send(0x0011, 4, 1);
    send(0x0011, 0xffff, 1);
    send(0x0011, 0, 2);
    send(0x0011, 0, -1);
    send(0x0011, 0, 1, 7);
    send(0x0011, 0, 1, 0);
    send(0x8005, 0, 1);
    send(0x8005, 9, 1);
    send(0xf0ff, 0, 1);
    send(0x8011, 0, 1);
    expect(edges).toEqual([]);
    expect(chip.counters).toMatchObject({
      unknownTypes: 2,
      linesOutOfRange: 2,
      badValues: 2,
      malformed: 2,
      unexpectedReplies: 4,
      repeatedLevels: 0,
    });
    send(0x0011, 0, 1);
    expect(edges).toEqual(['0=1']);
    chip.close();
  });

  it('may come without end: requests go on', async () => {
    const { played, chip, log } = await opened({ queueSizes: [64, 16] });
    for (let round = 0; round < 100; round++) {
      while (played.raw(encodeMetuxMessage({ type: 0x8006, line: round % 7, value: 1 }))) {
        // As long as there are buffers.
      }
      played.ring();
    }
    expect(chip.counters.unexpectedReplies).toBe(6400);
    chip.getDirection(0, log, 0);
    chip.flush();
    played.serve(() => 0);
    expect(log.taken()).toEqual(['0: 0 1']);
    chip.close();
  });

  it('in the ring itself ends the chip', async () => {
    const { played, chip, losses } = await opened();
    const offset = played.firmware.usedOffsets[0]!;
    played.firmware.view.setUint16(offset + 2, 500, true);
    played.firmware.ring();
    expect(losses).toHaveLength(1);
    expect(losses[0]).toMatch(/used index 500/);
    expect(played.firmware.failures).toHaveLength(1);
    chip.close();
  });
});
