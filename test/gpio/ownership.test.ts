import { describe, expect, it } from 'vitest';
import {
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
} from '../../src/gpio/chip.ts';
import type { Access } from '../../src/gpio/line-settings.ts';
import { BENCHES, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

describe.each(BENCHES)('who may drive, on %s', (_name, make) => {
  function consumers(...accesses: Access[]) {
    const bench = make();
    const list = accesses.map((access, i) => new TestConsumer(bench.lines, 0, `vm${i}`, { access }));
    const result = (consumer: TestConsumer, operation: (consumer: TestConsumer) => void) => {
      operation(consumer);
      bench.settle();
      return consumer.outcomes.take()?.[0];
    };
    return { bench, result, list: list as [TestConsumer, TestConsumer, TestConsumer] };
  }
  const out = (consumer: TestConsumer) => consumer.setDirection(1);
  const input = (consumer: TestConsumer) => consumer.setDirection(2);
  const none = (consumer: TestConsumer) => consumer.setDirection(0);
  const high = (consumer: TestConsumer) => consumer.setValue(1);

  it('the consumer that made it an output owns it; the others are told busy', () => {
    const { bench, result, list } = consumers('write', 'write');
    const [a, b] = list;
    expect(result(a, out)).toBe(RESULT_OK);
    expect(a.handle.line.owner).toBe(a.handle);
    expect([out, high, input].map((operation) => result(b, operation))).toEqual([
      RESULT_BUSY,
      RESULT_BUSY,
      RESULT_BUSY,
    ]);
    expect(result(b, (c) => c.setIrqType(3))).toBe(RESULT_INVALID);
    expect(result(a, high)).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(1);
    // Reading is everybody's.
    b.getValue();
    bench.settle();
    expect(b.outcomes.take()).toEqual([RESULT_OK, 1]);
  });

  it('nobody takes an output from its owner by giving up what is not his', () => {
    const { bench, result, list } = consumers('write', 'write');
    const [a, b] = list;
    result(a, high);
    result(a, out);
    expect(result(b, none)).toBe(RESULT_OK);
    expect([a.handle.line.owner, a.handle.line.direction, bench.level(0)]).toEqual([a.handle, 1, 1]);
    expect(result(a, (c) => c.setValue(0))).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(0);
  });

  it.each([
    ['direction none', none],
    ['direction in', input],
    ['reset', (c: TestConsumer) => c.handle.reset()],
    ['close', (c: TestConsumer) => c.handle.close()],
  ])('%s gives it free', (_how, release) => {
    const { bench, result, list } = consumers('write', 'write');
    const [a, b] = list;
    result(a, out);
    release(a);
    bench.settle();
    expect(a.handle.line.owner).toBeNull();
    if (a.handle.direction === 2) none(a);
    bench.settle();
    expect(result(b, out)).toBe(RESULT_OK);
    expect(b.handle.line.owner).toBe(b.handle);
  });

  it.each(['reset', 'close'] as const)('%s leaves level and direction as they are', (how) => {
    const { bench, result, list } = consumers('write', 'write');
    const [a, b] = list;
    result(a, high);
    result(a, out);
    a.handle[how]();
    bench.settle();
    expect([bench.level(0), a.handle.line.direction]).toEqual([1, 1]);
    // Who sets an output without owner takes it over.
    expect(result(b, (c) => c.setValue(0))).toBe(RESULT_OK);
    expect([b.handle.line.owner, bench.level(0)]).toEqual([b.handle, 0]);
  });

  it('a consumer with read access reads and has interrupts, and never drives', () => {
    const { bench, result, list } = consumers('read', 'write');
    const [reader, writer] = list;
    expect([out, high].map((operation) => result(reader, operation))).toEqual([
      RESULT_REFUSED,
      RESULT_REFUSED,
    ]);
    expect(result(reader, input)).toBe(RESULT_OK);
    expect(result(reader, (c) => c.setIrqType(1))).toBe(RESULT_OK);
    reader.arm();
    bench.drive(0, 1);
    bench.settle();
    expect(reader.interrupts).toBe(1);
    expect(result(reader, none)).toBe(RESULT_OK);
    expect(result(writer, out)).toBe(RESULT_OK);
    writer.handle.reset();
    // Nor does it end what a writer left.
    expect(result(reader, input)).toBe(RESULT_REFUSED);
    expect(result(reader, none)).toBe(RESULT_OK);
    expect(reader.handle.line.direction).toBe(1);
  });

  it('where one has owner access, nobody else becomes owner', () => {
    const { result, list } = consumers('write', 'owner', 'read');
    const [a, owner, reader] = list;
    expect([out, high].map((operation) => result(a, operation))).toEqual([RESULT_BUSY, RESULT_BUSY]);
    expect(result(reader, out)).toBe(RESULT_REFUSED);
    expect(result(owner, out)).toBe(RESULT_OK);
    expect(result(owner, none)).toBe(RESULT_OK);
    expect(result(a, out)).toBe(RESULT_BUSY);
    owner.handle.close();
    expect(result(a, out)).toBe(RESULT_OK);
  });

  it('a line that others use as an input does not become an output', () => {
    for (const use of [input, (c: TestConsumer) => c.setIrqType(3)]) {
      const { result, list } = consumers('write', 'write');
      const [a, b] = list;
      expect(result(b, use)).toBe(RESULT_OK);
      expect(result(a, out)).toBe(RESULT_BUSY);
      expect(result(b, none)).toBe(RESULT_OK);
      expect(result(a, out)).toBe(RESULT_OK);
    }
  });

  it('a value that is held is each consumer’s own', () => {
    const { bench, result, list } = consumers('write', 'write');
    const [a, b] = list;
    expect(result(a, high)).toBe(RESULT_OK);
    expect(result(b, (c) => c.setValue(0))).toBe(RESULT_OK);
    expect(result(a, out)).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(1);
    result(a, none);
    expect(result(b, out)).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(0);
    b.handle.reset();
    result(b, none);
    result(b, high);
    b.handle.reset();
    result(b, (c) => c.setValue(0));
    result(b, none);
    expect(result(b, out)).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(0);
  });

  it('the last one that leaves an input takes its direction along', () => {
    const { result, list } = consumers('write', 'write');
    const [a, b] = list;
    result(a, input);
    result(b, input);
    expect(result(a, none)).toBe(RESULT_OK);
    expect(a.handle.line.direction).toBe(2);
    expect(result(b, none)).toBe(RESULT_OK);
    expect(a.handle.line.direction).toBe(0);
  });
});

describe('an output that the chip refuses', () => {
  it('is nobody’s', () => {
    const { lines, chip, settle } = scripted(true);
    const [a, b] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0)];
    chip.outcome = ({ what }) => (what === 'setDirection' ? RESULT_FAILED : undefined);
    a.setDirection(1);
    settle();
    expect(a.outcomes.take()).toEqual([RESULT_FAILED, 0]);
    expect([a.handle.line.owner, a.handle.direction]).toEqual([null, 0]);
    chip.outcome = () => undefined;
    b.setDirection(1);
    settle();
    expect(b.outcomes.take()).toEqual([RESULT_OK, 0]);
  });

  it('is not made one with a value that it refused', () => {
    const { lines, chip, settle } = scripted(true);
    const a = new TestConsumer(lines, 0);
    chip.outcome = ({ what }) => (what === 'setValue' ? RESULT_FAILED : undefined);
    a.setValue(1);
    expect(a.outcomes.take()).toEqual([RESULT_OK, 0]);
    a.setDirection(1);
    settle();
    expect(a.outcomes.take()).toEqual([RESULT_FAILED, 0]);
    expect([chip.direction(0), a.handle.line.owner]).toEqual([0, null]);
  });

  it('of a first consumer takes nothing from the second, whose own succeeds', () => {
    const { lines, chip, settle } = scripted(true);
    const [a, b] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0)];
    let failures = 1;
    chip.outcome = ({ what }) => (what === 'setDirection' && failures-- > 0 ? RESULT_FAILED : undefined);
    a.setDirection(1);
    a.handle.reset();
    b.setDirection(1);
    settle();
    expect(b.outcomes.take()).toEqual([RESULT_OK, 0]);
    expect([b.handle.line.owner, b.handle.line.direction]).toEqual([b.handle, 1]);
  });

  it('a direction that was read before does not undo one that was set since', () => {
    const { lines, chip, settle } = scripted(true);
    const a = new TestConsumer(lines, 0);
    a.getDirection();
    chip.serve();
    a.setDirection(1);
    chip.deliverAnswer();
    expect(a.outcomes.take()).toEqual([RESULT_OK, 0]);
    expect(a.handle.line.direction).toBe(1);
    settle();
    expect(a.handle.line.direction).toBe(1);
  });
});
