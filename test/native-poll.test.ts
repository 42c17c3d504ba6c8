import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as native from '../src/native.ts';
import { closeAfterTest, mappingsNamed, openDescriptors, scratchFolder } from './native/scratch.ts';
import type { Ending, WorkerTask } from './native/worker.ts';

const execute = promisify(execFile);

function eventfd(): number {
  return closeAfterTest(native.createEventfd());
}

/** Opens a poll that records its calls; closed with the test, before its descriptor is. */
function recordingPoll(fd: number, drain: boolean, events = native.POLL_READABLE) {
  const calls: [status: number, events: number][] = [];
  const poll = native.openPoll(fd, events, (status, came) => calls.push([status, came]), drain);
  onTestFinished(() => poll.close());
  return { calls, poll };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited 5 s for ${what}`);
    await turn();
  }
}

/** Turns of the loop in which everything that is ready is called. */
async function settle(): Promise<void> {
  for (let count = 0; count < 5; count++) await turn();
}

async function runFixture(name: string, ...nodeOptions: string[]): Promise<string> {
  const file = join(import.meta.dirname, 'native', name);
  const { stdout } = await execute(process.execPath, ['--import', 'tsx', ...nodeOptions, file], {
    timeout: 15_000,
  });
  return stdout.trim();
}

describe('openPoll', () => {
  it('drains a doorbell before it calls back', async () => {
    const fd = eventfd();
    const { calls } = recordingPoll(fd, true);
    native.signalDescriptor(fd);
    native.signalDescriptor(fd);
    await until(() => calls.length > 0, 'the call');
    await settle();
    expect(calls).toEqual([[0, native.POLL_READABLE]]);
    expect(native.drainDescriptor(fd)).toBe(0);
  });

  it('is level-triggered without drain', async () => {
    const fd = eventfd();
    const { calls, poll } = recordingPoll(fd, false);
    native.signalDescriptor(fd);
    await until(() => calls.length >= 3, 'three calls');
    poll.close();
    expect(native.drainDescriptor(fd)).toBe(8);
  });

  it('runs nextTicks and microtasks before the next callback', async () => {
    const order: string[] = [];
    for (const name of ['a', 'b']) {
      const fd = eventfd();
      const poll = native.openPoll(
        fd,
        native.POLL_READABLE,
        () => {
          order.push(`${name} call`);
          process.nextTick(() => order.push(`${name} tick`));
          void Promise.resolve().then(() => order.push(`${name} microtask`));
        },
        true,
      );
      onTestFinished(() => poll.close());
      native.signalDescriptor(fd);
    }
    await until(() => order.length === 6, 'both calls');
    const first = order[0]![0];
    const second = first === 'a' ? 'b' : 'a';
    expect(order).toEqual(
      [first, second].flatMap((name) => [`${name} call`, `${name} tick`, `${name} microtask`]),
    );
  });

  it('can be closed in its callback, in that of another poll, and twice', async () => {
    const [one, other] = [eventfd(), eventfd()];
    let calls = 0;
    const polls: native.PollHandle[] = [];
    const closeAll = (): void => {
      calls++;
      for (const poll of polls) poll.close();
    };
    for (const fd of [one, other]) polls.push(native.openPoll(fd, native.POLL_READABLE, closeAll, true));
    expect(polls.map((poll) => poll.closed)).toEqual([false, false]);
    native.signalDescriptor(one);
    native.signalDescriptor(other);
    await until(() => calls > 0, 'the call');
    await settle();
    expect(calls).toBe(1);
    expect(polls.map((poll) => poll.closed)).toEqual([true, true]);
    for (const poll of polls) poll.close();
  });

  it('watches a descriptor again after the poll was closed', async () => {
    const fd = eventfd();
    for (let round = 0; round < 3; round++) {
      const { calls, poll } = recordingPoll(fd, true);
      native.signalDescriptor(fd);
      await until(() => calls.length === 1, 'the call');
      poll.close();
    }
  });

  it('reports the end of a doorbell once, and stops', async () => {
    const path = join(scratchFolder(), 'socket');
    const listening = closeAfterTest(native.listenUnix(path));
    const connecting = native.connectUnix(path);
    const accepted = closeAfterTest(native.acceptUnix(listening));
    const { calls, poll } = recordingPoll(accepted, true);
    native.signalDescriptor(connecting);
    await until(() => calls.length === 1, 'the doorbell');
    closeSync(connecting);
    await until(() => calls.length === 2, 'the end');
    await settle();
    expect(calls).toEqual([
      [0, native.POLL_READABLE],
      [-32, 0],
    ]);
    expect(poll.closed).toBe(false);
  });

  it('reports writability and a peer that has stopped sending', async () => {
    const path = join(scratchFolder(), 'socket');
    const listening = closeAfterTest(native.listenUnix(path));
    const connecting = native.connectUnix(path);
    const accepted = closeAfterTest(native.acceptUnix(listening));
    const { calls, poll } = recordingPoll(accepted, false, native.POLL_WRITABLE | native.POLL_DISCONNECT);
    await until(() => calls.length > 0, 'writability');
    expect(calls[0]).toEqual([0, native.POLL_WRITABLE]);
    closeSync(connecting);
    await until(() => calls.some(([, events]) => (events & native.POLL_DISCONNECT) !== 0), 'the disconnect');
    poll.close();
  });

  it('refuses what cannot be watched, and says why', () => {
    const codeOf = (fd: number, events = native.POLL_READABLE): string => {
      try {
        native.openPoll(fd, events, () => {}).close();
      } catch (error) {
        expect(error).toBeInstanceOf(native.NativeError);
        expect((error as Error).message).toContain(`watch descriptor ${fd}`);
        return (error as native.NativeError).code;
      }
      return 'nothing was thrown';
    };
    const fd = eventfd();
    recordingPoll(fd, true);
    expect(codeOf(fd)).toBe('EEXIST');
    expect(codeOf(closeAfterTest(native.createMemfd('native-poll', 4096)))).toBe('EPERM');
    expect(codeOf(closeAfterTest(openSync(import.meta.filename, 'r')))).toBe('EPERM');
    expect(codeOf(-1)).toBe('EINVAL');
    expect(codeOf(1_000_000)).toBe('EBADF');
    expect(codeOf(eventfd(), 0)).toBe('EINVAL');
    expect(codeOf(eventfd(), 16)).toBe('EINVAL');
  });

  it('makes exceptions of the callback uncaught exceptions, and goes on', async () => {
    expect(JSON.parse(await runFixture('uncaught.ts'))).toEqual([
      'uncaught from the callback',
      'tick after the exception',
      'uncaught from a microtask',
    ]);
  });

  it('keeps the process alive unless it is unreferenced or closed', async () => {
    expect(await runFixture('alive.ts')).toBe('kept alive');
  });

  it('goes on when its object is collected, while a mapping goes with its buffer', async () => {
    expect(JSON.parse(await runFixture('collected.ts', '--expose-gc'))).toEqual({
      before: 8,
      after: 0,
      collected: 2,
      rung: 1,
    });
  });
});

/** Node takes no TypeScript as a worker's entry, so the worker has to set up tsx by itself. */
function typescriptWorker(file: string, workerData: unknown): Worker {
  const url = new URL(file, import.meta.url).href;
  const entry = `import('tsx/esm/api').then(({ register }) => {
    register();
    return import(${JSON.stringify(url)});
  });`;
  return new Worker(entry, { eval: true, workerData });
}

describe('a worker thread that ends', () => {
  const DOORBELLS = 3;

  async function runWorker(task: WorkerTask): Promise<number> {
    const worker = typescriptWorker('./native/worker.ts', task);
    let failure = '';
    worker.on('error', (error) => {
      failure = error.message;
    });
    // Not once(): that fails with the worker's error.
    const ended = new Promise<number>((resolve) => worker.once('exit', resolve));
    await Promise.race([new Promise((resolve) => worker.once('message', resolve)), ended]);
    if (task.ending === 'idle' || task.ending === 'spin') {
      expect(mappingsNamed('native-worker')).toBe(4);
      await worker.terminate();
    } else {
      for (const fd of task.doorbells) native.signalDescriptor(fd);
    }
    const code = await ended;
    expect(failure).toBe(task.ending === 'throw-in-callback' ? 'thrown in a poll callback' : '');
    return code;
  }

  /** Descriptors of this process, less those that come and go with Node's own threads. */
  const countDescriptors = (): number => openDescriptors().size;

  it.each<[Ending, number]>([
    ['idle', 1],
    ['spin', 1],
    ['exit', 0],
    ['exit-in-callback', 0],
    ['throw-in-callback', 1],
    ['unref', 0],
    ['close-then-exit', 0],
  ])('gives everything back: %s', async (ending, expectedCode) => {
    const memfd = closeAfterTest(native.createMemfd('native-worker', 4096));
    const doorbells = Array.from({ length: DOORBELLS }, eventfd);
    // The first worker makes Node open what it keeps for all later ones.
    expect(await runWorker({ memfd, doorbells, ending })).toBe(expectedCode);
    const before = countDescriptors();
    for (let round = 0; round < 4; round++) {
      expect(await runWorker({ memfd, doorbells, ending })).toBe(expectedCode);
      expect(mappingsNamed('native-worker')).toBe(0);
    }
    // Node 24 closes the two descriptors of a worker's loop a while after it says `exit`: the first worker's may have been
    // counted, and the last one's may still be open. One kept by each of the four is more than that.
    await until(() => countDescriptors() <= before, 'the descriptors of the workers to be closed');
    // The descriptors themselves are the owner's: open, and free to be watched by this thread.
    for (const fd of doorbells) {
      native.drainDescriptor(fd);
      const { calls, poll } = recordingPoll(fd, true);
      native.signalDescriptor(fd);
      await until(() => calls.length === 1, 'the call');
      poll.close();
    }
  });

  it('has its own count of received descriptors', async () => {
    const path = join(scratchFolder(), 'socket');
    const listening = closeAfterTest(native.listenUnix(path));
    const one = closeAfterTest(native.connectUnix(path));
    const other = closeAfterTest(native.acceptUnix(listening));
    native.sendMessage(one, Buffer.from('x'), [one, one]);
    const fds = new Int32Array(2);
    native.receiveMessage(other, new Uint8Array(1), fds);
    for (const fd of fds) closeAfterTest(fd);
    const worker = typescriptWorker('./native/worker-count.ts', undefined);
    const ended = once(worker, 'exit');
    expect(await once(worker, 'message')).toEqual([0]);
    await ended;
    expect(native.receivedDescriptorCount()).toBe(2);
  });
});
