import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LimitedLog } from '../../src/daemon/limited-log.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function limited() {
  const lines: string[] = [];
  const log = new LimitedLog((level, message) => lines.push(`${level}: ${message}`));
  return { log, lines };
}

describe('LimitedLog', () => {
  it('writes what comes at a bearable pace', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 500; i++) {
      log.log('info', `guest vm1: line ${i}`);
      vi.advanceTimersByTime(1000);
    }
    expect(lines).toHaveLength(500);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves out what comes too fast, and counts it', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 10_000; i++) log.log('warn', `guest vm1: line ${i}`);
    expect(lines).toHaveLength(100);
    expect(lines[99]).toBe('warn: guest vm1: line 99');
    vi.advanceTimersByTime(10_000);
    expect(lines.slice(100)).toEqual(['warn: guest vm1: 9900 more lines were left out']);
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(101);
  });

  it('is bounded over a flood of any length', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 6000; i++) {
      for (let j = 0; j < 10; j++) log.log('warn', `guest vm1: line ${i}`);
      vi.advanceTimersByTime(10);
    }
    // A minute: 100 at once, one a second, and six counts.
    expect(lines.length).toBeLessThanOrEqual(100 + 60 + 6);
    const leftOut = lines.flatMap((line) => /: (\d+) more lines/.exec(line)?.[1] ?? []);
    log.close();
    const last = /: (\d+) more lines/.exec(lines.at(-1) ?? '')?.[1];
    expect(last === undefined ? 0 : leftOut.length).toBeGreaterThan(4);
  });

  it('leaves other sources and levels alone', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 1000; i++) log.log('warn', 'guest vm1: again');
    log.log('error', 'guest vm1: is broken');
    log.log('warn', 'guest vm2: bad chain');
    expect(lines.slice(100)).toEqual(['error: guest vm1: is broken', 'warn: guest vm2: bad chain']);
  });

  it('tells of a bounded number of sources, and of none that it forgets less', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 150; i++) log.log('warn', 'first: again');
    for (let i = 0; i < 1000; i++) log.log('warn', `source ${i}: once`);
    expect(lines).toContain('warn: first: 50 more lines were left out');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says at its end what it had not said', () => {
    const { log, lines } = limited();
    for (let i = 0; i < 110; i++) log.log('warn', 'guest vm1: again');
    log.close();
    log.close();
    expect(lines.slice(100)).toEqual(['warn: guest vm1: 10 more lines were left out']);
  });
});
