import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Coprocessor, type CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import type { BoundVdev } from '../../src/coprocessor/vdev.ts';
import { decodeConfig, MSG_GET_LINE_NAMES, STATUS_OK } from '../../src/wire/virtio-gpio.ts';
import { scratchFolder } from './scratch-folder.ts';

const HUB = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

function hub(args: readonly string[] = [], changes: Partial<CoprocessorOptions> = {}) {
  const log: string[] = [];
  const coprocessor = new Coprocessor({
    name: 'hub',
    memory: [{ type: 'memfd', sizeBytes: 0x10000, deviceAddress: BASE }],
    resourceTable: { deviceAddress: BASE },
    doorbell: { type: 'eventfd' },
    exec: { command: [HUB, `--pins=${join(scratchFolder(), 'pins')}`, ...args] },
    onLog: (level, message) => log.push(`${level} ${message}`),
    ...changes,
  });
  closers.push(() => coprocessor.close());
  return { coprocessor, log };
}

/** Asks for the names of the lines: the smallest conversation that uses everything. */
async function lineNames(vdev: BoundVdev): Promise<string> {
  const { namesSize } = decodeConfig(vdev.readConfig());
  const address = vdev.buffers.allocate(8 + 1 + namesSize, 16, 'request');
  const window = vdev.memory.require('request', address, 8 + 1 + namesSize, 16);
  const at = vdev.memory.offset;
  for (let i = 0; i < 8; i++) window.u8[at + i] = i === 0 ? MSG_GET_LINE_NAMES : 0;
  const queue = vdev.queues[0];
  if (queue === undefined) throw new Error('no queue');
  const returned = new Promise<number>((resolve) => {
    vdev.onCall(() => {
      if (queue.popUsed() >= 0) resolve(queue.usedBytes);
    });
  });
  queue.add(address, 8, address + 8, 1 + namesSize);
  if (queue.publish()) vdev.kick(0);
  expect(await returned).toBe(1 + namesSize);
  expect(window.u8[at + 8]).toBe(STATUS_OK);
  return Buffer.from(window.u8.subarray(at + 9, at + 9 + namesSize)).toString('latin1');
}

describe('the sensor hub as a process', () => {
  it.each(['fixed', 'any'])('is bound with --vrings=%s, answers, and can be bound again', async (vrings) => {
    const { coprocessor, log } = hub([`--vrings=${vrings}`]);
    await coprocessor.start();
    for (const round of [1, 2, 3]) {
      const vdev = coprocessor.bindVdev(0, 41, 0x2001_0001);
      expect(vdev.features & 1, `round ${round}`).toBe(1);
      vdev.driverOk();
      const names = await lineNames(vdev);
      expect(names.startsWith('IMU_INT\0BARO_DRDY\0')).toBe(true);
      expect(decodeConfig(vdev.readConfig()).lineCount).toBe(16);
      await coprocessor.resetVdev(0);
    }
    expect(log.filter((line) => !line.startsWith('debug'))).toEqual([]);
  });

  it('tells everybody when it crashes', async () => {
    const { coprocessor, log } = hub();
    await coprocessor.start();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const told: string[] = [];
    vdev.onLost((reason) => told.push(`vdev ${reason}`));
    coprocessor.onExit((reason) => told.push(`owner ${reason}`));
    vdev.driverOk();
    process.kill(childOf(log), 'SIGABRT');
    await vi.waitFor(() => expect(told).toHaveLength(2), 10_000);
    expect(told).toEqual([
      `vdev firmware ${HUB} was ended by SIGABRT (6)`,
      `owner firmware ${HUB} was ended by SIGABRT (6)`,
    ]);
  });

  it('ends with its co-processor, and leaves nothing open', async () => {
    const before = descriptors();
    const { coprocessor, log } = hub();
    await coprocessor.start();
    coprocessor.bindVdev(0, 41, 1).driverOk();
    const pid = childOf(log);
    await coprocessor.close();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(descriptors()).toEqual(before);
  });

  it('is refused with its own words when it does not come up', async () => {
    const before = descriptors();
    const { coprocessor } = hub(['--bad-option']);
    await expect(coprocessor.start()).rejects.toMatchObject({
      code: 'ERR_EXEC',
      message: expect.stringMatching(
        /sensor-hub exited with code \d+; its last line: sensor-hub: .*--bad-option/,
      ),
    });
    expect(descriptors()).toEqual(before);
  });

  it('is not waited for when the memory says another version', async () => {
    const script = `
      const fd = Number(process.argv.find((a) => a.startsWith('--memory-fd=')).split('=')[1]);
      require('node:fs').writeSync(fd, new Uint8Array([9]), 0, 1, 0);
      require('node:fs').writeSync(5, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
      setInterval(() => {}, 1000);`;
    const { coprocessor } = hub([], {
      exec: { command: [process.execPath, '-e', script, '--'] },
      startTimeoutMs: 60_000,
    });
    await expect(coprocessor.start()).rejects.toMatchObject({
      code: 'ERR_RESOURCE_TABLE',
      message: 'resource table at device address 0x20000000: version is 9, expected 1',
    });
  });

  it('can be closed while it starts', async () => {
    const before = descriptors();
    const { coprocessor } = hub([], { exec: { command: ['sleep', '1000'] }, startTimeoutMs: 60_000 });
    const refused = expect(coprocessor.start()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await coprocessor.close();
    await refused;
    expect(descriptors()).toEqual(before);
  });

  it('is told that it fails when it cannot be found', async () => {
    const { coprocessor } = hub([], { exec: { command: ['/none/sensor-hub'] } });
    await expect(coprocessor.start()).rejects.toMatchObject({
      code: 'ERR_EXEC',
      message: 'firmware /none/sensor-hub does not exist (or its interpreter does not)',
    });
  });
});

describe('the memory of the sensor hub', () => {
  it('is as its table says', async () => {
    const { coprocessor } = hub(['--vrings=fixed', '--plain']);
    await coprocessor.start();
    const vdev = coprocessor.bindVdev(0, 41, 0xffff_ffff);
    expect(vdev.features & (1 << 16)).toBe(0);
    expect(vdev.buffers).toMatchObject({ deviceAddress: BASE + 0x4000, sizeBytes: 0xc000 });
  });
});

function childOf(log: readonly string[]): number {
  const pid = log.join('\n').match(/runs as process (\d+)/)?.[1];
  return Number(pid);
}

/** What this process has open, but for what comes and goes by itself. */
function descriptors(): string[] {
  const open: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      if (!target.startsWith('/proc/')) open.push(`${fd} ${target}`);
    } catch {
      // The folder that was just read.
    }
  }
  return open.sort();
}
