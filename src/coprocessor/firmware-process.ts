import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import { splitLines } from './line-splitter.ts';
import type { Log } from './log.ts';

/** Firmware that runs as a process on this machine. */
export interface ExecOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
}

/** What the process inherits; each descriptor is announced by an argument. */
export interface InheritedDescriptors {
  /** Descriptor 3, with the device address of its first byte. */
  readonly memory: { readonly fd: number; readonly deviceAddress: number };
  /** Descriptors 4 and 5: the eventfds for kicks and for calls; or none. */
  readonly doorbellFds: readonly number[];
}

/** How long it may take from SIGTERM to its end, before SIGKILL. */
const TERM_TIMEOUT_MS = 2000;
/** How long its last lines may take to arrive after its end: a grandchild may hold the pipes open for ever. */
const LAST_LINES_MS = 100;

/** @param isCrash a signal ended it */
export type FirmwareExitListener = (reason: string, isFailure: boolean, isCrash: boolean) => void;

/** The firmware's process: its output lines are logged, its end is told, and close() ends it. */
export class FirmwareProcess {
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #exited: Promise<void>;
  #ended: Parameters<FirmwareExitListener> | undefined;
  #lastLine = '';
  #onExit: FirmwareExitListener | undefined;
  #isClosing = false;

  private constructor(child: ChildProcess, command: string, log: Log) {
    this.#child = child;
    this.#command = command;
    const follow = (stream: Readable | null, level: 'info' | 'warn'): void => {
      if (stream === null) return;
      splitLines(stream, (line) => {
        this.#lastLine = line;
        log(level, line);
      });
    };
    follow(child.stdout, 'info');
    follow(child.stderr, 'warn');
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve();
        const tell = (): void => this.#tell(code, signal);
        const timer = setTimeout(tell, LAST_LINES_MS);
        child.once('close', () => {
          clearTimeout(timer);
          tell();
        });
      });
    });
  }

  /**
   * Starts the process and waits until it runs. Without descriptors to inherit the program gets its own arguments only.
   * @throws CoprocessorError ERR_EXEC: not found, not executable, bad working directory
   */
  static async start(
    exec: ExecOptions,
    inherited: InheritedDescriptors | undefined,
    log: Log,
  ): Promise<FirmwareProcess> {
    const [program, ...given] = exec.command;
    if (program === undefined || program === '') {
      throw new CoprocessorError(
        'ERR_EXEC',
        'exec: the command is empty, expected a program and its arguments',
      );
    }
    if (exec.cwd !== undefined) requireFolder(exec.cwd);
    const descriptors = inherited === undefined ? [] : [inherited.memory.fd, ...inherited.doorbellFds];
    const announced = ['--memory-fd=3', '--kick-fd=4', '--call-fd=5'].slice(0, descriptors.length);
    if (inherited !== undefined) announced.push(`--device-address=${hex(inherited.memory.deviceAddress)}`);
    let child: ChildProcess;
    try {
      child = spawn(program, [...given, ...announced], {
        stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
        cwd: exec.cwd,
        env: { ...process.env, ...exec.env },
      });
    } catch (error) {
      // Some errors are emitted, some thrown.
      throw describeSpawnError(program, error as NodeJS.ErrnoException);
    }
    const started = new FirmwareProcess(child, program, log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(describeSpawnError(program, error)));
    });
    // Later errors are of signals to a process that is gone.
    child.on('error', (error) => log('debug', `firmware ${program}: ${error.message}`));
    log('debug', `firmware ${program} runs as process ${child.pid}`);
    return started;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * The listener is told once when the process ends by itself; at once when it has ended already. Any end but an exit with code
   * 0 is a failure.
   */
  onExit(listener: FirmwareExitListener): void {
    if (this.#ended !== undefined) listener(...this.#ended);
    else this.#onExit = listener;
  }

  #tell(code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#ended !== undefined || this.#isClosing) return;
    const how =
      signal === null ? `exited with code ${code}` : `was ended by ${signal} (${constants.signals[signal]})`;
    const last = this.#lastLine === '' ? '' : `; its last line: ${this.#lastLine}`;
    this.#ended = [`firmware ${this.#command} ${how}${last}`, code !== 0, signal !== null];
    this.#onExit?.(...this.#ended);
  }

  /** Ends it at once: it does not answer any more. Its end is told as any other. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** SIGTERM, then SIGKILL when that is not enough; resolves when the process is gone. Idempotent. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const isRunning = (): boolean => this.#child.exitCode === null && this.#child.signalCode === null;
    if (!isRunning()) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), TERM_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** spawn() reports a missing working directory as if the program were missing. */
function requireFolder(cwd: string): void {
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CoprocessorError('ERR_EXEC', `exec: the working directory ${cwd} is not a directory`);
}

function describeSpawnError(program: string, error: NodeJS.ErrnoException): CoprocessorError {
  const describe = (): string => {
    switch (error.code) {
      case 'ENOENT':
        return program.includes('/')
          ? `firmware ${program} does not exist (or its interpreter does not)`
          : `firmware ${program} was not found in the PATH`;
      case 'EACCES':
        return `firmware ${program} is not executable (EACCES): chmod +x it, or check the folders above it`;
      case 'ENOEXEC':
        return `firmware ${program} is not a program for this machine (ENOEXEC)`;
      default:
        return `firmware ${program} cannot be started: ${error.message}`;
    }
  };
  return new CoprocessorError('ERR_EXEC', describe(), error);
}
