import { describe, expect, it } from 'vitest';
import { RestartPause } from '../../src/coprocessor/restart-pause.ts';

describe('RestartPause', () => {
  it('grows with failures that follow soon on each other, up to its bound, and starts anew after a stable run', () => {
    const pause = new RestartPause({ minMs: 100, maxMs: 1000 });
    expect([0, 1, 2, 3, 4, 5].map((nowMs) => pause.next(nowMs))).toEqual([100, 200, 400, 800, 1000, 1000]);
    pause.started(10_000);
    expect(pause.next(10_999)).toBe(1000);
    pause.started(20_000);
    expect(pause.next(21_000)).toBe(100);
    // Attempts to start it are no run.
    expect([pause.next(50_000), pause.next(90_000)]).toEqual([200, 400]);
    pause.reset();
    expect(pause.next(90_001)).toBe(100);
  });
});
