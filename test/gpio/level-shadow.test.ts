import { describe, expect, it } from 'vitest';
import { RESULT_FAILED, RESULT_OK } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';
import { ScriptedChip } from './scripted-chip.ts';

/** A consumer with an interrupt on line 0, with nothing under way. */
function subscribed(streams: boolean, type = 3) {
  const bench = scripted(streams);
  const consumer = new TestConsumer(bench.lines, 0);
  consumer.setIrqType(type);
  bench.settle();
  consumer.outcomes.take();
  bench.chip.asked();
  return { ...bench, consumer };
}

describe('the level shadow of a chip that streams levels', () => {
  it('answers at once for a subscribed line, without a trip', () => {
    const { consumer, chip, drive } = subscribed(true);
    expect(consumer.getValue().outcomes.take()).toEqual([RESULT_OK, 0]);
    drive(0, 1);
    chip.deliverEvent();
    expect(consumer.getValue().outcomes.take()).toEqual([RESULT_OK, 1]);
    expect(chip.asked()).toEqual([]);
  });

  it('does not answer for a line that is not subscribed, or before the first read was answered', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    consumer.getValue();
    expect(chip.asked()).toEqual(['getValue 0']);
    settle();
    consumer.outcomes.take();
    consumer.setIrqType(3);
    chip.serve();
    chip.deliverAnswer();
    expect(consumer.outcomes.take()).toEqual([RESULT_OK, 0]);
    consumer.getValue();
    expect(consumer.outcomes.list).toEqual([]);
    settle();
    expect(consumer.outcomes.take()).toEqual([RESULT_OK, 0]);
  });

  it('is stale with the end of the subscription', () => {
    const { consumer, chip, settle } = subscribed(true);
    consumer.setIrqType(0);
    settle();
    chip.asked();
    consumer.outcomes.take();
    consumer.getValue();
    expect(chip.asked()).toEqual(['getValue 0']);
  });

  it('does not overtake an operation of the line that is under way', () => {
    const { consumer, chip, settle } = subscribed(true);
    consumer.setDirection(2);
    consumer.getValue();
    expect(consumer.outcomes.list).toEqual([]);
    settle();
    expect(consumer.outcomes.list).toHaveLength(2);
    expect(chip.asked()).toEqual(['setDirection 0 = 2', 'getValue 0']);
  });

  it('an edge that arrives while a read is under way is newer than the read', () => {
    const { consumer, chip, drive, lines } = subscribed(true);
    consumer.setDirection(2);
    consumer.getValue();
    chip.serve();
    chip.serve();
    // The read says 0; then it rises, and the record is here before the answer.
    drive(0, 1);
    chip.deliverEvent();
    chip.deliverAnswer();
    chip.deliverAnswer();
    expect(consumer.outcomes.list).toEqual([
      [RESULT_OK, 0],
      [RESULT_OK, 1],
    ]);
    expect(lines.lines[0]).toMatchObject({ level: 1, fresh: true });
    consumer.outcomes.list.length = 0;
    expect(consumer.getValue().outcomes.take()).toEqual([RESULT_OK, 1]);
  });

  it('a read from before the subscription does not make it fresh', () => {
    const { lines, chip, settle, drive } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    consumer.getValue();
    chip.serve();
    // Nobody tells of this change: there is no subscription yet.
    drive(0, 1);
    consumer.setIrqType(8);
    consumer.arm();
    chip.deliverAnswer();
    expect(lines.lines[0]?.fresh).toBe(false);
    settle();
    expect([consumer.interrupts, lines.lines[0]?.level]).toEqual([0, 1]);
  });

  it('merged changes that end at the level last told owe both directions', () => {
    const { consumer, chip, drive, settle } = subscribed(true);
    consumer.handle.watch(true);
    drive(0, 1);
    settle();
    chip.record(0, 1, true);
    settle();
    chip.record(0, 0, true);
    settle();
    expect(consumer.levels).toEqual([1, 0, 1, 0]);
    expect(consumer.edges.map(({ edge }) => edge.merged)).toEqual([false, true, true, true]);
  });

  it('a kept record whose level was read before it came is one edge, not two', () => {
    const { consumer, chip, settle } = subscribed(true);
    consumer.handle.watch(true);
    settle();
    chip.become(0, 2);
    chip.outcome = ({ what }) => (what === 'getValue' ? RESULT_OK : undefined);
    // The device had no buffer: it kept the rise, and answers a read with the level after it.
    chip.drive(0, 1);
    chip.events.length = 0;
    consumer.setDirection(2).getValue();
    settle();
    expect(consumer.outcomes.list.at(-1)).toEqual([RESULT_OK, 1]);
    chip.record(0, 1, true);
    settle();
    expect(consumer.levels).toEqual([1]);
  });

  it('reads through when the policy says so', () => {
    const chip = new ScriptedChip(1, { streams: true });
    const lines = new ChipLines(chip, 'through');
    const consumer = new TestConsumer(lines, 0);
    consumer.setIrqType(3);
    chip.settle();
    chip.asked();
    consumer.getValue();
    expect(chip.asked()).toEqual(['getValue 0']);
  });

  it('records of lines that there are not, or that nobody wants, are ignored', () => {
    const { lines, chip, settle } = subscribed(true);
    chip.record(9, 1);
    chip.record(1, 1);
    settle();
    expect(lines.edges).toBe(0);
  });
});

