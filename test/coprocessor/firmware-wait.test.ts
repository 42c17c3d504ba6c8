import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ANY_NOTIFY_ID } from '../../src/coprocessor/doorbell.ts';
import { FirmwareWait } from '../../src/coprocessor/firmware-wait.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** How a promise ended, as far as that is known by now. */
function outcome(promise: Promise<void>) {
  const seen: { is: string } = { is: 'waits' };
  promise.then(
    () => {
      seen.is = 'done';
    },
    (error: Error) => {
      seen.is = error.message;
    },
  );
  return seen;
}

const elapse = (timeMs: number) => vi.advanceTimersByTimeAsync(timeMs);
const timeout = () => new Error('too late');

describe('until', () => {
  it('looks at once', async () => {
    const seen = outcome(new FirmwareWait().until(() => true, 1000, false, timeout));
    await elapse(0);
    expect(seen.is).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('looks with every call', async () => {
    const wait = new FirmwareWait();
    let isThere = false;
    const seen = outcome(wait.until(() => isThere, 1000, false, timeout));
    wait.called(ANY_NOTIFY_ID);
    isThere = true;
    await elapse(500);
    expect(seen.is).toBe('waits');
    wait.called(ANY_NOTIFY_ID);
    await elapse(0);
    expect(seen.is).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('looks at an interval where calls cannot be counted on', async () => {
    let isThere = false;
    const seen = outcome(new FirmwareWait().until(() => isThere, 1000, true, timeout));
    await elapse(100);
    isThere = true;
    await elapse(50);
    expect(seen.is).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('looks a last time at the end, then gives up', async () => {
    let isThere = false;
    const wait = new FirmwareWait();
    const late = outcome(wait.until(() => false, 1000, false, timeout));
    const lucky = outcome(wait.until(() => isThere, 1000, false, timeout));
    await elapse(999);
    isThere = true;
    expect([late.is, lucky.is]).toEqual(['waits', 'waits']);
    await elapse(1);
    expect([late.is, lucky.is]).toEqual(['too late', 'done']);
  });

  it('ends with what the look throws, and when it is aborted', async () => {
    const wait = new FirmwareWait();
    let fault: Error | undefined;
    const look = () => {
      if (fault !== undefined) throw fault;
      return false;
    };
    const faulty = outcome(wait.until(look, 1000, false, timeout));
    const aborted = outcome(wait.until(() => false, 1000, true, timeout));
    fault = new Error('garbage');
    wait.called(1);
    wait.abort(new Error('closed'));
    await elapse(0);
    expect([faulty.is, aborted.is]).toEqual(['garbage', 'closed']);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('untilQuiet', () => {
  it('believes the vdev itself at once', async () => {
    const wait = new FirmwareWait();
    const seen = outcome(wait.untilQuiet(0, 0));
    wait.called(0);
    await elapse(0);
    expect(seen.is).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('waits for silence otherwise, but not for ever', async () => {
    const wait = new FirmwareWait();
    const quiet = outcome(wait.untilQuiet(-2, 0));
    await elapse(40);
    wait.called(1);
    await elapse(40);
    expect(quiet.is).toBe('waits');
    await elapse(10);
    expect(quiet.is).toBe('done');

    const startedAt = performance.now();
    const noisy = outcome(wait.untilQuiet(-2, 0));
    while (noisy.is === 'waits' && performance.now() - startedAt < 5000) {
      await elapse(40);
      wait.called(1);
    }
    expect(noisy.is).toBe('done');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1000);
    expect(performance.now() - startedAt).toBeLessThan(1200);
  });

  it('gives firmware that looks from time to time several looks', async () => {
    const wait = new FirmwareWait();
    const seen = outcome(wait.untilQuiet(0, 100));
    for (let i = 0; i < 3; i++) {
      await elapse(100);
      wait.called(ANY_NOTIFY_ID);
    }
    expect(seen.is).toBe('waits');
    await elapse(100);
    expect(seen.is).toBe('done');
  });
});
