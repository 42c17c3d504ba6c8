import { describe, expect, it } from 'vitest';
import { DIRECTION_IN, DIRECTION_OUT, RESULT_FAILED } from '../../src/gpio/chip.ts';
import type { ChipLines } from '../../src/gpio/chip-lines.ts';
import { DEFAULT_LINE_SETTINGS, type InitialState } from '../../src/gpio/line-settings.ts';
import { BENCHES, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

function initial(lines: ChipLines, ...states: (InitialState | null)[]): void {
  for (const [offset, state] of states.entries()) {
    const line = lines.lines[offset];
    if (line !== undefined) line.settings = { ...DEFAULT_LINE_SETTINGS, initial: state };
  }
}

describe.each(BENCHES)('how lines start, on %s', (_name, make) => {
  it('as their settings say; nobody owns them', () => {
    const bench = make();
    initial(bench.lines, 'high', null, 'low', 'in');
    let done = 0;
    bench.lines.applyInitial((failed) => {
      expect(failed).toEqual([]);
      done++;
    });
    bench.settle();
    expect(done).toBe(1);
    const lines = bench.lines.lines.slice(0, 4);
    expect(lines.map(({ direction, owner }) => [direction, owner])).toEqual([
      [DIRECTION_OUT, null],
      [-1, null],
      [DIRECTION_OUT, null],
      [DIRECTION_IN, null],
    ]);
    expect([bench.level(0), bench.level(2)]).toEqual([1, 0]);
    const [log, guest] = [new TestConsumer(bench.lines, 0, 'log'), new TestConsumer(bench.lines, 0)];
    log.handle.watch(true);
    bench.settle();
    expect(log.told).toEqual(['=1']);
    guest.setValue(0);
    bench.settle();
    expect([log.told, guest.handle.line.owner]).toEqual([['=1', '0'], guest.handle]);
  });

  it('are done at once where there is nothing to do', () => {
    let done = 0;
    make().lines.applyInitial(() => done++);
    expect(done).toBe(1);
    make().lines.applyInitial();
  });

  it('lines that somebody owns are left alone', () => {
    const bench = make();
    const owner = new TestConsumer(bench.lines, 0);
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    initial(bench.lines, 'low');
    bench.lines.applyInitial();
    bench.settle();
    expect([bench.level(0), owner.handle.line.owner]).toEqual([1, owner.handle]);
  });
});

describe('a start that the chip refuses', () => {
  it('is told of, and the others are made', () => {
    const { lines, chip, settle } = scripted(true);
    initial(lines, 'high', 'high', 'in');
    chip.outcome = ({ what, offset }) =>
      (what === 'setValue' && offset === 0) || (what === 'setDirection' && offset === 2)
        ? RESULT_FAILED
        : undefined;
    const failed: number[] = [];
    lines.applyInitial((list) => failed.push(...list.map(({ offset }) => offset)));
    expect(chip.asked()).toEqual(['setValue 0 = 1', 'setValue 1 = 1', 'setDirection 2 = 2']);
    settle();
    expect(failed.sort()).toEqual([0, 2]);
    // It never drove what it had before.
    expect([0, 1, 2].map((offset) => chip.direction(offset))).toEqual([0, 1, 0]);
  });

  it('goes before nobody’s wish: who makes it an output meanwhile has it', () => {
    const { lines, chip, settle } = scripted(true);
    initial(lines, 'high');
    lines.applyInitial();
    const guest = new TestConsumer(lines, 0);
    guest.handle.drive(0, guest.outcomes, 0);
    settle();
    expect([chip.level(0), chip.direction(0), guest.handle.line.owner]).toEqual([0, 1, guest.handle]);
  });
});
