import { describe, expect, it } from 'vitest';
import { AnswerWatch } from '../../src/coprocessor/answer-watch.ts';

describe('AnswerWatch', () => {
  it('takes a co-processor for hung after three timeouts in which nothing was answered', () => {
    const watch = new AnswerWatch(200);
    expect([1200, 1400, 1600].map((nowMs) => watch.timedOut(1, nowMs))).toEqual([false, false, true]);
    expect(watch.text).toBe('does not answer: the last 3 requests got no answer within 200 ms');
  });

  it('does not for many requests at once, nor for two that are far apart', () => {
    const burst = new AnswerWatch(200);
    expect([burst.timedOut(50, 1200), burst.timedOut(50, 1300)]).toEqual([false, false]);
    const rare = new AnswerWatch(200);
    expect([rare.timedOut(1, 1200), rare.timedOut(1, 9000), rare.timedOut(1, 9100)]).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('begins anew with any answer', () => {
    const watch = new AnswerWatch(200);
    watch.timedOut(2, 1200);
    watch.answered();
    expect([1400, 1600, 1800].map((nowMs) => watch.timedOut(1, nowMs))).toEqual([false, false, true]);
  });
});
