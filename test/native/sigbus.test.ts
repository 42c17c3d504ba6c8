import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import * as native from '../../src/native.ts';
import { closeAfterTest, mappingsNamed, openDescriptors } from './scratch.ts';
import type { TruncatedWorkerResult, TruncatedWorkerTask } from './truncated-worker.ts';

const PAGE = 4096;
const PAGES = 4;

/** A mapping of a file that can be truncated, unmapped after the test. */
function mapped(name: string, readOnly = false): { fd: number; buffer: ArrayBuffer } {
  const fd = closeAfterTest(native.createMemfd(name, PAGES * PAGE));
  const buffer = native.mapDescriptor(fd, 0, PAGES * PAGE, readOnly);
  onTestFinished(() => native.unmap(buffer));
  return { fd, buffer };
}

/** Counts what a listener of dead mappings is told; removed after the test. */
function listening(): { told: number; stop: () => void } {
  const seen = { told: 0, stop: (): void => {} };
  seen.stop = native.onDeadMapping(() => seen.told++);
  onTestFinished(() => seen.stop());
  return seen;
}

/** Waits until the loop has polled twice: what was rung before has been told. */
async function turns(): Promise<void> {
  for (let count = 0; count < 2; count++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a mapping whose file is truncated', () => {
  it('reads as zeroes where the file has gone, and as before where it has not', () => {
    const { fd, buffer } = mapped('truncated-read');
    const bytes = new Uint8Array(buffer).fill(7);
    ftruncateSync(fd, PAGE);
    expect(native.isDead(buffer)).toBe(false);
    expect([bytes[PAGE - 1], bytes[PAGE], bytes[PAGES * PAGE - 1]]).toEqual([7, 0, 0]);
    expect(native.isDead(buffer)).toBe(true);
  });

  it('takes what is written, for nobody else to see, also when the file grows again', () => {
    const { fd, buffer } = mapped('truncated-write');
    const words = new Int32Array(buffer);
    ftruncateSync(fd, PAGE);
    words[PAGE / 4] = 5;
    expect(native.isDead(buffer)).toBe(true);
    Atomics.store(words, PAGE / 4 + 1, 6);
    words[0] = 9;
    ftruncateSync(fd, PAGES * PAGE);
    const again = native.mapDescriptor(fd, 0, PAGES * PAGE);
    expect([...new Int32Array(again, PAGE, 2)]).toEqual([0, 0]);
    expect([...words.subarray(PAGE / 4, PAGE / 4 + 2)]).toEqual([5, 6]);
    expect(new Int32Array(again)[0]).toBe(9);
    native.unmap(again);
  });

  it('dies of each way to touch it', () => {
    const touches: ((bytes: Uint8Array, words: Int32Array) => unknown)[] = [
      (bytes) => bytes.slice(),
      (bytes) => bytes.fill(1),
      (bytes) => bytes.set([1, 2, 3], 2 * PAGE),
      (bytes) => Buffer.from(bytes.buffer as ArrayBuffer).toString('latin1'),
      (bytes) => new DataView(bytes.buffer).getBigUint64(3 * PAGE),
      (_, words) => Atomics.load(words, PAGE / 2),
      (_, words) => Atomics.compareExchange(words, PAGE / 2, 0, 1),
    ];
    for (const touch of touches) {
      const { fd, buffer } = mapped('truncated-touch');
      ftruncateSync(fd, PAGE);
      touch(new Uint8Array(buffer), new Int32Array(buffer));
      expect(native.isDead(buffer), String(touch)).toBe(true);
    }
  });

  it('stays read-only', () => {
    const { fd, buffer } = mapped('truncated-read-only', true);
    ftruncateSync(fd, 0);
    const before = readFileSync('/proc/self/maps', 'utf8').split('\n');
    const shared = before.find((line) => line.includes('truncated-read-only'));
    expect(shared).toMatch(/ r--s /);
    expect(new Uint8Array(buffer)[0]).toBe(0);
    const start = shared!.split('-')[0]!;
    const after = readFileSync('/proc/self/maps', 'utf8').split('\n');
    expect(after.find((line) => line.startsWith(`${start}-`))).toMatch(/ r--p /);
  });

  it('leaves another one alone, also of the same file', () => {
    const first = mapped('truncated-first');
    const second = mapped('truncated-second');
    const front = native.mapDescriptor(first.fd, 0, PAGE);
    onTestFinished(() => native.unmap(front));
    new Uint8Array(second.buffer).fill(2);
    ftruncateSync(first.fd, PAGE);
    expect(new Uint8Array(first.buffer)[3 * PAGE]).toBe(0);
    expect([first.buffer, second.buffer, front].map(native.isDead)).toEqual([true, false, false]);
    new Uint8Array(front)[0] = 3;
    expect(new Uint8Array(first.buffer)[0]).toBe(3);
    expect(new Uint8Array(second.buffer).every((byte) => byte === 2)).toBe(true);
  });

  it('is unmapped as any other, and what is mapped next is alive', () => {
    const { fd, buffer } = mapped('truncated-unmap');
    ftruncateSync(fd, 2 * PAGE);
    new Uint8Array(buffer)[2 * PAGE] = 1;
    expect(mappingsNamed('truncated-unmap')).toBe(1);
    native.unmap(buffer);
    expect(mappingsNamed('truncated-unmap')).toBe(0);
    expect([buffer.byteLength, native.isDead(buffer)]).toEqual([0, false]);
    native.unmap(buffer);
    for (let round = 0; round < 100; round++) {
      ftruncateSync(fd, PAGES * PAGE);
      const next = native.mapDescriptor(fd, 0, PAGES * PAGE);
      expect(native.isDead(next)).toBe(false);
      ftruncateSync(fd, 0);
      expect([new Uint8Array(next)[0], native.isDead(next)]).toEqual([0, true]);
      native.unmap(next);
    }
  });

  it('is not what is no mapping', () => {
    expect(native.isDead(new ArrayBuffer(8))).toBe(false);
    expect(native.isDead(new ArrayBuffer(0))).toBe(false);
    // @ts-expect-error a view is not a buffer
    expect(native.isDead(new Uint8Array(8))).toBe(false);
  });
});

