import { Worker } from 'node:worker_threads';
import { MqttError } from './mqtt-error.ts';
import { RetryPause } from './retry-pause.ts';
import type { FromWorker, Log, ToWorker, WorkerData } from './worker-messages.ts';

/** Pauses before a worker that ended is started again. */
const RESTART_MIN_MS = 500;
const RESTART_MAX_MS = 60_000;
/** A worker that ran so long was a good one. */
const STABLE_MS = 60_000;
/** A stop takes this long at most. */
const CLOSE_MS = 2000;
/** Far above what its bounded queues take: a worker that needs more is ended, not the service. */
const MAX_HEAP_MIB = 256;

export interface WorkerThreadOptions {
  readonly data: WorkerData;
  readonly onMessage: (message: FromWorker) => void;
  /** It ended by itself; it will be started again. */
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

/** The worker thread, started again with growing pauses when it ends by itself. */
export class WorkerThread {
  readonly #options: WorkerThreadOptions;
  readonly #pause = new RetryPause(RESTART_MIN_MS, RESTART_MAX_MS);
  #worker: Worker | null = null;
  /** Port of the embedded broker, which a new worker has to have again. */
  #port: number | null = null;
  #startedAtMs = 0;
  #timer: NodeJS.Timeout | null = null;
  /** The present one runs. */
  #isReady = false;
  /** One has run. */
  #hasStarted = false;
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
    const options = this.#port === null ? data.options : { ...data.options, port: this.#port };
    const worker = new Worker(workerFile(), {
      name: 'rproc-gpio-mqtt',
      workerData: { ...data, options },
      // Flags of this process (a loader for TypeScript, say) are none of the worker's.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    this.#worker = worker;
    this.#isReady = false;
    this.#startedAtMs = performance.now();
    let reason = 'it ended';
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') {
        this.#port = message.port;
        this.#isReady = true;
        this.#hasStarted = true;
        started(null);
      } else if (message.kind === 'failed') {
        reason = message.message;
        started(new MqttError('ERR_MQTT_LISTEN', message.message));
      } else if (message.kind === 'closed') this.#onClosed?.();
      else this.#options.onMessage(message);
    });
    worker.on('error', (error: Error) => {
      reason = error.message;
    });
    worker.on('exit', () => {
      started(new MqttError('ERR_MQTT_WORKER', `the worker thread of MQTT did not start: ${reason}`));
      this.#ended(worker, reason);
    });
  }

  #ended(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    this.#isReady = false;
    this.#onClosed?.();
    // The first start is waited for by our caller, who hears of its failure.
    if (this.#isClosing || !this.#hasStarted) return;
    if (performance.now() - this.#startedAtMs >= STABLE_MS) this.#pause.reset();
    this.#restart(reason);
  }

  #restart(reason: string): void {
    const pauseMs = this.#pause.next();
    this.#options.onLost(reason);
    const seconds = (pauseMs / 1000).toFixed(1);
    this.#options.onLog('error', `the worker thread ended: ${reason}; it is started again in ${seconds} s`);
    this.#timer = setTimeout(() => {
      this.#launch(() => {
        // Whether it runs or ends again is seen by its messages and its exit.
      });
    }, pauseMs);
  }

  /** To a worker that does not run yet, too: it has to hear of a wake-up that was meant for it. */
  post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  /** Lets the worker say goodbye, for two seconds at most; idempotent. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
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
