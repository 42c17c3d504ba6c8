import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DIRECTION_OUT, IRQ_BOTH, RESULT_FAILED, RESULT_OK, RESULT_TIMEOUT } from '../../src/gpio/chip.ts';
import { BENCHES, type Bench, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';
import type { Request } from './scripted-chip.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const STREAMS = [
  ['streams levels', true],
  ['has plain events', false],
] as const;

/** A consumer that watches line 0, with nothing under way. */
function watcher(bench: Bench, name = 'log') {
  const consumer = new TestConsumer(bench.lines, 0, name, { access: 'read' });
  consumer.handle.watch(true);
  return consumer;
}

describe.each(BENCHES)('a watcher is told the level, on %s', (_name, make) => {
  it('with the first read after its subscription, once', () => {
    const bench = make();
    bench.drive(0, 1);
    const log = watcher(bench);
    bench.settle();
    expect(log.told).toEqual(['=1']);
    log.getValue();
    bench.settle();
    expect(log.told).toEqual(['=1']);
  });

  it('at once when others have made it known, and these are not told again', () => {
    const bench = make();
    const first = watcher(bench);
    bench.settle();
    bench.drive(0, 1);
    bench.settle();
    const second = watcher(bench);
    expect([first.told, second.told]).toEqual([['=0', '1'], ['=1']]);
  });

  it('of an output, without an interrupt type for it', () => {
    const bench = make();
    const owner = new TestConsumer(bench.lines, 0);
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    const log = watcher(bench);
    bench.settle();
    expect(log.told).toEqual(['=1']);
    owner.setValue(0);
    bench.settle();
    owner.setValue(0);
    bench.settle();
    expect(log.told).toEqual(['=1', '0']);
  });

  it('of a line that becomes an output and an input again', () => {
    const bench = make();
    const log = watcher(bench);
    const owner = new TestConsumer(bench.lines, 0);
    bench.settle();
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    expect(log.told).toEqual(['=0', '1']);
    owner.setDirection(2);
    bench.settle();
    expect(log.told).toEqual(['=0', '1', '=0']);
  });

  it('of a line that becomes an output without a value', () => {
    const bench = make();
    const owner = new TestConsumer(bench.lines, 0);
    owner.setValue(1).setDirection(DIRECTION_OUT);
    bench.settle();
    owner.setDirection(2);
    bench.settle();
    const log = watcher(bench);
    bench.settle();
    expect(log.told).toEqual(['=0']);
    owner.setDirection(DIRECTION_OUT);
    bench.settle();
    expect([log.told, bench.level(0)]).toEqual([['=0', '=1'], 1]);
  });

  it('anew when it stopped watching and starts again', () => {
    const bench = make();
    const log = watcher(bench);
    bench.settle();
    log.handle.watch(false);
    bench.settle();
    bench.drive(0, 1);
    bench.settle();
    expect(log.told).toEqual(['=0']);
    log.handle.watch(true);
    bench.settle();
    expect(log.told).toEqual(['=0', '=1']);
  });

  it('and nobody else is', () => {
    const bench = make();
    const guest = new TestConsumer(bench.lines, 0);
    guest.setIrqType(IRQ_BOTH);
    watcher(bench);
    bench.settle();
    guest.getValue();
    bench.settle();
    expect(guest.told).toEqual([]);
  });
});

