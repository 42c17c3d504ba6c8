import { describe, expect, it } from 'vitest';
import { IRQ_BOTH, RESULT_FAILED, RESULT_OK } from '../../src/gpio/chip.ts';
import { BENCHES, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

describe.each(BENCHES)('several consumers of one line on %s', (_name, make) => {
  function three() {
    const bench = make();
    const consumers = ['a', 'b', 'c'].map((name) => new TestConsumer(bench.lines, 0, name));
    return { bench, consumers: consumers as [TestConsumer, TestConsumer, TestConsumer] };
  }

  it('each has its own type, mask and latch', () => {
    const { bench, consumers } = three();
    const [rising, falling, both] = consumers;
    rising.setIrqType(1);
    bench.settle();
    falling.setIrqType(2);
    bench.settle();
    both.setIrqType(3);
    bench.settle();
    for (const consumer of consumers) expect(consumer.outcomes.take()).toEqual([RESULT_OK, 0]);
    rising.arm();
    both.arm();
    bench.drive(0, 1);
    bench.settle();
    expect(consumers.map((c) => c.interrupts)).toEqual([1, 0, 1]);
    bench.drive(0, 0);
    bench.settle();
    // Masked: the edge waits for both of them.
    expect(consumers.map((c) => c.interrupts)).toEqual([1, 0, 1]);
    expect(consumers.map((c) => c.handle.interrupt.latched)).toEqual([false, true, true]);
    falling.arm();
    both.arm();
    rising.arm();
    expect(consumers.map((c) => c.interrupts)).toEqual([1, 1, 2]);
  });

  it('who leaves leaves the others their interrupts', () => {
    const leave: ((consumer: TestConsumer) => void)[] = [
      (consumer) => consumer.setIrqType(0),
      (consumer) => consumer.setDirection(0),
      (consumer) => consumer.handle.reset(),
      (consumer) => consumer.handle.close(),
    ];
    for (const go of leave) {
      const { bench, consumers } = three();
      const [a, b, c] = consumers;
      for (const consumer of consumers) {
        consumer.setDirection(2).setIrqType(3);
        bench.settle();
        consumer.arm();
      }
      go(a);
      bench.settle();
      expect(a.disarms).toBe(1);
      bench.drive(0, 1);
      bench.settle();
      expect(consumers.map((consumer) => consumer.interrupts)).toEqual([0, 1, 1]);
      b.arm();
      c.arm();
      go(b);
      bench.settle();
      bench.drive(0, 0);
      bench.settle();
      expect(consumers.map((consumer) => consumer.interrupts)).toEqual([0, 1, 2]);
      expect(a.handle.line.direction).toBe(2);
    }
  });

  it('a mixture of edge and level consumers', () => {
    const { bench, consumers } = three();
    const [falling, high, low] = consumers;
    bench.drive(0, 1);
    for (const [consumer, type] of [
      [falling, 2],
      [high, 4],
      [low, 8],
    ] as const) {
      consumer.setIrqType(type);
      bench.settle();
      consumer.arm();
      bench.settle();
    }
    expect(consumers.map((c) => c.interrupts)).toEqual([0, 1, 0]);
    bench.drive(0, 0);
    bench.settle();
    expect(consumers.map((c) => c.interrupts)).toEqual([1, 1, 1]);
    low.arm();
    high.arm();
    expect(consumers.map((c) => c.interrupts)).toEqual([1, 1, 2]);
  });

  it('one that watches hears of every change, beside guests', () => {
    const { bench, consumers } = three();
    const [log, guest] = consumers;
    log.handle.watch(true);
    guest.setIrqType(1);
    bench.settle();
    guest.arm();
    for (const level of [1, 0, 1] as const) {
      bench.drive(0, level);
      bench.settle();
    }
    expect(log.levels).toEqual([1, 0, 1]);
    expect([log.interrupts, guest.interrupts, guest.edges.length]).toEqual([0, 1, 0]);
    log.handle.watch(false);
    bench.drive(0, 0);
    bench.settle();
    expect(log.levels).toEqual([1, 0, 1]);
    guest.arm();
    bench.drive(0, 1);
    bench.settle();
    expect(guest.interrupts).toBe(2);
  });

  it('one that closes while it is told of an edge keeps nobody from hearing of it', () => {
    const { bench, consumers } = three();
    const [first, second, third] = consumers;
    for (const consumer of consumers) {
      consumer.setIrqType(1);
      bench.settle();
      consumer.arm();
    }
    first.onInterrupt = () => first.handle.close();
    second.onInterrupt = () => third.handle.close();
    bench.drive(0, 1);
    bench.settle();
    expect([first.interrupts, second.interrupts]).toEqual([1, 1]);
    expect(third.interrupts).toBe(0);
  });

  it('a watcher sees an output driven, and only its changes', () => {
    const { bench, consumers } = three();
    const [log, guest] = consumers;
    log.handle.watch(true);
    bench.settle();
    for (const operation of [
      () => guest.setDirection(1),
      () => guest.setValue(1),
      () => guest.setValue(1),
      () => guest.setValue(0),
    ]) {
      operation();
      bench.settle();
    }
    expect(log.levels.slice(-2)).toEqual([1, 0]);
    expect(log.levels.filter((level) => level === 1)).toHaveLength(1);
  });
});

describe('the subscription southbound', () => {
  it('is one, of both edges, for any number of consumers of a chip that streams levels', () => {
    const { lines, chip, settle } = scripted(true);
    const consumers = [1, 2, 3, 4, 8].map((type) => new TestConsumer(lines, 1).setIrqType(type));
    settle();
    expect(chip.asked().filter((entry) => entry.startsWith('setIrqType'))).toEqual(['setIrqType 1 = 3']);
    for (const consumer of consumers.slice(1)) consumer.handle.close();
    settle();
    expect(chip.asked()).toEqual([]);
    consumers[0]?.handle.close();
    settle();
    expect(chip.asked()).toEqual(['setIrqType 1 = 0']);
  });

  it('is there only while somebody wants edges', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    consumer.setDirection(2).getValue();
    settle();
    expect(chip.irqType(0)).toBe(0);
    consumer.handle.watch(true);
    settle();
    expect(chip.irqType(0)).toBe(IRQ_BOTH);
    consumer.handle.watch(false);
    settle();
    expect(chip.irqType(0)).toBe(0);
  });

  it('is flushed when a watcher comes, and when a consumer closes', () => {
    const { lines, chip } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    consumer.handle.watch(true);
    expect(chip.flushes).toBe(1);
    consumer.handle.close();
    consumer.handle.close();
    expect(chip.flushes).toBe(2);
  });

  it('is confirmed to each consumer only when the chip has confirmed what that one needs', () => {
    const { lines, chip, settle } = scripted(false);
    const [rising, falling] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0)];
    rising.setIrqType(1);
    chip.serve();
    falling.setIrqType(2);
    chip.deliverAnswer();
    // The answer to the first subscription says nothing of the second consumer's.
    expect(falling.outcomes.list).toEqual([]);
    settle();
    expect([rising.outcomes.take(), falling.outcomes.take()]).toEqual([
      [RESULT_OK, 0],
      [RESULT_OK, 0],
    ]);
    expect(chip.irqType(0)).toBe(IRQ_BOTH);
  });

  it('that the chip refuses fails for whom it was made, and the others keep theirs', () => {
    const { lines, chip, settle, drive } = scripted(false);
    const [rising, falling] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0)];
    rising.setIrqType(1);
    settle();
    rising.arm();
    chip.outcome = ({ what, argument }) =>
      what === 'setIrqType' && argument === IRQ_BOTH ? RESULT_FAILED : undefined;
    falling.setIrqType(2);
    falling.arm();
    settle();
    expect(falling.outcomes.take()).toEqual([RESULT_FAILED, 0]);
    expect([falling.handle.interrupt.type, falling.disarms]).toEqual([0, 1]);
    expect(chip.irqType(0)).toBe(1);
    drive(0, 1);
    settle();
    expect([rising.interrupts, falling.interrupts]).toEqual([1, 0]);
  });

  it('comes back for watchers when an output becomes an input again', () => {
    const { lines, chip, settle, drive } = scripted(true);
    const [log, guest] = [new TestConsumer(lines, 0, 'log', { access: 'read' }), new TestConsumer(lines, 0)];
    log.handle.watch(true);
    settle();
    guest.setDirection(1);
    settle();
    expect([chip.irqType(0), chip.direction(0)]).toEqual([0, 1]);
    guest.setDirection(2);
    settle();
    expect(chip.irqType(0)).toBe(IRQ_BOTH);
    guest.setDirection(0);
    settle();
    expect(chip.irqType(0)).toBe(IRQ_BOTH);
    drive(0, 1);
    settle();
    expect(log.levels).toEqual([1]);
  });

  it('a chip that went away answers, and is not asked; what came late is nobody’s', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    const seen: string[] = [];
    lines.onAvailability((available, reason) => seen.push(`${available} ${reason}`));
    consumer.setIrqType(3);
    settle();
    consumer.outcomes.take();
    consumer.arm();
    consumer.getValue();
    expect(consumer.outcomes.list).toEqual([[RESULT_OK, 0]]);
    consumer.outcomes.take();
    new TestConsumer(lines, 1).setValue(0).setDirection(1);
    chip.lose('power cut');
    expect(seen).toEqual(['false power cut']);
    // Held, not bounced.
    expect([consumer.disarms, consumer.handle.interrupt.armed]).toEqual([0, true]);
    chip.asked();
    consumer.getValue();
    expect(consumer.outcomes.take()?.[0]).toBe(3);
    chip.record(0, 1);
    chip.deliverEvent();
    expect(consumer.interrupts).toBe(0);
    const other = new TestConsumer(lines, 2);
    other.setIrqType(1);
    expect([other.outcomes.take()?.[0], other.handle.interrupt.type]).toEqual([3, 0]);
    expect(chip.asked()).toEqual(['getValue 0']);
  });
});
