import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ANSWERED,
  type Outcome,
  type RequestCodec,
  type SingleRequest,
  SingleRequests,
} from '../../../src/coprocessor/dialects/single-request.ts';
import { OwedReplies } from '../../../src/coprocessor/dialects/single-request-owed.ts';
import { RESULT_FAILED, RESULT_OK, RESULT_TIMEOUT, RESULT_UNAVAILABLE } from '../../../src/gpio/chip.ts';
import { Answers } from './played-channel.ts';

const TIMEOUT_MS = 100;
const QUESTION = 200;
const REFUSED_QUESTION = 201;
const LOCAL = 99;

/** Messages of two bytes: what (an operation, or a question), and the key. The operation is the key, unless replies have none. */
class PlayedCodec implements RequestCodec {
  readonly isKeyed: boolean;
  readonly message = new Uint8Array(6);
  readonly questionCount = 2;
  readonly finished: string[] = [];
  /** Requests whose messages were about to be sent, and those that then were not. */
  readonly attempts: string[] = [];

  constructor(isKeyed: boolean) {
    this.isKeyed = isKeyed;
  }

  #write(what: number, key: number, value: number): number {
    this.message[0] = what;
    this.message[1] = this.isKeyed ? key : 0;
    new DataView(this.message.buffer).setUint32(2, value);
    return this.message[1] as number;
  }

  begin({ operation, value }: SingleRequest, outcome: Outcome): number {
    if (operation !== LOCAL) return this.#write(operation, operation, value);
    outcome.result = RESULT_OK;
    outcome.value = 7;
    return ANSWERED;
  }

  sending({ operation }: SingleRequest): void {
    this.attempts.push(`${operation}`);
  }

  unsent({ operation }: SingleRequest): void {
    this.attempts.push(`not ${operation}`);
  }

  finish({ operation }: SingleRequest, { result, value }: Outcome): void {
    this.finished.push(`${operation}: ${result} ${value}`);
  }

  question(index: number): number {
    return this.#write(QUESTION, index === 0 ? 1 : 100, 0);
  }

  refusedQuestion(): void {
    this.#write(REFUSED_QUESTION, 0, 0);
  }
}

