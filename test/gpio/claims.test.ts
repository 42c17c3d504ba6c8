import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_BOTH,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { scripted } from './bench.ts';
import { TestConsumer } from './consumer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('what is claimed of a chip that is away', () => {
  it('is taken for set: owner, direction, subscription', () => {
    const { lines, chip, settle } = scripted(true);
    const [guest, other] = [new TestConsumer(lines, 0), new TestConsumer(lines, 0, 'other')];
    const input = new TestConsumer(lines, 1);
    chip.lose();
    expect(guest.handle.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_OK);
    expect(input.handle.claimDirection(DIRECTION_IN, -1)).toBe(RESULT_OK);
    expect(input.handle.claimIrqType(IRQ_BOTH)).toBe(RESULT_OK);
    expect([guest.changes, other.changes]).toEqual([['out guest'], ['out guest']]);
    expect(other.setValue(0).outcomes.take()).toEqual([RESULT_BUSY, 0]);
    expect(guest.setValue(0).outcomes.take()).toEqual([RESULT_UNAVAILABLE, 0]);
    chip.asked();
    chip.recover();
    settle();
    expect([chip.direction(0), chip.level(0), chip.irqType(1)]).toEqual([DIRECTION_OUT, 1, IRQ_BOTH]);
    expect(guest.handle.line).toMatchObject({ level: 1, fresh: true });
    expect(input.arm()).toBeUndefined();
    chip.drive(1, 1);
    settle();
    expect([input.interrupts, input.told]).toEqual([1, []]);
  });

  it('is no edge: what the level was before nobody was told', () => {
    const { lines, chip, settle } = scripted(true);
    const input = new TestConsumer(lines, 1);
    chip.drive(1, 1);
    chip.lose();
    input.handle.claimIrqType(IRQ_BOTH);
    input.arm();
    chip.recover();
    settle();
    expect(input.interrupts).toBe(0);
  });

  it('is only what the consumer may have', () => {
    const { lines, chip } = scripted(true);
    chip.lose();
    const first = new TestConsumer(lines, 0);
    expect(first.handle.claimDirection(DIRECTION_OUT, -1)).toBe(RESULT_OK);
    const second = new TestConsumer(lines, 0, 'second').handle;
    expect(second.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_BUSY);
    expect(second.claimDirection(DIRECTION_IN, -1)).toBe(RESULT_BUSY);
    expect(second.claimDirection(DIRECTION_NONE, 1)).toBe(RESULT_BUSY);
    expect(second.claimIrqType(IRQ_BOTH)).toBe(RESULT_INVALID);
    const reader = new TestConsumer(lines, 1, 'reader', { access: 'read' }).handle;
    expect(reader.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_REFUSED);
    expect(reader.claimDirection(DIRECTION_IN, -1)).toBe(RESULT_OK);
    expect(new TestConsumer(lines, 1, 'late').handle.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_BUSY);
    const output = new TestConsumer(lines, 2, 'output', { role: 'output' }).handle;
    expect(output.claimDirection(DIRECTION_IN, -1)).toBe(RESULT_REFUSED);
    expect(output.claimIrqType(IRQ_BOTH)).toBe(RESULT_REFUSED);
    const waiting = new TestConsumer(lines, 3).handle;
    expect(waiting.claimIrqType(IRQ_BOTH)).toBe(RESULT_OK);
    expect(waiting.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_INVALID);
    waiting.close();
    expect(waiting.claimDirection(DIRECTION_IN, -1)).toBe(RESULT_UNAVAILABLE);
    expect(waiting.claimIrqType(IRQ_BOTH)).toBe(RESULT_UNAVAILABLE);
  });
});

describe('what is claimed of a chip that does not answer', () => {
  it('is tried again, and never undoes a newer value that is on its way', () => {
    const { lines, chip, settle } = scripted(true);
    const guest = new TestConsumer(lines, 0);
    chip.outcome = () => RESULT_TIMEOUT;
    guest.handle.drive(1, guest.outcomes, 0);
    settle();
    expect(guest.outcomes.take()).toEqual([RESULT_TIMEOUT, 0]);
    expect(guest.handle.claimDirection(DIRECTION_OUT, 1)).toBe(RESULT_OK);
    chip.outcome = () => undefined;
    chip.asked();
    // Not answered yet when the time has come.
    guest.setValue(0);
    vi.advanceTimersByTime(1000);
    expect(chip.asked()).toEqual(['setValue 0 = 0']);
    settle();
    vi.advanceTimersByTime(1000);
    settle();
    expect(chip.asked()).toEqual(['setValue 0 = 0', 'setDirection 0 = 1']);
    expect([chip.direction(0), chip.level(0)]).toEqual([DIRECTION_OUT, 0]);
  });

  it('is over with what is decided next', () => {
    const { lines, chip, settle } = scripted(true);
    const guest = new TestConsumer(lines, 0);
    guest.handle.claimDirection(DIRECTION_OUT, 1);
    guest.setDirection(DIRECTION_IN);
    settle();
    chip.asked();
    vi.advanceTimersByTime(2000);
    settle();
    expect([chip.asked(), chip.direction(0)]).toEqual([[], DIRECTION_IN]);
  });
});