describe('listeners of dead mappings', () => {
  it('are told once a mapping, on a later turn', async () => {
    const [first, second] = [mapped('told-first'), mapped('told-second')];
    const seen = [listening(), listening()];
    ftruncateSync(first.fd, 0);
    await turns();
    expect(seen.map(({ told }) => told)).toEqual([0, 0]);
    const bytes = new Uint8Array(first.buffer);
    for (let page = PAGES - 1; page >= 0; page--) bytes[page * PAGE] = 1;
    expect(seen.map(({ told }) => told)).toEqual([0, 0]);
    await turns();
    expect(seen.map(({ told }) => told)).toEqual([1, 1]);
    ftruncateSync(second.fd, 0);
    new Uint8Array(second.buffer)[0] = 1;
    await turns();
    expect(seen.map(({ told }) => told)).toEqual([2, 2]);
  });

  it('are told no more when they stop, also by each other, and the last one leaves nothing open', async () => {
    const before = openDescriptors().size;
    const first = listening();
    const second = listening();
    const both = native.onDeadMapping(() => {
      both();
      second.stop();
    });
    const third = listening();
    // `second` was before it in line.
    for (const [dead, told] of [
      [1, [1, 1, 1]],
      [2, [2, 1, 2]],
    ] as const) {
      const { fd, buffer } = mapped('told-stop');
      ftruncateSync(fd, 0);
      new Uint8Array(buffer)[0] = 1;
      await turns();
      expect([first.told, second.told, third.told], `mapping ${dead}`).toEqual(told);
    }
    for (const { stop } of [first, second, third, first]) stop();
    both();
    const after = [...openDescriptors().values()].filter((link) => !link.includes('told-stop'));
    expect(after).toHaveLength(before);
  });

  it('that came later are not told of what was before', async () => {
    const { fd, buffer } = mapped('told-late');
    const early = listening();
    ftruncateSync(fd, 0);
    new Uint8Array(buffer)[0] = 1;
    early.stop();
    const late = listening();
    await turns();
    expect([early.told, late.told, native.isDead(buffer)]).toEqual([0, 0, true]);
  });

  it('do not keep the process alive', async () => {
    const script = `import { onDeadMapping } from ${JSON.stringify(new URL('../../src/native.ts', import.meta.url).href)};
      onDeadMapping(() => {}); console.log('listening');`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { timeout: 15_000 },
    );
    expect(stdout).toBe('listening\n');
  });
});

