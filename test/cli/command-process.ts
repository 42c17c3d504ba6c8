import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** Limit of every wait for a process: node, the addon and a firmware have to come up on a busy machine. */
const DEADLINE_MS = 15_000;

/** What `npx rproc-gpio` runs. */
export const PROGRAM = fileURLToPath(new URL('../../bin/rproc-gpio', import.meta.url));

/** A folder of this test's own, removed after it. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface CommandOptions {
  readonly cwd?: string;
  /** Inherited as descriptor 3. */
  readonly fd?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Another program, which runs {@link PROGRAM} in the end. */
  readonly program?: string;
}

/** A run of the command line. Killed after the test if it still runs. */
export class CommandProcess {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  #end: number | NodeJS.Signals | null = null;
  #onOutput: () => void = () => {};

  constructor(args: readonly string[], options: CommandOptions = {}) {
    const { cwd = tmpdir(), fd, env = {}, program = PROGRAM } = options;
    this.child = spawn(program, args, {
      cwd,
      // A service of a test has a control socket of its own: the default one is for one service a user.
      env: { ...process.env, RPROC_GPIO_SOCKET: join(scratchFolder(), 'control.sock'), ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onOutput();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#onOutput();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        this.#end = code ?? signal!;
        this.#onOutput();
        resolve(this.#end);
      });
    });
    onTestFinished(async () => {
      if (this.#end === null) this.child.kill('SIGKILL');
      await this.ended;
    });
  }

  /** Waits until standard output (or the error output) matches. @throws when it does not in time, or the process ends */
  async until(pattern: RegExp, stream: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpMatchArray> {
    const find = (): RegExpMatchArray | null => this[stream].match(pattern);
    return this.#wait(`${stream} to match ${pattern}`, find, true);
  }

  /** Waits for the end. @returns the exit code, or the signal that ended it */
  async exit(): Promise<number | NodeJS.Signals> {
    return this.#wait('the process to end', () => this.#end, false);
  }

  #wait<T>(what: string, find: () => T | null, isFutileAfterEnd: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (why: string): void => {
        settle();
        reject(new Error(`${why} waiting for ${what}; stdout: ${this.stdout}; stderr: ${this.stderr}`));
      };
      const timer = setTimeout(() => fail(`${DEADLINE_MS} ms are over`), DEADLINE_MS);
      const settle = (): void => {
        clearTimeout(timer);
        this.#onOutput = () => {};
      };
      this.#onOutput = () => {
        const found = find();
        if (found !== null) {
          settle();
          resolve(found);
        } else if (isFutileAfterEnd && this.#end !== null) {
          fail(`ended with ${this.#end}`);
        }
      };
      this.#onOutput();
    });
  }

  /** Signals the process, and waits for its end. */
  async terminate(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | NodeJS.Signals> {
    this.child.kill(signal);
    return this.exit();
  }
}

/** Runs a command to its end. */
export async function run(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<{ code: number | NodeJS.Signals; stdout: string; stderr: string }> {
  const command = new CommandProcess(args, options);
  const code = await command.exit();
  return { code, stdout: command.stdout, stderr: command.stderr };
}

/** Whether a process is there, and no zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
