import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_TIMEOUT,
} from '../../src/gpio/chip.ts';
import type { ChipLines } from '../../src/gpio/chip-lines.ts';
import { DEFAULT_LINE_SETTINGS, type LineSettings, type OnRelease } from '../../src/gpio/line-settings.ts';
import { BENCHES, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

function set(lines: ChipLines, settings: Partial<LineSettings>, offset = 0): void {
  const line = lines.lines[offset];
  if (line !== undefined) line.settings = { ...DEFAULT_LINE_SETTINGS, ...settings };
}

const WAYS: readonly (readonly [string, (consumer: TestConsumer) => void])[] = [
  ['direction none', (c) => c.setDirection(DIRECTION_NONE)],
  ['reset', (c) => c.handle.reset()],
  ['close', (c) => c.handle.close()],
  ['release', (c) => c.handle.release(c.outcomes, 0)],
];

describe.each(BENCHES)('an output that is given up, on %s', (_name, make) => {
  for (const [way, giveUp] of WAYS) {
    it.each<[OnRelease, number, number]>([
      ['keep', way === 'direction none' ? DIRECTION_NONE : DIRECTION_OUT, way === 'direction none' ? 0 : 1],
      ['input', DIRECTION_IN, 0],
      ['low', DIRECTION_OUT, 0],
      ['high', DIRECTION_OUT, 1],
    ])(`by ${way} is left as its settings say: %s`, (onRelease, direction, level) => {
      const bench = make();
      set(bench.lines, { onRelease });
      const [owner, next] = [new TestConsumer(bench.lines, 0), new TestConsumer(bench.lines, 0, 'next')];
      owner.setValue(onRelease === 'high' ? 0 : 1).setDirection(DIRECTION_OUT);
      bench.settle();
      owner.outcomes.list.length = 0;
      giveUp(owner);
      bench.settle();
      // Who waits for it hears that it is done.
      if (way === 'direction none' || way === 'release')
        expect(owner.outcomes.take()).toEqual([RESULT_OK, 0]);
      expect(owner.handle.line).toMatchObject({ direction, owner: null });
      expect([owner.handle.direction, bench.level(0)]).toEqual([DIRECTION_NONE, level]);
      // It is free.
      next.setValue(1);
      bench.settle();
      next.setDirection(DIRECTION_OUT);
      bench.settle();
      expect([next.handle.line.owner, bench.level(0)]).toEqual([next.handle, 1]);
    });
  }

  it('is told to watchers as the change that it is', () => {
    const bench = make();
    set(bench.lines, { onRelease: 'low' });
    const [owner, log] = [new TestConsumer(bench.lines, 0), new TestConsumer(bench.lines, 0, 'log')];
    log.handle.watch(true);
    bench.settle();
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    owner.handle.reset();
    bench.settle();
    expect(log.told).toEqual(['=0', '1', '0']);
    expect(log.changes.at(-1)).toBe('out -');
  });

  it('is nothing for who does not own it', () => {
    const bench = make();
    set(bench.lines, { onRelease: 'low' });
    const [owner, other] = [new TestConsumer(bench.lines, 0), new TestConsumer(bench.lines, 0, 'other')];
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    other.handle.release(other.outcomes, 0);
    expect(other.outcomes.take()).toEqual([RESULT_OK, 0]);
    other.setDirection(DIRECTION_NONE);
    bench.settle();
    other.handle.reset();
    other.handle.close();
    bench.settle();
    expect([owner.handle.line.owner, bench.level(0)]).toEqual([owner.handle, 1]);
    // An explicit direction is the owner’s own wish.
    owner.setDirection(DIRECTION_IN);
    bench.settle();
    expect(owner.handle.line).toMatchObject({ direction: DIRECTION_IN, owner: null });
  });

  it('stays its owner’s while that is suspended, without interrupts and held values', () => {
    const bench = make();
    set(bench.lines, { onRelease: 'low' });
    set(bench.lines, { onRelease: 'low' }, 1);
    const [owner, other] = [new TestConsumer(bench.lines, 0), new TestConsumer(bench.lines, 0, 'other')];
    const input = new TestConsumer(bench.lines, 2);
    owner.setValue(1).setDirection(DIRECTION_OUT);
    input.setIrqType(3);
    bench.settle();
    input.arm();
    const held = new TestConsumer(bench.lines, 1);
    held.setValue(1);
    for (const consumer of [owner, input, held]) consumer.handle.suspend();
    bench.settle();
    expect([owner.handle.line.owner, bench.level(0), input.disarms]).toEqual([owner.handle, 1, 1]);
    expect(input.handle.interrupt.type).toBe(0);
    other.setValue(0);
    expect(other.outcomes.take()?.[0]).toBe(4);
    held.setDirection(DIRECTION_OUT);
    bench.settle();
    expect(bench.level(1)).toBe(0);
    owner.setValue(0);
    bench.settle();
    expect(bench.level(0)).toBe(0);
  });
});

describe('a release that is under way at the chip', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A chip that answers late, an owner, and who is next. */
  function scene(onRelease: OnRelease) {
    const bench = scripted(true);
    set(bench.lines, { onRelease });
    bench.lines.learnDirections();
    bench.settle();
    const [owner, next] = [new TestConsumer(bench.lines, 0, 'a'), new TestConsumer(bench.lines, 0, 'b')];
    return { ...bench, owner, next, line: owner.handle.line };
  }

  it.each<OnRelease>(['keep', 'input', 'low', 'high'])(
    'does not undo what the next owner sets: %s',
    (onRelease) => {
      for (const [, giveUp] of WAYS) {
        for (const level of [0, 1]) {
          const { chip, owner, next, line, settle } = scene(onRelease);
          owner.setValue(1 - level).setDirection(DIRECTION_OUT);
          settle();
          owner.outcomes.list.length = 0;
          giveUp(owner);
          next.handle.drive(level, next.outcomes, 0);
          settle();
          expect(next.outcomes.take()).toEqual([RESULT_OK, 0]);
          expect([line.owner, line.direction, chip.direction(0), chip.level(0), line.level]).toEqual([
            next.handle,
            DIRECTION_OUT,
            DIRECTION_OUT,
            level,
            level,
          ]);
        }
      }
    },
  );

  it('of a line that was about to become an output leaves it what it was', () => {
    for (const answers of [0, 1, 2]) {
      const { chip, owner, line, settle } = scene('low');
      owner.setValue(1).setDirection(DIRECTION_OUT);
      expect(owner.outcomes.take()).toEqual([RESULT_OK, 0]);
      for (let i = 0; i < answers; i++) {
        chip.serve();
        chip.deliverAnswer();
      }
      const wasAsked = answers > 0;
      const isDone = owner.outcomes.take() !== undefined;
      owner.handle.reset();
      settle();
      expect(line.owner).toBeNull();
      expect([line.direction, chip.direction(0)]).toEqual(wasAsked ? [1, 1] : [0, 0]);
      // It never drove what its owner wanted after that was over.
      expect(chip.level(0)).toBe(0);
      // What was asked for and given up is answered, too.
      if (!isDone) expect(owner.outcomes.take()?.[0]).toBe(wasAsked ? RESULT_OK : RESULT_INVALID);
    }
  });

  it('a value that is on its way does not make it an output against the next consumer’s wish', () => {
    const { chip, owner, next, line, settle } = scene('keep');
    owner.setValue(1).setDirection(DIRECTION_OUT);
    owner.handle.reset();
    next.setDirection(DIRECTION_IN);
    settle();
    expect([line.owner, line.direction, chip.direction(0)]).toEqual([null, DIRECTION_IN, DIRECTION_IN]);
  });

  it('that the chip fails to do is tried again, as long as nobody else wants the line', () => {
    for (const onRelease of ['low', 'input'] as const) {
      const { chip, owner, line, settle } = scene(onRelease);
      owner.setValue(1).setDirection(DIRECTION_OUT);
      settle();
      let failures = 2;
      chip.outcome = ({ what }) => (what.startsWith('set') && failures-- > 0 ? RESULT_TIMEOUT : undefined);
      owner.handle.reset();
      settle();
      expect([chip.level(0), line.owner]).toEqual([1, null]);
      vi.advanceTimersByTime(1000);
      settle();
      expect(chip.level(0)).toBe(1);
      vi.advanceTimersByTime(1000);
      settle();
      expect([chip.level(0), chip.direction(0)]).toEqual([0, onRelease === 'low' ? 1 : 2]);
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  it('that failed is not repeated against the next owner', () => {
    const { chip, owner, next, settle } = scene('low');
    owner.setValue(1).setDirection(DIRECTION_OUT);
    settle();
    chip.outcome = () => RESULT_FAILED;
    owner.handle.release(owner.outcomes, 0);
    settle();
    expect(owner.outcomes.list.at(-1)).toEqual([RESULT_FAILED, 0]);
    chip.outcome = () => undefined;
    next.setValue(1);
    settle();
    vi.advanceTimersByTime(10_000);
    settle();
    expect([chip.level(0), next.handle.line.owner]).toEqual([1, next.handle]);
  });

  it('is repeated when the chip comes back', () => {
    const { chip, owner, settle } = scene('input');
    owner.setValue(1).setDirection(DIRECTION_OUT);
    settle();
    chip.lose();
    owner.handle.close();
    chip.asked();
    vi.advanceTimersByTime(10_000);
    expect(chip.asked()).toEqual([]);
    chip.recover();
    settle();
    expect(chip.direction(0)).toBe(DIRECTION_IN);
  });

  it('can be waited for', () => {
    const { lines, owner, settle, chip } = scene('low');
    let idle = 0;
    lines.whenIdle(() => idle++);
    expect(idle).toBe(1);
    owner.setValue(1).setDirection(DIRECTION_OUT);
    settle();
    owner.handle.close();
    lines.whenIdle(() => {
      idle++;
      expect(chip.level(0)).toBe(0);
    });
    expect(idle).toBe(1);
    settle();
    expect(idle).toBe(2);
  });
});
