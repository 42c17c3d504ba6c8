/**
 * Runs in a worker thread: maps, watches and then ends in the way asked for, without closing anything.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as native from '../../src/native.ts';

/** How the worker ends. `idle` waits to be terminated, `spin` too, but never returns to its loop. */
export type Ending =
  | 'idle'
  | 'spin'
  | 'exit'
  | 'exit-in-callback'
  | 'throw-in-callback'
  | 'unref'
  | 'close-then-exit';

export interface WorkerTask {
  readonly memfd: number;
  readonly doorbells: readonly number[];
  readonly ending: Ending;
}

const { memfd, doorbells, ending } = workerData as WorkerTask;
const port = parentPort!;

const buffers = Array.from({ length: 4 }, () => native.mapDescriptor(memfd, 0, 4096));
new Uint32Array(buffers[0]!)[0] = 1;

function onDoorbell(): void {
  if (ending === 'exit-in-callback') process.exit(0);
  if (ending === 'throw-in-callback') throw new Error('thrown in a poll callback');
  port.postMessage('rung');
}

const polls = doorbells.map((fd) => native.openPoll(fd, native.POLL_READABLE, onDoorbell, true));
if (ending === 'unref') for (const poll of polls) poll.unref();
port.postMessage('ready');
if (ending === 'exit') process.exit(0);
if (ending === 'close-then-exit') {
  for (const poll of polls) poll.close();
  for (const buffer of buffers) native.unmap(buffer);
  process.exit(0);
}
if (ending === 'spin') {
  const forever = new Int32Array(buffers[0]!);
  for (;;) forever[1] = (forever[1] ?? 0) + 1;
}
