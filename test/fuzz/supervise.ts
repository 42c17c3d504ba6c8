/** Runs a target in a child process, and makes a find of whatever ends or stops it. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildMessage, ChildTask } from './child.ts';
import { IDLE, type Progress, readProgress } from './progress.ts';
import { DEFAULT_TIMEOUT_MS, type FuzzTarget } from './target.ts';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));
const ALL_TARGETS = new URL('./targets/index.ts', import.meta.url).href;
/** Memory of a child, beyond which it is a find. */
const HEAP_MB = 512;
const LOOK_MS = 250;
/**
 * A hang is counted in CPU time, as others may hold the cores; asleep, waiting for what never comes, it may be this many times as
 * long.
 */
const SLEEP_FACTOR = 10;
/** What start and end of a child may take, in CPU time and asleep. */
const START_MS = 60_000;

export interface FoundInput {
  readonly execution: number;
  readonly message: string;
  readonly input: Uint8Array;
  readonly minimized: Uint8Array;
}

export interface TargetReport {
  readonly target: string;
  readonly executions: number;
  readonly outcomes: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly finds: readonly FoundInput[];
  readonly outcome: string | null;
}

/** Of a process: user and system time so far, in milliseconds, and whether it waits (proc(5), stat; a tick is 10 ms). */
function look(pid: number): { cpuMs: number; isAsleep: boolean } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, isAsleep: fields[0] === 'S' };
  } catch {
    return { cpuMs: 0, isAsleep: false };
  }
}

const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

/** Never rejects over what the target does. @param module that exports TARGETS, the target among them */
export async function superviseTarget(
  target: FuzzTarget,
  task: Omit<ChildTask, 'module' | 'target' | 'progressPath'>,
  module = ALL_TARGETS,
): Promise<TargetReport> {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-fuzz-'));
  const progressPath = join(folder, 'progress');
  try {
    const child = fork(CHILD, [], {
      execArgv: ['--import', 'tsx', `--max-old-space-size=${HEAP_MB}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    return await new Supervision(target, child, progressPath).run({
      ...task,
      module,
      target: target.name,
      progressPath,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

class Supervision {
  readonly #target: FuzzTarget;
  readonly #child: ChildProcess;
  readonly #progressPath: string;
  readonly #finds: FoundInput[] = [];
  readonly #startMs = performance.now();
  #done: Extract<ChildMessage, { kind: 'done' }> | null = null;
  #errorText = '';
  #cpuMs = 0;
  /** What was seen under way, since when, and for how long it was asleep. */
  #seen = { execution: IDLE, cpuMs: 0, sleptMs: 0 };
  #killedFor: string | null = null;

  constructor(target: FuzzTarget, child: ChildProcess, progressPath: string) {
    this.#target = target;
    this.#child = child;
    this.#progressPath = progressPath;
  }

  async run(task: ChildTask): Promise<TargetReport> {
    const child = this.#child;
    child.on('message', (message) => this.#message(message as ChildMessage));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-4000);
    });
    const watch = setInterval(() => this.#look(), LOOK_MS);
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    child.send(task);
    const end = await ended;
    clearInterval(watch);
    if (this.#done === null) this.#died(end);
    const last = readProgress(this.#progressPath);
    const seconds = (performance.now() - this.#startMs) / 1000;
    return {
      target: this.#target.name,
      executions:
        this.#done?.executions ?? (last === null || last.execution === IDLE ? 0 : last.execution + 1),
      outcomes: this.#done?.outcomes ?? 0,
      seconds: this.#done?.seconds ?? seconds,
      cpuSeconds: this.#done?.cpuSeconds ?? this.#cpuMs / 1000,
      finds: this.#finds,
      outcome: this.#done?.outcome ?? null,
    };
  }

  #message(message: ChildMessage): void {
    if (message.kind === 'done') this.#done = message;
    if (message.kind === 'minimized') {
      const find = this.#finds.pop() as FoundInput;
      this.#finds.push({ ...find, minimized: fromBase64(message.input) });
    }
    if (message.kind !== 'find') return;
    const { execution, message: text } = message.find;
    const input = fromBase64(message.find.input);
    if (execution >= 0) {
      this.#finds.push({ execution, message: text, input, minimized: input });
      return;
    }
    const last = this.#last();
    this.#finds.push({
      execution: last.execution,
      message: `outside of run(), by or before this execution: ${text}`,
      input: last.input,
      minimized: last.input,
    });
  }

  #last(): Progress {
    return readProgress(this.#progressPath) ?? { execution: 0, input: new Uint8Array(0) };
  }

  #look(): void {
    const pid = this.#child.pid;
    if (pid === undefined || this.#child.exitCode !== null) return;
    const { cpuMs, isAsleep } = look(pid);
    this.#cpuMs = Math.max(this.#cpuMs, cpuMs);
    const execution = readProgress(this.#progressPath)?.execution ?? IDLE;
    if (execution !== this.#seen.execution) {
      this.#seen = { execution, cpuMs: this.#cpuMs, sleptMs: 0 };
      return;
    }
    if (isAsleep) this.#seen.sleptMs += LOOK_MS;
    const isIdle = execution === IDLE;
    const limitMs = isIdle ? START_MS : (this.#target.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const sleepLimitMs = isIdle ? START_MS : limitMs * SLEEP_FACTOR;
    const tookMs = this.#cpuMs - this.#seen.cpuMs;
    if (tookMs < limitMs && this.#seen.sleptMs < sleepLimitMs) return;
    const what = isIdle ? 'start or end' : 'one execution';
    this.#killedFor = `hang: ${what} took ${tookMs} ms of CPU and slept for ${this.#seen.sleptMs} ms; at most ${limitMs} and ${sleepLimitMs} ms`;
    this.#child.kill('SIGKILL');
  }

  /** Ended without having said that it is done. */
  #died(end: string): void {
    if (this.#finds.length > 0) return;
    const { execution, input } = this.#last();
    const message = this.#killedFor ?? `the process ended (${end})\n${this.#errorText}`;
    this.#finds.push({ execution, message, input, minimized: input });
  }
}
