import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DIRECTION_OUT, IRQ_BOTH } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import type { LineConsumer, LineHandle } from '../../src/gpio/line-handle.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { Outcomes, TestConsumer } from './consumer.ts';

/** Watches all lines of some chips and writes down everything in the order in which it hears of it. */
class Diary implements LineConsumer {
  readonly name: string;
  readonly entries: string[] = [];
  readonly handles: LineHandle[] = [];
  /** Runs after an entry was made: sets lines, for example. */
  react: (handle: LineHandle, level: number) => void = () => {};

  constructor(name: string, chips: readonly ChipLines[]) {
    this.name = name;
    for (const chip of chips) {
      for (const line of chip.lines) {
        const handle = chip.open(line.offset, this, this.handles.length);
        this.handles.push(handle);
        handle.watch(true);
      }
    }
    this.entries.length = 0;
  }

  interrupt(): void {
    throw new Error('it has no interrupts');
  }
  edge(handle: LineHandle, level: number, edge: { readonly offset: number; readonly level: number }): void {
    // The edge is what it was when the first one heard of it.
    expect([edge.offset, edge.level]).toEqual([handle.line.offset, level]);
    this.entries.push(`${handle.line.path} ${level}`);
    this.react(handle, level);
  }
  observed(handle: LineHandle, level: number): void {
    this.entries.push(`${handle.line.path} =${level}`);
    this.react(handle, level);
  }
  changed(handle: LineHandle): void {
    this.entries.push(`${handle.line.path} changed`);
  }
}

const done = { complete: () => {} };

describe('everybody hears the same in the same order', () => {
  it('also when one sets another line while it is told of an edge', () => {
    const chip = new SimulatedChip('sim', 4);
    const lines = new ChipLines(chip);
    const first = new Diary('first', [lines]);
    const second = new Diary('second', [lines]);
    first.handles[2]?.setDirection(DIRECTION_OUT, done, 0);
    first.entries.length = 0;
    second.entries.length = 0;
    // Line 3 hangs on line 2.
    first.react = (handle, level) => {
      if (handle.line.offset === 0) handle.line.lines.lines[2]?.owner?.setValue(level, done, 0);
    };
    chip.drive(0, 1);
    expect(second.entries).toEqual(['sim/sim0 1', 'sim/sim2 1', 'sim/sim3 1']);
    expect(first.entries).toEqual(second.entries);
  });

  it('also of the same line, that one sets back', () => {
    const chip = new SimulatedChip('sim', 2);
    const lines = new ChipLines(chip);
    const first = new Diary('first', [lines]);
    const second = new Diary('second', [lines]);
    const [driver] = first.handles;
    driver?.setDirection(DIRECTION_OUT, done, 0);
    first.entries.length = 0;
    second.entries.length = 0;
    first.react = (handle, level) => {
      if (handle.line.offset === 1 && level === 1) driver?.setValue(0, done, 0);
    };
    driver?.setValue(1, done, 0);
    expect(second.entries.filter((entry) => entry.startsWith('sim/sim1'))).toEqual([
      'sim/sim1 1',
      'sim/sim1 0',
    ]);
    expect(first.entries).toEqual(second.entries);
    expect(lines.lines[1]?.level).toBe(0);
  });

  it('whatever they do to lines of several chips in their callbacks', () => {
    const reaction = fc.record({
      who: fc.nat(2),
      when: fc.nat(7),
      level: fc.nat(1),
      what: fc.constantFrom('set', 'direction', 'release', 'unwatch', 'read'),
      line: fc.nat(7),
    });
    const outside = fc.record({
      chip: fc.nat(1),
      offset: fc.nat(3),
      level: fc.constantFrom(0 as const, 1 as const),
    });
    fc.assert(
      fc.property(
        fc.array(reaction, { maxLength: 12 }),
        fc.array(outside, { maxLength: 30 }),
        (reactions, drives) => {
          const chips = [new SimulatedChip('a', 4), new SimulatedChip('b', 4)];
          const lines = chips.map((chip) => new ChipLines(chip));
          const diaries = ['x', 'y', 'z'].map((name) => new Diary(name, lines));
          for (const diary of diaries) diary.entries.length = 0;
          const constant = diaries.map(() => true);
          for (const { who, when, level, what, line } of reactions) {
            const diary = diaries[who] as Diary;
            const before = diary.react;
            let used = 0;
            if (what === 'unwatch') constant[who] = false;
            diary.react = (handle, to) => {
              before(handle, to);
              const at = diary.handles[line] as LineHandle;
              // Each a few times only, so that two do not answer each other for ever.
              if (handle.index !== when || to !== level || used++ > 3) return;
              if (what === 'set') at.drive(1 - level, done, 0);
              else if (what === 'direction') at.setDirection(1 + level, done, 0);
              else if (what === 'release') at.release(done, 0);
              else if (what === 'read') at.getValue(done, 0);
              else at.watch(!at.watching);
            };
          }
          for (const { chip, offset, level } of drives) chips[chip]?.drive(offset, level);
          // Who did not go away in between has heard everything, as everybody else has.
          const entries = diaries.filter((_, i) => constant[i]).map((diary) => diary.entries);
          for (const each of entries) expect(each).toEqual(entries[0]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('a guest’s interrupts and a watcher’s edges come of the same edges', () => {
    const chip = new SimulatedChip('sim', 4);
    const lines = new ChipLines(chip);
    const order: string[] = [];
    const watcher = new TestConsumer(lines, 0, 'log');
    watcher.handle.watch(true);
    const guest = new TestConsumer(lines, 0, 'vm');
    guest.setIrqType(IRQ_BOTH);
    guest.arm();
    guest.onInterrupt = () => order.push('interrupt');
    watcher.onEdge = (level) => {
      order.push(`edge ${level}`);
      if (level === 1) chip.drive(0, 0);
    };
    chip.drive(0, 1);
    expect(order).toEqual(['edge 1', 'interrupt', 'edge 0']);
    expect(guest.handle.interrupt.latched).toBe(true);
  });

  it('a consumer that throws keeps nobody from hearing of what comes next', () => {
    const chip = new SimulatedChip('sim', 4);
    const lines = new ChipLines(chip);
    const bad = new TestConsumer(lines, 0, 'bad');
    const good = new TestConsumer(lines, 0, 'good');
    for (const consumer of [bad, good]) consumer.handle.watch(true);
    bad.onEdge = (level) => {
      if (level === 0) return;
      chip.drive(0, 0);
      throw new Error('its own fault');
    };
    expect(() => chip.drive(0, 1)).toThrow('its own fault');
    new TestConsumer(lines, 1).setValue(0).setDirection(DIRECTION_OUT);
    chip.drive(2, 1);
    expect(good.handle.line.level).toBe(0);
    const outcomes = new Outcomes();
    good.handle.getValue(outcomes, 0);
    expect(outcomes.take()).toEqual([0, 0]);
  });
});
