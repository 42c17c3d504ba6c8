import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RemoteprocState, RemoteprocSystem } from '../../src/coprocessor/remoteproc-sysfs.ts';
import { scratchFolder, textFile } from './scratch-folder.ts';

/** An error as a system call makes it. */
export function errnoError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: the fake kernel says so`), { code });
}

/** The kernel's remoteproc as far as it can be told from outside: a folder of attributes, its log, its rules. */
export class FakeRemoteproc {
  readonly sysfsRoot = scratchFolder();
  readonly system: RemoteprocSystem;
  /** What was written, as `attribute=value`. */
  readonly writes: string[] = [];
  /** Firmware that the kernel finds. */
  readonly firmware = new Set(['hub.elf', 'other.elf']);
  /** Errno's name by what is written, `state=start`: what the kernel refuses. */
  readonly refused = new Map<string, string>();
  readonly #logFd: number;
  /** How often each was started, less how often it was stopped. */
  readonly #power = new Map<string, number>();
  #sequence = 0;

  /** @param hasLog false: the kernel's log cannot be followed */
  constructor(hasLog = true) {
    const pipe = join(this.sysfsRoot, 'kmsg');
    this.system = {
      sysfsRoot: this.sysfsRoot,
      kernelLog: hasLog ? pipe : join(this.sysfsRoot, 'no-kmsg'),
      uevents: false,
      write: (path, value) => this.#write(path, value),
    };
    execFileSync('mkfifo', [pipe]);
    // Open at both ends, so that neither end of the pipe is ever missing.
    this.#logFd = openSync(pipe, constants.O_RDWR);
  }

  add(entry: string, name: string, state: RemoteprocState): void {
    const attributes = { name, state, firmware: 'hub.elf', recovery: 'enabled', dev: `250:${entry.at(-1)}` };
    for (const [attribute, value] of Object.entries(attributes)) this.set(entry, attribute, value);
  }

  #folder(entry: string): string {
    return join(this.sysfsRoot, 'class/remoteproc', entry);
  }

  /** As if somebody else had done it. */
  set(entry: string, attribute: string, value: string): void {
    if (attribute === 'state') this.#power.delete(entry);
    this.#put(entry, attribute, value);
  }

  #put(entry: string, attribute: string, value: string): void {
    textFile(join(this.#folder(entry), attribute), `${value}\n`);
  }

  get(entry: string, attribute: string): string {
    return readFileSync(join(this.#folder(entry), attribute), 'utf8').trim();
  }

  remove(entry: string): void {
    rmSync(this.#folder(entry), { recursive: true });
  }

  /** One record of the kernel's log. The reader must have read the one before: a pipe has no records. */
  log(entry: string, text: string, subsystem = 'remoteproc'): void {
    this.#sequence += 1;
    const device = `c250:${entry.at(-1)}`;
    writeSync(this.#logFd, `6,${this.#sequence},0,-;${text}\n SUBSYSTEM=${subsystem}\n DEVICE=${device}\n`);
  }

  async #write(path: string, value: string): Promise<void> {
    const [entry, attribute] = [basename(dirname(path)), basename(path)];
    this.writes.push(`${attribute}=${value}`);
    // The kernel answers later.
    await new Promise(setImmediate);
    const refused = this.refused.get(`${attribute}=${value}`);
    if (refused !== undefined) throw errnoError(refused);
    if (attribute !== 'state') {
      if (value === 'recover' || (value === 'enabled' && this.get(entry, 'state') === 'crashed'))
        return this.#put(entry, 'state', 'running');
      return this.#put(entry, attribute, value);
    }
    this.#put(entry, 'state', this.#next(entry, value));
  }

  /** drivers/remoteproc/remoteproc_core.c: rproc_boot, rproc_shutdown, rproc_detach. */
  #next(entry: string, value: string): string {
    const state = this.get(entry, 'state');
    const power = this.#power.get(entry) ?? (state === 'running' || state === 'attached' ? 1 : 0);
    if (value === 'start') {
      this.#power.set(entry, power + 1);
      if (power > 0) return state;
      if (state === 'detached') return 'attached';
      if (!this.firmware.has(this.get(entry, 'firmware'))) {
        this.#power.set(entry, power);
        throw errnoError('ENOENT');
      }
      return 'running';
    }
    if (power === 0) throw errnoError('EINVAL');
    this.#power.set(entry, power - 1);
    if (power > 1) return state;
    return value === 'stop' ? 'offline' : 'detached';
  }

  close(): void {
    closeSync(this.#logFd);
  }
}
