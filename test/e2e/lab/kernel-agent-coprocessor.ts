import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Coprocessor } from '../../../src/coprocessor/coprocessor.ts';
import { KernelRpmsg } from '../../../src/coprocessor/kernel-rpmsg.ts';
import type { KernelEndpoint } from '../../../src/coprocessor/kernel-rpmsg-endpoint.ts';
import { RemoteprocLifecycle } from '../../../src/coprocessor/remoteproc-lifecycle.ts';
import type { BoundVdev } from '../../../src/coprocessor/vdev.ts';
import type { CoprocessorCommands, CoprocessorNews } from './kernel-agent-protocol.ts';

type Log = (level: string, text: string) => void;

/** What a test opened, by the name that it gave it. */
class Opened<T> {
  readonly #things = new Map<string, T>();
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  add(name: string, thing: T): T {
    this.#things.set(name, thing);
    return thing;
  }

  get(name: string): T {
    const thing = this.#things.get(name);
    if (thing === undefined) throw new Error(`no ${this.#what} ${name} is open`);
    return thing;
  }

  take(name: string): T {
    const thing = this.get(name);
    this.#things.delete(name);
    return thing;
  }
}

type Doers = {
  [Name in keyof CoprocessorCommands]: (
    parameters: CoprocessorCommands[Name]['takes'],
  ) => CoprocessorCommands[Name]['gives'] | Promise<CoprocessorCommands[Name]['gives']>;
};

/** The agent's commands for co-processors: the kernel's remoteproc, memory and doorbell by UIO, rpmsg. */
export function coprocessorDoers(tell: (news: CoprocessorNews) => void, onLog: Log): Doers {
  const remoteprocs = new Opened<RemoteprocLifecycle>('remoteproc');
  const coprocessors = new Opened<Coprocessor>('co-processor');
  const vdevs = new Opened<BoundVdev>('vdev');
  const transports = new Opened<KernelRpmsg>('rpmsg transport');
  const endpoints = new Opened<KernelEndpoint>('rpmsg endpoint');
  return {
    writeBytes: ({ path, base64 }) => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, Buffer.from(base64, 'base64'));
      return null;
    },
    openRemoteproc: ({ options }) => {
      const { name } = options;
      const lifecycle = remoteprocs.add(name, RemoteprocLifecycle.open(options, onLog));
      lifecycle.onState((state) => tell({ kind: 'remoteproc', name, state }));
      return lifecycle.state;
    },
    remoteproc: async ({ name, action }) => {
      const lifecycle = action === 'close' ? remoteprocs.take(name) : remoteprocs.get(name);
      await lifecycle[action]();
      return lifecycle.state;
    },
    openCoprocessor: async ({ options }) => {
      await coprocessors.add(options.name, new Coprocessor({ ...options, onLog })).start();
      return null;
    },
    bindVdev: ({ name, index, id }) => {
      const vdev = vdevs.add(name, coprocessors.get(name).bindVdev(index, id, 0));
      let count = 0;
      vdev.onCall(() => {
        count += 1;
        tell({ kind: 'call', name, count });
      });
      vdev.driverOk();
      return null;
    },
    kickVdev: ({ name, queue }) => {
      vdevs.get(name).kick(queue);
      return null;
    },
    closeCoprocessor: async ({ name }) => {
      await coprocessors.take(name).close();
      return null;
    },
    openRpmsg: ({ options }) => {
      const { name } = options;
      const transport = transports.add(name, KernelRpmsg.open({ ...options, onLog }));
      transport.onLost((reason) => tell({ kind: 'rpmsgLost', name, reason }));
      return null;
    },
    rpmsgChannels: ({ name }) => transports.get(name).channels,
    rpmsgCounters: ({ name }) => transports.get(name).counters,
    openChannel: async ({ name, channel, timeoutMs }) => {
      const endpoint = await transports.get(name).open(channel, timeoutMs);
      endpoints.add(channel, endpoint);
      endpoint.onMessage((payload) =>
        tell({ kind: 'message', channel, text: Buffer.from(payload).toString('latin1') }),
      );
      endpoint.onGone((reason) => tell({ kind: 'channelGone', channel, reason }));
      return endpoint.path;
    },
    sendMessages: ({ channel, texts }) => {
      const endpoint = endpoints.get(channel);
      return texts.map((text) => endpoint.send(Buffer.from(text, 'latin1')));
    },
    closeChannel: ({ channel }) => {
      endpoints.take(channel).close();
      return null;
    },
    closeRpmsg: ({ name }) => {
      transports.take(name).close();
      return null;
    },
  };
}