function setUp(isKeyed = true, options: { limit?: number; answersRefusals?: boolean } = {}) {
  const sent: number[][] = [];
  const state = { isFull: false };
  const codec = new PlayedCodec(isKeyed);
  const owed = new OwedReplies();
  owed.answersRefusals = options.answersRefusals ?? false;
  const hangs: string[] = [];
  const requests = new SingleRequests({
    codec,
    owed,
    send: (message) => {
      if (state.isFull) return false;
      sent.push([message[0] as number, message[1] as number]);
      return true;
    },
    timeoutMs: TIMEOUT_MS,
    limit: options.limit ?? 100,
    onHang: (reason) => hangs.push(reason),
  });
  const answers = new Answers();
  /** Submits a request of that operation, which is its key; the token is the operation, too. */
  const submit = (operation: number, token = operation) =>
    requests.submit(operation, 0, 0, answers, token, false);
  return { requests, codec, owed, sent, state, hangs, answers, submit };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('requests one at a time', () => {
  it('sends the next one when the first is answered, and answers in order', () => {
    const { requests, sent, answers, submit } = setUp();
    for (const operation of [1, 2, 3]) submit(operation);
    expect(sent).toEqual([[1, 1]]);
    requests.reply(1, RESULT_OK, 5);
    expect(sent).toEqual([
      [1, 1],
      [2, 2],
    ]);
    requests.reply(2, RESULT_FAILED, 0);
    requests.reply(3, RESULT_OK, 1);
    expect(answers.list).toEqual(['1: 0 5', '2: 1 0', '3: 0 1']);
    expect(requests.length).toBe(0);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
  });

  it('answers at once what need not be sent, but not before what was asked earlier', () => {
    const { requests, answers, submit } = setUp();
    submit(LOCAL, 10);
    expect(answers.taken()).toEqual(['10: 0 7']);
    submit(1);
    submit(LOCAL, 11);
    expect(answers.taken()).toEqual([]);
    requests.reply(1, RESULT_OK, 0);
    expect(answers.taken()).toEqual(['1: 0 0', '11: 0 7']);
  });

  it('takes requests that an answer causes behind those that wait', () => {
    const { requests, sent, answers, submit } = setUp();
    requests.submit(1, 0, 0, { complete: () => submit(3) }, 0);
    submit(2);
    requests.reply(1, RESULT_OK, 0);
    requests.reply(2, RESULT_OK, 0);
    requests.reply(3, RESULT_OK, 0);
    expect(sent.map(([what]) => what)).toEqual([1, 2, 3]);
    expect(answers.list).toEqual(['2: 0 0', '3: 0 0']);
  });

  it('answers a long row of local requests without recursion', () => {
    const { requests } = setUp();
    let left = 100_000;
    const again = {
      complete: () => {
        if (left-- > 0) requests.submit(LOCAL, 0, 0, again, 0);
      },
    };
    requests.submit(LOCAL, 0, 0, again, 0);
    expect(left).toBe(-1);
  });

  it('gives up each request at its own deadline, sent or not', () => {
    const { answers, submit, requests, sent } = setUp();
    submit(1);
    vi.advanceTimersByTime(60);
    submit(2);
    vi.advanceTimersByTime(40);
    expect(answers.taken()).toEqual(['1: 2 0']);
    expect(sent).toEqual([
      [1, 1],
      [2, 2],
    ]);
    vi.advanceTimersByTime(60);
    expect(answers.taken()).toEqual(['2: 2 0']);
    expect(requests.timeouts).toBe(2);
    vi.advanceTimersByTime(10_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('refuses more than the limit at once, but none of the chip’s own', () => {
    const { requests, answers, submit } = setUp(true, { limit: 2 });
    for (const operation of [1, 2, 3]) submit(operation);
    expect(answers.taken()).toEqual(['3: 2 0']);
    expect(requests.queueFull).toBe(1);
    requests.submit(4, 0, 0, answers, 4, true);
    for (const key of [1, 2, 4]) requests.reply(key, RESULT_OK, 0);
    expect(answers.taken()).toEqual(['1: 0 0', '2: 0 0', '4: 0 0']);
  });

  it('tries again soon when the send queue is full, until the deadline', () => {
    const { requests, state, codec, sent, answers, submit } = setUp();
    state.isFull = true;
    submit(1);
    submit(2);
    vi.advanceTimersByTime(50);
    expect(sent).toEqual([]);
    expect(codec.attempts.slice(-2)).toEqual(['1', 'not 1']);
    state.isFull = false;
    vi.advanceTimersByTime(10);
    expect(sent).toEqual([[1, 1]]);
    expect(codec.attempts.slice(-2)).toEqual(['not 1', '1']);
    requests.reply(1, RESULT_OK, 0);
    expect(answers.taken()).toEqual(['1: 0 0']);
    expect(requests.sendQueueFull).toBeGreaterThan(0);
    state.isFull = true;
    submit(3);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(answers.taken()).toEqual(['2: 2 0', '3: 2 0']);
  });

  it('answers everything with RESULT_UNAVAILABLE when closed, in order, and what comes later', () => {
    const { requests, answers, submit } = setUp();
    submit(1);
    submit(2);
    requests.close();
    requests.close();
    submit(3);
    requests.reply(1, RESULT_OK, 0);
    expect(answers.list).toEqual([1, 2, 3].map((token) => `${token}: ${RESULT_UNAVAILABLE} 0`));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says that the co-processor hangs after three timeouts without any answer', () => {
    const { requests, hangs, submit } = setUp();
    for (let i = 0; i < 2; i++) {
      submit(1 + i);
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    expect(hangs).toEqual([]);
    // Late, but alive.
    requests.reply(1, RESULT_OK, 0);
    for (let i = 0; i < 3; i++) {
      submit(3 + i);
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    expect(hangs).toEqual([expect.stringMatching(/^does not answer: the last 3 requests/)]);
  });
});

describe('replies that are nobody’s', () => {
  it('are dropped and counted: nothing under way, another request’s, too late', () => {
    const { requests, answers, submit } = setUp();
    requests.reply(1, RESULT_OK, 9);
    expect(requests.unsolicitedReplies).toBe(1);
    submit(1);
    requests.reply(2, RESULT_OK, 9);
    expect([requests.otherReplies, answers.list.length]).toEqual([1, 0]);
    vi.advanceTimersByTime(TIMEOUT_MS);
    expect(answers.taken()).toEqual(['1: 2 0']);
    requests.reply(1, RESULT_OK, 9);
    expect(requests.lateReplies).toBe(1);
    submit(1, 50);
    requests.reply(1, RESULT_OK, 4);
    expect(answers.taken()).toEqual(['50: 0 4']);
  });
});

describe('after a timeout, with keys', () => {
  it('sends another request at once, whose answer settles what was owed', () => {
    const { requests, sent, answers, submit } = setUp();
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(2);
    expect(sent).toEqual([
      [1, 1],
      [2, 2],
    ]);
    requests.reply(2, RESULT_OK, 3);
    submit(1, 11);
    expect(sent.slice(2)).toEqual([[1, 1]]);
    expect(answers.taken()).toEqual(['1: 2 0', '2: 0 3']);
  });

  it('asks another question before the same request, and drops the late reply', () => {
    const { requests, sent, answers, submit } = setUp();
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(1, 11);
    // Question 0 has the key that is owed.
    expect(sent).toEqual([
      [1, 1],
      [QUESTION, 100],
    ]);
    requests.reply(100, RESULT_OK, 0);
    expect(sent[2]).toEqual([1, 1]);
    requests.reply(1, RESULT_OK, 6);
    expect(answers.taken()).toEqual(['1: 2 0', '11: 0 6']);
    expect(requests.questions).toBe(1);
  });

  it('sends the same request when the late reply comes before the answer to the question', () => {
    const { requests, sent, answers, submit } = setUp();
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(1, 11);
    requests.reply(1, RESULT_OK, 1);
    expect(sent[2]).toEqual([1, 1]);
    requests.reply(100, RESULT_OK, 0);
    requests.reply(1, RESULT_OK, 2);
    expect(answers.taken()).toEqual(['1: 2 0', '11: 0 2']);
  });

  it('keeps what is owed for the next user of the channel', () => {
    const first = setUp();
    first.submit(1);
    first.requests.close();
    expect(first.owed.has(1)).toBe(true);
  });
});

describe('after a timeout, without keys', () => {
  it('asks for errors in a row and a success, and goes on after them', () => {
    const { requests, sent, answers, submit } = setUp(false, { answersRefusals: true });
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(2);
    expect(sent.map(([what]) => what)).toEqual([1, REFUSED_QUESTION, REFUSED_QUESTION, QUESTION]);
    // The reply to 1 was lost.
    for (const result of [RESULT_FAILED, RESULT_FAILED, RESULT_OK]) requests.reply(0, result, 0);
    expect(sent[4]).toEqual([2, 0]);
    requests.reply(0, RESULT_OK, 8);
    expect(answers.taken()).toEqual(['1: 2 0', '2: 0 8']);
  });

  it.each([RESULT_OK, RESULT_FAILED])('tells a late reply (%i) from those', (late) => {
    const { requests, sent, answers, submit } = setUp(false, { answersRefusals: true });
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(2);
    for (const result of [late, RESULT_FAILED, RESULT_FAILED]) requests.reply(0, result, 0);
    expect(sent).toHaveLength(4);
    requests.reply(0, RESULT_OK, 0);
    requests.reply(0, RESULT_OK, 8);
    expect(answers.taken()).toEqual(['1: 2 0', '2: 0 8']);
  });

  it('waits for the late reply, or a second without any, where failures are not answered', () => {
    const { requests, sent, answers, submit } = setUp(false);
    submit(1);
    vi.advanceTimersByTime(TIMEOUT_MS);
    submit(2);
    expect(sent).toHaveLength(1);
    requests.reply(0, RESULT_OK, 3);
    expect(sent).toHaveLength(2);
    vi.advanceTimersByTime(TIMEOUT_MS);
    // Heard last 100 ms ago.
    vi.advanceTimersByTime(850);
    submit(3);
    vi.advanceTimersByTime(40);
    expect(sent).toHaveLength(2);
    vi.advanceTimersByTime(20);
    expect(sent).toHaveLength(3);
    requests.reply(0, RESULT_OK, 4);
    expect(answers.taken()).toEqual(['1: 2 0', '2: 2 0', '3: 0 4']);
    expect(requests.questions).toBe(0);
  });

  it('does not take the silence that it keeps itself for a hang', () => {
    const { hangs, submit } = setUp(false);
    for (let i = 0; i < 8; i++) {
      submit(1 + i);
      vi.advanceTimersByTime(TIMEOUT_MS);
    }
    expect(hangs).toEqual([]);
  });
});

type Step = {
  what: 'submit' | 'answer' | 'lose' | 'wait' | 'stall';
  key: number;
  ms: number;
  fails: boolean;
};
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom('submit', 'submit', 'answer', 'answer', 'lose', 'wait', 'wait', 'stall'),
  key: fc.integer({ min: 1, max: 3 }),
  ms: fc.constantFrom(1, 30, 99, 100, 101, 250, 900),
  fails: fc.boolean(),
});

describe('whatever comes late, or not at all', () => {
  it.each([
    ['with keys', true, false],
    ['without keys', false, true],
    ['without keys, and failures are not answered', false, false],
  ])(
    'no reply is taken for another request’s, and requests are answered again: %s',
    (_what, isKeyed, answersRefusals) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          const codec = new PlayedCodec(isKeyed);
          const owed = new OwedReplies();
          owed.answersRefusals = answersRefusals;
          /** The firmware's queue: it serves in order, whenever it likes; some it loses. */
          const queue: { what: number; key: number; id: number; fails: boolean; sinceMs: number }[] = [];
          let fails = false;
          const requests = new SingleRequests({
            codec,
            owed,
            send: (message) => {
              const id = new DataView(message.buffer).getUint32(2);
              queue.push({
                what: message[0] as number,
                key: message[1] as number,
                id,
                fails,
                sinceMs: performance.now(),
              });
              return true;
            },
            timeoutMs: TIMEOUT_MS,
            limit: 20,
            onHang: () => {},
          });
          const told: number[] = [];
          const wrong: string[] = [];
          const done = {
            complete: (token: number, result: number, value: number) => {
              told.push(token);
              if (result !== RESULT_TIMEOUT && value !== token) wrong.push(`${token} was told ${value}`);
            },
          };
          const answer = (): void => {
            const next = queue.shift();
            if (next === undefined) return;
            // Where nothing tells replies apart, the firmware is trusted not to take longer than a second.
            if (!isKeyed && !answersRefusals && performance.now() - next.sinceMs >= 1000) return answer();
            const isRefused = next.what === REFUSED_QUESTION || (next.what < 100 && next.fails);
            requests.reply(next.key, isRefused ? RESULT_FAILED : RESULT_OK, next.id);
          };
          let id = 0;
          for (const { what, key, ms, fails: isFailing } of steps) {
            fails = isFailing;
            if (what === 'submit') {
              id++;
              requests.submit(key, 0, id, done, id);
            } else if (what === 'stall') {
              // Long enough for several rounds of questions.
              for (let round = 0; round < key; round++) {
                requests.submit(key, 0, ++id, done, id);
                vi.advanceTimersByTime(TIMEOUT_MS);
              }
              requests.submit(key, 0, ++id, done, id);
            } else if (what === 'answer') answer();
            else if (what === 'lose') queue.shift();
            else vi.advanceTimersByTime(ms);
          }
          // It comes to its senses, and answers everything from now on.
          vi.advanceTimersByTime(TIMEOUT_MS);
          for (let i = 0; i < 30; i++) {
            while (queue.length > 0) answer();
            vi.advanceTimersByTime(TIMEOUT_MS);
          }
          const last = ++id;
          let lastResult = -1;
          fails = false;
          requests.submit(
            1,
            0,
            last,
            {
              complete: (token, result, value) => {
                lastResult = result;
                done.complete(token, result, value);
              },
            },
            last,
          );
          for (let i = 0; i < 200; i++) {
            while (queue.length > 0) answer();
            vi.advanceTimersByTime(1);
          }
          expect(wrong).toEqual([]);
          // All answered, in order (those refused as too many at once, before).
          expect([...told].sort((a, b) => a - b)).toEqual(Array.from({ length: last }, (_, i) => i + 1));
          expect(lastResult).toBe(RESULT_OK);
          requests.close();
        }),
        { numRuns: 300 },
      );
    },
  );
});
