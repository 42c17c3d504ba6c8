import { describe, expect, it } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  RESULT_BUSY,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { DEFAULT_LINE_SETTINGS, type OpenOptions } from '../../src/gpio/line-settings.ts';
import { BENCHES, type Bench } from './bench.ts';
import { TestConsumer } from './consumer.ts';

describe.each(BENCHES)('roles and rights, on %s', (_name, make) => {
  function consumers(...options: OpenOptions[]) {
    const bench = make();
    const list = options.map((each, i) => new TestConsumer(bench.lines, 0, `vm${i}`, each));
    return { bench, list: list as [TestConsumer, TestConsumer, TestConsumer] };
  }
  function result(bench: Bench, consumer: TestConsumer, operation: (consumer: TestConsumer) => void) {
    operation(consumer);
    bench.settle();
    return consumer.outcomes.take()?.[0];
  }
  const out = (c: TestConsumer) => c.setDirection(DIRECTION_OUT);
  const input = (c: TestConsumer) => c.setDirection(DIRECTION_IN);
  const none = (c: TestConsumer) => c.setDirection(DIRECTION_NONE);
  const high = (c: TestConsumer) => c.setValue(1);
  const rising = (c: TestConsumer) => c.setIrqType(1);

  it('an input consumer reads and has interrupts, and never makes the line an output', () => {
    const { bench, list } = consumers({ role: 'input' }, {});
    const [a, b] = list;
    expect([out, high].map((operation) => result(bench, a, operation))).toEqual([
      RESULT_REFUSED,
      RESULT_REFUSED,
    ]);
    expect([input, rising, none].map((operation) => result(bench, a, operation))).toEqual([
      RESULT_OK,
      RESULT_OK,
      RESULT_OK,
    ]);
    expect(result(bench, b, out)).toBe(RESULT_OK);
    // An output that somebody left is no input consumer's to end.
    b.handle.reset();
    expect([result(bench, a, input), bench.lines.lines[0]?.direction]).toEqual([
      RESULT_REFUSED,
      DIRECTION_OUT,
    ]);
  });

  it('an output consumer drives and reads, and never uses the line as an input', () => {
    const { bench, list } = consumers({ role: 'output' });
    const [a] = list;
    expect([input, rising].map((operation) => result(bench, a, operation))).toEqual([
      RESULT_REFUSED,
      RESULT_REFUSED,
    ]);
    expect(a.handle.usesInput).toBe(false);
    expect([high, out, none].map((operation) => result(bench, a, operation))).toEqual([
      RESULT_OK,
      RESULT_OK,
      RESULT_OK,
    ]);
    a.getValue();
    bench.settle();
    expect(a.outcomes.take()?.[0]).toBe(RESULT_OK);
    expect(result(bench, a, (c) => c.setIrqType(0))).toBe(RESULT_OK);
  });

  it.each<[string, OpenOptions]>([
    ['access read', { access: 'read' }],
    ['role input', { role: 'input' }],
  ])('who owns an output and is left with %s gives it up', (_what, options) => {
    const { bench, list } = consumers({}, {});
    const [a, b] = list;
    (bench.lines.lines[0] as { settings: unknown }).settings = { ...DEFAULT_LINE_SETTINGS, onRelease: 'low' };
    result(bench, a, high);
    result(bench, a, out);
    expect(bench.level(0)).toBe(1);
    a.handle.configure(options);
    bench.settle();
    expect([a.handle.line.owner, a.handle.direction, bench.level(0)]).toEqual([null, DIRECTION_NONE, 0]);
    expect(result(bench, a, high)).toBe(RESULT_REFUSED);
    expect(result(bench, b, high)).toBe(RESULT_OK);
    expect(bench.level(0)).toBe(1);
  });

  it('a held value is forgotten with the right to use it', () => {
    const { bench, list } = consumers({});
    const [a] = list;
    result(bench, a, high);
    a.handle.configure({ role: 'input' });
    a.handle.configure({});
    result(bench, a, out);
    expect(bench.level(0)).toBe(0);
  });

  it('a change that takes nothing from an owner does not disturb it', () => {
    const { bench, list } = consumers({});
    const [a] = list;
    result(bench, a, high);
    result(bench, a, out);
    a.changes.length = 0;
    a.handle.configure({ role: 'output', access: 'owner', debounceMs: 3 });
    bench.settle();
    expect([a.handle.line.owner, bench.level(0), a.changes]).toEqual([a.handle, 1, []]);
    expect([a.handle.access, a.handle.role, a.handle.debounceMs]).toEqual(['owner', 'output', 3]);
  });

  it('an input that becomes an output consumer’s stops being used as one', () => {
    const { bench, list } = consumers({}, {});
    const [a, b] = list;
    result(bench, a, input);
    result(bench, a, rising);
    a.arm();
    a.handle.configure({ role: 'output' });
    expect([a.disarms, a.handle.usesInput]).toEqual([1, false]);
    expect(result(bench, b, out)).toBe(RESULT_OK);
  });

  it.each(['configured', 'opened'] as const)(
    'who is %s with owner access takes the line from its owner',
    (how) => {
      const { bench, list } = consumers({}, {});
      const [a, b] = list;
      (bench.lines.lines[0] as { settings: unknown }).settings = {
        ...DEFAULT_LINE_SETTINGS,
        onRelease: 'low',
      };
      result(bench, a, high);
      result(bench, a, out);
      const only = how === 'opened' ? new TestConsumer(bench.lines, 0, 'o', { access: 'owner' }) : b;
      if (how === 'configured') b.handle.configure({ access: 'owner' });
      bench.settle();
      expect([a.handle.line.ownerName, bench.level(0)]).toEqual([null, 0]);
      expect(result(bench, a, high)).toBe(RESULT_BUSY);
      expect(result(bench, only, high)).toBe(RESULT_OK);
      expect(bench.level(0)).toBe(1);
    },
  );

  it('who has closed the line can do nothing with it', () => {
    const { bench, list } = consumers({}, {});
    const [a, b] = list;
    a.handle.close();
    const operations = [out, input, high, rising];
    expect(operations.map((operation) => result(bench, a, operation))).toEqual(
      operations.map(() => RESULT_UNAVAILABLE),
    );
    a.handle.watch(true);
    a.handle.configure({ access: 'owner' });
    expect(a.handle.watching).toBe(false);
    expect(result(bench, b, out)).toBe(RESULT_OK);
  });
});

