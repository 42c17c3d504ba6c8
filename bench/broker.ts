/** Mosquitto, for the MQTT figures. */
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { type Service, startProcess } from './service.ts';

const START_LIMIT_MS = 10_000;
/** Another program may take a port between our finding it free and the broker's listening on it. */
const PORT_ATTEMPTS = 5;
/** Not in everybody's PATH. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/local/sbin'];

/** What to do where there is none. */
export const BROKER_INSTALLATION =
  'mosquitto is not installed: run `bash test/e2e/setup.sh`, or install the package mosquitto';

export interface Broker extends Service {
  readonly port: number;
}

/**
 * The path of mosquitto: what test/e2e/setup.sh found or unpacked, else one in the PATH.
 * @param systemFolders where it lies without being in the PATH
 * @returns null when there is none
 */
export function findMosquitto(
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
  systemFolders: readonly string[] = SYSTEM_FOLDERS,
): string | null {
  const cache = environment.XDG_CACHE_HOME || join(environment.HOME ?? homedir(), '.cache');
  const lab = join(cache, 'rproc-gpio/e2e/lab.env');
  const named = existsSync(lab) ? /^MOSQUITTO=(.+)$/m.exec(readFileSync(lab, 'utf8'))?.[1] : undefined;
  const folders = [
    ...(environment.PATH ?? '').split(delimiter).filter((each) => each !== ''),
    ...systemFolders,
  ];
  const candidates = [
    ...(named === undefined ? [] : [named]),
    ...folders.map((each) => join(each, 'mosquitto')),
  ];
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts it on a free port of the loopback interface. @throws Error with its stderr */
export async function startBroker(program: string): Promise<Broker> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      const service = await startProcess(null, (folder) => {
        const file = join(folder, 'mosquitto.conf');
        writeFileSync(file, configuration(port));
        return {
          command: program,
          options: ['-c', file],
          ready: (child) => untilListening(child, port),
          socketPath: '',
          isNode: false,
        };
      });
      return { ...service, port };
    } catch (error) {
      if (attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

function configuration(port: number): string {
  return [
    // It would change to a user of its own, who may not enter our folder.
    `user ${userInfo().username}`,
    'log_dest stderr',
    'log_type error',
    // Its own bounds (20 messages of QoS 1 on their way, 1000 behind them) would be what is measured, of both publishers.
    'max_inflight_messages 1000',
    'max_queued_messages 0',
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    '',
  ].join('\n');
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  const limit = performance.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} before it listened`);
    if (performance.now() > limit)
      throw new Error(`nobody listens on port ${port} after ${START_LIMIT_MS} ms`);
    await delay(10);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}
