import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_OUT,
  IRQ_BOTH,
  IRQ_LEVEL_HIGH,
  IRQ_RISING,
  RESULT_FAILED,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { DEFAULT_LINE_SETTINGS } from '../../src/gpio/line-settings.ts';
import { scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lines 0 and 1 are outputs at 1, line 2 an input that somebody waits for and watches, line 3 nobody's. */
function scene(streams = true) {
  const bench = scripted(streams);
  const { lines, chip } = bench;
  lines.learnDirections();
  bench.settle();
  const outputs = [0, 1].map((offset) =>
    new TestConsumer(lines, offset).setValue(1).setDirection(DIRECTION_OUT),
  );
  const input = new TestConsumer(lines, 2);
  input.setDirection(DIRECTION_IN).setIrqType(IRQ_BOTH);
  input.handle.watch(true);
  bench.settle();
  input.arm();
  for (const { outcomes } of [...outputs, input]) outcomes.list.length = 0;
  chip.asked();
  const [first, second] = outputs as [TestConsumer, TestConsumer];
  return { ...bench, chip, lines, first, second, input };
}

/** What was asked for until nothing is under way, one answer after the other. */
function answered({ chip }: ReturnType<typeof scene>): string[] {
  chip.settle();
  return chip.asked();
}

describe('what is done when a chip comes back', () => {
  it('is values, then directions, then subscriptions and levels', () => {
    const s = scene();
    s.chip.lose();
    s.chip.recover();
    expect(s.chip.asked()).toEqual(['setValue 0 = 1', 'setValue 1 = 1']);
    expect(answered(s)).toEqual([
      'setDirection 0 = 1',
      'setDirection 1 = 1',
      'setDirection 2 = 2',
      'getDirection 3',
      'setIrqType 2 = 3',
      'getValue 2',
    ]);
    expect([s.chip.level(0), s.chip.direction(0)]).toEqual([1, DIRECTION_OUT]);
    expect(s.first.handle.line).toMatchObject({
      owner: s.first.handle,
      direction: DIRECTION_OUT,
      level: 1,
      fresh: true,
    });
    expect([s.first.told, s.first.changes.length]).toEqual([[], s.first.changes.length]);
  });

  it('keeps the last value that was confirmed, not one that was on its way', () => {
    const s = scene();
    s.first.setValue(0);
    s.chip.lose();
    expect(s.first.outcomes.take()).toEqual([RESULT_UNAVAILABLE, 0]);
    s.chip.recover();
    s.chip.settle();
    expect(s.chip.level(0)).toBe(1);
  });

  it('is told to others at its end, and once', () => {
    const s = scene();
    const told: string[] = [];
    s.lines.onAvailability((available, reason) => told.push(`${available} ${reason}`));
    s.chip.lose();
    s.chip.recover();
    expect(told).toEqual(['false crashed']);
    s.chip.settle();
    expect(told).toEqual(['false crashed', 'true restarted']);
  });

  it('leaves alone what was decided meanwhile', () => {
    const s = scene();
    s.chip.lose();
    s.chip.recover();
    s.first.handle.reset();
    s.chip.settle();
    expect([s.chip.direction(0), s.first.handle.line.owner]).toEqual([0, null]);
  });

  it('begins again with a chip that goes away in the middle of it', () => {
    const s = scene();
    s.chip.lose();
    for (let steps = 0; steps < 8; steps++) {
      s.chip.recover();
      for (let i = 0; i < steps; i++) {
        s.chip.serve();
        s.chip.deliverAnswer();
      }
      s.chip.lose();
      expect(s.first.handle.line.owner).toBe(s.first.handle);
    }
    s.chip.drive(2, 1);
    s.chip.recover();
    s.chip.settle();
    expect([s.chip.level(0), s.chip.level(1), s.chip.irqType(2)]).toEqual([1, 1, IRQ_BOTH]);
    expect([s.input.told, s.input.interrupts]).toEqual([['=0', '1'], 1]);
  });

  it.each([RESULT_FAILED, RESULT_TIMEOUT])('is tried again while the chip answers %i', (result) => {
    const s = scene();
    s.chip.lose();
    let failures = 2;
    s.chip.outcome = ({ what, offset }) =>
      what.startsWith('set') && offset === 0 && failures-- > 0 ? result : undefined;
    s.chip.recover();
    s.chip.settle();
    expect([s.chip.direction(0), s.chip.direction(1)]).toEqual([0, DIRECTION_OUT]);
    for (let i = 0; i < 2; i++) {
      vi.advanceTimersByTime(1000);
      s.chip.settle();
    }
    expect([s.chip.direction(0), s.chip.level(0), vi.getTimerCount()]).toEqual([DIRECTION_OUT, 1, 0]);
  });
});

describe('lines that nobody owns', () => {
  it.each([
    ['low', DIRECTION_OUT, 0],
    ['high', DIRECTION_OUT, 1],
    ['in', DIRECTION_IN, 0],
  ] as const)('start as their settings say: %s', (initial, direction, level) => {
    const s = scene();
    for (const line of s.lines.lines) line.settings = { ...DEFAULT_LINE_SETTINGS, initial };
    s.chip.lose();
    s.chip.recover();
    s.chip.settle();
    expect([s.chip.direction(3), s.chip.level(3)]).toEqual([direction, level]);
    expect(s.lines.lines[3]).toMatchObject({ direction, owner: null });
    // Not those that somebody uses.
    expect([s.chip.level(0), s.chip.direction(2)]).toEqual([1, DIRECTION_IN]);
  });

  it('are left as their last owner left them', () => {
    const s = scene();
    s.first.handle.close();
    s.second.handle.line.settings = { ...DEFAULT_LINE_SETTINGS, onRelease: 'low' };
    s.second.handle.close();
    s.chip.settle();
    s.chip.lose();
    s.chip.recover();
    s.chip.settle();
    expect([0, 1].map((offset) => [s.chip.direction(offset), s.chip.level(offset)])).toEqual([
      [DIRECTION_OUT, 1],
      [DIRECTION_OUT, 0],
    ]);
  });

  it('have the direction that the firmware gives them', () => {
    const s = scene();
    s.chip.lose();
    s.chip.recover();
    s.chip.become(3, DIRECTION_OUT);
    s.chip.settle();
    expect(s.lines.lines[3]?.direction).toBe(DIRECTION_OUT);
  });
});

describe('requests', () => {
  it('that come meanwhile are answered after it, in order', () => {
    const s = scene();
    s.chip.lose();
    s.chip.recover();
    s.first.getValue().setValue(0).getDirection();
    const other = new TestConsumer(s.lines, 3).setValue(1).setDirection(DIRECTION_OUT).getValue();
    expect([s.first.outcomes.list, other.outcomes.list]).toEqual([[], []]);
    expect(s.chip.asked().filter((request) => request.startsWith('get'))).toEqual([]);
    s.chip.settle();
    expect(s.first.outcomes.list).toEqual([
      [RESULT_OK, 1],
      [RESULT_OK, 0],
      [RESULT_OK, DIRECTION_OUT],
    ]);
    expect(other.outcomes.list.map(([result]) => result)).toEqual([RESULT_OK, RESULT_OK, RESULT_OK]);
    expect([s.chip.level(0), s.chip.level(3)]).toEqual([0, 1]);
  });

  it('are not kept for long, nor beyond the chip, nor for who starts anew', () => {
    const s = scene();
    s.chip.lose();
    s.chip.recover();
    s.first.getValue();
    vi.advanceTimersByTime(250);
    expect(s.first.outcomes.take()).toEqual([RESULT_UNAVAILABLE, 0]);
    s.first.getValue();
    s.second.setIrqType(IRQ_RISING);
    s.second.handle.reset();
    expect([s.first.outcomes.list, s.second.outcomes.take()]).toEqual([[], [RESULT_UNAVAILABLE, 0]]);
    s.chip.lose();
    expect([s.first.outcomes.take(), vi.getTimerCount()]).toEqual([[RESULT_UNAVAILABLE, 0], 0]);
  });

  it('that cannot be done while the chip is away take nothing from anybody', () => {
    const s = scene();
    s.chip.lose();
    s.first.setDirection(DIRECTION_OUT).setDirection(DIRECTION_IN).setValue(0);
    expect(s.first.outcomes.list.map(([result]) => result)).toEqual([3, 3, 3]);
    s.chip.recover();
    s.chip.settle();
    expect([s.first.handle.line.owner, s.chip.level(0)]).toEqual([s.first.handle, 1]);
  });
});

describe.each([
  ['streams levels', true],
  ['has plain events', false],
])('the edges that an absence owes, of a chip that %s', (_how, streams) => {
  it('are one for a level that is another one, whenever it is waited for', () => {
    const s = scene(streams);
    s.chip.lose();
    s.chip.drive(2, 1);
    s.chip.recover();
    s.chip.settle();
    expect([s.input.told, s.input.interrupts, s.input.disarms]).toEqual([['=0', '1'], 1, 0]);
    expect(s.input.edges[0]?.edge.merged).toBe(true);
    s.chip.lose();
    s.chip.drive(2, 0);
    s.chip.recover();
    s.chip.settle();
    expect(s.input.handle.interrupt.latched).toBe(true);
    s.input.arm();
    expect([s.input.told, s.input.interrupts]).toEqual([['=0', '1', '0'], 2]);
  });

  it('are none for a level that is the same again', () => {
    const s = scene(streams);
    s.chip.lose();
    s.chip.drive(2, 1);
    s.chip.drive(2, 0);
    s.chip.recover();
    s.chip.settle();
    expect([s.input.told, s.input.interrupts, s.input.handle.interrupt.armed]).toEqual([['=0'], 0, true]);
  });

  it('are none for who came later', () => {
    const s = scene(streams);
    s.chip.lose();
    s.chip.drive(2, 1);
    const late = new TestConsumer(s.lines, 2, 'late');
    late.handle.watch(true);
    s.chip.recover();
    late.setIrqType(IRQ_BOTH);
    s.chip.settle();
    late.arm();
    expect([late.told, late.interrupts, s.input.told]).toEqual([['=1'], 0, ['=0', '1']]);
  });

  it('are not told twice when the line changes between subscription and read', () => {
    const s = scene(streams);
    s.chip.lose();
    s.chip.recover();
    while (s.chip.irqType(2) === 0) {
      s.chip.serve();
      while (s.chip.deliverAnswer());
    }
    // The read is ahead of the event.
    s.chip.drive(2, 1);
    while (s.chip.serve() || s.chip.deliverAnswer());
    expect(s.input.told).toEqual(['=0', '1']);
    s.chip.settle();
    expect([s.input.told, s.input.interrupts]).toEqual([['=0', '1'], 1]);
    vi.advanceTimersByTime(1000);
    s.chip.drive(2, 0);
    s.chip.settle();
    expect(s.input.told).toEqual(['=0', '1', '0']);
  });

  it('are both when it went back right after the return', () => {
    const s = scene(streams);
    s.chip.lose();
    s.chip.drive(2, 1);
    s.chip.recover();
    while (s.chip.irqType(2) === 0) {
      s.chip.serve();
      while (s.chip.deliverAnswer());
    }
    s.chip.drive(2, 0);
    s.chip.settle();
    expect(s.input.told).toEqual(['=0', '1', '0']);
  });

  it('do not hide a level interrupt', () => {
    const s = scene(streams);
    const level = new TestConsumer(s.lines, 3).setIrqType(IRQ_LEVEL_HIGH);
    s.chip.settle();
    level.arm();
    s.chip.lose();
    s.chip.drive(3, 1);
    s.chip.recover();
    s.chip.settle();
    expect([level.interrupts, level.disarms]).toEqual([1, 0]);
  });

  it('reach who waits for one kind of edge only, though others left meanwhile', () => {
    const s = scene(streams);
    const rising = new TestConsumer(s.lines, 2, 'rising').setIrqType(IRQ_RISING);
    s.chip.settle();
    rising.arm();
    s.chip.lose();
    s.input.handle.close();
    s.chip.drive(2, 1);
    s.chip.recover();
    s.chip.settle();
    expect(rising.interrupts).toBe(1);
  });

  it('are debounced like all others', () => {
    const s = scene(streams);
    const slow = new TestConsumer(s.lines, 2, 'slow', { debounceMs: 10 });
    slow.handle.watch(true);
    s.chip.settle();
    vi.advanceTimersByTime(10);
    s.chip.drive(2, 1);
    s.chip.settle();
    // It bounces when the chip goes.
    s.chip.lose();
    vi.advanceTimersByTime(100);
    s.chip.recover();
    s.chip.settle();
    expect(slow.told).toEqual(['=0']);
    vi.advanceTimersByTime(10);
    expect(slow.told).toEqual(['=0', '1']);
  });
});
