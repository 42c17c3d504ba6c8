import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerWatch } from '../../../src/coprocessor/answer-watch.ts';
import { END, type LineTask, type MetuxLines } from '../../../src/coprocessor/dialects/metux-lines.ts';
import type { MetuxMessages } from '../../../src/coprocessor/dialects/metux-messages.ts';
import { MetuxReplies } from '../../../src/coprocessor/dialects/metux-replies.ts';
import { MetuxRequests } from '../../../src/coprocessor/dialects/metux-requests.ts';
import { RESULT_OK, RESULT_TIMEOUT } from '../../../src/gpio/chip.ts';
import { TokenLog } from './played-firmware.ts';
import { PlayedMetux, simpleDevice } from './played-metux.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const TIMEOUT_MS = 100;

async function opened() {
  const played = new PlayedMetux({ requestTimeoutMs: TIMEOUT_MS });
  const chip = await played.open();
  return { played, chip, log: new TokenLog() };
}

describe('a request without a reply', () => {
  it('times out, and its late reply is not the next one’s', async () => {
    const { played, chip, log } = await opened();
    chip.getDirection(0, log, 0);
    chip.flush();
    const [late] = played.take();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    expect(log.taken()).toEqual(['0: 2 0']);
    chip.getDirection(0, log, 1);
    chip.flush();
    // The same again is not sent; what is sent shows whether the first reply is lost.
    const [harmless] = played.take();
    expect(PlayedMetux.text(harmless!)).toBe('5:0=0');
    played.reply(late!, 0);
    played.reply(harmless!, 1);
    played.ring();
    expect(log.taken()).toEqual([]);
    expect(played.serve(() => 1)).toEqual(['4:0=0']);
    expect(log.taken()).toEqual(['1: 0 2']);
    expect(chip.counters).toMatchObject({
      timeouts: 1,
      lateReplies: 2,
      lostReplies: 0,
      unexpectedReplies: 0,
    });
    chip.close();
  });

  it('has it lost when that of a later one comes', async () => {
    const { played, chip, log } = await opened();
    chip.getDirection(0, log, 0);
    chip.flush();
    played.take();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    chip.getDirection(0, log, 1);
    chip.flush();
    expect(played.serve(() => 1)).toEqual(['5:0=0', '4:0=0']);
    expect(log.taken()).toEqual(['0: 2 0', '1: 0 2']);
    expect(chip.counters).toMatchObject({ lateReplies: 1, lostReplies: 1, unexpectedReplies: 0 });
    chip.close();
  });

  it('fails at once when a later one of another line is answered', async () => {
    const { played, chip, log } = await opened();
    for (let line = 0; line < 4; line++) chip.getDirection(line, log, line);
    chip.flush();
    const requests = played.take();
    played.reply(requests[2]!, 0);
    played.ring();
    expect(log.taken()).toEqual(['0: 1 0', '1: 1 0', '2: 0 1']);
    // Out of order, or twice: nobody asked for it.
    played.reply(requests[0]!, 1);
    played.reply(requests[2]!, 1);
    played.reply(requests[3]!, 1);
    played.ring();
    expect(log.taken()).toEqual(['3: 0 2']);
    expect(chip.counters).toMatchObject({ lostReplies: 2, unexpectedReplies: 2 });
    chip.close();
  });

  it('may leave a direction unknown, which is asked for again', async () => {
    const { played, chip, log } = await opened();
    const device = simpleDevice(4);
    chip.setValue(0, 1, log, 0);
    chip.setDirection(0, 1, log, 1);
    chip.flush();
    played.serve(device.answer);
    chip.setDirection(0, 2, log, 2);
    chip.flush();
    const [late] = played.take();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    device.answer(late!);
    played.reply(late!, 0);
    chip.setValue(0, 0, log, 3);
    chip.flush();
    // It is an input now: the value is kept.
    expect(played.serve(device.answer)).toEqual(['4:0=0']);
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0', '2: 2 0', '3: 0 0']);
    chip.close();
  });

  it('among three timeouts full of them: the chip is lost, and tells when something is answered after all', async () => {
    const { played, chip, log } = await opened();
    const losses: string[] = [];
    chip.listen({ edge: () => {}, availability: (_available, reason) => losses.push(reason) });
    for (let round = 0; round < 3; round++) {
      chip.getDirection(0, log, round);
      chip.flush();
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    }
    expect(log.taken()).toEqual(['0: 2 0', '1: 2 0', '2: 2 0']);
    expect(losses).toEqual(['vdev 0 does not answer: the last 3 requests got no answer within 100 ms']);
    let answering = 0;
    expect(chip.onAnswering(() => answering++)).toBe(true);
    const [first] = played.take();
    expect(answering).toBe(0);
    played.reply(first!, 0);
    played.ring();
    played.ring();
    expect(answering).toBe(1);
    chip.close();
  });
});

/** Tasks whose reply carries the number of the task: `value`, sent along and echoed. */
class EchoLines {
  argument = 0;
  readonly outcome = { result: RESULT_OK, value: 0 };

  next({ kind, value }: LineTask): number {
    this.argument = value;
    return kind;
  }

  replied(_task: LineTask | null, _command: number, _line: number, value: number): number {
    this.outcome.value = value;
    return END;
  }

