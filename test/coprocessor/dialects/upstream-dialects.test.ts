import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openRpmsgChip, type RpmsgDialectOptions } from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import { Answers, counted, Heard, PlayedChannel } from './played-channel.ts';

const TIMEOUT_MS = 100;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Opens a chip on a channel whose other end answers with `answer` while it opens. */
async function open(
  name: string,
  answer: (request: Uint8Array) => readonly number[],
  changes: Partial<RpmsgDialectOptions> = {},
) {
  const channel = new PlayedChannel(name);
  channel.onSent = (message) => channel.receive(...answer(message));
  const chip = await openRpmsgChip(channel, {
    name: 'hub',
    where: 'm4',
    dialect: 'auto',
    channelTimeoutMs: 1000,
    requestTimeoutMs: TIMEOUT_MS,
    ...changes,
  });
  channel.onSent = null;
  const heard = new Heard();
  chip.listen(heard);
  return { channel, chip, heard, answers: new Answers(), first: channel.taken() };
}

describe('rpmsg-io, 6 bytes', () => {
  const lines = [
    { port: 1, pin: 7, name: 'A' },
    { port: 255, pin: 200, name: '' },
  ];
  const okay = (request: Uint8Array) => [1, request[1] ?? 0, request[2] ?? 0, request[3] ?? 0, 0, 1];

  it('sends virtio-gpio’s messages as they are', async () => {
    const { chip, channel, answers, first } = await open('rpmsg-io', okay, { lines });
    expect(first).toEqual([[0, 2, 1, 7, 0, 0]]);
    channel.onSent = (message) => channel.receive(...okay(message));
    chip.setDirection(1, 1, answers, 1);
    chip.setValue(1, 1, answers, 2);
    chip.setIrqType(0, 2, answers, 3);
    chip.getValue(0, answers, 4);
    expect(channel.taken()).toEqual([
      [0, 3, 255, 200, 1, 0],
      [0, 5, 255, 200, 1, 0],
      [0, 6, 1, 7, 2, 0],
      [0, 4, 1, 7, 0, 0],
    ]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '3: 0 0', '4: 0 1']);
  });

  it.each([
    ['doc', [1, 2, 'bad', 'bad']],
    ['v12', [0, 1, 2, 'bad']],
  ] as const)('numbers directions as %s', async (directions, expected) => {
    const { chip, channel, answers } = await open('rpmsg-io', okay, { lines, directions });
    for (let value = 0; value < 4; value++) {
      chip.getDirection(0, answers, value);
      channel.receive(1, 2, 1, 7, 0, value);
    }
    expect(answers.list).toEqual(
      expected.map((direction, token) =>
        direction === 'bad' ? `${token}: 1 0` : `${token}: 0 ${direction}`,
      ),
    );
  });

  it('tells its errors from each other', async () => {
    const { chip, channel, answers } = await open('rpmsg-io', okay, { lines });
    for (let error = 1; error <= 6; error++) {
      chip.getValue(0, answers, error);
      channel.receive(1, 4, 1, 7, error, 1);
    }
    chip.getValue(0, answers, 7);
    channel.receive(1, 4, 1, 7, 0, 2);
    expect(answers.list).toEqual(['1: 1 0', '2: 6 0', '3: 1 0', '4: 4 0', '5: 6 0', '6: 1 0', '7: 1 0']);
    expect(counted(chip)).toEqual({ badValues: 1 });
  });

  it('takes notifications between a request and its reply, unmasks, and drops what makes no sense', async () => {
    const { chip, channel, answers, heard } = await open('rpmsg-io', okay, { lines });
    chip.setIrqType(0, 3, answers, 1);
    channel.receive(2, 0, 1, 7, 1, 0);
    channel.receive(2, 0, 7, 1, 1, 0);
    channel.receive(0, 6, 1, 7, 0, 0);
    channel.receive(1, 6, 1, 7, 0);
    channel.receive(1, 6, 255, 200, 0, 0);
    channel.receive(1, 6, 1, 7, 0, 0);
    expect(channel.taken()).toEqual([
      [0, 6, 1, 7, 3, 0],
      [0, 6, 1, 7, 3, 0],
    ]);
    expect([heard.list, answers.list]).toEqual([['edge 0 -1'], ['1: 0 0']]);
    expect(counted(chip)).toEqual({
      notifications: 1,
      unknownLines: 1,
      unknownTypes: 1,
      shortMessages: 1,
      otherReplies: 1,
    });
  });

  it('changes no subscription by a request that was never sent', async () => {
    const { chip, channel, answers, heard } = await open('rpmsg-io', okay, { lines });
    const notify = () => channel.receive(2, 0, 1, 7, 1, 0);
    channel.isFull = true;
    chip.setIrqType(0, 3, answers, 1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    channel.isFull = false;
    notify();
    // Unmasking would have subscribed, behind the back of who was told that it did not work.
    expect([answers.taken(), heard.list, channel.taken()]).toEqual([['1: 2 0'], [], []]);
    expect(counted(chip)).toMatchObject({ unsubscribedNotifications: 1 });

    channel.onSent = (message) => channel.receive(...okay(message));
    chip.setIrqType(0, 3, answers, 2);
    channel.isFull = true;
    chip.setIrqType(0, 0, answers, 3);
    vi.advanceTimersByTime(TIMEOUT_MS);
    channel.isFull = false;
    channel.taken();
    notify();
    // The firmware has masked the line: it is still subscribed, and unmasked again.
    expect([answers.taken(), heard.list]).toEqual([['2: 0 0', '3: 2 0'], ['edge 0 -1']]);
    expect(channel.taken()).toEqual([[0, 6, 1, 7, 3, 0]]);
  });
});

