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

  it('doorbells that come between two turns of a busy poller are all served in the next one', async () => {
    const poller = new Poller({ budgetUs: 100 });
    const busy = new FakePollable();
    busy.work = 100_000;
    poller.wake(busy);
    const served = busy.served;
    const others = Array.from({ length: 8 }, () => new FakePollable());
    for (const other of others) {
      other.work = 1;
      poller.wake(other);
    }
    expect([busy.served - served, ...others.map((other) => other.polls)]).toEqual(new Array(9).fill(0));
    await turn();
    expect(others.map((other) => other.served)).toEqual(new Array(8).fill(1));
    poller.close();
  });

  it('has short turns after a doorbell, longer ones while nobody else rings', async () => {
    const poller = new Poller({ budgetUs: 1000, firstBudgetUs: 100 });
    const [busy, other] = [new FakePollable(), new FakePollable()];
    busy.work = 100_000;
    const turns: number[] = [];
    const note = (): void => {
      turns.push(Math.round(busy.served / 10) * 10 - turns.reduce((sum, each) => sum + each, 0));
    };
    poller.wake(busy);
    note();
    for (let i = 0; i < 5; i++) {
      await turn();
      note();
    }
    other.work = 1;
    poller.wake(other);
    await turn();
    expect(other.served).toBe(1);
    expect(turns.map((each) => Math.round(each / 100))).toEqual([1, 2, 4, 8, 10, 10]);
    // The other one is looked at, too.
    const before = busy.served;
    await turn();
    expect(busy.served - before).toBeLessThan(210);
    poller.close();
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

  it('what is requested as the last thing in a pass is polled in it, also in place of one that goes', () => {
    const poller = new Poller();
    const [chip, guest] = [new FakePollable(), new FakePollable()];
    // The co-processor's memory is found to be nonsense: its chip goes, and a guest gets its answer, which is to be published.
    chip.onPoll = () => {
      poller.remove(chip);
      poller.request(guest);
    };
    poller.wake(chip);
    expect([chip.polls, guest.polls]).toEqual([1, 1]);
    expect(guest.notifications).toBe(true);
  });

  it('what is requested after it was polled in the last round is polled once more', () => {
    const poller = new Poller();
    const [guest, chip] = [new FakePollable(), new FakePollable()];
    chip.onPoll = () => {
      if (chip.polls === 1) poller.request(guest);
    };
    poller.activate(guest);
    poller.wake(chip);
    expect(guest.polls).toBe(2);
    expect([guest.notifications, chip.notifications]).toEqual([true, true]);
  });

  it('one that requests itself while it is polled is polled once more', () => {
    const poller = new Poller();
    const pollable = new FakePollable();
    pollable.onPoll = () => {
      if (pollable.polls === 1) poller.request(pollable);
    };
    poller.wake(pollable);
    expect([pollable.polls, pollable.notifications]).toEqual([2, true]);
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

/** The other side of a queue: rings when it has work and is wanted to, `answerUs` after it was answered. */
class Peer extends FakePollable {
  /** Times of its next requests, each from the answer to the one before. */
  answerUs: () => number = () => 10;
  /** It runs on this side's processor: not before this side sleeps. */
  sharesProcessor = false;
  doorbells = 0;
  #nextMs = Number.POSITIVE_INFINITY;

  constructor(pollUs: number) {
    super(pollUs);
    this.onPoll = () => {
      if (!this.sharesProcessor && nowMs >= this.#nextMs) this.#send();
    };
  }

  #send(): void {
    this.work++;
    this.#nextMs = Number.POSITIVE_INFINITY;
  }

  override poll(): boolean {
    const isBusy = super.poll();
    if (isBusy) this.#nextMs = nowMs + this.answerUs() / 1000;
    return isBusy;
  }

  /** Requests from a first doorbell on; this side sleeps between them. */
  exchange(poller: Poller, requests: number): void {
    this.#nextMs = nowMs;
    for (const end = this.served + requests; this.served < end; ) {
      nowMs = Math.max(nowMs, this.#nextMs);
      this.#send();
      this.doorbells++;
      poller.wake(this);
      if (!this.notifications) throw new Error('sleeps without having asked for doorbells');
    }
  }
}

describe('adaptive polling', () => {
  const clock = { now: () => nowMs };

  it('goes on for ever where the other side answers within the time', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const peer = new Peer(50);
    let left = 1000;
    peer.answerUs = () => (left-- > 0 ? 20 : Number.POSITIVE_INFINITY);
    peer.exchange(poller, 1001);
    expect(peer.doorbells).toBe(1);
  });

  it('ends where the other side waits for this very processor, and is as good as without', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const peer = new Peer(50);
    peer.sharesProcessor = true;
    const start = nowMs;
    peer.exchange(poller, 10_000);
    const polled = nowMs - start;
    const unpolled = new Peer(0);
    unpolled.sharesProcessor = true;
    const second = nowMs;
    unpolled.exchange(new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 }), 10_000);
    expect(polled / (nowMs - second)).toBeLessThan(1.03);
  });

  it('ends where the other side comes later than the time, and costs nothing then', () => {
    const poller = new Poller({ clock });
    const peer = new Peer(50);
    peer.answerUs = () => 10_000;
    peer.exchange(poller, 100);
    const polls = peer.polls;
    peer.exchange(poller, 100);
    // The request itself, and one look that finds nothing.
    expect(peer.polls - polls).toBe(200);
  });

  it('begins again within a few requests when the other side becomes fast', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const peer = new Peer(50);
    peer.answerUs = () => 10_000;
    peer.exchange(poller, 100);
    peer.answerUs = () => 20;
    const before = peer.doorbells;
    let left = 500;
    peer.answerUs = () => (left-- > 0 ? 20 : Number.POSITIVE_INFINITY);
    peer.exchange(poller, 501);
    expect(peer.doorbells - before).toBeLessThan(5);
  });

  it('begins again also after the other side had long shared the processor', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const peer = new Peer(50);
    peer.sharesProcessor = true;
    peer.exchange(poller, 20_000);
    peer.sharesProcessor = false;
    let left = 5000;
    peer.answerUs = () => (left-- > 0 ? 20 : Number.POSITIVE_INFINITY);
    const before = peer.doorbells;
    peer.exchange(poller, 5001);
    expect(peer.doorbells - before).toBeLessThan(1100);
  });

  it('ends at once where the processor is rationed', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const peer = new Peer(50);
    let left = 2000;
    peer.answerUs = () => (left-- > 0 ? 20 : Number.POSITIVE_INFINITY);
    const look = peer.onPoll;
    let isUsedUp = false;
    peer.onPoll = () => {
      look();
      if (isUsedUp || peer.served < 10 || peer.work > 0) return;
      // The quota is used up while nothing is there.
      isUsedUp = true;
      nowMs += 60;
    };
    peer.exchange(poller, 2001);
    expect(peer.doorbells).toBeGreaterThan(1900);
  });

  it('looks at the clock after each request that holds it up', () => {
    const poller = new Poller({ clock });
    const slow = new FakePollable(50);
    Object.assign(slow, { blocks: true });
    slow.onPoll = () => {
      nowMs += 40;
    };
    slow.work = 5;
    poller.wake(slow);
    expect(slow.served).toBe(1);
    poller.close();
  });

  it('does not take a neighbour that is slow to answer for rationing', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const [slow, peer] = [new FakePollable(50), new Peer(50)];
    Object.assign(slow, { blocks: true });
    slow.onPoll = () => {
      if (slow.work > 0) nowMs += 40;
    };
    let left = 2000;
    peer.answerUs = () => {
      if (left === 1000) {
        slow.work = 1;
        poller.activate(slow);
      }
      return left-- > 0 ? 20 : Number.POSITIVE_INFINITY;
    };
    peer.exchange(poller, 2001);
    expect(slow.served).toBe(1);
    expect(peer.doorbells).toBe(1);
  });

  it('judges each pollable by itself', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const [slow, fast] = [new Peer(50), new Peer(50)];
    slow.answerUs = () => 10_000;
    slow.exchange(poller, 100);
    let left = 100;
    fast.answerUs = () => (left-- > 0 ? 20 : Number.POSITIVE_INFINITY);
    fast.exchange(poller, 101);
    expect(fast.doorbells).toBe(1);
    const polls = slow.polls;
    slow.exchange(poller, 1);
    expect(slow.polls - polls).toBe(2);
  });

  it('what was done for a pollable is work of its: its other side answers to that', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const [guest, firmware] = [new FakePollable(50), new FakePollable(50)];
    guest.work = 1;
    guest.onPoll = () => {
      if (guest.polls === 1) poller.activate(firmware);
      // Each round takes 2 us. Back 40 us after the answer, 70 us after its request.
      if (guest.polls === 35) guest.work = 1;
    };
    firmware.onPoll = () => {
      if (firmware.polls !== 15) return;
      firmware.work = 1;
      poller.activate(guest);
    };
    poller.wake(guest);
    expect([guest.served, guest.log]).toEqual([2, ['off', 'on']]);
  });

  it('looks rarely at one that has been quiet for long, while another one is busy, and still finds its work', () => {
    const poller = new Poller({ clock, budgetUs: 1e9, firstBudgetUs: 1e9 });
    const [busy, quiet] = [new FakePollable(50), new FakePollable(50)];
    busy.onPoll = () => {
      if (busy.polls < 10_000) busy.work = 1;
      if (busy.polls === 9_000) quiet.work = 1;
    };
    quiet.work = 1;
    poller.activate(quiet);
    poller.wake(busy);
    expect(quiet.served).toBe(2);
    expect(quiet.polls).toBeLessThan(1500);
    expect([busy.notifications, quiet.notifications]).toEqual([true, true]);
  });

  it('finds the work of one that was quiet however long the rounds of the others are', async () => {
    const poller = new Poller({ clock });
    const busy = Array.from({ length: 64 }, () => new FakePollable(50));
    const quiet = new FakePollable(50);
    let isOver = false;
    for (const each of busy) {
      each.onPoll = () => {
        // As long as it takes to serve 32 requests: a round takes 0.5 ms, a turn has four of them.
        nowMs += 0.008;
        if (!isOver) each.work = 1;
      };
    }
    const offers: number[] = [];
    const waitsMs: number[] = [];
    quiet.onPoll = () => {
      if (quiet.work === 0) return;
      waitsMs.push(nowMs - (offers.at(-1) as number));
    };
    quiet.work = 1;
    offers.push(nowMs);
    poller.activate(quiet);
    for (const each of busy) poller.activate(each);
    poller.run();
    for (let offer = 0; offer < 50; offer++) {
      // Longer than it is polled for.
      for (const start = nowMs; nowMs - start < 3; ) await turn();
      expect(quiet.notifications).toBe(false);
      quiet.work = 1;
      offers.push(nowMs);
      for (const start = nowMs; quiet.work > 0 && nowMs - start < 100; ) await turn();
    }
    isOver = true;
    while (!quiet.notifications) await turn();
    // What came in between two turns waits for no more than the one round in which it is looked at.
    expect(waitsMs).toHaveLength(51);
    expect(Math.max(...waitsMs)).toBeLessThan(1.2);
  });
});
