/** Runs in a worker thread: tells the count of received descriptors of an environment that received none. */
import { parentPort } from 'node:worker_threads';
import { receivedDescriptorCount } from '../../src/native.ts';

parentPort!.postMessage(receivedDescriptorCount());
