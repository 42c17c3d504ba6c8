import type { LabProcess } from './lab-process.ts';
import { LineLog } from './line-log.ts';

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

const READY = /^@ready$/;

/** The input queue of a Linux terminal in canonical mode holds no longer line (N_TTY_BUF_SIZE). */
const LINE_LIMIT = 4000;

/** A program that runs in a guest. */
export class GuestProgram {
  readonly stdout: LineLog;
  readonly stderr: LineLog;
  readonly #console: GuestConsole;
  readonly #state: LineLog;

  constructor(console: GuestConsole, command: string) {
    this.#console = console;
    this.stdout = new LineLog(`guest: ${command}`);
    this.stderr = new LineLog(`guest: ${command}: stderr`);
    this.#state = new LineLog(`guest: ${command}: state`);
  }

  /** @internal Takes what the guest's init says about this program. */
  report(kind: string, text: string): void {
    if (kind === 'out') this.stdout.push(text);
    else if (kind === 'err') this.stderr.push(text);
    else this.#state.push(`${kind} ${text}`);
    if (kind === 'exit') this.end(`it ended with exit code ${text}, stderr: ${this.stderr.text || '(none)'}`);
  }

  /** @internal */
  end(reason: string): void {
    this.stdout.end(reason);
    this.stderr.end(reason);
    this.#state.end(reason);
  }

  /** Resolves with its process id in the guest. @throws WaitError */
  async pid(limitMs?: number): Promise<number> {
    return Number((await this.#state.waitFor(/^pid /, limits(limitMs))).slice('pid '.length));
  }

  /** Resolves with its exit code and output. @throws WaitError when it does not end within `limitMs` */
  async exit(limitMs?: number): Promise<CommandResult> {
    const state = await this.#state.waitFor(/^exit /, limits(limitMs));
    return {
      exitCode: Number(state.slice('exit '.length)),
      stdout: this.stdout.text,
      stderr: this.stderr.text,
    };
  }

  /** Sends SIGTERM in the guest and waits for the end. @throws WaitError */
  async stop(): Promise<CommandResult> {
    await this.#console.run(`kill ${await this.pid()}`);
    return this.exit();
  }
}

function limits(limitMs: number | undefined): { limitMs?: number } {
  return limitMs === undefined ? {} : { limitMs };
}

/** Runs programs in a guest over its console; GUEST_INIT is the other end. */
export class GuestConsole {
  readonly #process: LabProcess;
  readonly #programs = new Map<string, GuestProgram>();
  #nextId = 1;

  /** @param process whose standard input and output are the guest's console */
  constructor(process: LabProcess) {
    this.#process = process;
    process.stdout.follow(
      (line) => this.#dispatch(line),
      (reason) => {
        for (const program of this.#programs.values()) program.end(`the guest is gone: ${reason}`);
        this.#programs.clear();
      },
    );
  }

  /** Resolves when the guest takes commands. @throws WaitError with the end of the console */
  async ready(limitMs: number): Promise<void> {
    await this.#process.stdout.waitFor(READY, { limitMs });
  }

  /** Runs a shell command to its end. @throws WaitError when it does not end within `limitMs` */
  run(command: string, limitMs?: number): Promise<CommandResult> {
    return this.#launch(command).exit(limitMs);
  }

  /** Starts a single program (no shell syntax that forks), so that signals reach it. */
  start(command: string): GuestProgram {
    return this.#launch(`exec ${command}`);
  }

  /** Ends the programs that a failed test left behind, so that they hold no line of the next one's. @throws WaitError */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
  }

  #launch(command: string): GuestProgram {
    if (command.length > LINE_LIMIT || command.includes('\n')) {
      throw new RangeError(`a guest's command is one line of at most ${LINE_LIMIT} characters: ${command}`);
    }
    const id = String(this.#nextId);
    this.#nextId += 1;
    const program = new GuestProgram(this, command);
    if (this.#process.ended !== undefined) {
      program.end(this.#process.ended);
      return program;
    }
    this.#programs.set(id, program);
    this.#process.write(`${id} ${command}\n`);
    return program;
  }

  #dispatch(line: string): void {
    const match = /^@(\d+) (pid|out|err|exit) (.*)$/.exec(line);
    if (!match) return;
    const [, id = '', kind = '', text = ''] = match;
    this.#programs.get(id)?.report(kind, text);
    if (kind === 'exit') this.#programs.delete(id);
  }
}
