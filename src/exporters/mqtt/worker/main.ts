/** Where the worker thread starts. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { EmbeddedBroker } from '../embedded-broker.ts';
import { SharedCounters } from '../shared-tables.ts';
import type { FromWorker, ToWorker, WorkerData } from '../worker-messages.ts';
import { MqttWorker } from './mqtt-worker.ts';

const port = parentPort as MessagePort;
const data = workerData as WorkerData;
const post = (message: FromWorker): void => port.postMessage(message);

/** Where to connect to a broker that listens on an address: every address means this machine's own. */
function loopbackUrl(bind: string, brokerPort: number): URL {
  const host = bind === '0.0.0.0' ? '127.0.0.1' : bind === '::' ? '::1' : bind;
  return new URL(`mqtt://${host.includes(':') ? `[${host}]` : host}:${brokerPort}`);
}

async function run(): Promise<void> {
  let { options } = data;
  let broker: EmbeddedBroker | null = null;
  if (options.broker === 'embedded') {
    // It speaks no other version, and our own connection to it gains nothing by one.
    options = { ...options, protocolVersion: '3.1.1' };
    const counters = new SharedCounters(data.counters);
    broker = await EmbeddedBroker.listen({
      port: options.port,
      bind: options.bind,
      onLog: (level, message) => post({ kind: 'log', level, message }),
      onLimit: (limit) => counters.add(limit),
    });
  }
  const url = broker === null ? new URL(options.broker) : loopbackUrl(options.bind, broker.port);
  const worker = new MqttWorker({ ...data, options }, url, post);
  port.on('message', (message: ToWorker) => {
    if (message === null) worker.wake();
    else if (message.kind === 'answers') worker.answers(message.answers);
    else if (message.kind === 'ping') post({ kind: 'pong' });
    else void close(worker, broker);
  });
  post({ kind: 'ready', port: broker?.port ?? null });
  worker.start();
}

async function close(worker: MqttWorker, broker: EmbeddedBroker | null): Promise<void> {
  await worker.close();
  await broker?.close();
  post({ kind: 'closed' });
  port.close();
}

run().catch((error: unknown) => {
  post({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
  port.close();
});
