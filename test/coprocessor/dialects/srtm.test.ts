import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openRpmsgChip } from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import { Answers, counted, Heard, PlayedChannel } from './played-channel.ts';

const TIMEOUT_MS = 100;
const INPUT_INIT = 0;
const OUTPUT_INIT = 1;
const INPUT_GET = 2;
const GET_DIRECTION = 3;
const LINES = [
  { port: 0, pin: 5, name: 'BUTTON' },
  { port: 9, pin: 31, name: 'LED' },
];

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What a request says: command, line, argument. */
function described(message: readonly number[]): string {
  expect(message).toHaveLength(16);
  expect([...message.slice(0, 4), ...message.slice(5, 10), ...message.slice(13)]).toEqual([
    5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  ]);
  return `${message[4]} ${message[11]}.${message[10]} ${message[12]}`;
}

/** Opens a chip whose firmware answers its first question. */
async function open(returnCode = 0, direction = 1) {
  const channel = new PlayedChannel('rpmsg-io-channel');
  const log: string[] = [];
  channel.onSent = (message) => reply(channel, [...message], returnCode, direction);
  const chip = await openRpmsgChip(channel, {
    name: 'hub',
    where: 'm4',
    dialect: 'srtm',
    lines: LINES,
    channelTimeoutMs: 1000,
    requestTimeoutMs: TIMEOUT_MS,
    onLog: (level, text) => log.push(`${level} ${text}`),
  });
  channel.onSent = null;
  expect(channel.taken().map(described)).toEqual([`${GET_DIRECTION} 0.5 0`]);
  const heard = new Heard();
  chip.listen(heard);
  const answers = new Answers();
  return { channel, chip, heard, answers, log };
}

function reply(channel: PlayedChannel, request: readonly number[], returnCode = 0, value = 0): void {
  const [, , , , command = 0, , , , , , pin = 0, port = 0] = request;
  channel.receive(5, 1, 0, 1, command, 0, 0, 0, 0, 0, pin, port, returnCode, value);
}

/** Answers all that is sent, and gives what it was. */
function answered(channel: PlayedChannel, returnCode = 0, value = 0): string[] {
  const requests: string[] = [];
  for (let sent = channel.taken(); sent.length > 0; sent = channel.taken()) {
    for (const request of sent) {
      requests.push(described(request));
      reply(channel, request, returnCode, value);
    }
  }
  return requests;
}

const notify = (channel: PlayedChannel, port: number, pin: number) =>
  channel.receive(5, 1, 0, 2, 0, 0, 0, 0, 0, 0, pin, port);