describe('the level of a chip with plain events', () => {
  it('is stale with an event, fresh with the read after it, and read through by default', () => {
    const { consumer, chip, drive, lines, settle } = subscribed(false);
    const line = lines.lines[0];
    expect(line).toMatchObject({ level: 0, fresh: true });
    drive(0, 1);
    chip.deliverEvent();
    expect(line?.fresh).toBe(false);
    expect(chip.asked()).toEqual(['getValue 0']);
    settle();
    expect(line).toMatchObject({ level: 1, fresh: true });
    consumer.getValue();
    expect(chip.asked()).toEqual(['getValue 0']);
  });

  it('answers reads from the shadow when the policy says so', () => {
    const chip = new ScriptedChip(1, { streams: false });
    const lines = new ChipLines(chip, 'shadow');
    const consumer = new TestConsumer(lines, 0);
    consumer.setIrqType(3);
    chip.settle();
    consumer.outcomes.take();
    expect(consumer.getValue().outcomes.take()).toEqual([RESULT_OK, 0]);
    chip.drive(0, 1);
    chip.deliverEvent();
    expect(consumer.getValue().outcomes.take()).toBeUndefined();
    chip.settle();
    expect(consumer.outcomes.take()).toEqual([RESULT_OK, 1]);
  });

  it('is not changed by a read: the event that is on its way tells of the edge', () => {
    const { consumer, chip, drive, settle } = subscribed(false, 1);
    const both = new TestConsumer(consumer.handle.line.lines, 0);
    both.setIrqType(3);
    settle();
    both.rearms = true;
    both.arm();
    drive(0, 1);
    both.outcomes.take();
    both.getValue();
    chip.serve();
    chip.deliverAnswer();
    expect(both.outcomes.take()).toEqual([RESULT_OK, 1]);
    expect(both.interrupts).toBe(0);
    settle();
    expect(both.interrupts).toBe(1);
  });

  it('is read once more when the read after an event fails, and unknown when that fails too', () => {
    const { consumer, chip, drive, lines, settle } = subscribed(false);
    consumer.rearms = true;
    consumer.arm();
    let failures = 1;
    chip.outcome = ({ what }) => (what === 'getValue' && failures-- > 0 ? RESULT_FAILED : undefined);
    drive(0, 1);
    settle();
    expect([consumer.interrupts, lines.lines[0]?.level]).toEqual([1, 1]);
    failures = 2;
    drive(0, 0);
    settle();
    expect(lines.lines[0]).toMatchObject({ level: -1, fresh: false });
    drive(0, 1);
    settle();
    expect([consumer.interrupts, lines.lines[0]?.level]).toEqual([2, 1]);
  });
});