  unanswered(): void {
    // Nothing is known of lines.
  }
}

interface Sent {
  readonly command: number;
  readonly line: number;
  readonly value: number;
}

/** A device that answers in order, late or not at all. */
class EchoDevice {
  readonly room: number;
  readonly sent: Sent[] = [];
  readonly outcomes = new Map<number, { result: number; value: number }>();
  readonly requests: MetuxRequests;
  silent = 0;
  #ids = 0;

  constructor(lineCount: number, room: number) {
    this.room = room;
    const messages = {
      send: (command: number, line: number, value: number): boolean => {
        if (this.sent.length >= this.room) return false;
        this.sent.push({ command, line, value });
        return true;
      },
    };
    this.requests = new MetuxRequests({
      messages: messages as unknown as MetuxMessages,
      lines: new EchoLines() as unknown as MetuxLines,
      lineCount,
      requestTimeoutMs: TIMEOUT_MS,
      watch: new AnswerWatch(TIMEOUT_MS),
      afterExpiry: () => {},
      onSilent: () => this.silent++,
    });
  }

  /** @returns the number of the task */
  ask(command: number, line: number): number {
    const id = ++this.#ids;
    const complete = (token: number, result: number, value: number): void => {
      if (this.outcomes.has(token)) throw new Error(`task ${token} was completed twice`);
      this.outcomes.set(token, { result, value });
    };
    this.requests.submit(command, line, id, { complete }, id);
    return id;
  }

  answer(): void {
    const sent = this.sent.shift();
    if (sent !== undefined) this.requests.replied(sent.command, sent.line, sent.value);
  }

  lose(): void {
    this.sent.shift();
    this.requests.resume();
  }

  get asked(): number {
    return this.#ids;
  }
}

const LINES = 3;
const COMMANDS = [3, 4, 5, 6];
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('ask'),
      command: fc.constantFrom(...COMMANDS),
      line: fc.nat(LINES - 1),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('answer') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.integer({ min: 1, max: 150 }) }) },
) as fc.Arbitrary<{ kind: string; command?: number; line?: number; ms?: number }>;

describe('replies in order, late or lost', () => {
  it('are never taken for those of other requests, and what is asked later is answered', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 6 }), (steps, room) => {
        const device = new EchoDevice(LINES, room);
        for (const { kind, command = 3, line = 0, ms = 0 } of steps) {
          if (kind === 'ask') device.ask(command, line);
          else if (kind === 'answer') device.answer();
          else if (kind === 'lose') device.lose();
          else vi.advanceTimersByTime(ms);
        }
        vi.advanceTimersByTime(TIMEOUT_MS);
        expect(device.outcomes.size).toBe(device.asked);
        expect(device.requests.waiting).toBe(false);
        // The device is well again: whatever is asked is answered, from the first one on.
        for (const command of COMMANDS) {
          for (let line = 0; line < LINES; line++) {
            const id = device.ask(command, line);
            for (let i = 0; i < 20 && !device.outcomes.has(id); i++) device.answer();
            expect(device.outcomes.get(id)).toEqual({ result: RESULT_OK, value: id });
          }
        }
        for (const [id, { result, value }] of device.outcomes) {
          if (result === RESULT_OK) expect(value).toBe(id);
        }
        device.requests.close();
      }),
      { numRuns: 500 },
    );
  });

  it('are told late from lost by a device that loses one of each kind', () => {
    const device = new EchoDevice(1, 8);
    for (const command of [4, 5]) {
      device.ask(command, 0);
      device.lose();
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    // Both harmless questions are open, so the next one of these waits for another command's reply.
    const blocked = device.ask(4, 0);
    expect(device.sent).toEqual([]);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(device.outcomes.get(blocked)?.result).toBe(RESULT_TIMEOUT);
    expect(device.silent).toBe(1);
    const other = device.ask(3, 0);
    device.answer();
    const again = device.ask(4, 0);
    device.answer();
    for (const id of [other, again])
      expect(device.outcomes.get(id)).toEqual({ result: RESULT_OK, value: id });
    expect(device.requests.replies.lost).toBe(2);
    device.requests.close();
  });

  it('are expected of a bounded number of requests', () => {
    const lineCount = 1000;
    const device = new EchoDevice(lineCount, 10_000);
    for (let line = 0; line < lineCount; line++) device.ask(3, line);
    expect(device.sent.length).toBe(256);
    expect(device.requests.replies.hasRoom).toBe(false);
    for (let i = 0; i < lineCount; i++) device.answer();
    expect([...device.outcomes.values()].every(({ result }) => result === RESULT_OK)).toBe(true);
    device.requests.close();
  });

  it('of no line and no command are nobody’s', () => {
    const replies = new MetuxReplies<string>(2);
    replies.expect(5, 1, 'mine', 0);
    for (const [command, line] of [
      [5, 0],
      [5, 2],
      [5, 65535],
      [4, 1],
      [0, 1],
      [37, 1],
      [0xfff, 1],
    ]) {
      expect(replies.take(command!, line!)).toBeNull();
    }
    expect(replies.take(5, 1)).toEqual({ owner: 'mine', lost: [] });
    expect(replies.take(5, 1)).toBeNull();
  });
});
