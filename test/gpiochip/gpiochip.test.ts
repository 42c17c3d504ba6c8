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
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import { GpiochipChip } from '../../src/gpiochip/gpiochip.ts';
import * as uapi from '../../src/wire/gpio-uapi.ts';
import { Outcomes } from '../gpio/consumer.ts';
import { FakeKernel } from './fake-kernel.ts';

const PATH = '/dev/gpiochip7';

interface Bench {
  readonly kernel: FakeKernel;
  readonly chip: GpiochipChip;
  readonly edges: { offset: number; level: number; seq: number; merged: boolean; timestampNs: bigint }[];
  readonly log: string[];
  readonly availability: [available: boolean, reason: string][];
  /** Runs an operation, which must be answered in the same turn. */
  run(operation: 'getDirection' | 'getValue', offset: number): [result: number, value: number];
  run(
    operation: 'setDirection' | 'setValue' | 'setIrqType',
    offset: number,
    value: number,
  ): [result: number, value: number];
}

function open(kernel = new FakeKernel('LED', 'BUTTON', '', 'RELAY')): Bench {
  const log: string[] = [];
  const chip = GpiochipChip.open({
    name: 'soc',
    path: PATH,
    kernel,
    onLog: (level, message) => log.push(`${level}: ${message}`),
  });
  const edges: Bench['edges'] = [];
  const availability: Bench['availability'] = [];
  chip.listen({
    edge: ({ offset, level, seq, merged, timestampNs }) =>
      edges.push({ offset, level, seq, merged, timestampNs }),
    availability: (available, reason) => availability.push([available, reason]),
  });
  const run = (
    operation: 'getDirection' | 'getValue' | 'setDirection' | 'setValue' | 'setIrqType',
    offset: number,
    value = 0,
  ): [number, number] => {
    const outcomes = new Outcomes();
    if (operation === 'getDirection' || operation === 'getValue') chip[operation](offset, outcomes, 0);
    else chip[operation](offset, value, outcomes, 0);
    chip.flush();
    return outcomes.take() ?? [-1, -1];
  };
  return { kernel, chip, edges, log, availability, run };
}

const OK = [RESULT_OK, 0];

describe('a gpiochip', () => {
  it("has the kernel's label, its path, and the lines' names", () => {
    const { chip } = open();
    expect(chip.name).toBe('soc');
    expect(chip.label).toBe('fake-soc on /dev/gpiochip7');
    expect(chip.lineCount).toBe(4);
    expect([0, 1, 2, 3, 4].map((offset) => chip.lineName(offset))).toEqual([
      'LED',
      'BUTTON',
      '',
      'RELAY',
      '',
    ]);
    expect(chip.streamsLevels).toBe(true);
    expect(chip.available).toBe(true);
  });

  it("has the kernel's own name where the driver gives no label", () => {
    const kernel = new FakeKernel('A');
    kernel.info = { name: 'gpiochip7', label: '' };
    expect(open(kernel).chip.label).toBe('gpiochip7 on /dev/gpiochip7');
  });

  it('takes no line by being opened', () => {
    const { kernel } = open();
    expect(kernel.calls).toEqual([]);
    expect(kernel.openDescriptors).toBe(1);
  });

  it('closes everything, once', () => {
    const { kernel, chip, run, availability } = open();
    run('setDirection', 0, DIRECTION_OUT);
    run('setIrqType', 1, IRQ_BOTH);
    expect(kernel.openDescriptors).toBe(3);
    chip.close();
    chip.close();
    expect(kernel.openDescriptors).toBe(0);
    expect(kernel.polls.size).toBe(0);
    expect(kernel.watches.size).toBe(0);
    expect(availability).toEqual([]);
    expect(run('getValue', 0)).toEqual([RESULT_UNAVAILABLE, 0]);
  });
});

