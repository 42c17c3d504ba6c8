import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ScriptedBench, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

/** What happened on the wire while a consumer's interrupt was enabled, and what it heard of it. */
interface Watch {
  readonly consumer: TestConsumer;
  readonly type: number;
  rises: number;
  falls: number;
  /** Since the consumer last unmasked: a matching edge for which it must hear. */
  owed: boolean;
}

/** What a type cares for, written down apart from the code under test. */
const MATCHES: Readonly<Record<number, readonly [falling: boolean, rising: boolean]>> = {
  1: [false, true],
  2: [true, false],
  3: [true, true],
  4: [false, false],
  8: [false, false],
};

/** The clock: it moves only while nothing is under way, so no pause of the test is taken for one of the chip. */
let nowMs = 0;
beforeEach(() => {
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.restoreAllMocks();
});

class World {
  readonly bench: ScriptedBench;
  readonly consumers: readonly TestConsumer[];
  readonly watches = new Map<TestConsumer, Watch>();
  /** Watches everything, so that each edge told of can be counted. */
  readonly log: TestConsumer;
  rises = 0;
  falls = 0;

  constructor(streams: boolean) {
    this.bench = scripted(streams, 2);
    const { lines } = this.bench;
    this.log = new TestConsumer(lines, 0, 'log', { access: 'read' });
    this.log.handle.watch(true);
    this.bench.settle();
    nowMs += 1000;
    this.consumers = ['a', 'b', 'c'].map((name) => new TestConsumer(lines, 0, name));
  }

  drive(level: 0 | 1): void {
    if (this.bench.level(0) === level) return;
    if (level === 1) this.rises++;
    else this.falls++;
    this.bench.drive(0, level);
    for (const watch of this.watches.values()) {
      if (level === 1) watch.rises++;
      else watch.falls++;
      if (watch.consumer.handle.interrupt.armed && MATCHES[watch.type]?.[level]) watch.owed = true;
    }
  }

  enable(consumer: TestConsumer, type: number): void {
    this.bench.settle();
    consumer.outcomes.list.length = 0;
    if (consumer.handle.interrupt.type !== 0) return;
    consumer.setIrqType(type);
    this.bench.settle();
    expect(consumer.outcomes.take()?.[0]).toBe(0);
    consumer.interrupts = 0;
    this.watches.set(consumer, { consumer, type, rises: 0, falls: 0, owed: false });
  }

  disable(consumer: TestConsumer, reset: boolean): void {
    this.watches.delete(consumer);
    if (reset) consumer.handle.reset();
    else consumer.setIrqType(0);
    this.bench.settle();
    consumer.interrupts = 0;
  }

  arm(consumer: TestConsumer): void {
    if (consumer.handle.interrupt.type === 0 || consumer.handle.interrupt.armed) return;
    consumer.arm();
    const watch = this.watches.get(consumer);
    if (watch !== undefined) watch.owed = false;
  }

  /** What must hold at any time. */
  check(): void {
    for (const { consumer, type, rises, falls } of this.watches.values()) {
      const [falling, rising] = MATCHES[type] as readonly [boolean, boolean];
      if (!falling && !rising) continue;
      const pending = consumer.handle.interrupt.latched ? 1 : 0;
      const justified = (rising ? rises : 0) + (falling ? falls : 0);
      expect(consumer.interrupts + pending).toBeLessThanOrEqual(justified);
    }
    expect(this.log.levels.filter((level) => level === 1).length).toBeLessThanOrEqual(this.rises);
    expect(this.log.levels.filter((level) => level === 0).length).toBeLessThanOrEqual(this.falls);
  }

  /** What must hold when nothing is under way. */
  checkAtRest(): void {
    this.bench.settle();
    nowMs += 1000;
    this.check();
    const [line] = this.bench.lines.lines;
    expect(line).toMatchObject({ level: this.bench.level(0), fresh: true, pending: 0 });
    for (const { consumer, type, owed } of this.watches.values()) {
      const { armed } = consumer.handle.interrupt;
      // An edge whose event could not be told from an owed one is counted instead.
      if (owed && this.bench.lines.ambiguousEvents === 0) expect(armed).toBe(false);
      if (type === 4) expect(armed && this.bench.level(0) === 1).toBe(false);
      if (type === 8) expect(armed && this.bench.level(0) === 0).toBe(false);
    }
  }
}

type Step = readonly [what: string, who: number, argument: number];

function run(world: World, [what, who, argument]: Step): void {
  const consumer = world.consumers[who] as TestConsumer;
  const { chip } = world.bench;
  switch (what) {
    case 'drive':
      return world.drive((argument & 1) as 0 | 1);
    case 'pulse':
      world.drive(1);
      return world.drive(0);
    case 'serve':
      chip.serve();
      return;
    case 'answer':
      chip.deliverAnswer();
      return;
    case 'event':
      chip.deliverEvent();
      return;
    case 'enable':
      return world.enable(consumer, [1, 2, 3, 4, 8][argument % 5] as number);
    case 'disable':
      return world.disable(consumer, argument % 2 === 0);
    case 'arm':
      return world.arm(consumer);
    case 'read':
      consumer.getValue();
      return;
    case 'rest':
      return world.checkAtRest();
  }
}

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('drive', 'pulse', 'arm') },
    { weight: 6, arbitrary: fc.constantFrom('serve', 'answer', 'event') },
    { weight: 2, arbitrary: fc.constantFrom('enable', 'disable', 'read', 'rest') },
  ),
  fc.nat(2),
  fc.nat(9),
);

describe('three consumers, any interleaving of edges, requests, answers and events', () => {
  it.each([
    ['streams levels', true],
    ['has plain events', false],
  ])('no interrupt without an edge, no edge without its interrupt, on a chip that %s', (_how, streams) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const world = new World(streams);
        for (const [i, consumer] of world.consumers.entries()) world.enable(consumer, i + 1);
        for (const each of steps) {
          run(world, each);
          world.check();
        }
        world.checkAtRest();
        if (streams) {
          // Each edge is told of, each once.
          expect(world.log.levels).toHaveLength(world.rises + world.falls);
          expect(world.bench.lines.ambiguousEvents).toBe(0);
        }
      }),
      { numRuns: 600 },
    );
  });
});
