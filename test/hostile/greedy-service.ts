/** The built service as a process, with what its greedy peers may not do to it. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  nodeProcess,
  residentBytes,
  switchesBetween,
  voluntarySwitches,
} from '../../bench/process-status.ts';
import { allowedCpus, buildPrograms, type LoadResult, ROOT, runProgram } from '../../bench/programs.ts';
import { pinMainThread, SERVICE_COMMAND, untilReadyLine } from '../../bench/service.ts';
import type { Limits, ServiceStatus } from '../../src/wire/control.ts';

export const ATTACKER_FOLDER = resolve(ROOT, 'build/hostile');
/** Lines of the chip that the victim has, and of the one of the attacked guest. */
const LINES = 32;

/**
 * The service's main thread has the first processor for itself. Victim, attackers and the service's other threads share the
 * second: the victim before all others, so that what is measured is how the service divides its own time, and not the
 * scheduler's choice whom to run. Attackers have a scheduling class that gives way at once (SCHED_IDLE); they get what is
 * left of the processor, which is nearly all of it, as the victim sleeps while it waits.
 */
const CPUS = allowedCpus();
export const SERVICE_CPU = CPUS[0]!;
export const PEER_CPU = CPUS[1] ?? SERVICE_CPU;

/** Builds attackers and victim, once for each file of tests. */
export function buildAttackers(): void {
  buildPrograms();
  mkdirSync(ATTACKER_FOLDER, { recursive: true });
  const make = ['make', '-s', '-C', resolve(ROOT, 'test/hostile/native'), `OUT=${ATTACKER_FOLDER}`];
  execFileSync('flock', [join(ATTACKER_FOLDER, 'lock'), ...make], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Waits until something holds. @throws Error that says what did not, after `limitMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(20);
  }
}

/** A service with a victim's device `victim`, another one `greedy` on lines of another chip, and a control socket. */
export class GreedyService {
  readonly folder: string;
  readonly pid: number;
  /** Of the log, as far as it has come. */
  readonly logLines: string[] = [];
  readonly #child: ChildProcess;

  static async start(configuration: Tree = {}): Promise<GreedyService> {
    const folder = mkdtempSync(join(tmpdir(), 'greedy-'));
    const file = join(folder, 'service.yaml');
    const base = {
      chips: { sim: { type: 'sim', lines: LINES }, other: { type: 'sim', lines: LINES } },
      exports: {
        victim: { socket: join(folder, 'victim.sock'), lines: ['sim/*'] },
        greedy: { socket: join(folder, 'greedy.sock'), lines: ['other/*'] },
      },
      control: { socket: join(folder, 'control.sock') },
      log: { lines: [] },
    };
    writeFileSync(file, JSON.stringify(merge(base, configuration)));
    const command = ['--pdeathsig', 'TERM', '--', SERVICE_COMMAND, 'serve', `--config=${file}`];
    const child = spawn('setpriv', command, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const lines: string[] = [];
    child.stderr!.setEncoding('utf8').on('data', (text: string) => lines.push(...text.trimEnd().split('\n')));
    try {
      const gone = new Promise<never>((_, reject) => {
        child.once('error', reject);
        child.once('close', (code) =>
          reject(new Error(`the service ended with ${code}: ${lines.join('\n')}`)),
        );
      });
      gone.catch(() => undefined);
      await Promise.race([untilReadyLine(child), gone]);
      if (child.exitCode !== null) throw new Error(`the service has ended: ${lines.join('\n')}`);
      child.stdout!.resume();
      return new GreedyService(folder, child, lines);
    } catch (error) {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(folder: string, child: ChildProcess, lines: string[]) {
    this.folder = folder;
    this.#child = child;
    this.logLines = lines;
    this.pid = nodeProcess(child.pid!);
    execFileSync('taskset', ['-a', '-p', '-c', String(PEER_CPU), String(this.pid)], { stdio: 'ignore' });
    pinMainThread(this.pid, [SERVICE_CPU]);
  }

  socket(name: 'victim' | 'greedy' | 'control'): string {
    return join(this.folder, `${name}.sock`);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Those of the service when nobody is connected, its own MQTT client excepted. */
  async descriptorsAtRest(): Promise<number> {
    await until('the MQTT client is connected', async () => (await this.status()).mqtt?.connected !== false);
    // A command that asked for the status has its connection for a moment longer.
    let least = this.descriptors;
    const end = performance.now() + 500;
    await until('half a second has gone', () => {
      least = Math.min(least, this.descriptors);
      return performance.now() > end;
    });
    return least;
  }

  get residentMiB(): number {
    return residentBytes(this.pid) / 2 ** 20;
  }

  /** What `rproc-gpio status --json` says. */
  async status(): Promise<ServiceStatus> {
    const environment = { ...process.env, RPROC_GPIO_SOCKET: this.socket('control') };
    const { stdout } = await promisify(execFile)(SERVICE_COMMAND, ['status', '--json'], { env: environment });
    return JSON.parse(stdout) as ServiceStatus;
  }

  /** Counters of a guest's device. */
  async guest(name: 'victim' | 'greedy'): Promise<ServiceStatus['exports'][number]['counters']> {
    return (await this.status()).exports.find((each) => each.name === name)!.counters;
  }

  /** What the peers of a socket had too much of. */
  async limits(of: 'victim' | 'greedy' | 'control' | 'mqtt'): Promise<Limits> {
    const status = await this.status();
    const { limits } =
      of === 'control'
        ? status.control!
        : of === 'mqtt'
          ? status.mqtt!
          : status.exports.find(({ name }) => name === of)!;
    return limits!;
  }

  /** An honest guest: SET_VALUE one at a time, every answer checked. */
  victim(requests = 3000, options: readonly string[] = []): Promise<LoadResult> {
    return this.honest('victim', requests, options);
  }

  /** A guest that asks one thing at a time of one of the devices. @throws Error when it has no answer */
  honest(of: 'victim' | 'greedy', requests: number, options: readonly string[] = []): Promise<LoadResult> {
    const path = `--socket-path=${this.socket(of)}`;
    const sizes = [`--requests=${requests}`, '--warmup=300', `--lines=${LINES}`, '--patience-seconds=20'];
    return runProgram<LoadResult>('loadgen', [path, ...sizes, ...options], PEER_CPU);
  }

  /** Waits until the whole process sleeps: not one voluntary context switch of any thread in 1.5 s. */
  async idle(limitMs = 25_000): Promise<void> {
    await until(
      'the service is idle again',
      async () => {
        const before = voluntarySwitches(this.pid);
        await delay(1500);
        return switchesBetween(before, voluntarySwitches(this.pid)) === 0;
      },
      limitMs,
    );
  }

  async close(): Promise<void> {
    const gone = new Promise((settle) => this.#child.once('close', settle));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

type Tree = Readonly<Record<string, unknown>>;

/** The second over the first, objects merged. */
function merge(base: Tree, over: Tree): Tree {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const both = typeof value === 'object' && value !== null && !Array.isArray(value) && key in base;
    result[key] = both ? merge(base[key] as Tree, value as Tree) : value;
  }
  return result;
}