describe.each(STREAMS)('what a watcher believes of a chip that %s', (_name, streams) => {
  it('follows a read that finds an output changed by the firmware', () => {
    const bench = scripted(streams);
    bench.chip.become(0, DIRECTION_OUT);
    bench.lines.learnDirections();
    bench.settle();
    const log = watcher(bench);
    bench.settle();
    expect([log.told, bench.chip.irqType(0)]).toEqual([['=0'], 0]);
    bench.chip.put(0, 1);
    const other = new TestConsumer(bench.lines, 0).getValue();
    bench.settle();
    expect([log.told, other.outcomes.take()]).toEqual([
      ['=0', '=1'],
      [RESULT_OK, 1],
    ]);
    // Nobody drives it through us, so it is read again for who comes later.
    bench.chip.put(0, 0);
    const late = watcher(bench);
    bench.settle();
    expect([log.told, late.told]).toEqual([['=0', '=1', '=0'], ['=0']]);
  });

  it('follows a chip that comes back', () => {
    const bench = scripted(streams);
    const log = watcher(bench);
    const guest = new TestConsumer(bench.lines, 0);
    guest.setIrqType(IRQ_BOTH);
    bench.settle();
    bench.chip.lose();
    bench.chip.asked();
    bench.chip.drive(0, 1);
    expect(log.told).toEqual(['=0']);
    bench.chip.recover();
    bench.settle();
    // The difference is owed as an edge, to those who wait for it too.
    expect([log.told, bench.chip.irqType(0)]).toEqual([['=0', '1'], IRQ_BOTH]);
    guest.arm();
    expect(guest.interrupts).toBe(1);
    guest.arm();
    bench.drive(0, 0);
    bench.settle();
    expect([log.told, guest.interrupts]).toEqual([['=0', '1', '0'], 2]);
    // The same level again is no news.
    bench.chip.lose();
    bench.chip.recover();
    bench.settle();
    expect(log.told).toEqual(['=0', '1', '0']);
  });

  it('is read again when the first read fails, until one succeeds', () => {
    const bench = scripted(streams);
    let failures = 3;
    bench.chip.outcome = ({ what }) => (what === 'getValue' && failures-- > 0 ? RESULT_TIMEOUT : undefined);
    const log = watcher(bench);
    bench.settle();
    expect(log.told).toEqual([]);
    for (let i = 0; i < 5; i++) {
      vi.advanceTimersByTime(1000);
      bench.settle();
    }
    expect(log.told).toEqual(['=0']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('needs no further read, and no timer, of somebody who went away', () => {
    const bench = scripted(streams);
    bench.chip.outcome = ({ what }) => (what === 'getValue' ? RESULT_TIMEOUT : undefined);
    const log = watcher(bench);
    bench.settle();
    log.handle.close();
    bench.settle();
    bench.chip.asked();
    vi.advanceTimersByTime(10_000);
    expect([bench.chip.asked(), vi.getTimerCount()]).toEqual([[], 0]);
  });
});

describe('what a watcher believes of a chip with plain events', () => {
  it('follows a read that finds another level of which no event ever told', () => {
    const bench = scripted(false);
    const log = watcher(bench);
    bench.settle();
    bench.chip.drive(0, 1);
    // The event is lost.
    bench.chip.events.length = 0;
    const other = new TestConsumer(bench.lines, 0).getValue();
    bench.settle();
    expect(other.outcomes.take()).toEqual([RESULT_OK, 1]);
    // It may still be on its way, so it is no news yet.
    expect(log.told).toEqual(['=0']);
    other.getValue();
    bench.settle();
    expect(log.told).toEqual(['=0']);
    vi.advanceTimersByTime(60);
    other.getValue();
    bench.settle();
    expect(log.told).toEqual(['=0', '=1']);
  });

  it('is read again by itself when nobody else does', () => {
    const bench = scripted(false);
    const log = watcher(bench);
    bench.settle();
    bench.chip.drive(0, 1);
    bench.chip.events.length = 0;
    watcher(bench, 'other').handle.getValue(log.outcomes, 0);
    bench.settle();
    // A learning read is what repeats itself.
    const second = watcher(bench, 'second');
    bench.settle();
    vi.advanceTimersByTime(2000);
    bench.settle();
    expect([log.told, second.told]).toEqual([['=0', '=1'], ['=1']]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is the edge when the event comes late', () => {
    const bench = scripted(false);
    const log = watcher(bench);
    bench.settle();
    vi.advanceTimersByTime(1000);
    bench.chip.drive(0, 1);
    new TestConsumer(bench.lines, 0).getValue();
    while (bench.chip.serve() || bench.chip.deliverAnswer());
    expect(log.told).toEqual(['=0']);
    bench.settle();
    expect(log.told).toEqual(['=0', '1']);
  });

  it('follows a settling read that was ambiguous', () => {
    const bench = scripted(false);
    const log = watcher(bench);
    let failures = 0;
    bench.chip.outcome = ({ what }) => (what === 'getValue' && failures-- > 0 ? RESULT_FAILED : undefined);
    bench.settle();
    vi.advanceTimersByTime(1000);
    failures = 2;
    bench.drive(0, 1);
    bench.settle();
    // Both reads after the event failed: the level is unknown, and asked for again.
    expect([log.told, bench.lines.lines[0]?.level]).toEqual([['=0'], -1]);
    vi.advanceTimersByTime(1000);
    bench.settle();
    expect(log.told).toEqual(['=0', '=1']);
  });
});

describe('a watcher of whose subscription the chip does not want to know', () => {
  const refuseBoth = ({ what, argument }: Request) =>
    what === 'setIrqType' && argument === IRQ_BOTH ? RESULT_FAILED : undefined;

  it.each(STREAMS)(
    'is told the level once, and asks no more by itself, on a chip that %s',
    (_name, streams) => {
      const bench = scripted(streams);
      bench.chip.outcome = refuseBoth;
      const log = watcher(bench);
      bench.settle();
      expect(log.told).toEqual(['=0']);
      bench.chip.asked();
      vi.advanceTimersByTime(60_000);
      bench.settle();
      expect([bench.chip.asked(), vi.getTimerCount()]).toEqual([[], 0]);
      // Reads of others tell it what there is to know.
      bench.chip.drive(0, 1);
      new TestConsumer(bench.lines, 0).getValue();
      bench.settle();
      expect(log.told).toEqual(['=0', '=1']);
    },
  );

  it('takes no guest’s interrupt along, and goes by the level after its edges', () => {
    const bench = scripted(false);
    const guest = new TestConsumer(bench.lines, 0);
    guest.rearms = true;
    guest.setIrqType(1);
    bench.settle();
    guest.arm();
    bench.chip.outcome = refuseBoth;
    const log = watcher(bench);
    bench.settle();
    expect(bench.chip.irqType(0)).toBe(1);
    bench.drive(0, 1);
    bench.settle();
    expect([guest.interrupts, guest.disarms, log.told]).toEqual([1, 0, ['=0', '=1']]);
    // Neither does a guest that comes with it fail by it.
    const other = scripted(false);
    other.chip.outcome = refuseBoth;
    const both = watcher(other);
    const rising = new TestConsumer(other.lines, 0).setIrqType(1);
    other.settle();
    expect([rising.outcomes.take(), other.chip.irqType(0), both.told]).toEqual([[RESULT_OK, 0], 1, ['=0']]);
  });

  it.each<[string, (bench: ReturnType<typeof scripted>, others: TestConsumer[]) => void]>([
    ['the direction changes', (_bench, [a]) => a?.setDirection(2)],
    [
      'the chip comes back',
      (bench) => {
        bench.chip.lose();
        bench.chip.recover();
      },
    ],
    ['somebody else’s subscription ends', (_bench, [, b]) => b?.setIrqType(0)],
    ['another watcher comes', (bench) => watcher(bench, 'another')],
  ])('asks again when %s', (_when, happens) => {
    for (const streams of [true, false]) {
      const bench = scripted(streams);
      const elsewhere = new TestConsumer(bench.lines, 1).setIrqType(1);
      bench.settle();
      bench.chip.outcome = refuseBoth;
      const log = watcher(bench);
      bench.settle();
      expect(bench.chip.irqType(0)).toBe(0);
      bench.chip.outcome = () => undefined;
      happens(bench, [new TestConsumer(bench.lines, 0), elsewhere]);
      bench.settle();
      expect(bench.chip.irqType(0)).toBe(IRQ_BOTH);
      bench.drive(0, 1);
      bench.settle();
      expect(log.told).toEqual(['=0', '1']);
    }
  });

  it('watches it as an output when the firmware made it one', () => {
    const bench = scripted(true);
    bench.lines.learnDirections();
    bench.settle();
    bench.chip.become(0, DIRECTION_OUT);
    bench.chip.put(0, 1);
    const log = watcher(bench);
    bench.settle();
    expect([log.told, log.handle.line.directionName]).toEqual([['=1'], 'out']);
    const owner = new TestConsumer(bench.lines, 0).setValue(0);
    bench.settle();
    expect([log.told, owner.outcomes.take()]).toEqual([
      ['=1', '0'],
      [RESULT_OK, 0],
    ]);
  });

  it('asks again after a while when the chip only did not answer', () => {
    const bench = scripted(true);
    let timeouts = 1;
    bench.chip.outcome = ({ what }) => (what === 'setIrqType' && timeouts-- > 0 ? RESULT_TIMEOUT : undefined);
    bench.lines.learnDirections();
    bench.settle();
    const log = watcher(bench);
    bench.settle();
    expect(bench.chip.irqType(0)).toBe(0);
    vi.advanceTimersByTime(1000);
    bench.settle();
    expect([bench.chip.irqType(0), log.told, vi.getTimerCount()]).toEqual([IRQ_BOTH, ['=0'], 0]);
  });
});

describe('a chip that vanishes without answering', () => {
  it('has everything answered in its place, and what it says later is not heard', () => {
    const bench = scripted(true);
    const consumer = new TestConsumer(bench.lines, 0);
    consumer.setDirection(2).getValue().setIrqType(3);
    bench.chip.vanish();
    expect(consumer.outcomes.list.map(([result]) => result)).toEqual([3, 3, 3]);
    consumer.outcomes.list.length = 0;
    const [line] = bench.lines.lines;
    expect(line).toMatchObject({ pending: 0, irqTypesPending: 0, directionsPending: 0, learnsPending: 0 });
    while (bench.chip.serve() || bench.chip.deliverAnswer());
    expect([consumer.outcomes.list, line?.pending]).toEqual([[], 0]);
    bench.chip.recover();
    consumer.getValue();
    bench.settle();
    expect(consumer.outcomes.take()).toEqual([RESULT_OK, 0]);
  });
});
