// Loaded before the service (NODE_OPTIONS=--import): breaks something from inside when SIGUSR2 comes, as the variable FAULT says.
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const dist = (path) => import(new URL(`../../dist/${path}`, import.meta.url));

/** The workers that the service has started, each of which does what a message {kind: 'hang' | 'grow'} says. */
const workers = [];

function watchWorkers() {
  const threads = createRequire(import.meta.url)('node:worker_threads');
  const Original = threads.Worker;
  threads.Worker = class extends Original {
    constructor(file, options) {
      const code = `import { parentPort } from 'node:worker_threads';
        parentPort.on('message', (message) => {
          if (message?.kind === 'hang') for (;;);
          if (message?.kind === 'grow') for (const all = []; ; ) all.push(new Array(1000).fill(all.length));
        });
        await import(${JSON.stringify(String(file))});`;
      super(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
        ...options,
        resourceLimits: { ...options.resourceLimits, maxOldGenerationSizeMb: 64 },
      });
      workers.push(this);
    }
  };
  syncBuiltinESMExports();
}

const FAULTS = {
  throw: () => {
    setTimeout(() => {
      throw new Error('injected');
    });
  },
  reject: () => void Promise.reject(new Error('injected')),
  addon: async () => {
    const { createEventfd, openPoll, POLL_READABLE, signalDescriptor } = await dist('native.js');
    const fd = createEventfd();
    openPoll(fd, POLL_READABLE, () => {
      throw new Error('injected');
    });
    signalDescriptor(fd);
  },
  'worker-throw': () => workers[0].postMessage({ kind: 'answers', answers: 5 }),
  'worker-grow': () => workers[0].postMessage({ kind: 'grow' }),
  'worker-hang': () => workers[0].postMessage({ kind: 'hang' }),
  'throw-and-hang': async () => {
    const { MqttExporter } = await dist('exporters/mqtt/mqtt-exporter.js');
    MqttExporter.prototype.close = () => new Promise(() => {});
    FAULTS.throw();
  },
  block: () => {
    for (;;);
  },
  'guest-queue': async () => {
    const { DeviceQueue } = await dist('virtqueue/device-queue.js');
    DeviceQueue.prototype.pop = () => null;
  },
  'driver-queue': async () => {
    const { DriverQueue } = await dist('virtqueue/driver-queue.js');
    DriverQueue.prototype.popUsed = () => -1;
  },
  answers: async () => {
    const { DeviceQueue } = await dist('virtqueue/device-queue.js');
    DeviceQueue.prototype.push = () => {};
  },
};

if (isMainThread) {
  watchWorkers();
  process.on('SIGUSR2', async () => {
    await FAULTS[process.env.FAULT]();
    process.stderr.write('struck\n');
  });
}
