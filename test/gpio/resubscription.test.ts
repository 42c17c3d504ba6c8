import { describe, expect, it } from 'vitest';
import { DIRECTION_IN, DIRECTION_NONE, DIRECTION_OUT, IRQ_BOTH, RESULT_FAILED } from '../../src/gpio/chip.ts';
import { scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

describe('a line that is unsubscribed and subscribed again before the chip has answered', () => {
  it('does not take the level of an old record for the level now', () => {
    const { lines, chip, settle } = scripted(true);
    const consumer = new TestConsumer(lines, 0, 'a');
    consumer.setIrqType(IRQ_BOTH);
    settle();
    chip.drive(0, 1);
    consumer.handle.reset();
    consumer.setIrqType(IRQ_BOTH);
    // The chip takes the unsubscription, and a change of which nobody is told.
    chip.serve();
    chip.drive(0, 0);
    chip.deliverEvent();
    settle();
    const line = lines.lines[0];
    expect(chip.level(0)).toBe(0);
    expect([line?.fresh, line?.level]).toEqual([true, 0]);
  });

  it('raises no interrupt for an old record to a consumer that came afterwards', () => {
    const { lines, chip, settle } = scripted(true);
    const first = new TestConsumer(lines, 0, 'a');
    const second = new TestConsumer(lines, 0, 'b');
    first.setIrqType(IRQ_BOTH);
    settle();
    chip.drive(0, 1);
    first.handle.reset();
    second.setIrqType(IRQ_BOTH);
    second.arm();
    chip.deliverEvent();
    settle();
    expect(second.interrupts).toBe(0);
  });

  it.each([
    ['streams levels', true],
    ['does not', false],
  ])('keeps the second subscription when only the first was refused, on a chip that %s', (_what, streams) => {
    const { lines, chip, settle } = scripted(streams);
    const consumer = new TestConsumer(lines, 0, 'a');
    let asked = 0;
    chip.outcome = (request) =>
      request.what === 'setIrqType' && request.argument === IRQ_BOTH && asked++ === 0
        ? RESULT_FAILED
        : undefined;
    consumer.setIrqType(IRQ_BOTH);
    consumer.handle.reset();
    consumer.setIrqType(IRQ_BOTH);
    settle();
    consumer.arm();
    chip.drive(0, 1);
    settle();
    expect([consumer.handle.interrupt.type, consumer.interrupts]).toEqual([IRQ_BOTH, 1]);
  });
});

describe('an output that nobody owns, of which one consumer has owner access', () => {
  it.each([
    ['in', DIRECTION_IN],
    ['none', DIRECTION_NONE],
  ])('is not made %s by another', (_what, direction) => {
    const { lines, chip, settle } = scripted(true);
    const owner = new TestConsumer(lines, 0, 'o', { access: 'owner' });
    const other = new TestConsumer(lines, 0, 'w');
    owner.setDirection(DIRECTION_OUT);
    settle();
    owner.handle.reset();
    settle();
    other.setDirection(direction);
    settle();
    expect(chip.direction(0)).toBe(DIRECTION_OUT);
  });
});
