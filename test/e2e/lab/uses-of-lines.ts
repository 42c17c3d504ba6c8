import { afterEach, expect, it } from 'vitest';
import { type LINE_NAMES, offsetOf } from './firmware.ts';
import type { GuestChip } from './guest-chip.ts';
import type { Wires } from './wires.ts';

type LineName = (typeof LINE_NAMES)[number];

/** A guest, the co-processor's electrical side, and the lines to use. */
export interface LineBench {
  readonly chip: GuestChip;
  readonly wires: Wires;
  readonly input: LineName;
  readonly otherInput: LineName;
  readonly output: LineName;
}

/**
 * Registers the tests of what people do with a line: they hold for every way between a guest and a
 * co-processor, so every way runs the same ones. `bench` is called inside the tests.
 */
export function usesOfLines(bench: () => LineBench): void {
  afterEach(() => bench().chip.guest.stopAll());

  it('reads the level that an input has outside', async () => {
    const { chip, wires, input, otherInput } = bench();
    for (const level of [1, 0, 1] as const) {
      await wires.set(input, level);
      await wires.set(otherInput, level === 1 ? 0 : 1);
      expect(await chip.get(offsetOf(input), offsetOf(otherInput))).toEqual([level, level === 1 ? 0 : 1]);
    }
  });

  it('raises and lowers an output', async () => {
    const { chip, wires, output } = bench();
    for (const level of [1, 0, 1] as const) {
      const holder = chip.hold(`${offsetOf(output)}=${level}`);
      await wires.waitForLevel(output, level);
      await chip.release(holder);
    }
  });

  it('tells both edges of an input, in order, once each', async () => {
    const { chip, wires, input } = bench();
    const offset = offsetOf(input);
    await wires.set(input, 0);
    const monitor = await chip.monitor([offset]);
    const expected: string[] = [];
    for (const level of [1, 0, 1, 0] as const) {
      await wires.set(input, level);
      expected.push(`${level} ${offset}`);
      // One at a time: the standard eventq may merge edges that come faster than the guest takes them.
      await monitor.stdout.waitForCount(expected.length);
    }
    await monitor.stop();
    expect(monitor.stdout.lines).toEqual(expected);
  });

  it('tells only the edges that were asked for', async () => {
    const { chip, wires, input, otherInput } = bench();
    await wires.set(input, 0);
    await wires.set(otherInput, 1);
    const rising = await chip.monitor([offsetOf(input)], '--rising-edge');
    const falling = await chip.monitor([offsetOf(otherInput)], '--falling-edge');
    for (const count of [1, 2]) {
      await wires.set(input, 1);
      await rising.stdout.waitForCount(count);
      await wires.set(input, 0);
      await wires.set(otherInput, 0);
      await falling.stdout.waitForCount(count);
      await wires.set(otherInput, 1);
    }
    await rising.stop();
    await falling.stop();
    expect(rising.stdout.lines).toEqual(Array(2).fill(`1 ${offsetOf(input)}`));
    expect(falling.stdout.lines).toEqual(Array(2).fill(`0 ${offsetOf(otherInput)}`));
  });

  it('watches an input, drives an output and reads another input at once', async () => {
    const { chip, wires, input, otherInput, output } = bench();
    await wires.set(input, 0);
    await wires.set(otherInput, 1);
    const monitor = await chip.monitor([offsetOf(input)]);
    const holder = chip.hold(`${offsetOf(output)}=1`);
    await wires.waitForLevel(output, 1);
    expect(await chip.get(offsetOf(otherInput))).toEqual([1]);
    await wires.set(input, 1);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offsetOf(input)}`]);
    await monitor.stop();
    await chip.release(holder);
  });

  it('stays silent once nobody watches an input, and speaks again for the next who does', async () => {
    const { chip, wires, input } = bench();
    const offset = offsetOf(input);
    await wires.set(input, 0);
    const first = await chip.monitor([offset]);
    await first.stop();
    await wires.set(input, 1);
    await wires.set(input, 0);
    const second = await chip.monitor([offset]);
    await wires.set(input, 1);
    // An edge of the time between would have come first.
    expect(await second.stdout.waitForCount(1)).toEqual([`1 ${offset}`]);
    await second.stop();
    expect(second.stdout.lines).toEqual([`1 ${offset}`]);
  });
}
