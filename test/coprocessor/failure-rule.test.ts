import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Coprocessor } from '../../src/coprocessor/coprocessor.ts';
import { VirtioGpioChip, WANTED_FEATURES } from '../../src/coprocessor/dialects/virtio-gpio.ts';
import { CoprocessorSupervisor } from '../../src/coprocessor/supervisor.ts';
import { DIRECTION_OUT, RESULT_OK, RESULT_UNAVAILABLE } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { decodeResourceTable, VDEV_OFFSET } from '../../src/wire/resource-table.ts';
import { TestConsumer } from '../gpio/consumer.ts';
import { scratchFolder, zeroFile } from './scratch-folder.ts';

const HUB = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;
const SIZE = 0x10000;
/** Of the requestq's used ring, as examples/sensor-hub/host places it: behind 64 descriptors and the available ring, aligned to 64. */
const USED_INDEX_OFFSET = 0x1000 + 0x400 + 0xc0 + 2;
const LED = 8;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

/** The sensor hub in a file that this test can write to as well, behind a supervisor, with a line that somebody drives high. */
async function hub() {
  const memory = zeroFile(join(scratchFolder(), 'ram'), SIZE);
  const log: string[] = [];
  const pids: number[] = [];
  const poller = new Poller();
  const supervisor = new CoprocessorSupervisor<Coprocessor>({
    name: 'hub',
    create: () =>
      new Coprocessor({
        name: 'hub',
        memory: [{ type: 'file', path: memory, deviceAddress: BASE }],
        resourceTable: { deviceAddress: BASE },
        doorbell: { type: 'eventfd' },
        exec: { command: [HUB, `--pins=${join(scratchFolder(), 'pins')}`] },
        isSupervised: true,
        onLog: (level, message) => {
          const pid = /runs as process (\d+)$/.exec(message)?.[1];
          if (pid !== undefined) pids.push(Number(pid));
          if (level !== 'debug') log.push(`${level} ${message}`);
        },
      }),
    hasProcess: true,
    restart: 'on-failure',
    onLog: (level, message) => log.push(`${level} ${message}`),
  });
  closers.push(() => supervisor.close());
  await supervisor.start();
  const chip = await supervisor.open('hub', async (running, isReturn) => {
    await running.resetVdev(0);
    const vdev = running.bindVdev(0, 41, WANTED_FEATURES);
    return VirtioGpioChip.open(vdev, { name: 'hub', where: 'hub', poller, requestTimeoutMs: 200, isReturn });
  });
  const lines = new ChipLines(chip);
  const owner = new TestConsumer(lines, LED).setValue(1).setDirection(DIRECTION_OUT);
  chip.flush();
  await vi.waitFor(() => expect(owner.outcomes.list).toHaveLength(2));
  const writeMemory = (offset: number, bytes: readonly number[]): void => {
    const content = readFileSync(memory);
    content.set(bytes, offset);
    writeFileSync(memory, content, { flag: 'r+' });
  };
  /** Reads the line; resolves with the outcome. */
  const read = async (): Promise<[result: number, value: number]> => {
    owner.outcomes.list.length = 0;
    owner.getValue();
    chip.flush();
    await vi.waitFor(() => expect(owner.outcomes.list).toHaveLength(1));
    return owner.outcomes.take() as [number, number];
  };
  const back = async (): Promise<void> => {
    await vi.waitFor(() => expect(supervisor.state).toBe('running'), 5000);
    expect(await read()).toEqual([RESULT_OK, 1]);
  };
  return { memory, log, pids, supervisor, chip, read, back, writeMemory };
}

function vdevOffset(memory: string): number {
  const vdev = decodeResourceTable(readFileSync(memory)).entries.find(({ kind }) => kind === 'vdev');
  if (vdev === undefined) throw new Error('no vdev');
  return vdev.offset;
}

describe('firmware that', () => {
  it('resets its device and says nothing is found out by the next request', async () => {
    const { memory, log, pids, chip, read, back, writeMemory, supervisor } = await hub();
    writeMemory(vdevOffset(memory) + VDEV_OFFSET.STATUS, [0]);
    expect(chip.available).toBe(true);
    expect(await read()).toEqual([RESULT_UNAVAILABLE, 0]);
    await vi.waitFor(() => expect(supervisor.restarts).toBe(1), 5000);
    await back();
    expect(pids).toHaveLength(1);
    expect(log).toEqual([
      'error hub: chip hub is gone: vdev 0 was reset by the co-processor: its status is 0x0',
      expect.stringMatching(/^info hub: is back after \d+ ms \(1\. return\)$/),
    ]);
  });

  it('writes its resource table anew is found out by its next call', async () => {
    const { memory, log, back, writeMemory, read, supervisor } = await hub();
    const offset = vdevOffset(memory) + VDEV_OFFSET.GFEATURES;
    writeMemory(offset, [0, 0, 0, 0]);
    await read();
    await vi.waitFor(() => expect(supervisor.restarts).toBe(1), 5000);
    await back();
    expect(log[0]).toMatch(
      new RegExp(
        `is gone: vdev 0 was reset by the co-processor: its resource table changed at offset ${offset}: 0x0, was 0x`,
      ),
    );
    expect(log).toHaveLength(2);
  });

  it('writes nonsense into a ring has its device reset', async () => {
    const { log, pids, read, back, writeMemory, supervisor } = await hub();
    // Stopped, so that it does not mend that with its next answer.
    process.kill(pids[0] as number, 'SIGSTOP');
    writeMemory(USED_INDEX_OFFSET, [0x77, 0x77]);
    expect((await read())[0]).toBe(RESULT_UNAVAILABLE);
    process.kill(pids[0] as number, 'SIGCONT');
    await vi.waitFor(() => expect(supervisor.restarts).toBe(1), 5000);
    await back();
    expect([pids.length, log.length]).toEqual([1, 2]);
    expect(log[0]).toMatch(/^error hub: chip hub is gone: .*used index \d+ is \d+ ahead of \d+/);
  });

  it('loses its memory is started again once that is there', async () => {
    const { memory, log, pids, read, back, chip, supervisor } = await hub();
    truncateSync(memory, 0);
    expect((await read())[0]).toBe(RESULT_UNAVAILABLE);
    await vi.waitFor(
      () => expect(log.some((line) => /not back yet: .*has 0 bytes/.test(line))).toBe(true),
      5000,
    );
    expect([chip.available, supervisor.state]).toEqual([false, 'restarting']);
    truncateSync(memory, SIZE);
    await vi.waitFor(() => expect(supervisor.restarts).toBe(1), 10_000);
    await back();
    expect(pids).toHaveLength(2);
    expect(log[0]).toMatch(/^error hub: the memory at .* was truncated .*; starting it again in 100 ms$/);
  });

  it('hangs, is answered for in time, and taken up where it goes on', async () => {
    const { log, pids, read, back, chip, supervisor } = await hub();
    process.kill(pids[0] as number, 'SIGSTOP');
    const results: number[] = [];
    while (chip.available) {
      const startedAtMs = performance.now();
      results.push((await read())[0]);
      expect(performance.now() - startedAtMs).toBeLessThan(500);
    }
    expect(results.slice(0, 3)).toEqual([2, 2, 2]);
    process.kill(pids[0] as number, 'SIGCONT');
    await vi.waitFor(() => expect(supervisor.restarts).toBe(1), 5000);
    await back();
    expect(pids).toHaveLength(1);
    expect(log[0]).toMatch(
      /is gone: vdev 0 does not answer: the last \d+ requests got no answer within 200 ms/,
    );
  });
});
