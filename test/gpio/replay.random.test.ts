import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type Completion,
  DIRECTION_IN,
  DIRECTION_OUT,
  IRQ_BOTH,
  IRQ_FALLING,
  IRQ_LEVEL_HIGH,
  IRQ_LEVEL_LOW,
  IRQ_RISING,
  RESULT_OK,
} from '../../src/gpio/chip.ts';
import { type ScriptedBench, scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const INPUT = 0;
const OUTPUT = 1;
const TYPES = [IRQ_RISING, IRQ_FALLING, IRQ_BOTH, IRQ_LEVEL_HIGH, IRQ_LEVEL_LOW];

/** What the wire did since a consumer waits for its edges. */
interface Waiting {
  readonly consumer: TestConsumer;
  readonly type: number;
  rises: number;
  falls: number;
}

/**
 * A chip that dies and returns at any moment, with its input at any level; guests that wait for edges of the input, one that
 * watches it, and an owner that sets the output. What must hold is written down apart from the code under test.
 */
class World implements Completion {
  readonly bench: ScriptedBench;
  readonly streams: boolean;
  readonly waiting: Waiting[];
  readonly watcher: TestConsumer;
  readonly owner: TestConsumer;
  rises = 0;
  falls = 0;
  /** Answers by request. */
  readonly answers: number[] = [];
  /** What each request of the owner was to set; -1 for others. */
  readonly #wishes: number[] = [];
  /** Level that the chip confirmed last to the owner. */
  confirmed = 0;

  constructor(streams: boolean) {
    this.streams = streams;
    this.bench = scripted(streams, 2);
    const { lines } = this.bench;
    lines.learnDirections();
    this.bench.settle();
    this.watcher = new TestConsumer(lines, INPUT, 'watcher', { access: 'read' });
    this.watcher.handle.watch(true);
    this.bench.settle();
    this.waiting = TYPES.map((type) => {
      const consumer = new TestConsumer(lines, INPUT, `type ${type}`);
      consumer.setDirection(DIRECTION_IN).setIrqType(type);
      this.bench.settle();
      return { consumer, type, rises: 0, falls: 0 };
    });
    this.owner = new TestConsumer(lines, OUTPUT, 'owner');
    this.owner.setValue(0).setDirection(DIRECTION_OUT);
    this.bench.settle();
    vi.advanceTimersByTime(1000);
  }

  complete(token: number, result: number): void {
    (this.answers[token] as number)++;
    const wish = this.#wishes[token] as number;
    if (result === RESULT_OK && wish >= 0) this.confirmed = wish;
  }

  #ask(wish = -1): number {
    this.#wishes.push(wish);
    return this.answers.push(0) - 1;
  }

  drive(level: number): void {
    const { chip } = this.bench;
    if (chip.level(INPUT) === level) return;
    for (const each of [this, ...this.waiting]) {
      if (level === 1) each.rises++;
      else each.falls++;
    }
    chip.drive(INPUT, level);
  }

  run(what: string, argument: number): void {
    const { chip } = this.bench;
    switch (what) {
      case 'drive':
        return this.drive(argument % 2);
      case 'serve':
        chip.serve();
        return;
      case 'answer':
        chip.deliverAnswer();
        return;
      case 'event':
        chip.deliverEvent();
        return;
      case 'set':
        return this.owner.handle.setValue(argument % 2, this, this.#ask(argument % 2));
      case 'get':
        return this.owner.handle.getValue(this, this.#ask());
      case 'direction':
        return this.owner.handle.getDirection(this, this.#ask());
      case 'read':
        return this.watcher.handle.getValue(this, this.#ask());
      case 'arm': {
        const { consumer } = this.waiting[argument % TYPES.length] as Waiting;
        if (!consumer.handle.interrupt.armed) consumer.arm();
        return;
      }
      case 'lose':
        if (!chip.available) return;
        return argument % 2 === 0 ? chip.lose() : chip.vanish();
      case 'return':
        if (chip.available) return;
        return chip.recover(argument % 2 === 0 ? 'restarted' : 'reconnected');
      case 'time':
        // The pauses of a test are not to be taken for pauses of the chip.
        this.bench.settle();
        vi.advanceTimersByTime(argument * 100);
        return;
      case 'rest':
        return this.checkAtRest();
      default:
        throw new Error(what);
    }
  }

  /** What must hold at any time. */
  check(): void {
    const told = this.watcher.levels;
    expect(told.filter((level) => level === 1).length).toBeLessThanOrEqual(this.rises);
    expect(told.filter((level) => level === 0).length).toBeLessThanOrEqual(this.falls);
    for (const { consumer, type, rises, falls } of this.waiting) {
      const { latched } = consumer.handle.interrupt;
      if (type === IRQ_LEVEL_HIGH || type === IRQ_LEVEL_LOW) continue;
      const justified = (type & IRQ_RISING ? rises : 0) + (type & IRQ_FALLING ? falls : 0);
      expect(consumer.interrupts + (latched ? 1 : 0)).toBeLessThanOrEqual(justified);
      expect(consumer.disarms).toBe(0);
    }
    for (const count of this.answers) expect(count).toBeLessThanOrEqual(1);
    expect(this.owner.handle.line.owner).toBe(this.owner.handle);
  }

  /** What must hold when the chip is there and nothing is under way. */
  checkAtRest(): void {
    const { chip } = this.bench;
    if (!chip.available) chip.recover();
    for (let i = 0; i < 3; i++) {
      this.bench.settle();
      vi.advanceTimersByTime(1500);
    }
    this.bench.settle();
    this.check();
    const level = chip.level(INPUT);
    expect(this.answers.filter((count) => count !== 1)).toEqual([]);
    expect([chip.direction(OUTPUT), chip.level(OUTPUT)]).toEqual([DIRECTION_OUT, this.confirmed]);
    expect(this.watcher.told.at(-1)?.replace('=', '')).toBe(String(level));
    expect([chip.irqType(INPUT), chip.direction(INPUT), vi.getTimerCount()]).toEqual([
      IRQ_BOTH,
      DIRECTION_IN,
      0,
    ]);
    for (const { consumer, type } of this.waiting) {
      const { interrupt } = consumer.handle;
      expect(interrupt.type).toBe(type);
      if (type === IRQ_LEVEL_HIGH && interrupt.armed) expect(level).toBe(0);
      if (type === IRQ_LEVEL_LOW && interrupt.armed) expect(level).toBe(1);
    }
    // Edges of a stream alternate, those that an absence owes among them, unless a read was ahead of one.
    if (!this.streams) return;
    const { told } = this.watcher;
    for (const [i, each] of told.entries()) if (i > 0) expect(each).not.toBe(told[i - 1]);
  }
}

const step = fc.tuple(
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('serve', 'answer', 'event') },
    { weight: 4, arbitrary: fc.constantFrom('drive', 'arm') },
    { weight: 2, arbitrary: fc.constantFrom('set', 'get', 'read', 'direction', 'time') },
    { weight: 1, arbitrary: fc.constantFrom('lose', 'return', 'return', 'rest') },
  ),
  fc.nat(9),
);

describe('a chip that dies and returns at any moment', () => {
  it.each([
    ['streams levels', true],
    ['has plain events', false],
  ])('owes what it owes, and nothing else, when it %s', (_how, streams) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
        const world = new World(streams);
        for (const [what, argument] of steps) {
          world.run(what, argument);
          world.check();
        }
        world.checkAtRest();
      }),
      { numRuns: 250 },
    );
  });
});