describe('SRTM', () => {
  it('has the lines and names of its configuration', async () => {
    const { chip } = await open();
    expect([chip.name, chip.label, chip.lineCount, chip.streamsLevels]).toEqual([
      'hub',
      'srtm on m4',
      2,
      false,
    ]);
    expect([chip.lineName(0), chip.lineName(1), chip.lineName(2)]).toEqual(['BUTTON', 'LED', '']);
  });

  it('numbers directions its own way', async () => {
    const { chip, channel, answers } = await open();
    chip.getDirection(1, answers, 1);
    expect(answered(channel, 0, 0)).toEqual([`${GET_DIRECTION} 9.31 0`]);
    chip.getDirection(0, answers, 2);
    answered(channel, 0, 1);
    chip.getDirection(0, answers, 3);
    answered(channel, 0, 2);
    expect(answers.taken()).toEqual(['1: 0 1', '2: 0 2', '3: 1 0']);
    expect(counted(chip)).toEqual({ badValues: 1 });
  });

  it('keeps a level until the line is an output, and sets it with the direction', async () => {
    const { chip, channel, answers } = await open();
    chip.setValue(1, 1, answers, 1);
    expect(answers.taken()).toEqual(['1: 0 0']);
    chip.setDirection(1, 1, answers, 2);
    expect(answered(channel)).toEqual([`${OUTPUT_INIT} 9.31 1`]);
    chip.setValue(1, 0, answers, 3);
    chip.setDirection(1, 1, answers, 4);
    expect(answered(channel)).toEqual([`${OUTPUT_INIT} 9.31 0`, `${OUTPUT_INIT} 9.31 0`]);
    expect(answers.taken()).toEqual(['2: 0 0', '3: 0 0', '4: 0 0']);
  });

  it('keeps the order of a line’s requests, also of those that are not sent', async () => {
    const { chip, channel, answers } = await open();
    chip.setDirection(1, 1, answers, 1);
    // Of an output by then: it is not only kept.
    chip.setValue(1, 1, answers, 2);
    chip.setDirection(1, 0, answers, 3);
    chip.setValue(1, 1, answers, 4);
    expect(answered(channel)).toEqual([
      `${OUTPUT_INIT} 9.31 0`,
      `${OUTPUT_INIT} 9.31 1`,
      `${INPUT_INIT} 9.31 0`,
    ]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '3: 0 0', '4: 0 0']);
  });

  it('makes direction none an input without an event, and says none', async () => {
    const { chip, channel, answers } = await open();
    chip.setIrqType(0, 3, answers, 1);
    chip.setDirection(0, 0, answers, 2);
    chip.getDirection(0, answers, 3);
    expect(answered(channel, 0, 1)).toEqual([
      `${INPUT_INIT} 0.5 3`,
      `${INPUT_INIT} 0.5 0`,
      `${GET_DIRECTION} 0.5 0`,
    ]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '3: 0 0']);
  });

  it('leaves an output alone of which the firmware knows the level and we do not', async () => {
    const { chip, channel, answers } = await open();
    chip.getDirection(1, answers, 1);
    answered(channel, 0, 0);
    chip.setDirection(1, 1, answers, 2);
    expect(channel.taken()).toEqual([]);
    expect(answers.taken()).toEqual(['1: 0 1', '2: 0 0']);
  });

  it('tells directions as they were set where the firmware cannot', async () => {
    const { chip, channel, answers, log } = await open(2, 0);
    expect(log).toEqual([expect.stringMatching(/^info m4: its firmware cannot tell directions/)]);
    chip.getDirection(0, answers, 1);
    chip.setDirection(0, 2, answers, 2);
    answered(channel);
    chip.getDirection(0, answers, 3);
    chip.setDirection(0, 1, answers, 4);
    answered(channel);
    chip.getDirection(0, answers, 5);
    expect(channel.sent).toEqual([]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '3: 0 2', '4: 0 0', '5: 0 1']);
    // Not answered: it may be either.
    chip.setDirection(0, 2, answers, 6);
    vi.advanceTimersByTime(TIMEOUT_MS);
    chip.getDirection(0, answers, 7);
    expect(answers.taken()).toEqual(['6: 2 0', '7: 1 0']);
    expect(counted(chip)).toMatchObject({ emulatedDirections: 5 });
  });

  it('reads levels, and tells an output’s as it was set where the firmware refuses', async () => {
    const { chip, channel, answers } = await open();
    chip.getValue(0, answers, 1);
    expect(answered(channel, 0, 1)).toEqual([`${INPUT_GET} 0.5 0`]);
    chip.getValue(0, answers, 2);
    answered(channel, 1, 1);
    chip.getValue(0, answers, 3);
    answered(channel, 0, 2);
    chip.setValue(1, 1, answers, 4);
    chip.setDirection(1, 1, answers, 5);
    answered(channel);
    chip.getValue(1, answers, 6);
    answered(channel, 1, 0);
    expect(answers.taken()).toEqual(['1: 0 1', '2: 1 0', '3: 1 0', '4: 0 0', '5: 0 0', '6: 0 1']);
    expect(counted(chip)).toEqual({ badValues: 1, emulatedLevels: 1 });
  });

  it.each([
    [1, 1],
    [2, 2],
    [3, 3],
  ])('subscribes to interrupt type %i as event %i', async (type, event) => {
    const { chip, channel, answers } = await open();
    chip.setIrqType(0, type, answers, 1);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 ${event}`]);
    // As an input it keeps its event.
    chip.setDirection(0, 2, answers, 2);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 ${event}`]);
    chip.setIrqType(0, 0, answers, 3);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 0`]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '3: 0 0']);
  });

  it('refuses level types, an interrupt on an output, and an output with an interrupt', async () => {
    const { chip, channel, answers } = await open();
    chip.setIrqType(0, 4, answers, 1);
    chip.setIrqType(0, 8, answers, 2);
    chip.setIrqType(0, 3, answers, 3);
    answered(channel);
    chip.setDirection(0, 1, answers, 4);
    chip.setDirection(1, 1, answers, 5);
    answered(channel);
    chip.setIrqType(1, 3, answers, 6);
    chip.setIrqType(1, 0, answers, 7);
    expect(channel.sent).toEqual([]);
    expect(answers.taken()).toEqual(['1: 6 0', '2: 6 0', '3: 0 0', '4: 6 0', '5: 0 0', '6: 6 0', '7: 0 0']);
  });

  it('unmasks a line of which it was notified before anybody reads its level', async () => {
    const { chip, channel, answers, heard } = await open();
    chip.setIrqType(0, 3, answers, 1);
    answered(channel);
    chip.listen({
      edge: (edge) => {
        heard.edge(edge);
        chip.getValue(edge.offset, answers, 2);
      },
      availability: () => {},
    });
    notify(channel, 0, 5);
    expect(answered(channel, 0, 0)).toEqual([`${INPUT_INIT} 0.5 3`, `${INPUT_GET} 0.5 0`]);
    expect(heard.list).toEqual(['edge 0 -1']);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0']);
  });

  it('unmasks again when notified while the unmasking is under way, but not for each notification', async () => {
    const { chip, channel, answers, heard } = await open();
    chip.setIrqType(0, 1, answers, 1);
    answered(channel);
    for (let i = 0; i < 50; i++) notify(channel, 0, 5);
    expect(heard.list).toHaveLength(50);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 1`, `${INPUT_INIT} 0.5 1`]);
    notify(channel, 0, 5);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 1`]);
    expect(counted(chip)).toMatchObject({ notifications: 51 });
  });

  it('does not unmask what was unsubscribed or made an output meanwhile', async () => {
    const { chip, channel, answers, heard } = await open();
    chip.setIrqType(0, 3, answers, 1);
    answered(channel);
    chip.setIrqType(0, 0, answers, 2);
    chip.setDirection(0, 1, answers, 3);
    notify(channel, 0, 5);
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 0`, `${OUTPUT_INIT} 0.5 0`]);
    notify(channel, 0, 5);
    expect(channel.sent).toEqual([]);
    expect(heard.list).toEqual([]);
    expect(counted(chip)).toEqual({ unsubscribedNotifications: 2 });
  });

  it('tries an unmasking that failed until it is done', async () => {
    const { chip, channel, answers } = await open();
    chip.setIrqType(0, 3, answers, 1);
    answered(channel);
    notify(channel, 0, 5);
    expect(answered(channel, 1)).toEqual([`${INPUT_INIT} 0.5 3`]);
    for (let i = 0; i < 3; i++) {
      vi.advanceTimersByTime(TIMEOUT_MS);
      expect(answered(channel, 1)).toEqual([`${INPUT_INIT} 0.5 3`]);
    }
    vi.advanceTimersByTime(TIMEOUT_MS);
    // Nobody has read a level that could be compared.
    expect(answered(channel)).toEqual([`${INPUT_INIT} 0.5 3`, `${INPUT_GET} 0.5 0`]);
    vi.advanceTimersByTime(60_000);
    expect([channel.sent, vi.getTimerCount()]).toEqual([[], 0]);
  });

  it.each([
    [0, []],
    [1, ['edge 0 -1']],
  ])('looks whether an edge was forgotten meanwhile: level %i', async (level, edges) => {
    const { chip, channel, answers, heard } = await open();
    chip.setIrqType(0, 3, answers, 1);
    answered(channel);
    notify(channel, 0, 5);
    chip.getValue(0, answers, 2);
    expect(channel.taken().map(described)).toEqual([`${INPUT_INIT} 0.5 3`]);
    vi.advanceTimersByTime(TIMEOUT_MS);
    chip.getValue(0, answers, 3);
    expect(answered(channel, 0, 0)).toEqual([`${INPUT_GET} 0.5 0`]);
    heard.list.length = 0;
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(answered(channel, 0, level)).toEqual([`${INPUT_INIT} 0.5 3`, `${INPUT_GET} 0.5 0`]);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 2 0', '3: 0 0']);
    expect(heard.list).toEqual(edges);
    vi.advanceTimersByTime(60_000);
    expect([channel.sent, vi.getTimerCount()]).toEqual([[], 0]);
  });

  it('drops what makes no sense, by reason, and goes on', async () => {
    const { chip, channel, answers, heard } = await open();
    chip.setIrqType(0, 3, answers, 0);
    answered(channel);
    chip.getValue(0, answers, 1);
    const [request] = channel.taken() as [number[]];
    channel.receive();
    channel.receive(5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 5);
    channel.receive(5, 1, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0);
    channel.receive(4, 1, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 1);
    channel.receive(5, 2, 0, 1, 2, 0, 0, 0, 0, 0, 5, 0, 0, 1);
    channel.receive(5, 1, 0, 0, 2, 0, 0, 0, 0, 0, 5, 0, 0, 1);
    channel.receive(5, 1, 0, 9, 2, 0, 0, 0, 0, 0, 5, 0, 0, 1);
    for (const [port, pin] of [
      [0, 6],
      [1, 5],
      [255, 255],
      [0, 37],
    ] as const)
      notify(channel, port, pin);
    // Replies for another line, another command, and then the right one with a notification before it.
    reply(channel, [...request.slice(0, 10), 31, 9], 0, 1);
    reply(channel, [...request.slice(0, 4), OUTPUT_INIT, ...request.slice(5)], 0, 1);
    expect(answers.taken()).toEqual(['0: 0 0']);
    notify(channel, 0, 5);
    reply(channel, request, 0, 1);
    answered(channel);
    reply(channel, request, 0, 1);
    expect(answers.taken()).toEqual(['1: 0 1']);
    expect(heard.list).toEqual(['edge 0 -1']);
    expect(counted(chip)).toEqual({
      shortMessages: 3,
      otherServices: 1,
      otherVersions: 1,
      unknownTypes: 2,
      unknownLines: 4,
      otherReplies: 2,
      unsolicitedReplies: 1,
      notifications: 1,
    });
  });

  it('does not take a late reply for the next request’s', async () => {
    const { chip, channel, answers } = await open();
    chip.getValue(0, answers, 1);
    const [late] = channel.taken() as [number[]];
    vi.advanceTimersByTime(TIMEOUT_MS);
    chip.getValue(0, answers, 2);
    // A question of another key goes first.
    expect(channel.taken().map(described)).toEqual([`${GET_DIRECTION} 0.5 0`]);
    reply(channel, late, 0, 1);
    const [read] = channel.taken() as [number[]];
    expect(described(read)).toBe(`${INPUT_GET} 0.5 0`);
    reply(channel, [...late.slice(0, 4), GET_DIRECTION, ...late.slice(5)], 0, 1);
    reply(channel, read, 0, 0);
    expect(answers.taken()).toEqual(['1: 2 0', '2: 0 0']);
    expect(counted(chip)).toEqual({ timeouts: 1, lateReplies: 1, questions: 1 });
  });

  it('answers everything when the channel goes, and says so once', async () => {
    const { chip, channel, answers, heard } = await open();
    chip.getValue(0, answers, 1);
    chip.getValue(1, answers, 2);
    channel.go('the co-processor has destroyed the channel');
    chip.getValue(0, answers, 3);
    chip.close();
    expect(answers.taken()).toEqual(['1: 3 0', '2: 3 0', '3: 3 0']);
    expect(heard.list).toEqual(['gone: the co-processor has destroyed the channel']);
    expect([chip.available, vi.getTimerCount()]).toEqual([false, 0]);
  });

  it('is lost when nothing is answered for three timeouts', async () => {
    const { chip, channel, answers, heard } = await open();
    for (let i = 1; i <= 3; i++) {
      chip.getValue(0, answers, i);
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    expect(answers.taken()).toEqual(['1: 2 0', '2: 2 0', '3: 2 0']);
    expect(heard.list).toEqual([
      expect.stringMatching(/^gone: the channel "rpmsg-io-channel" does not answer/),
    ]);
    expect(channel.closes).toBe(0);
    const told: string[] = [];
    expect(chip.onAnswering(() => told.push('answers'))).toBe(true);
    notify(channel, 0, 5);
    expect(told).toEqual([]);
    const [late] = channel.taken() as [number[]];
    reply(channel, late);
    reply(channel, late);
    expect(told).toEqual(['answers']);
    expect(chip.onAnswering(() => told.push('again'))).toBe(false);
    chip.close();
    expect(channel.closes).toBe(1);
  });

  it('tells of a channel that goes while it is silent as of an answer', async () => {
    const { chip, channel, answers } = await open();
    for (let i = 1; i <= 3; i++) {
      chip.getValue(0, answers, i);
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    const told: string[] = [];
    expect(chip.onAnswering(() => told.push('anew'))).toBe(true);
    channel.go('destroyed');
    expect(told).toEqual(['anew']);
  });

  it('is opened again on the same channel, where late replies of before are dropped', async () => {
    const { chip, channel, answers } = await open();
    chip.getDirection(0, answers, 1);
    const [late] = channel.taken() as [number[]];
    chip.close();
    expect(answers.taken()).toEqual(['1: 3 0']);
    const opening = openRpmsgChip(channel, {
      name: 'hub',
      where: 'm4',
      dialect: 'auto',
      lines: LINES,
      channelTimeoutMs: 1000,
      requestTimeoutMs: TIMEOUT_MS,
    });
    await vi.waitFor(() => expect(channel.sent).toHaveLength(1));
    expect(channel.taken().map(described)).toEqual([`${INPUT_GET} 0.5 0`]);
    reply(channel, late, 0, 0);
    expect(answered(channel, 0, 1)).toEqual([`${GET_DIRECTION} 0.5 0`]);
    const again = await opening;
    expect(counted(again)).toEqual({ questions: 1, lateReplies: 1 });
  });
});
