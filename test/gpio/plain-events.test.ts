import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import type { Line } from '../../src/gpio/line.ts';
import { scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';
import { ScriptedChip } from './scripted-chip.ts';

describe('the type that a chip with plain events is asked for', () => {
  /** What the chip is asked for when consumers with these types come one after the other. */
  function wanted(streams: boolean, types: number[], watch = false): number {
    const { lines, chip, settle } = scripted(streams);
    for (const type of types) {
      new TestConsumer(lines, 0).setIrqType(type);
      settle();
    }
    if (watch) new TestConsumer(lines, 0).handle.watch(true);
    settle();
    expect(lines.lines[0]?.subscribed).toBe(chip.irqType(0));
    return chip.irqType(0);
  }

  it.each([
    ['none for nobody', [], 0],
    ['the edge that the only one wants: rising', [1], 1],
    ['the edge that the only one wants: falling', [2], 2],
    ['the edge that all want', [1, 1, 1], 1],
    ['both edges for different ones', [1, 2], 3],
    ['both edges for one of both', [2, 3], 3],
    ['both edges for level high', [4], 3],
    ['both edges for level low', [8], 3],
    ['both edges for an edge and a level', [1, 4], 3],
  ])('is %s', (_what, types, expected) => {
    expect(wanted(false, types)).toBe(expected);
  });

  it('is both edges when somebody watches', () => {
    expect(wanted(false, [], true)).toBe(3);
    expect(wanted(false, [1], true)).toBe(3);
  });

  it('is always both edges of a chip that streams levels', () => {
    for (const type of [1, 2, 3, 4, 8]) expect(wanted(true, [type])).toBe(3);
    expect(wanted(true, [])).toBe(0);
  });

  it('goes through none when it changes, and not back while somebody stays', () => {
    const { lines, chip, settle } = scripted(false);
    const [rising, falling] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0)];
    const types = () => chip.asked().filter((entry) => entry.startsWith('setIrqType'));
    rising.setIrqType(1);
    settle();
    expect(types()).toEqual(['setIrqType 0 = 1']);
    falling.setIrqType(2);
    settle();
    expect(types()).toEqual(['setIrqType 0 = 0', 'setIrqType 0 = 3']);
    // An edge between none and rising would be lost to the one who stays.
    falling.setIrqType(0);
    settle();
    expect(types()).toEqual([]);
    rising.setIrqType(0);
    settle();
    expect(types()).toEqual(['setIrqType 0 = 0']);
    rising.setIrqType(1);
    settle();
    expect(types()).toEqual(['setIrqType 0 = 1']);
  });

  it('of one edge needs no reads: the edge is known', () => {
    const { lines, chip, settle, drive } = scripted(false);
    const consumer = new TestConsumer(lines, 0);
    consumer.setIrqType(2);
    settle();
    consumer.rearms = true;
    consumer.arm();
    for (const level of [1, 0, 1, 0] as const) {
      drive(0, level);
      settle();
    }
    expect(consumer.interrupts).toBe(2);
    expect(chip.asked()).toEqual(['setIrqType 0 = 2']);
  });
});

