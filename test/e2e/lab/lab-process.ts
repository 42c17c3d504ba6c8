import { type ChildProcess, spawn } from 'node:child_process';
import { LineLog } from './line-log.ts';

export interface LabProcessOptions {
  /** For messages. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly cwd?: string;
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * For a program that makes a session of its own, has children that outlive it and does not end well on SIGTERM:
   * User-Mode Linux, with a child for each guest process, aborts or hangs now and then. A shell in between ends all
   * of them with SIGKILL.
   */
  readonly killSession?: boolean;
}

/** How long a process may take to end after SIGTERM before it is killed. */
const TERMINATION_LIMIT_MS = 5_000;

/**
 * `$!` is the program and, since it leads a session, its process group. The trap comes first: no moment without it.
 * A shell gives its background jobs no input, unless by another number.
 */
const SESSION_ENDER = `trap 'kill -s KILL -- -$! $! 2>/dev/null' TERM; exec 3<&0; "$@" <&3 3<&- & exec <&- 3<&-; wait $!`;

/** A process of the lab: its output by lines, and a certain end. */
export class LabProcess {
  readonly name: string;
  readonly stdout: LineLog;
  readonly stderr: LineLog;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #ended: string | undefined;

  constructor(options: LabProcessOptions) {
    this.name = options.name;
    this.stdout = new LineLog(`${options.name} stdout`);
    this.stderr = new LineLog(`${options.name} stderr`);
    // setpriv: the kernel ends the process even when the test runner is killed and no close() runs any more.
    const command = options.killSession
      ? ['TERM', '--', 'sh', '-c', SESSION_ENDER, 'sh', ...options.command]
      : ['KILL', '--', ...options.command];
    this.#child = spawn('setpriv', ['--pdeathsig', ...command], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => this.stdout.write(chunk));
    this.#child.stderr?.setEncoding('utf8').on('data', (chunk: string) => this.stderr.write(chunk));
    // Writing to a process that has just died is no news: its end is reported by whoever waits for its output.
    this.#child.stdin?.on('error', () => {});
    this.#exited = new Promise((resolve) => {
      const end = (reason: string) => {
        this.#ended = reason;
        const told = `${reason}${this.stderr.lines.length > 0 ? `; stderr:\n${this.stderr.tail()}` : ''}`;
        this.stdout.end(told);
        this.stderr.end(reason);
        resolve();
      };
      // 'close' comes after the last output; 'exit' may come before it.
      this.#child.once('close', (code, signal) =>
        end(`${this.name} ended with ${signal ?? `exit code ${code}`}`),
      );
      this.#child.once('error', (error) => end(`${this.name} did not start: ${error.message}`));
    });
  }

  /** @throws Error when the process did not start */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start`);
    return this.#child.pid;
  }

  /** How it ended; undefined while it runs. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** The exit code; null while it runs or when a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Resolves when the process has ended and all its output is in. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM, then SIGKILL; resolves when the process is gone. Idempotent. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return this.#exited;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), TERMINATION_LIMIT_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}
