import { Worker } from 'node:worker_threads';
import { MqttError } from './mqtt-error.ts';
import type { FromWorker, Log, ToWorker, WorkerData } from './worker-messages.ts';

/** A stop takes this long at most. */
const CLOSE_MS = 2000;
/** Far above what its bounded queues take: a worker that needs more is ended, not the service. */
const MAX_HEAP_MIB = 256;

export interface WorkerThreadOptions {
  readonly data: WorkerData;
  readonly onMessage: (message: FromWorker) => void;
  /** It ended by itself, after it had run: a fault of ours. */
  readonly onLost: (reason: string) => void;
  readonly onLog: Log;
}

/** The compiled file: also when this file runs as TypeScript (in tests), which worker threads cannot. */
function workerFile(): URL {
  const file = new URL('./worker/main.js', import.meta.url);
  if (import.meta.url.endsWith('.ts'))
    file.pathname = file.pathname.replace(/\/src\/(?!.*\/src\/)/, '/dist/');
  return file;
}

/** The worker thread. One that ends by itself is not started again: whoever owns this ends with it. */
export class WorkerThread {
  readonly #options: WorkerThreadOptions;
  #worker: Worker | null = null;
  #port: number | null = null;
  /** It runs. */
  #isReady = false;
  /** Looks since it was asked for a sign of life that it has not given; -1 = it has. */
  #looks = -1;
  #isClosing = false;
  #onClosed: (() => void) | null = null;

  constructor(options: WorkerThreadOptions) {
    this.#options = options;
  }

  /** Port of the embedded broker; null without one. */
  get port(): number | null {
    return this.#port;
  }

  /** @throws MqttError ERR_MQTT_LISTEN when the embedded broker cannot listen, ERR_MQTT_WORKER when the worker ends at once */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#launch((error) => (error === null ? resolve() : reject(error)));
    });
  }

  #launch(started: (error: MqttError | null) => void): void {
    const { data } = this.#options;
    const worker = new Worker(workerFile(), {
      name: 'rproc-gpio-mqtt',
      workerData: data,
      // Flags of this process (a loader for TypeScript, say) are none of the worker's.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    this.#worker = worker;
    let reason = 'it ended';
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') {
        this.#port = message.port;
        this.#isReady = true;
        started(null);
      } else if (message.kind === 'failed') {
        reason = message.message;
        started(new MqttError('ERR_MQTT_LISTEN', message.message));
      } else if (message.kind === 'pong') this.#looks = -1;
      else if (message.kind === 'closed') this.#onClosed?.();
      else this.#options.onMessage(message);
    });
    worker.on('error', (error: Error) => {
      reason = error.message;
    });
    worker.on('exit', () => {
      started(new MqttError('ERR_MQTT_WORKER', `the worker thread of MQTT did not start: ${reason}`));
      this.#ended(reason);
    });
  }

  #ended(reason: string): void {
    const wasReady = this.#isReady;
    this.#worker = null;
    this.#isReady = false;
    this.#onClosed?.();
    // The start is waited for by our caller, who hears of its failure.
    if (this.#isClosing || !wasReady) return;
    this.#options.onLog('error', `the worker thread ended: ${reason}`);
    this.#options.onLost(reason);
  }

  /** For the watchdog, see Progress: whether the worker answers. It may be busy for a look. */
  stuck(): string | null {
    if (!this.#isReady || this.#isClosing) return null;
    this.#looks++;
    if (this.#looks === 0) this.post({ kind: 'ping' });
    return this.#looks > 1 ? 'the worker thread does not answer' : null;
  }

  /** To a worker that does not run yet, too: it has to hear of a wake-up that was meant for it. */
  post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  /** Lets the worker say goodbye, for two seconds at most; idempotent. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const worker = this.#worker;
    if (worker === null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS);
      this.#onClosed = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#isReady) this.post({ kind: 'close' });
      else this.#onClosed();
    });
    await worker.terminate();
  }
}
