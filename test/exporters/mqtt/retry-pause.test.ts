import { describe, expect, it } from 'vitest';
import { RetryPause } from '../../../src/exporters/mqtt/retry-pause.ts';

describe('pauses between attempts', () => {
  it('double up to the longest, and begin anew after a success', () => {
    const pause = new RetryPause(100, 1000, () => 0.5);
    expect([1, 2, 3, 4, 5, 6].map(() => pause.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
    pause.reset();
    expect(pause.next()).toBe(100);
  });

  it('differ by a quarter either way, and never exceed the longest', () => {
    expect(new RetryPause(100, 1000, () => 0).next()).toBe(75);
    expect(new RetryPause(100, 1000, () => 1).next()).toBe(125);
    expect(new RetryPause(1000, 1000, () => 1).next()).toBe(1000);
    expect(new RetryPause(500, 100, () => 0.5).next()).toBe(500);
  });
});
