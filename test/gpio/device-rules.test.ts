import { describe, expect, it } from 'vitest';
import { RESULT_INVALID, RESULT_OK } from '../../src/gpio/chip.ts';
import { BENCHES, scripted } from './bench.ts';
import { Outcomes, TestConsumer } from './consumer.ts';

const OK: [number, number] = [RESULT_OK, 0];
const INVALID: [number, number] = [RESULT_INVALID, 0];

describe.each(BENCHES)(
  'the device rules of virtio-gpio (virtio 1.2, section 5.18.6) on %s',
  (_name, make) => {
    function guest(offset = 0) {
      const bench = make();
      const consumer = new TestConsumer(bench.lines, offset);
      /** What an operation ends with. */
      const outcome = (operation: () => void) => {
        operation();
        bench.settle();
        return consumer.outcomes.take();
      };
      return { bench, consumer, outcome };
    }

    /** An input with an interrupt, unmasked. */
    function waiting(type: number) {
      const all = guest();
      expect(all.outcome(() => all.consumer.setDirection(2))).toEqual(OK);
      expect(all.outcome(() => all.consumer.setIrqType(type))).toEqual(OK);
      all.consumer.arm();
      return all;
    }

    it('directions are none, out, in; a new line has none', () => {
      const { consumer, outcome } = guest();
      expect(outcome(() => consumer.getDirection())).toEqual([RESULT_OK, 0]);
      for (const direction of [1, 2, 0]) {
        expect(outcome(() => consumer.setDirection(direction))).toEqual(OK);
        expect(outcome(() => consumer.getDirection())).toEqual([RESULT_OK, direction]);
      }
    });

    it.each([3, 4, 255, -1])('direction %i is ERR', (direction) => {
      const { consumer, outcome } = guest();
      expect(outcome(() => consumer.setDirection(direction))).toEqual(INVALID);
    });

    it.each([2, 255, 0xffffffff])('a level of %i is ERR', (level) => {
      const { consumer, outcome } = guest();
      expect(outcome(() => consumer.setValue(level))).toEqual(INVALID);
    });

    it.each([5, 6, 7, 9, 0xffff])('interrupt type %i is ERR', (type) => {
      const { consumer, outcome } = guest();
      expect(outcome(() => consumer.setIrqType(type))).toEqual(INVALID);
    });

    it('the value of an input is the level on the wire', () => {
      const { bench, consumer, outcome } = guest();
      expect(outcome(() => consumer.setDirection(2))).toEqual(OK);
      bench.drive(0, 1);
      expect(outcome(() => consumer.getValue())).toEqual([RESULT_OK, 1]);
      bench.drive(0, 0);
      expect(outcome(() => consumer.getValue())).toEqual([RESULT_OK, 0]);
    });

    it('SET_VALUE before SET_DIRECTION(out) is kept and used when the line becomes an output', () => {
      const { bench, consumer, outcome } = guest();
      expect(outcome(() => consumer.setValue(1))).toEqual(OK);
      expect(bench.level(0)).toBe(0);
      expect(outcome(() => consumer.setDirection(1))).toEqual(OK);
      expect(bench.level(0)).toBe(1);
      expect(outcome(() => consumer.getValue())).toEqual([RESULT_OK, 1]);
      expect(outcome(() => consumer.setValue(0))).toEqual(OK);
      expect(bench.level(0)).toBe(0);
    });

    it('SET_DIRECTION(none) discards a value that was kept', () => {
      const { bench, consumer, outcome } = guest();
      outcome(() => consumer.setValue(1));
      expect(outcome(() => consumer.setDirection(0))).toEqual(OK);
      expect(outcome(() => consumer.setDirection(1))).toEqual(OK);
      expect(bench.level(0)).toBe(0);
    });

    it('SET_DIRECTION(none) discards interrupt type and latch, and gives the buffer back as INVALID', () => {
      const { bench, consumer, outcome } = waiting(3);
      expect(outcome(() => consumer.setDirection(0))).toEqual(OK);
      expect(consumer.disarms).toBe(1);
      bench.drive(0, 1);
      bench.settle();
      expect([consumer.interrupts, consumer.handle.interrupt.type]).toEqual([0, 0]);
      // Enabled again, nothing old comes.
      expect(outcome(() => consumer.setIrqType(3))).toEqual(OK);
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(0);
    });

    it.each([0, 2])('a line with direction %i accepts SET_IRQ_TYPE', (direction) => {
      const { bench, consumer, outcome } = guest();
      outcome(() => consumer.setDirection(direction));
      expect(outcome(() => consumer.setIrqType(1))).toEqual(OK);
      consumer.arm();
      bench.drive(0, 1);
      bench.settle();
      expect(consumer.interrupts).toBe(1);
    });

    it('SET_IRQ_TYPE on an output is ERR', () => {
      const { consumer, outcome } = guest();
      outcome(() => consumer.setDirection(1));
      for (const type of [1, 2, 3, 4, 8]) expect(outcome(() => consumer.setIrqType(type))).toEqual(INVALID);
      expect(outcome(() => consumer.setIrqType(0))).toEqual(OK);
    });

    it('SET_DIRECTION(out) while the interrupt is enabled is ERR, and fine after none', () => {
      const { consumer, outcome } = waiting(3);
      expect(outcome(() => consumer.setDirection(1))).toEqual(INVALID);
      expect(outcome(() => consumer.setIrqType(0))).toEqual(OK);
      expect(outcome(() => consumer.setDirection(1))).toEqual(OK);
    });

    it('SET_IRQ_TYPE(none) discards a latched interrupt', () => {
      const { bench, consumer, outcome } = guest();
      expect(outcome(() => consumer.setIrqType(3))).toEqual(OK);
      bench.drive(0, 1);
      bench.settle();
      expect(consumer.handle.interrupt.latched).toBe(true);
      expect(outcome(() => consumer.setIrqType(0))).toEqual(OK);
      expect(consumer.disarms).toBe(0);
      expect(outcome(() => consumer.setIrqType(3))).toEqual(OK);
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(0);
    });

    it('SET_IRQ_TYPE(none) gives a queued buffer back', () => {
      const { bench, consumer, outcome } = waiting(1);
      expect(outcome(() => consumer.setIrqType(0))).toEqual(OK);
      expect(consumer.disarms).toBe(1);
      bench.drive(0, 1);
      bench.settle();
      expect(consumer.interrupts).toBe(0);
    });

    it('a change of type without none is ERR and changes nothing; the same again is OK', () => {
      const { bench, consumer, outcome } = waiting(1);
      for (const type of [2, 3, 4, 8]) expect(outcome(() => consumer.setIrqType(type))).toEqual(INVALID);
      expect(outcome(() => consumer.setIrqType(1))).toEqual(OK);
      expect(consumer.disarms).toBe(0);
      bench.drive(0, 1);
      bench.settle();
      expect(consumer.interrupts).toBe(1);
    });

    it.each([
      ['rising', 1, [1, 0, 1, 0, 1]],
      ['falling', 2, [0, 1, 0, 1, 1]],
      ['both', 3, [1, 1, 1, 1, 1]],
    ])('%s edges are delivered to who waits', (_type, type, [first, second, third, fourth]) => {
      const { bench, consumer } = waiting(type);
      consumer.rearms = true;
      const counts = [1, 0, 1, 0].map((level) => {
        const before = consumer.interrupts;
        bench.drive(0, level as 0 | 1);
        bench.settle();
        return consumer.interrupts - before;
      });
      expect(counts).toEqual([first, second, third, fourth]);
    });

    it('no interrupt while masked: an edge is latched and delivered as soon as a buffer is queued, once', () => {
      const { bench, consumer } = waiting(1);
      bench.drive(0, 1);
      bench.settle();
      expect(consumer.interrupts).toBe(1);
      for (const level of [0, 1, 0] as const) {
        bench.drive(0, level);
        bench.settle();
      }
      expect(consumer.interrupts).toBe(1);
      consumer.arm();
      expect(consumer.interrupts).toBe(2);
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(2);
    });

    it('no interrupt before it is enabled', () => {
      const { bench, consumer, outcome } = guest();
      outcome(() => consumer.setDirection(2));
      bench.drive(0, 1);
      bench.settle();
      expect(outcome(() => consumer.setIrqType(3))).toEqual(OK);
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(0);
    });

    it.each([
      ['high', 4, 1],
      ['low', 8, 0],
    ] as const)(
      'level %s notifies at once when unmasked, and on while it is active',
      (_name, type, active) => {
        const { bench, consumer, outcome } = guest();
        outcome(() => consumer.setDirection(2));
        bench.drive(0, active);
        expect(outcome(() => consumer.setIrqType(type))).toEqual(OK);
        for (let i = 1; i <= 3; i++) {
          consumer.arm();
          bench.settle();
          expect(consumer.interrupts).toBe(i);
        }
        bench.drive(0, active === 1 ? 0 : 1);
        bench.settle();
        consumer.arm();
        bench.settle();
        expect(consumer.interrupts).toBe(3);
        bench.drive(0, active);
        bench.settle();
        expect(consumer.interrupts).toBe(4);
      },
    );

    it.each([
      ['high', 4, 1],
      ['low', 8, 0],
    ] as const)('level %s is never latched', (_name, type, active) => {
      const { bench, consumer, outcome } = guest();
      const passive = active === 1 ? 0 : 1;
      bench.drive(0, passive);
      expect(outcome(() => consumer.setIrqType(type))).toEqual(OK);
      bench.drive(0, active);
      bench.settle();
      bench.drive(0, passive);
      bench.settle();
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(0);
    });

    it('level high that is unmasked before the level is known is notified when it is', () => {
      const { bench, consumer } = guest();
      bench.drive(0, 1);
      consumer.setIrqType(4);
      consumer.arm();
      bench.settle();
      expect(consumer.interrupts).toBe(1);
    });

    it('operations of one line are answered in order', () => {
      const { bench, consumer } = guest();
      const order: string[] = [];
      const named = (name: string) => ({
        complete: (_token: number, result: number, value: number) => {
          order.push(`${name} ${result} ${value}`);
        },
      });
      const { handle } = consumer;
      handle.setDirection(1, named('out'), 0);
      handle.setValue(1, named('set'), 0);
      handle.getValue(named('get'), 0);
      handle.setValue(0, named('set'), 0);
      handle.getValue(named('get'), 0);
      handle.getDirection(named('direction'), 0);
      bench.settle();
      expect(order).toEqual(['out 0 0', 'set 0 0', 'get 0 1', 'set 0 0', 'get 0 0', 'direction 0 1']);
    });
  },
);