describe('the parity of levels read after plain events', () => {
  let nowMs = 0;
  beforeEach(() => {
    nowMs = 1000;
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** A watched line whose chip does nothing by itself: events come from the test, reads say what the test says. */
  function watched() {
    const chip = new ScriptedChip(1, { streams: false });
    const lines = new ChipLines(chip);
    const watcher = new TestConsumer(lines, 0);
    watcher.handle.watch(true);
    chip.settle();
    chip.asked();
    nowMs += 1000;
    const line = lines.lines[0] as Line;
    const event = () => lines.edge({ offset: 0, level: -1, seq: 0, merged: false, timestampNs: 0n });
    /** Answers the read that follows an event. */
    const read = (level: number) => {
      const request = chip.requests.shift();
      expect(request?.what).toBe('getValue');
      request?.done.complete(request.token, 0, level);
    };
    return { chip, lines, watcher, line, event, read };
  }

  it('a changed level is one edge', () => {
    const { watcher, event, read } = watched();
    event();
    read(1);
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0]);
  });

  it('an unchanged level is two edges, and the event that the second owes is none', () => {
    const { watcher, lines, event, read } = watched();
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0]);
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0]);
    expect(lines.ambiguousEvents).toBe(1);
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0, 1, 0]);
  });

  it('a third edge in between is told by the level, and the owed event is still none', () => {
    const { watcher, lines, event, read } = watched();
    event();
    read(0);
    event();
    read(1);
    expect(watcher.levels).toEqual([1, 0, 1]);
    event();
    read(1);
    expect(watcher.levels).toEqual([1, 0, 1]);
    expect(lines.ambiguousEvents).toBe(1);
  });

  it('events during a read ask for one more read', () => {
    const { chip, watcher, event, read } = watched();
    event();
    event();
    event();
    expect(chip.requests).toHaveLength(1);
    read(1);
    expect(chip.requests).toHaveLength(1);
    read(0);
    expect(chip.requests).toHaveLength(0);
    expect(watcher.levels).toEqual([1, 0]);
  });

  it('starts anew with each subscription: what changed in between was no edge for anybody', () => {
    const { chip, lines, watcher, event, read } = watched();
    event();
    read(0);
    watcher.handle.watch(false);
    chip.settle();
    chip.drive(0, 1);
    watcher.handle.watch(true);
    chip.settle();
    nowMs += 1000;
    watcher.edges.length = 0;
    chip.drive(0, 0);
    chip.settle();
    expect(watcher.levels).toEqual([0]);
    expect(lines.ambiguousEvents).toBe(0);
  });

  it('a read of the last subscription does not count in the next', () => {
    const { chip, watcher, event, line } = watched();
    event();
    chip.serve();
    watcher.handle.watch(false);
    watcher.handle.watch(true);
    // Rises before the new subscription is made; the read said 0.
    chip.drive(0, 1);
    chip.events.length = 0;
    chip.settle();
    expect(line.level).toBe(1);
    chip.drive(0, 0);
    chip.settle();
    expect(watcher.levels).toEqual([0]);
  });

  it('before the first level is known, an event is the one edge that leads to the level read', () => {
    const chip = new ScriptedChip(1, { streams: false });
    const lines = new ChipLines(chip);
    const watcher = new TestConsumer(lines, 0);
    watcher.handle.watch(true);
    chip.serve();
    chip.drive(0, 1);
    chip.settle();
    expect(watcher.levels).toEqual([1]);
    expect(lines.lines[0]).toMatchObject({ level: 1, fresh: true });
  });

  it('right after the first level was read, an event may be for an edge before: only the last edge is certain', () => {
    const { chip, lines, watcher, event, read } = watched();
    watcher.handle.watch(false);
    watcher.handle.watch(true);
    chip.settle();
    event();
    read(0);
    expect([watcher.levels, lines.ambiguousEvents]).toEqual([[0], 1]);
    event();
    read(0);
    expect([watcher.levels, lines.ambiguousEvents]).toEqual([[0], 2]);
  });

  it('an event long after an unchanged level is not owed any more', () => {
    const { lines, watcher, event, read } = watched();
    event();
    read(0);
    nowMs += 49;
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0]);
    event();
    read(0);
    nowMs += 50;
    event();
    read(0);
    expect(watcher.levels).toEqual([1, 0, 1, 0, 1, 0]);
    expect(lines.ambiguousEvents).toBe(1);
  });

  it('an event soon after an unchanged level is owed, however late the chip tells the level', () => {
    const { lines, watcher, event, read } = watched();
    event();
    read(0);
    nowMs += 49;
    event();
    nowMs += 3000;
    read(0);
    expect([watcher.levels, lines.ambiguousEvents]).toEqual([[1, 0], 1]);
    // The same for one that came while the level was read.
    event();
    event();
    nowMs += 3000;
    read(0);
    nowMs += 3000;
    read(0);
    expect([watcher.levels, lines.ambiguousEvents]).toEqual([[1, 0, 1, 0], 2]);
  });

  it('an event during a late read does not count as the one that the read is for', () => {
    const { lines, watcher, event, read } = watched();
    event();
    read(0);
    event();
    nowMs += 1000;
    event();
    read(0);
    expect([watcher.levels, lines.ambiguousEvents]).toEqual([[1, 0], 1]);
    read(1);
    expect(watcher.levels).toEqual([1, 0, 1]);
  });

  it('a level consumer that waits hears of an active level also after an owed event', () => {
    const { lines, watcher, event, read } = watched();
    const high = new TestConsumer(lines, 0);
    high.setIrqType(4);
    event();
    read(1);
    event();
    read(1);
    watcher.handle.watch(true);
    event();
    high.arm();
    expect(high.interrupts).toBe(0);
    read(1);
    expect(high.interrupts).toBe(1);
  });
});