describe.each([
  ['rpmsg-gpio', 1, 2],
  ['rpmsg-gpio-kind0', 0, 1],
] as const)('%s, reports of 3 bytes', (dialect, reply, notification) => {
  /** As firmware does: no names, all else succeeds. */
  const okay = (request: Uint8Array) => [reply, request[0] === 1 ? 1 : 0, 0];
  const start = (changes: Partial<RpmsgDialectOptions> = {}) =>
    open('rpmsg-io-7', okay, { dialect, lineCount: 4, ...changes });

  it('sends virtio-gpio’s requests, first one that there is not', async () => {
    const { chip, channel, answers, first } = await start();
    expect(first).toEqual([
      [1, 0, 0, 0, 0, 0, 0, 0],
      [2, 0, 0, 0, 0, 0, 0, 0],
    ]);
    expect(chip.lineCount).toBe(4);
    chip.setIrqType(3, 1, answers, 1);
    channel.receive(reply, 0, 9);
    chip.getDirection(3, answers, 2);
    channel.receive(reply, 0, 2);
    chip.getValue(3, answers, 3);
    channel.receive(reply, 1, 1);
    chip.getValue(3, answers, 4);
    channel.receive(reply, 0, 2);
    expect(channel.taken()).toEqual([
      [6, 0, 3, 0, 1, 0, 0, 0],
      [2, 0, 3, 0, 0, 0, 0, 0],
      [4, 0, 3, 0, 0, 0, 0, 0],
      [4, 0, 3, 0, 0, 0, 0, 0],
    ]);
    expect(answers.list).toEqual(['1: 0 0', '2: 0 2', '3: 1 0', '4: 1 0']);
    expect(counted(chip)).toEqual({ badValues: 1 });
  });

  it('maps lines where they are given', async () => {
    const { chip, channel, answers, heard } = await start({ lines: [{ port: 0, pin: 31, name: 'LAST' }] });
    expect([chip.lineCount, chip.lineName(0)]).toEqual([1, 'LAST']);
    chip.setIrqType(0, 3, answers, 1);
    expect(channel.taken()).toEqual([[6, 0, 31, 0, 3, 0, 0, 0]]);
    channel.receive(reply, 0, 0);
    channel.receive(notification, 31, 0);
    channel.receive(notification, 0, 0);
    expect(heard.list).toEqual(['edge 0 -1']);
    expect(channel.taken()).toEqual([[6, 0, 31, 0, 3, 0, 0, 0]]);
    expect(counted(chip)).toEqual({ notifications: 1, unknownLines: 1 });
  });

  it('tells replies from notifications, and drops what is neither', async () => {
    const { chip, channel, answers, heard } = await start();
    chip.setIrqType(2, 3, answers, 1);
    channel.receive(notification, 2, 0);
    channel.receive(9, 0, 0);
    channel.receive(reply, 0);
    channel.receive(reply, 0, 0);
    expect([heard.list, answers.taken()]).toEqual([['edge 2 -1'], ['1: 0 0']]);
    channel.receive(reply, 0, 0);
    channel.receive(reply, 0, 0);
    expect(counted(chip)).toEqual({
      notifications: 1,
      unknownTypes: 1,
      shortMessages: 1,
      unsolicitedReplies: 1,
    });
  });

  it('asks a row of questions after a timeout, and takes no late reply for another', async () => {
    const { chip, channel, answers } = await start();
    chip.getValue(0, answers, 1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    chip.getValue(1, answers, 2);
    expect(channel.taken().map(([type]) => type)).toEqual([4, 1, 1, 2]);
    channel.receive(reply, 0, 1);
    channel.receive(reply, 1, 0);
    channel.receive(reply, 1, 0);
    expect(channel.taken()).toEqual([]);
    channel.receive(reply, 0, 2);
    expect(channel.taken()).toEqual([[4, 0, 1, 0, 0, 0, 0, 0]]);
    channel.receive(reply, 0, 0);
    expect(answers.list).toEqual(['1: 2 0', '2: 0 0']);
    expect(counted(chip)).toEqual({ timeouts: 1, lateReplies: 1, questions: 3 });
  });

  it('waits a second instead where the firmware does not answer what it cannot do', async () => {
    const channel = new PlayedChannel('rpmsg-io-0');
    channel.onSent = (message) => {
      if (message[0] !== 1) channel.receive(reply, 0, 0);
    };
    const opening = openRpmsgChip(channel, {
      name: 'hub',
      where: 'm4',
      dialect,
      channelTimeoutMs: 1000,
      requestTimeoutMs: TIMEOUT_MS,
    });
    await vi.advanceTimersByTimeAsync(1500);
    const chip = await opening;
    expect(chip.lineCount).toBe(32);
    channel.taken();
    channel.onSent = null;
    const answers = new Answers();
    chip.getValue(0, answers, 1);
    vi.advanceTimersByTime(950);
    chip.getValue(0, answers, 2);
    vi.advanceTimersByTime(40);
    expect(channel.taken()).toHaveLength(1);
    channel.receive(reply, 0, 1);
    expect(channel.taken()).toHaveLength(1);
    channel.receive(reply, 0, 0);
    expect(answers.list).toEqual(['1: 2 0', '2: 0 0']);
    expect(chip.available).toBe(true);
  });
});
