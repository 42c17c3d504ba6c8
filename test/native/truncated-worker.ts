/**
 * Runs in a worker thread: maps the memory, waits until it is told that the file was truncated, touches it, and says what it
 * saw and what it was told of dead mappings.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as native from '../../src/native.ts';

export interface TruncatedWorkerTask {
  readonly memfd: number;
  readonly sizeBytes: number;
}

/** What the worker says at last. */
export interface TruncatedWorkerResult {
  readonly word: number;
  readonly isDead: boolean;
  readonly isOtherDead: boolean;
}

const { memfd, sizeBytes } = workerData as TruncatedWorkerTask;
const port = parentPort!;

const buffer = native.mapDescriptor(memfd, 0, sizeBytes);
const other = native.mapDescriptor(native.createMemfd('truncated-other', 4096), 0, 4096);
const words = new Uint32Array(buffer);
let word = -1;

const stop = native.onDeadMapping(() => {
  stop();
  port.postMessage({
    word,
    isDead: native.isDead(buffer),
    isOtherDead: native.isDead(other),
  } satisfies TruncatedWorkerResult);
});
// Not once(): without a listener nothing would keep this thread alive until it is told.
port.on('message', () => {
  word = words[words.length - 1] as number;
});
port.postMessage('mapped');