describe.each(BENCHES)('changes of direction and owner, on %s', (_name, make) => {
  it('are told to everybody, after them, once each', () => {
    const bench = make();
    bench.lines.learnDirections();
    bench.settle();
    const [a, b] = [new TestConsumer(bench.lines, 0, 'a'), new TestConsumer(bench.lines, 0, 'b')];
    const steps: [() => void, string][] = [
      [() => a.setValue(1), ''],
      [() => a.setDirection(1), 'out a'],
      [() => a.setValue(0), ''],
      [() => b.setDirection(1), ''],
      [() => a.setDirection(0), 'none -'],
      [() => b.setDirection(2), 'in -'],
      [() => a.setDirection(2), ''],
      [() => a.getDirection(), ''],
      [() => b.setDirection(0), ''],
      [() => a.setDirection(1), 'out a'],
      [() => a.handle.reset(), 'out -'],
      [() => b.setValue(1), 'out b'],
      [() => b.handle.release(b.outcomes, 0), 'out -'],
      [() => a.setDirection(2), 'in -'],
      [() => a.setDirection(1), 'out a'],
      [() => a.handle.suspend(), ''],
      [() => a.setDirection(2), 'in -'],
    ];
    for (const [happens, told] of steps) {
      happens();
      bench.settle();
      const expected = told === '' ? [] : [told];
      expect([a.changes.splice(0), b.changes.splice(0)]).toEqual([expected, expected]);
    }
    a.setDirection(1);
    bench.settle();
    b.changes.length = 0;
    a.handle.close();
    bench.settle();
    expect(b.changes).toEqual(['out -']);
  });
});
