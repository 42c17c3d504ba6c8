import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_OUT,
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { LineOperator, type Outcome } from '../../src/gpio/line-operator.ts';
import { DEFAULT_LINE_SETTINGS, type LineSettings, type OpenOptions } from '../../src/gpio/line-settings.ts';
import { BENCHES, type Bench, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function operated<B extends Bench>(
  bench: B,
  options: OpenOptions = {},
  settings: Partial<LineSettings> = {},
) {
  const [line] = bench.lines.lines;
  if (line === undefined) throw new Error('no line');
  line.settings = { ...DEFAULT_LINE_SETTINGS, ...settings };
  bench.lines.learnDirections();
  bench.settle();
  const person = new TestConsumer(bench.lines, 0, 'mqtt', options);
  const operator = new LineOperator(person.handle);
  const outcomes: Outcome[] = [];
  const done = (outcome: Outcome) => outcomes.push(outcome);
  /** What an operation ends with. */
  const outcome = (operation: (done: (outcome: Outcome) => void) => void): Outcome | undefined => {
    operation(done);
    bench.settle();
    if (outcomes.length > 1) throw new Error(`${outcomes.length} outcomes`);
    return outcomes.shift();
  };
  const guest = new TestConsumer(bench.lines, 0, 'guest vm1');
  return { bench, line, person, operator, outcomes, done, outcome, guest };
}

const ok = (level: number): Outcome => ({ result: RESULT_OK, level, text: 'ok' });
const fails = (result: number, text: string): Outcome => ({ result, level: -1, text });

describe.each(BENCHES)('what people do with a line, on %s', (_name, make) => {
  it('set makes it an output of that level, and sets the output that it is', () => {
    const { bench, line, operator, outcome } = operated(make());
    expect(outcome((done) => operator.set(1, done))).toEqual(ok(1));
    expect([line.direction, line.ownerName, bench.level(0)]).toEqual([DIRECTION_OUT, 'mqtt', 1]);
    expect(outcome((done) => operator.set(0, done))).toEqual(ok(0));
    expect(bench.level(0)).toBe(0);
    expect(outcome((done) => operator.get(done))).toEqual(ok(0));
  });

  it('levels are logical: of an active-low line the inverse of those on the wire', () => {
    const { bench, operator, outcome, outcomes } = operated(make(), {}, { activeLow: true });
    expect([operator.toLogical(0), operator.toLogical(1), operator.toLogical(-1)]).toEqual([1, 0, -1]);
    expect(outcome((done) => operator.get(done))).toEqual(ok(1));
    expect(outcome((done) => operator.set(1, done))).toEqual(ok(1));
    expect(bench.level(0)).toBe(0);
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(0));
    expect(bench.level(0)).toBe(1);
    expect(outcome((done) => operator.pulse(1, 5, done))).toEqual(ok(1));
    expect(bench.level(0)).toBe(0);
    vi.advanceTimersByTime(5);
    bench.settle();
    expect([bench.level(0), outcomes]).toEqual([1, []]);
  });

  it('toggle goes by the level that is known, or reads it', () => {
    const { bench, operator, outcome, guest } = operated(make());
    bench.drive(0, 1);
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(0));
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(1));
    expect(bench.level(0)).toBe(1);
    outcome((done) => operator.release(done));
    guest.setValue(0);
    bench.settle();
    guest.handle.reset();
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(1));
  });

  it('directions are set, an output is given up', () => {
    const { bench, line, operator, outcome } = operated(make(), {}, { onRelease: 'low' });
    for (const [direction, name] of [
      ['in', 'in'],
      ['out', 'out'],
      ['none', 'out'],
    ] as const) {
      expect(outcome((done) => operator.setDirection(direction, done))).toEqual(ok(-1));
      expect(line.directionName).toBe(name);
    }
    expect(line.owner).toBeNull();
    expect(outcome((done) => operator.set(1, done))).toEqual(ok(1));
    expect(outcome((done) => operator.release(done))).toEqual(ok(-1));
    expect([line.owner, bench.level(0)]).toEqual([null, 0]);
    expect(outcome((done) => operator.release(done))).toEqual(ok(-1));
  });

  it('who drives it is named to others', () => {
    const { bench, operator, outcome, guest } = operated(make());
    guest.setDirection(DIRECTION_OUT);
    bench.settle();
    const busy = fails(RESULT_BUSY, 'busy: owned by guest vm1');
    expect(outcome((done) => operator.set(1, done))).toEqual(busy);
    expect(outcome((done) => operator.toggle(done))).toEqual(busy);
    expect(outcome((done) => operator.pulse(1, 5, done))).toEqual(busy);
    expect(outcome((done) => operator.setDirection('in', done))).toEqual(busy);
    expect(outcome((done) => operator.setDirection('out', done))).toEqual(busy);
    expect(outcome((done) => operator.get(done))).toEqual(ok(0));
    expect(outcome((done) => operator.release(done))).toEqual(ok(-1));
    expect([bench.level(0), guest.handle.line.owner]).toEqual([0, guest.handle]);
    guest.handle.reset();
    expect(outcome((done) => operator.set(1, done))).toEqual(ok(1));
  });

  it('so is who alone may drive it, and who uses it as an input', () => {
    const { bench, operator, outcome, guest } = operated(make());
    guest.setDirection(DIRECTION_IN);
    bench.settle();
    expect(outcome((done) => operator.set(1, done))).toEqual(
      fails(RESULT_BUSY, 'busy: used as an input by guest vm1'),
    );
    guest.handle.configure({ access: 'owner' });
    expect(outcome((done) => operator.set(1, done))).toEqual(
      fails(RESULT_BUSY, 'busy: reserved for guest vm1'),
    );
    guest.setDirection(0);
    bench.settle();
    expect(outcome((done) => operator.toggle(done))).toEqual(
      fails(RESULT_BUSY, 'busy: reserved for guest vm1'),
    );
    // Nothing of what was refused comes out later.
    guest.handle.configure({});
    expect(outcome((done) => operator.setDirection('out', done))).toEqual(ok(-1));
    expect(bench.level(0)).toBe(0);
  });

  it('roles and rights refuse', () => {
    const only = 'refused: this consumer may only read the line';
    for (const options of [{ access: 'read' }, { role: 'input' }] as const) {
      const { operator, outcome } = operated(make(), options);
      expect(outcome((done) => operator.set(1, done))).toEqual(fails(RESULT_REFUSED, only));
      expect(outcome((done) => operator.toggle(done))).toEqual(fails(RESULT_REFUSED, only));
      expect(outcome((done) => operator.setDirection('out', done))).toEqual(fails(RESULT_REFUSED, only));
      expect(outcome((done) => operator.get(done))).toEqual(ok(0));
    }
    const { operator, outcome } = operated(make(), { role: 'output' });
    expect(outcome((done) => operator.setDirection('in', done))).toEqual(
      fails(RESULT_REFUSED, 'refused: this consumer uses the line as an output only'),
    );
    expect(outcome((done) => operator.set(1, done))).toEqual(ok(1));
  });

  it('operations are done one after the other, in the order in which they came', () => {
    const { bench, operator, outcomes, done } = operated(make());
    const order: number[] = [];
    for (let i = 0; i < 3000; i++) {
      operator.toggle((outcome) => {
        order.push(i);
        done(outcome);
      });
    }
    bench.settle();
    expect(order).toEqual(Array.from({ length: 3000 }, (_, i) => i));
    expect(outcomes.map(({ level }) => level)).toEqual(order.map((i) => 1 - (i % 2)));
    // One that is asked for in an answer comes after it.
    outcomes.length = 0;
    operator.set(1, (outcome) => {
      done(outcome);
      operator.set(0, done);
    });
    bench.settle();
    expect([outcomes, bench.level(0)]).toEqual([[ok(1), ok(0)], 0]);
  });

  it('a pulse is answered when it has begun, and ends by itself', () => {
    const { bench, line, operator, outcome } = operated(make());
    expect(outcome((done) => operator.pulse(1, 20, done))).toEqual(ok(1));
    vi.advanceTimersByTime(19);
    bench.settle();
    expect(bench.level(0)).toBe(1);
    vi.advanceTimersByTime(1);
    bench.settle();
    expect([bench.level(0), line.ownerName, vi.getTimerCount()]).toEqual([0, 'mqtt', 0]);
    expect(outcome((done) => operator.pulse(0, 5, done))).toEqual(ok(0));
    vi.advanceTimersByTime(5);
    bench.settle();
    expect(bench.level(0)).toBe(1);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])(
    'a pulse of %d ms is invalid',
    (durationMs) => {
      const { operator, outcome } = operated(make());
      expect(outcome((done) => operator.pulse(1, durationMs, done))?.result).toBe(RESULT_INVALID);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it.each<[string, (operator: LineOperator, done: (outcome: Outcome) => void) => void, number]>([
    ['set', (operator, done) => operator.set(1, done), 1],
    ['toggle', (operator, done) => operator.toggle(done), 0],
    ['release', (operator, done) => operator.release(done), 1],
    ['setDirection', (operator, done) => operator.setDirection('out', done), 1],
  ])('a later %s replaces the rest of a pulse', (_what, later, level) => {
    const { bench, operator, outcome } = operated(make());
    outcome((done) => operator.pulse(1, 20, done));
    vi.advanceTimersByTime(10);
    expect(outcome((done) => later(operator, done))?.result).toBe(RESULT_OK);
    vi.advanceTimersByTime(100);
    bench.settle();
    expect([bench.level(0), vi.getTimerCount()]).toEqual([level, 0]);
  });

  it('a later pulse begins anew', () => {
    const { bench, operator, outcome } = operated(make());
    outcome((done) => operator.pulse(1, 20, done));
    vi.advanceTimersByTime(15);
    outcome((done) => operator.pulse(1, 20, done));
    vi.advanceTimersByTime(15);
    bench.settle();
    expect(bench.level(0)).toBe(1);
    vi.advanceTimersByTime(5);
    bench.settle();
    expect([bench.level(0), vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('reading replaces nothing of it', () => {
    const { bench, operator, outcome } = operated(make());
    outcome((done) => operator.pulse(1, 20, done));
    expect(outcome((done) => operator.get(done))).toEqual(ok(1));
    vi.advanceTimersByTime(20);
    bench.settle();
    expect(bench.level(0)).toBe(0);
  });

  it('a pulse does not end on a line that is somebody else’s by then', () => {
    const { bench, person, operator, outcome, guest } = operated(make());
    outcome((done) => operator.pulse(1, 20, done));
    person.handle.release(person.outcomes, 0);
    guest.setValue(1);
    bench.settle();
    vi.advanceTimersByTime(100);
    bench.settle();
    expect([bench.level(0), guest.handle.line.owner, vi.getTimerCount()]).toEqual([1, guest.handle, 0]);
  });

  it('closing ends a pulse at once; what comes then is answered', () => {
    const { bench, operator, outcome, outcomes, done } = operated(make());
    outcome((each) => operator.pulse(1, 20, each));
    operator.close();
    operator.close();
    bench.settle();
    expect([bench.level(0), vi.getTimerCount()]).toEqual([0, 0]);
    operator.set(1, done);
    bench.settle();
    expect(outcomes).toEqual([fails(RESULT_UNAVAILABLE, 'the chip is unavailable')]);
    expect(bench.level(0)).toBe(0);
  });
});

describe('an operation on a chip that answers late, or not', () => {
  it('is flushed, each step of it', () => {
    const { bench, operator, done } = operated(scripted(true));
    const { chip } = bench;
    const before = chip.flushes;
    operator.set(1, done);
    expect(chip.flushes).toBe(before + 1);
    chip.serve();
    chip.deliverAnswer();
    operator.toggle(done);
    chip.serve();
    chip.deliverAnswer();
    expect(chip.flushes).toBeGreaterThan(before + 1);
  });

  it('waits for the one before, which is answered with what the chip confirmed', () => {
    const { bench, operator, outcomes, done } = operated(scripted(true));
    operator.set(1, done);
    operator.set(0, done);
    operator.get(done);
    expect(bench.chip.requests).toHaveLength(1);
    bench.settle();
    expect(outcomes).toEqual([ok(1), ok(0), ok(0)]);
  });

  it('fails with the chip’s reason', () => {
    const { bench, operator, outcome } = operated(scripted(true));
    for (const [result, text] of [
      [RESULT_FAILED, 'the chip answered with an error'],
      [RESULT_TIMEOUT, 'the chip did not answer in time'],
    ] as const) {
      bench.chip.outcome = () => result;
      expect(outcome((done) => operator.set(1, done))).toEqual(fails(result, text));
      expect(outcome((done) => operator.get(done))).toEqual(fails(result, text));
      expect(outcome((done) => operator.toggle(done))).toEqual(fails(result, text));
    }
    expect(bench.lines.lines[0]?.owner).toBeNull();
  });

  it('is answered when the chip goes away, whether that answers or not, and so is what waits', () => {
    for (const how of ['lose', 'vanish'] as const) {
      const { bench, operator, outcomes, done } = operated(scripted(true));
      const gone = fails(RESULT_UNAVAILABLE, 'the chip is unavailable');
      operator.set(1, done);
      operator.get(done);
      bench.chip[how]();
      expect(outcomes).toEqual([gone, gone]);
      operator.toggle(done);
      expect(outcomes).toHaveLength(3);
      bench.chip.recover();
      outcomes.length = 0;
      operator.set(1, done);
      bench.settle();
      expect(outcomes).toEqual([ok(1)]);
    }
  });

  it('leaves the rest of a pulse alone when it fails', () => {
    const { bench, operator, outcome } = operated(scripted(true));
    outcome((done) => operator.pulse(1, 20, done));
    bench.chip.outcome = () => RESULT_TIMEOUT;
    expect(outcome((done) => operator.set(1, done))?.result).toBe(RESULT_TIMEOUT);
    bench.chip.outcome = () => undefined;
    vi.advanceTimersByTime(20);
    bench.settle();
    expect(bench.level(0)).toBe(0);
  });

  it('ends a pulse later when the chip does not let it end in time', () => {
    const { bench, operator, outcome } = operated(scripted(true));
    outcome((done) => operator.pulse(1, 20, done));
    bench.chip.outcome = () => RESULT_TIMEOUT;
    for (let i = 0; i < 30; i++) {
      vi.advanceTimersByTime(1000);
      bench.settle();
    }
    expect(bench.level(0)).toBe(1);
    // The pauses have grown.
    const asked = bench.chip.asked().filter((entry) => entry === 'setValue 0 = 0').length;
    expect(asked).toBeGreaterThan(5);
    expect(asked).toBeLessThan(15);
    bench.chip.outcome = () => undefined;
    for (let i = 0; i < 6; i++) {
      vi.advanceTimersByTime(1000);
      bench.settle();
    }
    expect([bench.level(0), vi.getTimerCount()]).toEqual([0, 0]);
  });

  it('that is under way when the operator is closed: a pulse ends as soon as it has begun', () => {
    for (const answers of [0, 1, 2]) {
      const { bench, operator, outcomes, done } = operated(scripted(true));
      operator.pulse(1, 20, done);
      operator.get(done);
      for (let i = 0; i < answers; i++) {
        bench.chip.serve();
        bench.chip.deliverAnswer();
      }
      operator.close();
      bench.settle();
      expect([bench.level(0), vi.getTimerCount()]).toEqual([0, 0]);
      expect(outcomes).toHaveLength(2);
    }
  });

  it('toggles by a read where somebody else may have driven it', () => {
    const { bench, operator, outcome } = operated(scripted(true));
    bench.chip.become(0, DIRECTION_OUT);
    bench.chip.put(0, 1);
    bench.lines.learnDirections();
    bench.settle();
    bench.chip.asked();
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(0));
    expect(bench.chip.asked()).toEqual(['getValue 0', 'setValue 0 = 0']);
    expect(outcome((done) => operator.toggle(done))).toEqual(ok(1));
    expect(bench.chip.asked()).toEqual(['setValue 0 = 1']);
  });
});
