import { describe, expect, it } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_FALLING,
  IRQ_LEVEL_HIGH,
  IRQ_LEVEL_LOW,
  IRQ_NONE,
  IRQ_RISING,
  RESULT_INVALID,
} from '../../src/gpio/chip.ts';
import * as uapi from '../../src/wire/gpio-uapi.ts';
import { OK, open } from './bench.ts';

describe('edges of a gpiochip', () => {
  it('come both ways, in order, with the time and count of the kernel', () => {
    const { kernel, edges, run } = open();
    expect(run('setIrqType', 1, IRQ_BOTH)).toEqual(OK);
    expect(kernel.lines[1]!.user).toBe('rproc-gpio');
    for (const level of [1, 0, 1] as const) kernel.change(1, level);
    kernel.turn();
    expect(edges).toEqual([
      { offset: 1, level: 1, seq: 1, merged: false, timestampNs: 2_000n },
      { offset: 1, level: 0, seq: 2, merged: false, timestampNs: 3_000n },
      { offset: 1, level: 1, seq: 3, merged: false, timestampNs: 4_000n },
    ]);
  });

  it.each([
    ['rising', IRQ_RISING, [1, 1]],
    ['falling', IRQ_FALLING, [0, 0]],
    ['both', IRQ_BOTH, [1, 0, 1, 0]],
  ])('of the type %s only', (_name, type, levels) => {
    const { kernel, edges, run } = open();
    run('setIrqType', 1, type);
    for (const level of [1, 0, 1, 0] as const) kernel.change(1, level);
    kernel.turn();
    expect(edges.map(({ level }) => level)).toEqual(levels);
    // The same level twice is what one edge is about; nothing was lost.
    expect(edges.some(({ merged }) => merged)).toBe(false);
  });

  it('count all lines of the chip together', () => {
    const { kernel, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    run('setIrqType', 2, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.turn();
    kernel.change(2, 1);
    kernel.turn();
    kernel.change(1, 0);
    kernel.turn();
    expect(edges.map(({ offset, level, seq }) => [offset, level, seq])).toEqual([
      [1, 1, 1],
      [2, 1, 2],
      [1, 0, 3],
    ]);
  });

  it('come in more reads than one where there are many', () => {
    const { kernel, chip, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    for (let i = 0; i < 200; i++) kernel.change(1, i % 2 === 0 ? 1 : 0);
    kernel.turn();
    expect(edges.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(chip.counters).toEqual({ droppedEvents: 0, malformedEvents: 0, heldLines: 1 });
  });

  it.each([
    ['an odd number', 301, 45],
    ['an even number', 302, 46],
  ])('that the kernel had no room for are a gap and merged into the next: %s', (_what, count, lost) => {
    const { kernel, chip, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.turn();
    for (let i = 0; i < count; i++) kernel.change(1, i % 2 === 0 ? 0 : 1);
    while (kernel.turn() > 0);
    // 256 were kept, the last ones.
    expect(edges).toHaveLength(257);
    expect(edges[1]).toMatchObject({ seq: 1 + lost + 1, merged: true });
    expect(edges.slice(2).some(({ merged }) => merged)).toBe(false);
    expect(edges.at(-1)).toMatchObject({ level: 1 - (count % 2), seq: count + 1 });
    expect(chip.counters.droppedEvents).toBe(lost);
  });

  it('are merged where the level was back before the kernel looked', () => {
    const { kernel, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.event(1, 1);
    kernel.change(1, 0);
    kernel.turn();
    expect(edges.map(({ level, merged }) => [level, merged])).toEqual([
      [1, false],
      [1, true],
      [0, false],
    ]);
  });

  it('end with the subscription, also for what is still in the queue', () => {
    const { kernel, edges, run } = open();
    run('setDirection', 1, DIRECTION_IN);
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    expect(run('setIrqType', 1, IRQ_NONE)).toEqual(OK);
    kernel.turn();
    kernel.change(1, 0);
    kernel.turn();
    expect(edges).toEqual([]);
    // The direction was set: the line stays ours.
    expect(kernel.lines[1]!.user).toBe('rproc-gpio');
    // What nobody read does not come with the next subscription, and is no gap in it.
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.turn();
    expect(edges).toMatchObject([{ level: 1, seq: 1, merged: false }]);
  });

  it('of a new subscription are none of the old one: a level that is told again is news', () => {
    const { kernel, edges, run } = open();
    run('setDirection', 1, DIRECTION_IN);
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.turn();
    run('setIrqType', 1, IRQ_NONE);
    kernel.change(1, 0);
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.turn();
    expect(edges.map(({ level, merged }) => [level, merged])).toEqual([
      [1, false],
      [1, false],
    ]);
  });

  it('give the line back when it was held for them alone', () => {
    const { kernel, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    expect(run('setIrqType', 1, IRQ_NONE)).toEqual(OK);
    expect(kernel.lines[1]!.user).toBeNull();
    expect(run('setIrqType', 1, IRQ_NONE)).toEqual(OK);
    expect(kernel.polls.size).toBe(1);
  });

  it('go on where the direction is set to what it is', () => {
    const { kernel, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    run('setDirection', 1, DIRECTION_IN);
    kernel.change(1, 1);
    kernel.turn();
    expect(edges).toHaveLength(1);
    run('setIrqType', 1, IRQ_NONE);
    expect(kernel.lines[1]!.user).toBe('rproc-gpio');
  });

  it('end where the line becomes an output, or is given back', () => {
    const { kernel, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    run('setIrqType', 2, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.change(2, 1);
    expect(run('setDirection', 1, DIRECTION_OUT)).toEqual(OK);
    expect(run('setDirection', 2, DIRECTION_NONE)).toEqual(OK);
    expect(kernel.turn()).toBe(0);
    expect(edges).toEqual([]);
    expect(kernel.lines[1]!.driven).toEqual([1]);
  });

  it('are not asked of an output, nor as levels', () => {
    const { kernel, log, run } = open();
    run('setDirection', 0, DIRECTION_OUT);
    kernel.lines[3]!.drive(1);
    expect(run('setIrqType', 0, IRQ_BOTH)).toEqual([RESULT_INVALID, 0]);
    expect(run('setIrqType', 3, IRQ_BOTH)).toEqual([RESULT_INVALID, 0]);
    for (const type of [IRQ_LEVEL_HIGH, IRQ_LEVEL_LOW])
      expect(run('setIrqType', 1, type)).toEqual([RESULT_INVALID, 0]);
    expect(kernel.lines[3]!.driven).toEqual([1]);
    expect(kernel.lines[3]!.isOutput).toBe(true);
    expect(kernel.openDescriptors).toBe(2);
    expect(log).toEqual([]);
  });

  it('whose listener ends the subscription are not told any more', () => {
    const { kernel, chip, run } = open();
    const told: number[] = [];
    chip.listen({
      edge: (edge: Edge) => {
        told.push(edge.seq);
        run('setIrqType', 1, IRQ_NONE);
      },
      availability: () => {},
    });
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    kernel.change(1, 0);
    kernel.turn();
    expect(told).toEqual([1]);
    expect(kernel.lines[1]!.user).toBeNull();
  });

  it('that make no sense are counted', () => {
    const { kernel, chip, edges, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    kernel.change(1, 1);
    const [request] = kernel.requests.values();
    request!.fifo[0]!.set([3], uapi.LINE_EVENT_ID_OFFSET);
    kernel.change(1, 0);
    kernel.turn();
    expect(edges).toMatchObject([{ level: 0, seq: 2 }]);
    expect(chip.counters.malformedEvents).toBe(1);
  });
});
