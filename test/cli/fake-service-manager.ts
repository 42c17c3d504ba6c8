import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { scratchFolder } from './command-process.ts';

/** What systemd does with NOTIFY_SOCKET: Node has no Unix datagram sockets, and node-gyp needs Python anyway. */
const LISTENER = `
import json, os, socket, struct, sys
address = sys.argv[1]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind('\\0' + address[1:] if address[0] == '@' else address)
if address[0] != '@': os.chmod(address, 0o666)
print('listening', flush=True)
while True:
    text, ancillary, _, _ = listener.recvmsg(65536, 256)
    pid = struct.unpack('3i', ancillary[0][2])[0]
    print(json.dumps({'pid': pid, 'lines': text.decode().splitlines()}), flush=True)
`;

const DEADLINE_MS = 20_000;

/** One datagram. */
export interface Notification {
  readonly pid: number;
  readonly lines: readonly string[];
  readonly atMs: number;
}

/** A service manager that listens to what the service tells it. Ended with the test. */
export class FakeServiceManager {
  readonly address: string;
  readonly told: Notification[] = [];
  #onTold: () => void = () => {};
  #isListening = false;

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    let rest = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) {
        if (line === 'listening') this.#isListening = true;
        else this.told.push({ ...JSON.parse(line), atMs: performance.now() });
      }
      this.#onTold();
    });
  }

  /** @param address default: a path of its own; `@NAME` is abstract */
  static async start(address = join(scratchFolder(), 'notify')): Promise<FakeServiceManager> {
    const child = spawn('python3', ['-c', LISTENER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    });
    const listener = new FakeServiceManager(address, child);
    await listener.#wait('it to listen', () => (listener.#isListening ? true : null));
    return listener;
  }

  /** For the service's environment. */
  get environment(): Readonly<Record<string, string>> {
    return { NOTIFY_SOCKET: this.address };
  }

  /** All assignments, in their order. */
  get lines(): readonly string[] {
    return this.told.flatMap(({ lines }) => lines);
  }

  /** Assignments other than WATCHDOG=1, which come again and again. */
  get states(): readonly string[] {
    return this.lines.filter((line) => line !== 'WATCHDOG=1');
  }

  get pings(): number {
    return this.lines.filter((line) => line === 'WATCHDOG=1').length;
  }

  /** Waits for an assignment behind the `from`th. @returns the index of the one after it */
  async until(pattern: RegExp, from = 0): Promise<number> {
    return this.#wait(`${pattern} behind ${from}`, () => {
      const at = this.lines.findIndex((line, index) => index >= from && pattern.test(line));
      return at < 0 ? null : at + 1;
    });
  }

  /** Waits until so many pings have come in all. */
  async untilPings(count: number): Promise<void> {
    await this.#wait(`${count} pings`, () => (this.pings >= count ? true : null));
  }

  #wait<T>(what: string, find: () => T | null): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#onTold = () => {};
        reject(new Error(`${DEADLINE_MS} ms are over waiting for ${what}; told: ${this.lines.join(' ')}`));
      }, DEADLINE_MS);
      this.#onTold = () => {
        const found = find();
        if (found === null) return;
        clearTimeout(timer);
        this.#onTold = () => {};
        resolve(found);
      };
      this.#onTold();
    });
  }
}
