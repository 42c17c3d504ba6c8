/** Builds and runs the C programs of `bench/native`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
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
  readonly errors: number;
  readonly lost: number;
  readonly invented: number;
}

/** @throws Error with the compiler's output when a program does not build. */
export function buildPrograms(): void {
  execFileSync('make', ['-s', '-C', resolve(ROOT, 'bench/native'), `OUT=${PROGRAM_FOLDER}`], {
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

/**
 * Runs a program to its end and returns the last line of its output as JSON.
 * @throws Error with its stderr when it ends with anything but 0 or 3 (3: it counted wrong answers, which the result holds).
 */
export async function runProgram<T>(
  name: string,
  options: readonly string[],
  cpu: number | null,
): Promise<T> {
  const child = startProgram(name, options, cpu);
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((settle, reject) => {
    child.once('error', reject);
    child.once('close', settle);
  });
  const line = stdout.trim().split('\n').at(-1) ?? '';
  if ((code !== 0 && code !== 3) || line === '') {
    throw new Error(`${name} ${options.join(' ')} ended with ${code}: ${stderr.trim() || 'no message'}`);
  }
  return JSON.parse(line) as T;
}
