import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_BOTH,
  IRQ_RISING,
  RESULT_BUSY,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { GpiochipChip } from '../../src/gpiochip/gpiochip.ts';
import { TestConsumer } from '../gpio/consumer.ts';
import { FakeKernel } from './fake-kernel.ts';

/** What consumers see of a gpiochip: the rules are gpio/'s, and this chip has to fit them. */
describe('lines of a gpiochip', () => {
  let kernel: FakeKernel;
  let chip: GpiochipChip;
  let lines: ChipLines;

  beforeEach(() => {
    kernel = new FakeKernel('LED', 'BUTTON', 'RELAY');
    chip = GpiochipChip.open({ name: 'soc', path: '/dev/gpiochip0', kernel });
    lines = new ChipLines(chip);
    lines.learnDirections();
  });
  afterEach(() => chip.close());

  it('become outputs without a glitch: level and direction come together', () => {
    const guest = new TestConsumer(lines, 0).setValue(1).setDirection(DIRECTION_OUT);
    expect(guest.outcomes.list.map(([result]) => result)).toEqual([RESULT_OK, RESULT_OK]);
    expect(kernel.lines[0]!.driven).toEqual([1]);
    expect(lines.lines[0]!.level).toBe(1);
  });

  it('are taken while somebody watches, told with their levels, and given back', () => {
    const guest = new TestConsumer(lines, 1);
    guest.handle.watch(true);
    expect(kernel.lines[1]!.user).toBe('rproc-gpio');
    kernel.change(1, 1);
    kernel.change(1, 0);
    kernel.turn();
    expect(guest.levels).toEqual([1, 0]);
    guest.handle.watch(false);
    expect(kernel.lines[1]!.user).toBeNull();
  });

  it('answer reads of a watched input from what was told, without the kernel', () => {
    const guest = new TestConsumer(lines, 1);
    guest.handle.watch(true);
    kernel.change(1, 1);
    kernel.turn();
    const { length } = kernel.calls;
    expect(guest.getValue().outcomes.take()).toEqual([RESULT_OK, 1]);
    expect(kernel.calls).toHaveLength(length);
  });

  it('interrupt by the rules of each consumer', () => {
    const rising = new TestConsumer(lines, 1, 'rising').setIrqType(IRQ_RISING);
    const both = new TestConsumer(lines, 1, 'both').setIrqType(IRQ_BOTH);
    rising.arm();
    both.arm();
    kernel.change(1, 1);
    kernel.turn();
    expect([rising.interrupts, both.interrupts]).toEqual([1, 1]);
    both.arm();
    kernel.change(1, 0);
    kernel.turn();
    expect([rising.interrupts, both.interrupts]).toEqual([1, 2]);
  });

  it('owe both edges of a pulse that the kernel saw as one', () => {
    const guest = new TestConsumer(lines, 1);
    guest.handle.watch(true);
    kernel.change(1, 1);
    kernel.change(1, 0);
    // Up and down before the kernel looked.
    kernel.event(1, 0);
    kernel.turn();
    expect(guest.levels).toEqual([1, 0, 1, 0]);
  });

  it('are busy for consumers when another program has them, and nobody owns them then', () => {
    kernel.lines[2]!.user = 'gpioset';
    const guest = new TestConsumer(lines, 2).setValue(1);
    expect(guest.outcomes.take()).toEqual([RESULT_OK, 0]);
    expect(guest.setDirection(DIRECTION_OUT).outcomes.take()?.[0]).toBe(RESULT_BUSY);
    expect(lines.lines[2]!.owner).toBeNull();
    kernel.lines[2]!.user = null;
    expect(guest.setValue(1).outcomes.take()).toEqual([RESULT_OK, 0]);
    expect(guest.setDirection(DIRECTION_OUT).outcomes.take()?.[0]).toBe(RESULT_OK);
    expect(kernel.lines[2]!.driven).toEqual([1]);
  });

  it('go from input with interrupts to output and back', () => {
    const watcher = new TestConsumer(lines, 1, 'log');
    watcher.handle.watch(true);
    const guest = new TestConsumer(lines, 1, 'guest').setValue(1).setDirection(DIRECTION_OUT);
    expect(guest.outcomes.list.at(-1)?.[0]).toBe(RESULT_OK);
    expect(kernel.lines[1]!.driven).toEqual([1]);
    guest.setDirection(DIRECTION_IN);
    kernel.change(1, 0);
    kernel.turn();
    expect(watcher.levels.at(-1)).toBe(0);
    guest.setDirection(DIRECTION_NONE);
    kernel.change(1, 1);
    kernel.turn();
    expect(watcher.levels.at(-1)).toBe(1);
  });

  it('are unavailable once the kernel has removed the chip', () => {
    const guest = new TestConsumer(lines, 1);
    guest.handle.watch(true);
    kernel.remove(false);
    expect(lines.lines[1]!.fresh).toBe(false);
    expect(guest.getValue().outcomes.take()?.[0]).toBe(RESULT_UNAVAILABLE);
  });
});