describe('a worker thread', () => {
  /** Node takes no TypeScript as a worker's entry, so the worker has to set up tsx by itself. */
  function startWorker(workerData: TruncatedWorkerTask): Worker {
    const url = new URL('./truncated-worker.ts', import.meta.url).href;
    const entry = `import('tsx/esm/api').then(({ register }) => {
      register();
      return import(${JSON.stringify(url)});
    });`;
    const worker = new Worker(entry, { eval: true, workerData });
    onTestFinished(async () => {
      await worker.terminate();
    });
    return worker;
  }

  it('survives and is told of its own mappings only', async () => {
    const memfd = closeAfterTest(native.createMemfd('truncated-worker', PAGES * PAGE));
    const here = listening();
    const own = native.mapDescriptor(memfd, 0, PAGES * PAGE);
    onTestFinished(() => native.unmap(own));
    const worker = startWorker({ memfd, sizeBytes: PAGES * PAGE });
    expect(await once(worker, 'message')).toEqual(['mapped']);
    ftruncateSync(memfd, 0);
    const answer = once(worker, 'message');
    worker.postMessage('touch it');
    expect(await answer).toEqual([
      { word: 0, isDead: true, isOtherDead: false } satisfies TruncatedWorkerResult,
    ]);
    expect([here.told, native.isDead(own)]).toEqual([0, false]);
    expect(new Uint8Array(own)[0]).toBe(0);
    await vi.waitFor(() => expect(here.told).toBe(1));
  });

  it('that ends while it listens takes its descriptor with it', async () => {
    const round = async (): Promise<void> => {
      const memfd = native.createMemfd('truncated-ending', PAGES * PAGE);
      const worker = startWorker({ memfd, sizeBytes: PAGES * PAGE });
      await once(worker, 'message');
      await worker.terminate();
      closeSync(memfd);
    };
    const eventfds = (): number =>
      [...openDescriptors().values()].filter((link) => link.includes('eventfd')).length;
    // The first worker makes Node open what it keeps for all later ones.
    await round();
    const before = eventfds();
    for (let count = 0; count < 3; count++) await round();
    expect(eventfds()).toBe(before);
    expect(mappingsNamed('truncated-ending')).toBe(0);
  });
});

describe('a SIGBUS that is nobody’s mapping', () => {
  it('still ends the process', async () => {
    const file = fileURLToPath(new URL('./raw-sigbus.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      // Under the address sanitizer the handler before ours is the sanitizer's; here it is to be the default.
      env: { ...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:handle_sigbus=0` },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    const [code, signal] = await once(child, 'close');
    expect({ output, code, signal }).toEqual({ output: '0 true\n', code: null, signal: 'SIGBUS' });
  });
});

describe('the handler by itself', () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-sigbus-'));
    program = join(folder, 'sigbus-test');
    const here = fileURLToPath(new URL('.', import.meta.url));
    await promisify(execFile)(process.env.CC ?? 'gcc', [
      ...['-std=c11', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', program],
      ...[join(here, 'sigbus_test.c'), join(here, '../../native/sigbus.c')],
    ]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['previous handler with siginfo', null],
    ['previous plain handler', null],
    ['foreign fault', 'SIGBUS'],
    ['foreign fault, ignored before', 'SIGBUS'],
    ['sent signal', 'SIGBUS'],
    ['sent signal, ignored before', null],
    ['neighbour', 'SIGBUS'],
    ['released', 'SIGBUS'],
    ['doorbell', null],
    ['short of memory', null],
    ['huge pages', null],
    ['threads', null],
    ['together', null],
  ])('does what it should: %s', async (name, expected) => {
    const child = spawn(program, [name], { stdio: ['ignore', 'ignore', 'pipe'], env: {} });
    let errors = '';
    child.stderr.on('data', (text) => {
      errors += text;
    });
    const [code, signal] = await once(child, 'close');
    expect({ errors, code, signal }).toEqual({
      errors: '',
      code: expected === null ? 0 : null,
      signal: expected,
    });
  });
});