describe('directions and levels', () => {
  it('come from the kernel while nobody uses the line, which stays free', () => {
    const { kernel, run } = open();
    kernel.lines[3]!.drive(1);
    kernel.lines[1]!.level = 1;
    expect(run('getDirection', 3)).toEqual([RESULT_OK, DIRECTION_OUT]);
    expect(run('getDirection', 1)).toEqual([RESULT_OK, DIRECTION_IN]);
    expect(run('getValue', 1)).toEqual([RESULT_OK, 1]);
    expect(run('getValue', 3)).toEqual([RESULT_OK, 1]);
    expect(run('getValue', 0)).toEqual([RESULT_OK, 0]);
    // Read as they are: neither has become anything by it.
    expect(kernel.lines[3]!.isOutput).toBe(true);
    expect(kernel.lines[3]!.driven).toEqual([1]);
    expect(kernel.lines.map(({ user }) => user)).toEqual([null, null, null, null]);
  });

  it('an output takes the level that was set before, in one step with the direction', () => {
    const { kernel, run } = open();
    expect(run('setValue', 0, 1)).toEqual(OK);
    expect(kernel.calls).toEqual([]);
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[0]!.driven).toEqual([1]);
    expect(kernel.lines[0]!.user).toBe('rproc-gpio');
    expect(run('getDirection', 0)).toEqual([RESULT_OK, DIRECTION_OUT]);
    expect(run('getValue', 0)).toEqual([RESULT_OK, 1]);
    expect(run('setValue', 0, 0)).toEqual(OK);
    expect(run('setValue', 0, 1)).toEqual(OK);
    expect(kernel.lines[0]!.driven).toEqual([1, 0, 1]);
    // One request, then one ioctl each.
    expect(kernel.calls).toEqual(['request', 'get', 'set', 'set']);
  });

  it.each([0, 1])('an output without a level goes on with what the wire had (%d)', (level) => {
    const { kernel, run } = open();
    kernel.lines[0]!.level = level;
    kernel.lines[1]!.level = level;
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[0]!.driven).toEqual([level]);
    run('setDirection', 1, DIRECTION_IN);
    expect(run('setDirection', 1, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[1]!.driven).toEqual([level]);
  });

  it('an input becomes an output with its level, and an input again', () => {
    const { kernel, run } = open();
    expect(run('setDirection', 1, DIRECTION_IN)).toEqual(OK);
    expect(kernel.lines[1]!.user).toBe('rproc-gpio');
    run('setValue', 1, 1);
    expect(run('setDirection', 1, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[1]!.driven).toEqual([1]);
    expect(run('setDirection', 1, DIRECTION_IN)).toEqual(OK);
    expect(kernel.lines[1]!.isOutput).toBe(false);
    expect(kernel.calls).toEqual(['request', 'config', 'config']);
  });

  it('a direction that is there already changes nothing', () => {
    const { kernel, run } = open();
    run('setValue', 0, 1);
    run('setDirection', 0, DIRECTION_OUT);
    run('setDirection', 1, DIRECTION_IN);
    const { length } = kernel.calls;
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual(OK);
    expect(run('setDirection', 1, DIRECTION_IN)).toEqual(OK);
    expect(kernel.calls).toHaveLength(length);
    expect(kernel.lines[0]!.driven).toEqual([1]);
  });

  it('direction none gives the line back, and forgets the level that was kept', () => {
    const { kernel, run } = open();
    run('setDirection', 0, DIRECTION_OUT);
    expect(run('setDirection', 0, DIRECTION_NONE)).toEqual(OK);
    expect(kernel.lines[0]!.user).toBeNull();
    expect(kernel.openDescriptors).toBe(1);
    run('setDirection', 1, DIRECTION_IN);
    run('setValue', 1, 1);
    run('setDirection', 1, DIRECTION_NONE);
    run('setDirection', 1, DIRECTION_OUT);
    expect(kernel.lines[1]!.driven).toEqual([0]);
  });

  it('an output that nobody holds is taken over by who sets it', () => {
    const { kernel, run } = open();
    kernel.lines[3]!.drive(0);
    expect(run('setValue', 3, 1)).toEqual(OK);
    expect(kernel.lines[3]!.driven).toEqual([0, 1]);
    expect(kernel.lines[3]!.user).toBe('rproc-gpio');
    // To make it the output that it is does not set it again.
    expect(run('setDirection', 3, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[3]!.driven).toEqual([0, 1]);
  });
});

describe('edges', () => {
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

describe('a line that the kernel does not give', () => {
  it('is busy, and the log says who has it, once', () => {
    const { kernel, log, run } = open();
    kernel.lines[0]!.user = 'led-driver';
    expect(run('setValue', 0, 1)).toEqual(OK);
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual([RESULT_BUSY, 0]);
    expect(run('getValue', 0)).toEqual([RESULT_BUSY, 0]);
    run('setValue', 0, 1);
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual([RESULT_BUSY, 0]);
    expect(run('setIrqType', 0, IRQ_BOTH)).toEqual([RESULT_BUSY, 0]);
    expect(log).toEqual([
      'warn: soc/LED (line 0 of /dev/gpiochip7): take the line: (EBUSY): it is in use by "led-driver"; end that use, or take the line out of the configuration',
    ]);
    expect(kernel.lines[0]!.driven).toEqual([]);
    expect(kernel.openDescriptors).toBe(1);
    // Its direction can be asked for all the same.
    expect(run('getDirection', 0)).toEqual([RESULT_OK, DIRECTION_IN]);
  });

  it('is ours when it is free again, and a next refusal is news', () => {
    const { kernel, log, run } = open();
    const line = kernel.lines[2]!;
    line.user = '';
    expect(run('setDirection', 2, DIRECTION_IN)).toEqual([RESULT_BUSY, 0]);
    line.user = null;
    expect(run('setDirection', 2, DIRECTION_IN)).toEqual(OK);
    run('setDirection', 2, DIRECTION_NONE);
    line.user = 'rproc-gpio';
    expect(run('setDirection', 2, DIRECTION_IN)).toEqual([RESULT_BUSY, 0]);
    line.user = null;
    expect(run('getValue', 2)).toEqual(OK);
    line.user = 'rproc-gpio';
    expect(run('getValue', 2)).toEqual([RESULT_BUSY, 0]);
    expect(log[0]).toContain('soc/#2 (line 2 of /dev/gpiochip7)');
    expect(log[0]).toContain('somebody that the kernel does not name');
    expect(log[1]).toContain('another rproc-gpio, or the same chip under another name');
    expect(log).toHaveLength(3);
  });

  it('does not keep a level for later that was to go with a refused direction', () => {
    const { kernel, run } = open();
    kernel.lines[0]!.user = 'somebody';
    run('setValue', 0, 1);
    run('setDirection', 0, DIRECTION_OUT);
    kernel.lines[0]!.user = null;
    expect(run('setDirection', 0, DIRECTION_OUT)).toEqual(OK);
    expect(kernel.lines[0]!.driven).toEqual([0]);
  });

  it.each([
    ['EPERM', RESULT_REFUSED, 'look at what restricts the service'],
    ['EACCES', RESULT_REFUSED, 'DeviceAllow='],
    ['EMFILE', RESULT_FAILED, 'LimitNOFILE='],
    ['EINVAL', RESULT_INVALID, "the chip's driver cannot do that"],
    ['EIO', RESULT_FAILED, 'dmesg'],
  ])('for %s is answered with what to do about it', (code, result, advice) => {
    const { kernel, log, run } = open();
    kernel.refusals.set(uapi.GPIO_V2_GET_LINE_IOCTL, code);
    expect(run('setDirection', 0, DIRECTION_IN)).toEqual([result, 0]);
    expect(log).toHaveLength(1);
    expect(log[0]).toContain(`error: soc/LED (line 0 of /dev/gpiochip7): take the line: (${code}): `);
    expect(log[0]).toContain(advice);
  });

  it('for edges, as a chip without interrupts does it, is not held for nothing', () => {
    const { kernel, log, run } = open();
    kernel.refusals.set(uapi.GPIO_V2_LINE_SET_CONFIG_IOCTL, 'ENXIO');
    expect(run('setIrqType', 1, IRQ_BOTH)).toEqual([RESULT_INVALID, 0]);
    expect(log[0]).toContain('ask for its edges');
    expect(kernel.lines[1]!.user).toBeNull();
    expect(kernel.polls.size).toBe(1);
  });
});

describe('a chip that goes away', () => {
  const REASON = 'the kernel has removed /dev/gpiochip7';

  it.each([
    ['that wakes those who poll', true],
    ['of which only the device file tells', false],
  ])('under a kernel %s', (_what, wakes) => {
    const { kernel, chip, availability, run } = open();
    kernel.remove(wakes);
    expect(availability).toEqual([[false, REASON]]);
    expect(chip.available).toBe(false);
    expect(kernel.openDescriptors).toBe(0);
    expect(kernel.polls.size).toBe(0);
    expect(run('getValue', 0)).toEqual([RESULT_UNAVAILABLE, 0]);
    expect(run('setIrqType', 0, IRQ_BOTH)).toEqual([RESULT_UNAVAILABLE, 0]);
    chip.close();
    expect(availability).toHaveLength(1);
  });

  it('while lines are in use', () => {
    const { kernel, availability, run } = open();
    run('setIrqType', 1, IRQ_BOTH);
    run('setDirection', 0, DIRECTION_OUT);
    kernel.remove(true);
    expect(availability).toHaveLength(1);
    expect(kernel.openDescriptors).toBe(0);
  });

  it('is noticed by an operation, which is answered first', () => {
    const { kernel, chip, run } = open();
    run('setDirection', 0, DIRECTION_OUT);
    kernel.isRemoved = true;
    const order: string[] = [];
    chip.listen({ edge: () => {}, availability: () => order.push('unavailable') });
    chip.setValue(0, 1, { complete: (_token, result) => order.push(`result ${result}`) }, 0);
    expect(order).toEqual([`result ${RESULT_UNAVAILABLE}`, 'unavailable']);
    expect(kernel.openDescriptors).toBe(0);
  });

  it('is not taken for gone when its file merely changes', () => {
    const { kernel, chip, availability } = open();
    for (const callback of [...kernel.watches]) callback();
    expect(chip.available).toBe(true);
    expect(availability).toEqual([]);
  });
});

describe('a chip that cannot be opened', () => {
  it.each([
    ['is no gpiochip', uapi.GPIO_GET_CHIPINFO_IOCTL, 'ENOTTY', 'ERR_NOT_GPIOCHIP', 'is not a GPIO chip'],
    ['has an old kernel', uapi.GPIO_V2_GET_LINEINFO_IOCTL, 'EINVAL', 'ERR_KERNEL_TOO_OLD', 'Linux 5.10'],
    ['is just going', uapi.GPIO_GET_CHIPINFO_IOCTL, 'ENODEV', 'ERR_NO_CHIP', 'has gone'],
    ['fails', uapi.GPIO_V2_GET_LINEINFO_IOCTL, 'EIO', 'ERR_OPEN', 'ask for the line: (EIO)'],
    ['has no ffi', uapi.GPIO_GET_CHIPINFO_IOCTL, 'ERR_FFI_UNAVAILABLE', 'ERR_FFI_UNAVAILABLE', 'ioctls'],
  ])('because it %s says so', (_what, request, errno, code, text) => {
    const kernel = new FakeKernel('A');
    kernel.refusals.set(request, errno);
    expect(() => open(kernel)).toThrow(
      expect.objectContaining({ name: 'GpiochipError', code, message: expect.stringContaining(text) }),
    );
    expect(() => open(kernel)).toThrow(PATH);
    expect(kernel.openDescriptors).toBe(0);
  });

  it('but cannot be watched is used all the same', () => {
    const kernel = new FakeKernel('A');
    kernel.watch = () => {
      throw new Error('no space left on device, watch');
    };
    const { log, run } = open(kernel);
    expect(log[0]).toContain('warn: chip soc: /dev/gpiochip7 cannot be watched (no space left on device');
    expect(run('getValue', 0)).toEqual(OK);
  });
});
