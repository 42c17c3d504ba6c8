/** Builds and runs the C programs of `bench/native`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '..');
export const PROGRAM_FOLDER = resolve(ROOT, 'build/bench');

export interface FloorResult {
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly roundTripsPerSecond: number;
}

export interface LoadResult {
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly requestsPerSecond: number;
  readonly errors: number;
  /** User and system time of the load generator itself. */
  readonly cpuSeconds: number;
  readonly requests: number;
  readonly kicks: number;
}

export interface InterruptResult {
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly eventsPerSecond: number;
  /** Of them, all that were made: each is a request, an event and a buffer that is queued again. */
  readonly toggles: number;
  readonly errors: number;
  /** Of the errors, requests that were answered with ERR. */
  readonly refused: number;
  readonly lost: number;
  readonly invented: number;
  /** User and system time of the load generator itself. */
  readonly cpuSeconds: number;
}

/** Of `loadgen --mode=change`. */
export interface ChangeResult {
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly changes: number;
  readonly errors: number;
  /** Events without a change. */
  readonly invented: number;
}

/** Of `mqttprobe --mode=count` and `--mode=drive`. */
export interface EventsResult {
  /** Measured, after the warm-up. */
  readonly events: number;
  readonly eventsPerSecond: number;
  readonly received: number;
  /** Driven, or to be expected, and never received. */
  readonly lost: number;
  readonly invented: number;
  /** Places where a line's `seq` did not go up by one. */
  readonly gaps: number;
  /** Events that say that the co-processor had to leave changes out. */
  readonly merged: number;
  readonly malformed: number;
  /** Of the probe itself, over all that it received. */
  readonly cpuSeconds: number;
}

/** Of `mqttprobe --mode=echo`. */
export interface EchoResult {
  readonly medianNs: number;
  readonly p99Ns: number;
  readonly lost: number;
  readonly malformed: number;
}

/** Of `mqttprobe --mode=latency`: from the command to the firmware to the message. */
export interface EventLatencyResult extends EchoResult {
  /** From the time that the message carries. */
  readonly sinceTimestampMedianNs: number;
  readonly sinceTimestampP99Ns: number;
  readonly gaps: number;
  /** Times in messages that lie before the command. */
  readonly timestampsTooEarly: number;
  /** Times in messages that lie after the firmware's answer to the command. */
  readonly timestampsTooLate: number;
}

/** Of `mqttprobe --mode=commands`. */
export interface CommandsResult {
  readonly commands: number;
  readonly commandsPerSecond: number;
  readonly succeeded: number;
  readonly refused: number;
  readonly unanswered: number;
  readonly cpuSeconds: number;
}

/** @throws Error with the compiler's output when a program does not build. */
export function buildPrograms(): void {
  mkdirSync(PROGRAM_FOLDER, { recursive: true });
  // One at a time: tests build as well, several of them at once.
  const make = ['make', '-s', '-C', resolve(ROOT, 'bench/native'), `OUT=${PROGRAM_FOLDER}`];
  execFileSync('flock', [resolve(PROGRAM_FOLDER, 'lock'), ...make], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** The processors this process may use, by number. */
export function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first, last] = range.split('-').map(Number) as [number, number?];
    return Array.from({ length: (last ?? first) - first + 1 }, (_, i) => first + i);
  });
}

/** Starts a program of ours, on one processor when one is named. */
export function startProgram(name: string, options: readonly string[], cpu: number | null): ChildProcess {
  const program = resolve(PROGRAM_FOLDER, name);
  const command = cpu === null ? [program, ...options] : ['taskset', '-c', String(cpu), program, ...options];
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A program that runs beside others. */
export interface RunningProgram<T> {
  /** Resolves with the first line of its output: it is there. */
  readonly ready: Promise<void>;
  /**
   * The last line of its output as JSON, when it has ended.
   * @throws Error with its stderr when it ends with anything but 0 or 3 (3: it counted wrong answers, which the result holds).
   */
  readonly result: Promise<T>;
  /** Tells it to end, and what to say is said in {@link result}. */
  end(): void;
}

/** Starts a program whose output is JSON, a line each. */
export function launchProgram<T>(
  name: string,
  options: readonly string[],
  cpu: number | null,
): RunningProgram<T> {
  const child = startProgram(name, options, cpu);
  let stdout = '';
  let stderr = '';
  const ended = new Promise<number | null>((settle, reject) => {
    child.once('error', reject);
    child.once('close', settle);
  });
  const fault = (code: number | null): Error =>
    new Error(`${name} ${options.join(' ')} ended with ${code}: ${stderr.trim() || 'no message'}`);
  const ready = new Promise<void>((settle, reject) => {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.includes('\n')) settle();
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    ended.then((code) => reject(fault(code)), reject);
  });
  const result = ended.then((code) => {
    const line = stdout.trim().split('\n').at(-1) ?? '';
    if ((code !== 0 && code !== 3) || line === '') throw fault(code);
    return JSON.parse(line) as T;
  });
  // Who does not look at one of them looks at the other.
  ready.catch(() => undefined);
  result.catch(() => undefined);
  return { ready, result, end: () => void child.kill('SIGTERM') };
}

/** Runs a program to its end: {@link RunningProgram.result}. */
export function runProgram<T>(name: string, options: readonly string[], cpu: number | null): Promise<T> {
  return launchProgram<T>(name, options, cpu).result;
}
