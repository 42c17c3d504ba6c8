import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  type ExecOptions,
  FirmwareProcess,
  type InheritedDescriptors,
} from '../../src/coprocessor/firmware-process.ts';
import { MAX_LINE_LENGTH } from '../../src/coprocessor/line-splitter.ts';
import { openMemory } from '../../src/coprocessor/memory-region.ts';
import { createDoorbell } from '../../src/coprocessor/open-doorbell.ts';
import { drainDescriptor } from '../../src/native.ts';
import { scratchFolder, textFile } from './scratch-folder.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function started(exec: ExecOptions, inherited?: InheritedDescriptors) {
  const lines: string[] = [];
  const firmware = await FirmwareProcess.start(exec, inherited, (level, message) => {
    if (level !== 'debug') lines.push(`${level} ${message}`);
  });
  closers.push(() => firmware.close());
  return { firmware, lines };
}

/** A program in JavaScript. */
function script(text: string): ExecOptions {
  const path = join(scratchFolder(), 'firmware.mjs');
  textFile(path, text);
  return { command: [process.execPath, path] };
}

describe('FirmwareProcess', () => {
  it('inherits memory and eventfds, which its arguments announce', async () => {
    const region = openMemory({ type: 'memfd', deviceAddress: 0x2000_0000, sizeBytes: 4096 });
    const bell = createDoorbell({ type: 'eventfd' }, 0);
    closers.push(
      () => region.close(),
      () => bell.close(),
    );
    const exec = script(`
      import { writeSync } from 'node:fs';
      const fd = (name) => Number(process.argv.find((a) => a.startsWith('--' + name + '-fd=')).split('=')[1]);
      writeSync(fd('memory'), process.argv.slice(2).join(' '), 0);
      writeSync(fd('call'), new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
      setInterval(() => {}, 1000);`);
    await started(
      { ...exec, command: [...exec.command, 'own'] },
      { memory: region, doorbellFds: bell.inheritedFds },
    );
    await vi.waitFor(() => expect(drainDescriptor(bell.inheritedFds[1] as number)).toBe(8), 10_000);
    const bytes = Buffer.from(region.buffer);
    expect(bytes.toString('latin1', 0, bytes.indexOf(0))).toBe(
      'own --memory-fd=3 --kick-fd=4 --call-fd=5 --device-address=0x20000000',
    );
  });

  it('logs lines, and tells how it ended with the last of them', async () => {
    const { firmware, lines } = await started({
      command: ['sh', '-c', 'echo one; printf "two\\r\\nthree"; echo "four $X" >&2; exit 3'],
      env: { X: 'y' },
    });
    const reasons: string[] = [];
    firmware.onExit((reason) => reasons.push(reason));
    await vi.waitFor(() => expect(reasons).toHaveLength(1), 10_000);
    expect(reasons[0]).toMatch(/^firmware sh exited with code 3; its last line: (three|four y)$/);
    expect([...lines].sort()).toEqual(['info one', 'info three', 'info two', 'warn four y']);
    const late: string[] = [];
    firmware.onExit((reason) => late.push(reason));
    expect(late).toEqual(reasons);
  });

  it('cuts lines that do not end', async () => {
    const { firmware, lines } = await started({
      command: ['sh', '-c', `head -c ${MAX_LINE_LENGTH + 10} /dev/zero | tr '\\0' x`],
    });
    await new Promise<void>((resolve) => firmware.onExit(() => resolve()));
    await vi.waitFor(() => expect(lines.map((line) => line.length - 5)).toEqual([MAX_LINE_LENGTH, 10]));
  });

  it('tells the signal that ended it', async () => {
    const { firmware } = await started({ command: ['sh', '-c', 'kill -ABRT $$'] });
    const reason = await new Promise((resolve) => firmware.onExit(resolve));
    expect(reason).toBe('firmware sh was ended by SIGABRT (6)');
  });

  it('ends with SIGTERM on close, silently, and twice is once', async () => {
    const { firmware } = await started({ command: ['sleep', '1000'] });
    const reasons: string[] = [];
    firmware.onExit((reason) => reasons.push(reason));
    const pid = firmware.pid as number;
    await Promise.all([firmware.close(), firmware.close()]);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(reasons).toEqual([]);
  });

  it('ends with SIGKILL when SIGTERM is ignored', async () => {
    const { firmware, lines } = await started({
      command: ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'],
    });
    await vi.waitFor(() => expect(lines).toEqual(['info ready']), 10_000);
    const pid = firmware.pid as number;
    await firmware.close();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('runs in its working directory', async () => {
    const cwd = scratchFolder();
    const { lines } = await started({ command: ['pwd'], cwd });
    await vi.waitFor(() => expect(lines).toEqual([`info ${cwd}`]), 10_000);
  });

  it('says clearly what cannot be started', async () => {
    const folder = scratchFolder();
    const plain = join(folder, 'plain');
    textFile(plain, 'not a program\n');
    const start = (exec: ExecOptions) => expect(started(exec)).rejects;
    const error = (message: string) => ({ code: 'ERR_EXEC', message });
    await start({ command: [`${folder}/none`] }).toMatchObject(
      error(`firmware ${folder}/none does not exist (or its interpreter does not)`),
    );
    await start({ command: ['no-such-firmware'] }).toMatchObject(
      error('firmware no-such-firmware was not found in the PATH'),
    );
    await start({ command: [plain] }).toMatchObject(
      error(`firmware ${plain} is not executable (EACCES): chmod +x it, or check the folders above it`),
    );
    await start({ command: ['true'], cwd: plain }).toMatchObject(
      error(`exec: the working directory ${plain} is not a directory`),
    );
    await start({ command: [] }).toMatchObject(
      error('exec: the command is empty, expected a program and its arguments'),
    );
    chmodSync(plain, 0o755);
    textFile(plain, '#!/no/such/interpreter\n');
    await start({ command: [plain] }).toMatchObject(
      error(`firmware ${plain} does not exist (or its interpreter does not)`),
    );
  });
});
