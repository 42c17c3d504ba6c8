import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { LabProcess } from '../e2e/lab/lab-process.ts';
import { REPOSITORY, requireFile } from '../e2e/lab/prerequisites.ts';
import { type Journal, nowNs, Violation } from './killing-journal.ts';

/** What a process holds. */
export interface Holdings {
  readonly descriptors: number;
  /** Of memory shared with guests and co-processors; not what V8 takes for itself. */
  readonly sharedMappings: number;
  readonly residentKib: number;
  readonly threads: number;
}

function statusField(pid: number, field: string): string {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
}

/** Name and state of a process; null when it is not there any more. */
function processState(pid: number): { readonly name: string; readonly state: string } | null {
  try {
    return { name: statusField(pid, 'Name'), state: statusField(pid, 'State').slice(0, 1) };
  } catch {
    return null;
  }
}

/** The service, started again and again as systemd does it, and the firmware that it starts. */
export class ServiceParty {
  readonly #config: string;
  readonly #journal: Journal;
  #process: LabProcess | null = null;
  #isReady = false;
  /** The firmware that was seen; of all but the present one nothing may be left. */
  readonly #firmware = new Set<number>();
  starts = 0;

  constructor(config: string, journal: Journal) {
    this.#config = config;
    this.#journal = journal;
  }

  /** Without waiting for anything. */
  start(): void {
    this.starts++;
    this.#isReady = false;
    const program = requireFile(join(REPOSITORY, 'bin/rproc-gpio'), 'npm run build');
    const process = new LabProcess({ name: 'service', command: [program, 'serve', '-c', this.#config] });
    this.#process = process;
    this.#journal.note('service', `started as ${process.pid}`);
    process.stdout.follow(
      (line) => {
        this.#journal.note('service', line);
        if (line.startsWith('ready') && this.#process === process) this.#isReady = true;
      },
      () => {},
    );
    process.stderr.follow(
      (line) => this.#journal.note('service', line),
      (reason) => this.#journal.note('service', reason),
    );
  }

  /** Ready. @throws Violation when it ended by itself */
  get isReady(): boolean {
    const ended = this.#process?.ended;
    if (ended !== undefined) throw new Violation(`${ended}:\n${this.#process?.stderr.tail()}`);
    return this.#isReady;
  }

  get log(): readonly string[] {
    return this.#process?.stderr.lines ?? [];
  }

  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.firmware();
    this.#process = null;
    this.#isReady = false;
    process.kill('SIGKILL');
    await process.exited;
  }

  freeze(isFrozen: boolean): void {
    this.#process?.kill(isFrozen ? 'SIGSTOP' : 'SIGCONT');
  }

  /** The processes that it has started and that live. @throws Violation when one is a zombie */
  firmware(): number[] {
    if (this.#process === null || this.#process.ended !== undefined) return [];
    let children = '';
    try {
      children = readFileSync(`/proc/${this.#process.pid}/task/${this.#process.pid}/children`, 'latin1');
    } catch {
      return [];
    }
    const pids = children.trim().split(' ').filter(Boolean).map(Number);
    // Between fork and exec it is another node.
    const firmware = pids.filter((pid) => processState(pid)?.name === 'sensor-hub');
    for (const pid of firmware) this.#firmware.add(pid);
    return firmware;
  }

  /** Whether it has one child, which is no zombie, and nothing is left of earlier firmware. @returns what is not so */
  untidiness(): string | null {
    if (this.#process === null) return 'there is no service';
    const children = readFileSync(`/proc/${this.#process.pid}/task/${this.#process.pid}/children`, 'latin1');
    const pids = children.trim().split(' ').filter(Boolean).map(Number);
    if (pids.length !== 1) return `the service has ${pids.length} children: ${children}`;
    for (const pid of new Set([...pids, ...this.#firmware])) {
      const state = processState(pid);
      if (state === null || (!pids.includes(pid) && state.name !== 'sensor-hub')) {
        this.#firmware.delete(pid);
      } else if (state.state === 'Z' || !pids.includes(pid)) {
        return `process ${pid} (${state.name}, ${state.state}) is left`;
      }
    }
    return null;
  }

  /** Signals the firmware. @returns the process; 0 when there is none */
  signalFirmware(signal: NodeJS.Signals): number {
    const [pid = 0] = this.firmware();
    if (pid === 0) return 0;
    this.#journal.note('firmware', `${signal} to ${pid}`);
    process.kill(pid, signal);
    return pid;
  }

  /** Of a firmware that may be gone meanwhile. */
  thaw(pid: number): void {
    if (processState(pid)?.name !== 'sensor-hub') return;
    this.#journal.note('firmware', `SIGCONT to ${pid}`);
    process.kill(pid, 'SIGCONT');
  }

  holdings(): Holdings {
    const pid = this.#process?.pid ?? 0;
    return {
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      sharedMappings: readFileSync(`/proc/${pid}/maps`, 'latin1').match(/memfd:|\.resume$/gm)?.length ?? 0,
      residentKib: Number.parseInt(statusField(pid, 'VmRSS'), 10),
      threads: Number(statusField(pid, 'Threads')),
    };
  }

  /** What its descriptors are, for a message. */
  descriptors(): string {
    const folder = `/proc/${this.#process?.pid ?? 0}/fd`;
    const kinds = new Map<string, number>();
    for (const fd of readdirSync(folder)) {
      const kind = readlinkSync(join(folder, fd)).replace(/\[\d+\]$/, '');
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    return [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  /** Ends it in order. @returns its exit code */
  async stop(): Promise<number | null> {
    const process = this.#process;
    await process?.close();
    return process?.exitCode ?? null;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#process?.close();
  }
}

/** When something was begun, to tell how long it took. */
export function elapsedMs(sinceNs: number): number {
  return (nowNs() - sinceNs) / 1e6;
}
