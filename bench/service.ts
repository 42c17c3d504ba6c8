/** Starts and stops the service that is measured. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { nodeProcess } from './process-status.ts';
import { PROGRAM_FOLDER, ROOT } from './programs.ts';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 5_000;
export const SERVICE_COMMAND = resolve(ROOT, 'bin/rproc-gpio');

/** A running back-end or demo. */
export interface Service {
  /** The process that does the work: node, where a shell stands in front of it. */
  readonly pid: number;
  /** Where a front-end connects; empty for the demo. */
  readonly socketPath: string;
  /** From the start of the command to its readiness, in milliseconds. */
  readonly startMs: number;
  /** Ends it with SIGTERM and removes its folder; may be called again. */
  close(): Promise<void>;
}

/** Starts `rproc-gpio vhost-user-gpio --chip=sim:<lines>` with further options. */
export function startBackEnd(
  lines: number,
  cpu: number | null,
  options: readonly string[] = [],
): Promise<Service> {
  return startProcess(cpu, (folder) => {
    const socketPath = join(folder, 'device.sock');
    return {
      command: SERVICE_COMMAND,
      options: ['vhost-user-gpio', `--socket-path=${socketPath}`, `--chip=sim:${lines}`, ...options],
      ready: (child) => untilSocket(child, socketPath),
      socketPath,
      isNode: true,
    };
  });
}

/** Starts the device loop in C that serves as the yardstick. */
export function startYardstick(lines: number, cpu: number | null): Promise<Service> {
  return startProcess(cpu, (folder) => {
    const socketPath = join(folder, 'device.sock');
    return {
      command: resolve(PROGRAM_FOLDER, 'cdevice'),
      options: [`--socket-path=${socketPath}`, `--lines=${lines}`],
      ready: (child) => untilSocket(child, socketPath),
      socketPath,
      isNode: false,
    };
  });
}

/** Starts `rproc-gpio demo`, out of the way of another one, and waits for its `ready` line. */
export function startDemo(): Promise<Service> {
  return startProcess(null, (folder) => ({
    command: SERVICE_COMMAND,
    options: ['demo', `--dir=${join(folder, 'demo')}`, '--mqtt-port=0'],
    ready: untilReadyLine,
    socketPath: '',
    isNode: true,
  }));
}

/** How a process is started, and what tells that it is ready. */
export interface ProcessPlan {
  readonly command: string;
  readonly options: readonly string[];
  readonly ready: (child: ChildProcess) => Promise<void>;
  /** Where a front-end connects; empty without one. */
  readonly socketPath: string;
  readonly isNode: boolean;
}

/**
 * Starts a process with a folder of its own, and waits until it is ready.
 * @param plan is told the folder, which goes with the process
 * @throws Error with the process' stderr when it does not get ready
 */
export async function startProcess(
  cpu: number | null,
  plan: (folder: string) => ProcessPlan,
): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-bench-'));
  const { command, options, ready, socketPath, isNode } = plan(folder);
  const started = performance.now();
  // setpriv: a bench that was killed leaves nothing running.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', command, ...options], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stderr: string[] = [];
  child.stderr!.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => reject(new Error(`it ended with ${code ?? signal}`)));
  });
  ended.catch(() => undefined);
  const close = closer(child, folder);
  try {
    await Promise.race([ready(child), ended]);
    const startMs = performance.now() - started;
    child.stdout!.resume();
    const pid = isNode ? nodeProcess(child.pid!) : child.pid!;
    // Threads that are started later inherit the mask of the thread that starts them; node's own are there already.
    if (cpu !== null) pinMainThread(pid, [cpu]);
    return { pid, socketPath, startMs, close };
  } catch (error) {
    await close();
    const why = error instanceof Error ? error.message : String(error);
    const said = stderr.join('').trim();
    throw new Error(`${command} ${options.join(' ')}: ${why}${said === '' ? '' : `\n${said}`}`);
  }
}

/** Restricts the main thread of a process to some processors; its other threads stay as they are. */
export function pinMainThread(pid: number, cpus: readonly number[]): void {
  execFileSync('taskset', ['-p', '-c', cpus.join(','), String(pid)], { stdio: 'ignore' });
}

/** Restricts all threads of a process to one processor. */
export function pinProcess(pid: number, cpu: number): void {
  execFileSync('taskset', ['-a', '-p', '-c', String(cpu), String(pid)], { stdio: 'ignore' });
}

function closer(child: ChildProcess, folder: string): () => Promise<void> {
  let closing: Promise<void> | null = null;
  const run = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((settle) => child.once('close', settle));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      await gone;
      clearTimeout(timer);
    }
    rmSync(folder, { recursive: true, force: true });
  };
  return () => (closing ??= run());
}

async function untilSocket(child: ChildProcess, socketPath: string): Promise<void> {
  const limit = performance.now() + START_LIMIT_MS;
  while (!existsSync(socketPath)) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} before it made its socket`);
    if (performance.now() > limit) throw new Error(`no socket at ${socketPath} after ${START_LIMIT_MS} ms`);
    await delay(5);
  }
}

/** Resolves with the first line on stdout that begins with `ready`. */
export async function untilReadyLine(child: ChildProcess): Promise<void> {
  const timer = AbortSignal.timeout(START_LIMIT_MS);
  const lines = createInterface({ input: child.stdout!, signal: timer });
  for await (const line of lines) if (line.startsWith('ready')) return;
  if (timer.aborted) throw new Error(`no line beginning with 'ready' after ${START_LIMIT_MS} ms`);
}