describe('failures of the chip', () => {
  it('reach the consumer as they are', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    chip.outcome = () => 2;
    for (const operation of ['getValue', 'getDirection'] as const) {
      consumer[operation]();
      settle();
      expect(consumer.outcomes.take()).toEqual([2, 0]);
    }
    for (const operation of [() => consumer.setDirection(2), () => consumer.setIrqType(3)]) {
      operation();
      settle();
      expect(consumer.outcomes.take()?.[0]).toBe(2);
    }
    expect(consumer.handle.interrupt.type).toBe(0);
  });

  it('a line that the firmware made an output refuses interrupts also when nobody knew', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0);
    chip.become(0, 1);
    consumer.setIrqType(1);
    settle();
    expect(consumer.outcomes.take()?.[0]).not.toBe(RESULT_OK);
    expect(consumer.handle.interrupt.type).toBe(0);
  });

  it('learnDirections() finds outputs, so that interrupts are refused at once', () => {
    const { lines, chip, settle } = scripted(true);
    chip.become(2, 1);
    let learned = false;
    lines.learnDirections(() => {
      learned = true;
    });
    expect(chip.flushes).toBe(1);
    settle();
    expect(learned).toBe(true);
    expect(lines.lines.map((line) => line.directionName)).toEqual(['none', 'none', 'out', 'none']);
    const outcomes = new Outcomes();
    new TestConsumer(lines, 2).handle.setIrqType(1, outcomes, 0);
    expect(outcomes.take()).toEqual(INVALID);
  });

  it('an unknown line cannot be opened', () => {
    const { lines } = scripted(true);
    expect(() => new TestConsumer(lines, 4)).toThrow(new RangeError('scripted has 4 lines, no line 4'));
  });
});
