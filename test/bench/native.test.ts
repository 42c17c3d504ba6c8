import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  buildPrograms,
  type FloorResult,
  type InterruptResult,
  type LoadResult,
  runProgram,
  startProgram,
} from '../../bench/programs.ts';

const PATIENCE = '--patience-seconds=1';

let folder: string;
let socketPath: string;
let close: () => Promise<void>;

/** The C device as a counterpart; the load generator waits for its socket. */
function device(...options: string[]): void {
  const child = startProgram('cdevice', [`--socket-path=${socketPath}`, '--lines=32', ...options], null);
  const closed = once(child, 'close');
  close = async () => {
    child.kill('SIGTERM');
    await closed;
  };
}

function load<T>(...options: string[]): Promise<T> {
  return runProgram<T>('loadgen', [`--socket-path=${socketPath}`, PATIENCE, ...options], null);
}

beforeAll(buildPrograms, 120_000);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-bench-test-'));
  socketPath = join(folder, 'device.sock');
  close = async () => undefined;
});

afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

describe('floor', () => {
  it.each(['free', 'same', 'apart'])('measures round trips (%s)', async (placement) => {
    const result = await runProgram<FloorResult>('floor', ['--rounds=500', `--placement=${placement}`], null);
    expect(result.medianNs).toBeGreaterThan(0);
    expect(result.p99Ns).toBeGreaterThanOrEqual(result.medianNs);
  });
});

describe('loadgen', () => {
  const loads = ['--mode=set', '--mode=get'].flatMap((mode) =>
    ['--outstanding=1', '--outstanding=32'].flatMap((outstanding) =>
      [[], ['--no-event-idx']].map((features) => [mode, outstanding, ...features]),
    ),
  );

  it.each(loads)('gets every answer right from a right device: %s %s %s', async (...options) => {
    device();
    // More requests than an index counts, so that both rings wrap, where that takes no time.
    const requests = options.includes('--outstanding=32') ? 70_000 : 500;
    const result = await load<LoadResult>(
      `--requests=${requests}`,
      '--warmup=10',
      ...options.filter((o) => o !== undefined),
    );
    expect(result).toMatchObject({ errors: 0, requests });
    expect(result.p99Ns).toBeGreaterThanOrEqual(result.medianNs);
    // None at all is right too: the device may find each request while it is still awake from the one before.
    expect(result.kicks).toBeLessThanOrEqual(requests + 1);
  });

  it.each([1, 16])('counts one event for each toggle, on %i pairs', async (pairs) => {
    device();
    const result = await load<InterruptResult>('--mode=interrupt', '--requests=1000', `--pairs=${pairs}`);
    expect(result).toMatchObject({ errors: 0, events: 1000, lost: 0, invented: 0 });
  });

  it('counts wrong answers', async () => {
    // 48 requests prepare 32 lines (their values are not looked at); then answers 100, 200, ... 500 of 548 are wrong.
    device('--wrong-every=100');
    const result = await load<LoadResult>('--mode=get', '--requests=500', '--warmup=0');
    expect(result.errors).toBe(5);
  });

  it('gives up when an event never comes', async () => {
    device('--lose-every=50');
    await expect(load('--mode=interrupt', '--requests=1000')).rejects.toThrow(
      'no call comes (49 events so far)',
    );
  });

  it('sits still when idle', async () => {
    device();
    const result = await load('--mode=idle', '--seconds=1', '--pairs=16');
    expect(result).toMatchObject({ buffersQueued: 16, calls: 0 });
  });

  it('names a wrong option and exits with 2', async () => {
    await expect(load('--outstanding=0')).rejects.toThrow(
      /ended with 2: .*--outstanding=0: must be 1 to 16384/,
    );
    await expect(load('--mood=set')).rejects.toThrow(/ended with 2: .*unknown option/);
  });
});

describe('bench', () => {
  it.each([
    ['--placement=nowhere', '--placement=nowhere: must be apart or free'],
    ['--only=demo', '--only=demo: must be of guest, '],
    ['--rounds=0', '--rounds=0: must be 1 or more'],
  ])('refuses %s with exit status 2', async (option, message) => {
    const run = spawn('npx', ['tsx', 'bench/run.ts', option], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    run.stderr.on('data', (text) => (stderr += text));
    const [code] = await once(run, 'close');
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
