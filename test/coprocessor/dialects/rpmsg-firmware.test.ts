import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Coprocessor } from '../../../src/coprocessor/coprocessor.ts';
import {
  openRpmsgChip,
  type RpmsgDialectName,
  type RpmsgDialectOptions,
} from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import { RpmsgBus, WANTED_RPMSG_FEATURES } from '../../../src/coprocessor/rpmsg/bus.ts';
import { type Chip, type ChipListener, RESULT_TIMEOUT } from '../../../src/gpio/chip.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { PinsClient } from '../../cli/pins-client.ts';
import { scratchFolder } from '../scratch-folder.ts';

const HUB = fileURLToPath(new URL('../../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;
const BUTTON = 5;
const LED = 8;
const LOOP_OUT = 14;
const LOOP_IN = 15;
const DIALECTS: readonly RpmsgDialectName[] = ['srtm', 'rpmsg-io', 'rpmsg-gpio', 'rpmsg-gpio-kind0'];
/** Ports of 8 pins, where there are ports. */
const PORTS = Array.from({ length: 16 }, (_, line) => ({ port: line >> 3, pin: line & 7, name: '' }));

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

function optionsOf(dialect: RpmsgDialectName): RpmsgDialectOptions {
  const hasPorts = dialect === 'srtm' || dialect === 'rpmsg-io';
  return {
    name: 'hub',
    where: 'm4',
    dialect: dialect === 'rpmsg-gpio-kind0' ? dialect : 'auto',
    channelTimeoutMs: 5000,
    requestTimeoutMs: 1000,
    ...(hasPorts ? { lines: PORTS } : { lineCount: 16 }),
  };
}

async function start(
  dialect: RpmsgDialectName,
  args: readonly string[] = [],
  changes: Partial<RpmsgDialectOptions> = {},
) {
  const pinsPath = join(scratchFolder(), 'pins');
  const coprocessor = new Coprocessor({
    name: 'm4',
    memory: [{ type: 'memfd', sizeBytes: 0x1_0000, deviceAddress: BASE }],
    resourceTable: { deviceAddress: BASE },
    doorbell: { type: 'eventfd' },
    exec: { command: [HUB, `--pins=${pinsPath}`, `--dialect=${dialect}`, ...args] },
    onLog: () => {},
  });
  onTestFinished(() => coprocessor.close());
  await coprocessor.start();
  const vdev = coprocessor.bindVdev(0, 7, WANTED_RPMSG_FEATURES);
  const bus = RpmsgBus.open(vdev, { name: 'm4', poller: new Poller() });
  onTestFinished(() => bus.close());
  const chip = await openRpmsgChip(bus, { ...optionsOf(dialect), ...changes });
  onTestFinished(() => chip.close());
  return { coprocessor, bus, chip, pins: new PinsClient(pinsPath) };
}

type Operation = 'getDirection' | 'setDirection' | 'getValue' | 'setValue' | 'setIrqType';

/** @returns `result value` */
function ask(chip: Chip, operation: Operation, offset: number, value = 0): Promise<string> {
  return new Promise((resolve) => {
    const done = { complete: (_: number, result: number, answer: number) => resolve(`${result} ${answer}`) };
    if (operation === 'getDirection' || operation === 'getValue') chip[operation](offset, done, 0);
    else chip[operation](offset, value, done, 0);
    chip.flush();
  });
}

/** Reads the level after each edge, as a chip's consumers do. */
function follow(chip: Chip): { levels: number[]; gone: string[] } {
  const levels: number[] = [];
  const gone: string[] = [];
  const listener: ChipListener = {
    edge: ({ offset }) =>
      chip.getValue(offset, { complete: (_token, _result, level) => levels.push(level) }, 0),
    availability: (_available, reason) => gone.push(reason),
  };
  chip.listen(listener);
  return { levels, gone };
}

describe.each(DIALECTS)('the sensor hub as a process, speaking %s', (dialect) => {
  it('drives, reads, and tells directions', async () => {
    const { chip, pins } = await start(dialect);
    expect([chip.label, chip.lineCount]).toEqual([`${dialect} on m4`, 16]);
    expect(await ask(chip, 'getValue', BUTTON)).toBe('0 1');
    expect(await ask(chip, 'setValue', LED, 1)).toBe('0 0');
    expect(await ask(chip, 'setDirection', LED, 1)).toBe('0 0');
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    expect(await ask(chip, 'getDirection', LED)).toBe('0 1');
    expect(await ask(chip, 'setValue', LED, 0)).toBe('0 0');
    expect(await pins.ask('get LED_STATUS')).toBe('0');
    expect(await ask(chip, 'setDirection', LED, 2)).toBe('0 0');
    expect(await ask(chip, 'getDirection', LED)).toBe('0 2');
    expect(await pins.ask('stats')).toMatch(/ dropped 0 malformed 0$/);
  });

  it.each(['latched', 'lost'])('hears the last level of many edges, masked edges %s', async (masked) => {
    const { chip, pins } = await start(dialect, [`--masked-edges=${masked}`]);
    const { levels } = follow(chip);
    expect(await ask(chip, 'setIrqType', BUTTON, 3)).toBe('0 0');
    for (let round = 0; round < 20; round++) {
      for (const level of [0, 1, 0, 1, round & 1]) await pins.ask(`set BUTTON ${level}`);
      await vi.waitFor(() => expect(levels.at(-1)).toBe(round & 1), 5000);
    }
    expect(await ask(chip, 'setIrqType', BUTTON, 0)).toBe('0 0');
    // A notification on its way may have had its level read after that: answered before this.
    await ask(chip, 'getValue', BUTTON);
    levels.length = 0;
    await pins.ask('set BUTTON 0');
    await pins.ask('set BUTTON 1');
    expect(await ask(chip, 'getValue', BUTTON)).toBe('0 1');
    expect(levels).toEqual([]);
    expect(chip.counters).toMatchObject({
      timeouts: 0,
      otherReplies: 0,
      unsolicitedReplies: 0,
      questions: 0,
    });
  });

  it('hears edges that its own outputs cause, one by one', async () => {
    const { chip } = await start(dialect);
    const { levels } = follow(chip);
    await ask(chip, 'setIrqType', LOOP_IN, 3);
    await ask(chip, 'setDirection', LOOP_OUT, 1);
    for (let round = 1; round <= 100; round++) {
      expect(await ask(chip, 'setValue', LOOP_OUT, round & 1)).toBe('0 0');
      await vi.waitFor(() => expect(levels).toHaveLength(round), { timeout: 5000, interval: 1 });
      expect(levels.at(-1)).toBe(round & 1);
    }
    expect(chip.counters).toMatchObject({ timeouts: 0, notifications: 100, unsubscribedNotifications: 0 });
  });

  it('mistakes no answer of a firmware that hung', async () => {
    const { chip, pins } = await start(dialect, [], { requestTimeoutMs: 300 });
    expect(await ask(chip, 'setDirection', LED, 1)).toBe('0 0');
    await pins.ask('hang');
    expect(await ask(chip, 'getValue', BUTTON)).toBe(`${RESULT_TIMEOUT} 0`);
    const waiting = Promise.all([
      ask(chip, 'getValue', BUTTON),
      ask(chip, 'getValue', LED),
      ask(chip, 'getDirection', LED),
    ]);
    await pins.ask('resume');
    expect(await waiting).toEqual(['0 1', '0 0', '0 1']);
    expect(chip.counters).toMatchObject({ timeouts: 1, lateReplies: 1, unsolicitedReplies: 0, badValues: 0 });
    expect(chip.available).toBe(true);
  });

  it('is lost when its firmware hangs for three timeouts, and can be opened again', async () => {
    const { bus, chip, pins } = await start(dialect, [], { requestTimeoutMs: 50 });
    const { gone } = follow(chip);
    await pins.ask('hang');
    while (chip.available) expect(await ask(chip, 'getValue', BUTTON)).toMatch(/^[23] 0$/);
    expect(gone).toEqual([expect.stringMatching(/does not answer/)]);
    const answering = new Promise<void>((resolve) => expect(chip.onAnswering(resolve)).toBe(true));
    await pins.ask('resume');
    await answering;
    chip.close();
    const again = await openRpmsgChip(bus, optionsOf(dialect));
    expect(await ask(again, 'getValue', BUTTON)).toBe('0 1');
    expect(await ask(again, 'getValue', LED)).toBe('0 0');
    again.close();
  });

  it('is lost with its firmware', async () => {
    const { chip, pins } = await start(dialect);
    const { gone } = follow(chip);
    await pins.ask('hang');
    const asked = ask(chip, 'getValue', BUTTON);
    pins.tell('crash');
    expect(await asked).toBe('3 0');
    expect(gone).toEqual([expect.stringMatching(/SIGABRT/)]);
    expect(await ask(chip, 'getValue', BUTTON)).toBe('3 0');
  });
});

describe('variants of firmware', () => {
  it('SRTM that cannot tell directions', async () => {
    const { chip } = await start('srtm', ['--get-direction=no']);
    expect(await ask(chip, 'getDirection', LED)).toBe('0 0');
    expect(await ask(chip, 'setDirection', LED, 1)).toBe('0 0');
    expect(await ask(chip, 'getDirection', LED)).toBe('0 1');
    expect(chip.counters).toMatchObject({ emulatedDirections: 3 });
  });

  it('rpmsg-io with the directions of the v12 driver', async () => {
    const { chip } = await start('rpmsg-io', ['--directions=1-2'], { directions: 'v12' });
    expect(await ask(chip, 'getDirection', LED)).toBe('0 0');
    expect(await ask(chip, 'setDirection', LED, 1)).toBe('0 0');
    expect(await ask(chip, 'getDirection', LED)).toBe('0 1');
  });

  it('says so when the layout is the other one', async () => {
    await expect(
      start('rpmsg-gpio-kind0', [], { dialect: 'rpmsg-gpio', requestTimeoutMs: 20 }),
    ).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_RPMSG',
        message: expect.stringMatching(
          /^rpmsg-gpio on m4: no answer .* "rpmsg-io-0"; does the firmware there speak rpmsg-gpio.*unknownTypes/,
        ),
      }),
    );
  });
});
