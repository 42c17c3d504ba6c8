import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DIRECTION_OUT, type Edge, RESULT_OK } from '../../src/gpio/chip.ts';
import { Debounce } from '../../src/gpio/debounce.ts';
import { DEFAULT_LINE_SETTINGS } from '../../src/gpio/line-settings.ts';
import { BENCHES, type Bench, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function edge(level: number, seq = 1, merged = false): Edge {
  return { offset: 7, level, seq, merged, timestampNs: BigInt(seq) * 1000n };
}

describe('Debounce', () => {
  function debounced(periodMs = 10, level = 0) {
    const told: { level: number; edge: Edge | null }[] = [];
    const debounce = new Debounce(periodMs, {
      debounced: (to, by) => {
        const copy = by && { ...edge(by.level, by.seq, by.merged), timestampNs: by.timestampNs };
        told.push({ level: to, edge: copy });
      },
    });
    debounce.reset(level);
    return { debounce, told };
  }

  it('tells a level once it was stable for the period, with the time of the last change', () => {
    const { debounce, told } = debounced();
    debounce.edge(1, edge(1, 5));
    vi.advanceTimersByTime(9);
    debounce.edge(0, edge(0, 6));
    vi.advanceTimersByTime(9);
    debounce.edge(1, edge(1, 7));
    vi.advanceTimersByTime(9);
    expect([told, debounce.level, debounce.isRunning]).toEqual([[], 0, true]);
    vi.advanceTimersByTime(1);
    expect(told).toEqual([{ level: 1, edge: edge(1, 7) }]);
    expect([debounce.level, debounce.isRunning, vi.getTimerCount()]).toEqual([1, false, 0]);
  });

  it('tells no edge of a burst that leads back', () => {
    const { debounce, told } = debounced();
    debounce.edge(1, edge(1));
    debounce.edge(0, edge(0));
    vi.advanceTimersByTime(10);
    expect(told).toEqual([{ level: 0, edge: null }]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('runs one timer for a burst, however long', () => {
    const { debounce } = debounced();
    const set = vi.spyOn(globalThis, 'setTimeout');
    for (let i = 0; i < 10_000; i++) debounce.edge(i & 1, edge(i & 1));
    expect(set).toHaveBeenCalledTimes(1);
    set.mockRestore();
  });

  it('before a level is known, an edge tells what it was', () => {
    const { debounce, told } = debounced(10, -1);
    debounce.edge(1, edge(1));
    expect(debounce.level).toBe(0);
    debounce.edge(0, edge(0));
    vi.advanceTimersByTime(10);
    expect(told).toEqual([{ level: 0, edge: null }]);
  });

  it('takes the first level that is read at once, and later ones after the period', () => {
    const { debounce, told } = debounced(10, -1);
    debounce.observed(1);
    expect([told, vi.getTimerCount()]).toEqual([[{ level: 1, edge: null }], 0]);
    told.length = 0;
    debounce.observed(0);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(10);
    expect(told).toEqual([{ level: 0, edge: null }]);
    // In a burst a read of what is known starts nothing anew.
    debounce.edge(1, edge(1, 3));
    vi.advanceTimersByTime(6);
    debounce.observed(1);
    vi.advanceTimersByTime(4);
    expect(told.at(-1)).toEqual({ level: 1, edge: edge(1, 3) });
  });

  it('says that changes were merged if any of the burst was', () => {
    const { debounce, told } = debounced();
    debounce.edge(1, edge(1, 1, true));
    debounce.edge(0, edge(0, 2));
    debounce.edge(1, edge(1, 3));
    vi.advanceTimersByTime(10);
    debounce.edge(0, edge(0, 4));
    vi.advanceTimersByTime(10);
    expect(told.map(({ edge: by }) => [by?.seq, by?.merged])).toEqual([
      [3, true],
      [4, false],
    ]);
  });

  it('goes by another period at once', () => {
    const { debounce, told } = debounced(100);
    debounce.edge(1, edge(1));
    vi.advanceTimersByTime(20);
    debounce.periodMs = 30;
    vi.advanceTimersByTime(9);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(told).toHaveLength(1);
    debounce.edge(0, edge(0));
    vi.advanceTimersByTime(20);
    debounce.periodMs = 10;
    expect([told.length, vi.getTimerCount()]).toEqual([2, 0]);
  });

  it('tells what the same rule says, written down as an array of times', () => {
    const steps = fc.array(fc.nat(15), { maxLength: 40 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 12 }), (pauses, periodMs) => {
        const { debounce, told } = debounced(periodMs);
        const expected: [number, number][] = [];
        let level = 0;
        let stable = 0;
        for (const [i, pauseMs] of [...pauses, 100].entries()) {
          level = 1 - level;
          debounce.edge(level, edge(level, i));
          if (pauseMs >= periodMs && level !== stable) {
            stable = level;
            expected.push([level, i]);
          }
          vi.advanceTimersByTime(pauseMs);
        }
        const edges = told.filter(({ edge: by }) => by !== null);
        expect(edges.map((each) => [each.level, each.edge?.seq])).toEqual(expected);
        expect([debounce.level, vi.getTimerCount()]).toEqual([level, 0]);
      }),
      { numRuns: 300 },
    );
  });
});

describe.each(BENCHES)('a consumer that debounces, on %s', (_name, make) => {
  /** Drives a line up and down, a millisecond apart. */
  function bounce(bench: Bench, ...levels: (0 | 1)[]): void {
    for (const level of levels) {
      bench.drive(0, level);
      bench.settle();
      vi.advanceTimersByTime(1);
    }
  }

  function scene() {
    const bench = make();
    const raw = new TestConsumer(bench.lines, 0, 'raw');
    const slow = new TestConsumer(bench.lines, 0, 'slow', { debounceMs: 10 });
    const slower = new TestConsumer(bench.lines, 0, 'slower', { debounceMs: 30 });
    for (const consumer of [raw, slow, slower]) consumer.handle.watch(true);
    bench.settle();
    vi.advanceTimersByTime(1000);
    return { bench, raw, slow, slower, all: [raw, slow, slower] };
  }

  it('hears of what lasts, and others of what they asked for', () => {
    const { bench, all, slow, raw } = scene();
    bounce(bench, 1, 0, 1, 0, 1);
    expect(all.map(({ told }) => told)).toEqual([['=0', '1', '0', '1', '0', '1'], ['=0'], ['=0']]);
    vi.advanceTimersByTime(9);
    expect(all.map(({ told }) => told.length)).toEqual([6, 2, 1]);
    vi.advanceTimersByTime(20);
    expect(all.map(({ told }) => told.at(-1))).toEqual(['1', '1', '1']);
    expect(slow.edges[0]?.edge.timestampNs).toBe(raw.edges.at(-1)?.edge.timestampNs);
    expect([slow.edges[0]?.edge.level, slow.edges[0]?.edge.offset]).toEqual([1, 0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('reads the level that was stable before while it bounces', () => {
    const { bench, raw, slow } = scene();
    bounce(bench, 1);
    for (const consumer of [raw, slow]) consumer.getValue();
    bench.settle();
    expect([raw.outcomes.take(), slow.outcomes.take()]).toEqual([
      [RESULT_OK, 1],
      [RESULT_OK, 0],
    ]);
    vi.advanceTimersByTime(10);
    slow.getValue();
    bench.settle();
    expect(slow.outcomes.take()).toEqual([RESULT_OK, 1]);
  });

  it('has its interrupts from the debounced level', () => {
    const bench = make();
    const options = { debounceMs: 10 };
    const guests = [1, 2, 3, 4, 8].map((type, i) => {
      const guest = new TestConsumer(bench.lines, 0, `vm${i}`, options);
      guest.setIrqType(type);
      bench.settle();
      return guest;
    });
    vi.advanceTimersByTime(1000);
    const arm = () => {
      for (const guest of guests) if (!guest.handle.interrupt.armed) guest.arm();
      return guests.map((guest) => guest.interrupts);
    };
    // The level is low: that one goes on notifying.
    expect(arm()).toEqual([0, 0, 0, 0, 1]);
    expect(arm()).toEqual([0, 0, 0, 0, 2]);
    bounce(bench, 1, 0, 1);
    expect(arm()).toEqual([0, 0, 0, 0, 3]);
    vi.advanceTimersByTime(10);
    expect(guests.map((guest) => guest.interrupts)).toEqual([1, 0, 1, 1, 3]);
    // Not active any more, whatever it does meanwhile.
    expect(arm()).toEqual([1, 0, 1, 2, 3]);
    bounce(bench, 0, 1, 0);
    vi.advanceTimersByTime(10);
    expect(arm()).toEqual([1, 1, 2, 2, 5]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('latches a debounced edge while masked', () => {
    const bench = make();
    const guest = new TestConsumer(bench.lines, 0, 'vm', { debounceMs: 10 });
    guest.setIrqType(1);
    bench.settle();
    vi.advanceTimersByTime(1000);
    bounce(bench, 1, 0);
    vi.advanceTimersByTime(50);
    guest.arm();
    expect(guest.interrupts).toBe(0);
    guest.handle.interrupt.armed = false;
    bounce(bench, 1);
    vi.advanceTimersByTime(50);
    guest.arm();
    expect(guest.interrupts).toBe(1);
  });

  it.each<[string, (consumer: TestConsumer, bench: Bench) => void]>([
    ['stops watching', (c) => c.handle.watch(false)],
    ['closes', (c) => c.handle.close()],
    [
      'has its line made an output',
      (_c, bench) => {
        new TestConsumer(bench.lines, 0, 'driver').setValue(0).setDirection(DIRECTION_OUT);
      },
    ],
  ])('waits for nothing any more when it %s', (_what, happens) => {
    const bench = make();
    const slow = new TestConsumer(bench.lines, 0, 'slow', { debounceMs: 10 });
    slow.handle.watch(true);
    bench.settle();
    bounce(bench, 1);
    happens(slow, bench);
    bench.settle();
    vi.advanceTimersByTime(100);
    expect(slow.edges.filter(({ level }) => level === 1)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each<[string, (consumer: TestConsumer) => void]>([
    ['disables its interrupt', (c) => c.setIrqType(0)],
    ['is reset', (c) => c.handle.reset()],
    ['is suspended', (c) => c.handle.suspend()],
    ['closes', (c) => c.handle.close()],
  ])('has no interrupt of the time before when it %s', (_what, happens) => {
    const bench = make();
    const guest = new TestConsumer(bench.lines, 0, 'vm', { debounceMs: 10 });
    guest.setIrqType(3);
    bench.settle();
    vi.advanceTimersByTime(1000);
    guest.arm();
    bounce(bench, 1);
    happens(guest);
    bench.settle();
    guest.outcomes.list.length = 0;
    if (!_what.startsWith('close')) {
      guest.setIrqType(3);
      bench.settle();
      guest.arm();
    }
    vi.advanceTimersByTime(100);
    expect([guest.interrupts, vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('sees outputs as they are driven', () => {
    const { bench, slow } = scene();
    const driver = new TestConsumer(bench.lines, 0, 'driver');
    driver.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    driver.setValue(0);
    bench.settle();
    expect([slow.told, vi.getTimerCount()]).toEqual([['=0', '1', '0'], 0]);
  });

  it('follows the line’s settings, unless it has its own', () => {
    const bench = make();
    const line = bench.lines.lines[0];
    if (line === undefined) throw new Error('no line');
    const [plain, own, never] = [
      new TestConsumer(bench.lines, 0, 'plain'),
      new TestConsumer(bench.lines, 0, 'own', { debounceMs: 40 }),
      new TestConsumer(bench.lines, 0, 'never', { debounceMs: 0 }),
    ];
    for (const consumer of [plain, own, never]) consumer.handle.watch(true);
    bench.settle();
    vi.advanceTimersByTime(1000);
    line.settings = { ...DEFAULT_LINE_SETTINGS, debounceMs: 20 };
    expect([plain, own, never].map(({ handle }) => handle.debounceMs)).toEqual([20, 40, 0]);
    bounce(bench, 1);
    expect([plain, own, never].map(({ levels }) => levels)).toEqual([[], [], [1]]);
    vi.advanceTimersByTime(19);
    expect([plain, own, never].map(({ levels }) => levels)).toEqual([[1], [], [1]]);
    bounce(bench, 0);
    // Switched off in the middle: what the level is, it is.
    line.settings = DEFAULT_LINE_SETTINGS;
    expect([plain.levels, plain.handle.debounceMs]).toEqual([[1, 0], 0]);
    bounce(bench, 1);
    expect(plain.levels).toEqual([1, 0, 1]);
    own.handle.configure({});
    expect([own.handle.debounceMs, own.levels]).toEqual([0, [1]]);
    own.handle.configure({ debounceMs: 5 });
    bounce(bench, 0);
    vi.advanceTimersByTime(5);
    expect([own.levels, vi.getTimerCount()]).toEqual([[1, 0], 0]);
  });
});

describe('debouncing of a stream', () => {
  it('takes merged changes for what lasted of them', () => {
    const bench = scripted(true);
    const [raw, slow] = [
      new TestConsumer(bench.lines, 0, 'raw'),
      new TestConsumer(bench.lines, 0, 'slow', { debounceMs: 10 }),
    ];
    for (const consumer of [raw, slow]) consumer.handle.watch(true);
    bench.settle();
    bench.drive(0, 1);
    bench.settle();
    vi.advanceTimersByTime(10);
    bench.chip.record(0, 1, true);
    bench.settle();
    vi.advanceTimersByTime(100);
    expect([raw.levels, slow.levels]).toEqual([[1, 0, 1], [1]]);
    bench.chip.record(0, 0, true);
    bench.settle();
    vi.advanceTimersByTime(100);
    expect([raw.levels, slow.levels]).toEqual([
      [1, 0, 1, 0],
      [1, 0],
    ]);
    expect(slow.edges.map(({ edge: by }) => by.merged)).toEqual([false, true]);
  });

  it('of plain events needs both edges, also for one', () => {
    const bench = scripted(false);
    const guest = new TestConsumer(bench.lines, 0, 'vm', { debounceMs: 10 });
    guest.setIrqType(1);
    bench.settle();
    expect(bench.chip.irqType(0)).toBe(3);
  });

  it('begins anew with a chip that comes back', () => {
    const bench = scripted(true);
    const slow = new TestConsumer(bench.lines, 0, 'slow', { debounceMs: 10 });
    slow.handle.watch(true);
    bench.settle();
    bench.drive(0, 1);
    bench.settle();
    bench.chip.lose();
    vi.advanceTimersByTime(100);
    expect([slow.told, vi.getTimerCount()]).toEqual([['=0'], 0]);
    bench.chip.recover();
    bench.settle();
    expect(slow.told).toEqual(['=0']);
    vi.advanceTimersByTime(10);
    expect(slow.told).toEqual(['=0', '1']);
  });
});
