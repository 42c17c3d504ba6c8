import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Pollable, Poller } from '../../src/virtqueue/poller.ts';

/** The clock of these tests, in milliseconds: each look at a ring takes 1 us. */
let nowMs = 0;

class FakePollable implements Pollable {
  readonly pollUs: number;
  /** Work that lies in the ring. */
  work = 0;
  polls = 0;
  served = 0;
  /** Enabled while nobody looks, as after a start. */
  notifications = true;
  log: string[] = [];
  /** Runs with every look, before it. */
  onPoll: () => void = () => {};
  /** Runs between enabling the notifications and the look after it. */
  onEnable: () => void = () => {};

  constructor(pollUs = 0) {
    this.pollUs = pollUs;
  }

  poll(): boolean {
    nowMs += 0.001;
    this.polls++;
    this.onPoll();
    if (this.work === 0) return false;
    this.work--;
    this.served++;
    return true;
  }

  disableNotifications(): void {
    this.notifications = false;
    this.log.push('off');
  }

  enableNotifications(): boolean {
    this.notifications = true;
    this.log.push('on');
    this.onEnable();
    return this.work > 0;
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

beforeEach(() => {
  nowMs = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('Poller', () => {
  it('serves what is there, with notifications off, and ends with them on', () => {
    const poller = new Poller();
    const pollable = new FakePollable();
    pollable.work = 20;
    pollable.onPoll = () => expect(pollable.notifications).toBe(false);
    poller.wake(pollable);
    expect([pollable.served, pollable.notifications]).toEqual([20, true]);
    expect(pollable.log).toEqual(['off', 'on']);
  });

  it('looks no longer than it is quiet when no polling time is set', () => {
    const poller = new Poller();
    const pollable = new FakePollable(0);
    poller.wake(pollable);
    expect(pollable.polls).toBe(1);
  });

  it('keeps looking for the polling time after the last work', () => {
    const poller = new Poller();
    const pollable = new FakePollable(50);
    pollable.work = 1;
    const start = nowMs;
    pollable.onPoll = () => {
      if (pollable.polls === 40) pollable.work = 1;
    };
    poller.wake(pollable);
    expect(pollable.served).toBe(2);
    const stayedUs = (nowMs - start) * 1000;
    expect(stayedUs).toBeGreaterThanOrEqual(89);
    expect(stayedUs).toBeLessThan(110);
    expect(pollable.log).toEqual(['off', 'on']);
  });

  it('looks for the longest polling time of those that are active', () => {
    const poller = new Poller();
    const [short, long] = [new FakePollable(10), new FakePollable(100)];
    const start = nowMs;
    poller.activate(short);
    poller.wake(long);
    expect((nowMs - start) * 1000).toBeGreaterThanOrEqual(99);
    const second = nowMs;
    poller.wake(short);
    // The long wish went with the one that had it.
    expect((nowMs - second) * 1000).toBeLessThan(50);
  });

  it('serves on when work slipped in while notifications were enabled', () => {
    const poller = new Poller();
    const pollable = new FakePollable();
    let slips = 3;
    pollable.onEnable = () => {
      if (slips-- > 0) pollable.work = 1;
    };
    poller.wake(pollable);
    expect([pollable.served, pollable.work, pollable.notifications]).toEqual([3, 0, true]);
    expect(pollable.log).toEqual(['off', 'on', 'off', 'on', 'off', 'on', 'off', 'on']);
  });

  it('gives the turn back when the budget is used up, and goes on in the next', async () => {
    const poller = new Poller({ budgetUs: 100 });
    const pollable = new FakePollable();
    pollable.work = 1000;
    poller.wake(pollable);
    expect(pollable.served).toBeGreaterThanOrEqual(100);
    expect(pollable.served).toBeLessThan(130);
    expect(pollable.notifications).toBe(false);
    for (let turns = 0; turns < 20 && pollable.work > 0; turns++) await turn();
    await turn();
    expect([pollable.served, pollable.notifications]).toEqual([1000, true]);
  });

  it.each([
    ['work that comes in drops', 0, 9],
    ['work that comes in drops within the polling time', 20, 9],
    ['a ring that always seems to have work when it is looked at again', 0, 0],
    ['a polling time that is longer than the budget', 5000, 0],
  ])('gives the turn back also with %s', (_what, pollUs, every) => {
    const poller = new Poller({ budgetUs: 100 });
    const pollable = new FakePollable(pollUs);
    const start = nowMs;
    pollable.onPoll = () => {
      if (nowMs - start > 1) throw new Error('stays away from the event loop');
      if (every > 0 && pollable.polls % every === 0) pollable.work = 1;
    };
    if (pollUs === 0) pollable.enableNotifications = () => true;
    poller.wake(pollable);
    expect((nowMs - start) * 1000).toBeLessThan(130);
    expect((nowMs - start) * 1000).toBeGreaterThanOrEqual(99);
    poller.close();
  });

  it('ends a polling time that is longer than the budget all the same', async () => {
    const poller = new Poller({ budgetUs: 100 });
    const pollable = new FakePollable(250);
    poller.wake(pollable);
    for (let turns = 0; turns < 10; turns++) await turn();
    expect(pollable.notifications).toBe(true);
    expect(pollable.polls).toBeLessThan(300);
    expect(pollable.polls).toBeGreaterThanOrEqual(249);
  });

  it('a call from within a pass marks only; the pass that runs serves it', () => {
    const poller = new Poller();
    const [outer, inner] = [new FakePollable(), new FakePollable()];
    inner.work = 3;
    outer.work = 1;
    let nested = -1;
    outer.onPoll = () => {
      if (outer.polls !== 1) return;
      poller.wake(inner);
      nested = inner.polls;
    };
    poller.wake(outer);
    expect(nested).toBe(0);
    expect([inner.served, inner.notifications]).toEqual([3, true]);
  });

  it('request() from outside runs on the next turn, from inside in the same pass', async () => {
    const poller = new Poller();
    const [first, second] = [new FakePollable(), new FakePollable()];
    first.work = 1;
    second.work = 1;
    first.onPoll = () => poller.request(second);
    poller.request(first);
    poller.request(first);
    expect([first.polls, first.notifications]).toEqual([0, false]);
    await turn();
    expect([first.served, second.served]).toEqual([1, 1]);
  });

  it('activate() twice is once', () => {
    const poller = new Poller();
    const pollable = new FakePollable();
    poller.activate(pollable);
    poller.activate(pollable);
    expect(pollable.log).toEqual(['off']);
    poller.run();
    expect(pollable.polls).toBe(1);
  });

  it('remove() takes one out, also from within its own pass', () => {
    const poller = new Poller();
    const [first, second] = [new FakePollable(), new FakePollable()];
    first.work = 5;
    second.work = 5;
    first.onPoll = () => poller.remove(first);
    poller.activate(first);
    poller.activate(second);
    poller.run();
    expect([first.served, second.served]).toEqual([1, 5]);
    poller.remove(first);
  });

  it('close() drops what was left, and the turn that was to come', async () => {
    const poller = new Poller({ budgetUs: 50 });
    const [busy, other] = [new FakePollable(), new FakePollable()];
    busy.work = 1000;
    poller.wake(busy);
    const { served } = busy;
    poller.request(other);
    poller.close();
    poller.close();
    await turn();
    await turn();
    expect([busy.served, other.polls]).toEqual([served, 0]);
  });

  it('one that throws leaves the poller usable', () => {
    const poller = new Poller();
    const pollable = new FakePollable();
    pollable.onPoll = () => {
      throw new Error('out of order');
    };
    expect(() => poller.wake(pollable)).toThrow('out of order');
    pollable.onPoll = () => {};
    pollable.work = 1;
    poller.wake(pollable);
    expect(pollable.served).toBe(1);
  });
});
