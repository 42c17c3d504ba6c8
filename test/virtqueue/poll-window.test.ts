import { describe, expect, it } from 'vitest';
import { PollWindow } from '../../src/virtqueue/poll-window.ts';

function closed(): PollWindow {
  const window = new PollWindow();
  for (let i = 0; i < 8; i++) window.gaveUp();
  return window;
}

/** Doorbells until it is tried again. */
function pauseOf(window: PollWindow): number {
  let doorbells = 0;
  while (!window.isOpen) {
    window.missed();
    if (++doorbells > 100_000) throw new Error('is never tried again');
  }
  return doorbells;
}

describe('PollWindow', () => {
  it('is open at first, and closes when polling fails again and again', () => {
    const window = new PollWindow();
    for (let i = 0; i < 7; i++) {
      window.gaveUp();
      expect(window.isOpen).toBe(true);
    }
    window.gaveUp();
    expect(window.isOpen).toBe(false);
  });

  it('stays open where it pays at least every other time', () => {
    const window = new PollWindow();
    for (let i = 0; i < 1000; i++) {
      window.gaveUp();
      window.found();
    }
    expect(window.isOpen).toBe(true);
  });

  it('is tried again after doorbells that came soon, and ever more rarely while that fails', () => {
    const window = closed();
    const pauses: number[] = [];
    for (let i = 0; i < 13; i++) {
      pauses.push(pauseOf(window));
      window.gaveUp();
    }
    expect(pauses).toEqual([2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025, 1025, 1025]);
  });

  it('is fully open again soon after it has begun to pay', () => {
    const window = closed();
    for (let i = 0; i < 12; i++) {
      pauseOf(window);
      window.gaveUp();
    }
    pauseOf(window);
    for (let i = 0; i < 10; i++) window.found();
    for (let i = 0; i < 7; i++) window.gaveUp();
    expect(window.isOpen).toBe(true);
    window.gaveUp();
    expect(pauseOf(window)).toBe(2);
  });

  it('without doorbells that came soon it stays closed', () => {
    const window = closed();
    for (let i = 0; i < 10_000; i++) window.gaveUp();
    expect(window.isOpen).toBe(false);
    expect(pauseOf(window)).toBe(2);
  });

  it('closes at once, and for long, where processor time is rationed', () => {
    const window = new PollWindow();
    window.rationed();
    expect(window.isOpen).toBe(false);
    expect(pauseOf(window)).toBe(4097);
    window.gaveUp();
    expect(pauseOf(window)).toBe(1025);
  });
});
