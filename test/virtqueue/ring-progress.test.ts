import { describe, expect, it } from 'vitest';
import { AnswerProgress, RingProgress } from '../../src/virtqueue/ring-progress.ts';

describe('RingProgress', () => {
  const ring = {};
  const work = (position: number) => ({ ring, position, hasWork: true });

  it('finds a ring stuck whose work of the last look lies there still', () => {
    const progress = new RingProgress();
    expect(progress.look(work(5))).toBe('waiting');
    expect(progress.look(work(5))).toBe('stuck');
    expect(progress.look(work(5))).toBe('stuck');
    expect(progress.look(work(6))).toBe('waiting');
  });

  it('does not for one that was empty in between, however the index stands', () => {
    const progress = new RingProgress();
    progress.look(work(5));
    expect(progress.look({ ring, position: 5, hasWork: false })).toBe('idle');
    expect(progress.look(work(5))).toBe('waiting');
  });

  it('does not for another ring at the same index, nor where there is none', () => {
    const progress = new RingProgress();
    progress.look(work(0));
    expect(progress.look({ ring: {}, position: 0, hasWork: true })).toBe('waiting');
    expect(progress.look(null)).toBe('idle');
    expect(progress.look(work(0))).toBe('waiting');
  });
});

describe('AnswerProgress', () => {
  const ring = {};

  it('tells how long nothing was answered, beyond the limit', () => {
    const progress = new AnswerProgress(100);
    expect(progress.look(ring, 7, 1000)).toBe(0);
    expect(progress.look(ring, 7, 1100)).toBe(0);
    expect(progress.look(ring, 7, 1101)).toBe(101);
    expect(progress.look(ring, 8, 1200)).toBe(0);
    expect(progress.look(ring, 8, 1301)).toBe(101);
  });

  it('counts anew when nothing is owed, and for another ring', () => {
    const progress = new AnswerProgress(100);
    progress.look(ring, 7, 0);
    expect(progress.look(null, 7, 500)).toBe(0);
    expect(progress.look(ring, 7, 600)).toBe(0);
    expect(progress.look({}, 7, 900)).toBe(0);
    expect(progress.look(ring, 7, 1100)).toBe(0);
  });
});
