import { describe, expect, it } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_BOTH,
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import * as uapi from '../../src/wire/gpio-uapi.ts';
import { OK, open, PATH } from './bench.ts';
import { FakeKernel } from './fake-kernel.ts';

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
