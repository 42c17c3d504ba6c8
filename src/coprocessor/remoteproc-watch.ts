import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { KernelLog, type KernelRecord } from './kernel-log.ts';
import type { RemoteprocEntry, RemoteprocState, RemoteprocSystem } from './remoteproc-sysfs.ts';
import { Uevents } from './uevents.ts';

/**
 * How often the state is read while the co-processor is not up and the kernel's log cannot be followed. While it is up nothing
 * ticks: requests that time out tell.
 */
export const LOOK_INTERVAL_MS = 1000;

/**
 * What the kernel's log says at each change of the state, and only after it (drivers/remoteproc/remoteproc_core.c). What a
 * kernel to come says otherwise costs nothing but the states in between: the file is read in any case.
 */
const SAID: readonly (readonly [RegExp, RemoteprocState])[] = [
  [/^(?:remoteproc \S+: )?remote processor .* is now up$/, 'running'],
  [/^(?:remoteproc \S+: )?remote processor .* is now attached$/, 'attached'],
  [/^(?:remoteproc \S+: )?stopped remote processor /, 'offline'],
  [/^(?:remoteproc \S+: )?detached remote processor /, 'detached'],
  [/^(?:remoteproc \S+: )?handling crash #/, 'crashed'],
];

/** How the kernel's log names a device: `c250:0` where it has a character device, `+remoteproc:remoteproc0` else. */
function deviceNames({ entry, folder }: RemoteprocEntry): string[] {
  const names = [`+remoteproc:${entry}`];
  try {
    names.push(`c${readFileSync(join(folder, 'dev'), 'utf8').trim()}`);
  } catch {
    // No character device (CONFIG_REMOTEPROC_CDEV).
  }
  return names;
}

export interface WatchListener {
  /** The kernel said so; further ones may follow. */
  said(state: RemoteprocState): void;
  /** Something may have happened: read the state. */
  look(): void;
}

/**
 * Tells when the state of a remote processor may have changed. The kernel notifies nobody of `state` (no sysfs_notify, no
 * uevent), and inotify does not work on sysfs. What there is:
 *
 * - its log, /dev/kmsg, which can be polled: each change is a message about the remote processor's device. Also
 *   tells what was between two looks (a crash that the kernel recovered from at once). Needs CAP_SYSLOG on most systems;
 * - uevents, when the remote processor is removed and when its vdevs come and go. Needs no privilege;
 * - without the log: a look each {@link LOOK_INTERVAL_MS} while it is not up ({@link idle}), and none while it is.
 */
export class RemoteprocWatch {
  readonly #listener: WatchListener;
  readonly #devices: readonly string[];
  #log: KernelLog | null = null;
  #uevents: Uevents | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isUp = true;
  #closed = false;
  /** Why the log cannot be followed; null when it is. */
  logFailure: string | null = null;

  constructor(entry: RemoteprocEntry, system: RemoteprocSystem, listener: WatchListener) {
    this.#listener = listener;
    this.#devices = deviceNames(entry);
    try {
      this.#log = new KernelLog(
        system.kernelLog,
        (record) => this.#record(record),
        () => listener.look(),
        () => this.#logLost(),
      );
    } catch (error) {
      this.logFailure = (error as Error).message;
    }
    if (!system.uevents) return;
    try {
      this.#uevents = new Uevents(({ action, subsystem }) => {
        if (action === 'lost' || ['remoteproc', 'virtio', 'platform'].includes(subsystem)) listener.look();
      });
    } catch {
      // Without them the log, or the interval, says as much, later.
    }
  }

  #record({ text, subsystem, device }: KernelRecord): void {
    if (subsystem !== 'remoteproc' || !this.#devices.includes(device)) return;
    const said = SAID.find(([pattern]) => pattern.test(text));
    if (said !== undefined) this.#listener.said(said[1]);
  }

  #logLost(): void {
    this.logFailure = 'the kernel ended it';
    this.#log = null;
    this.#listener.look();
    this.#arm();
  }

  /** Tells what the kernel has said until now. */
  readLog(): void {
    this.#log?.read();
  }

  /** Whether the co-processor is up: without the log, one that is not is looked at now and then. */
  up(isUp: boolean): void {
    this.#isUp = isUp;
    this.#arm();
  }

  #arm(): void {
    const isWanted = !this.#isUp && this.#log === null && !this.#closed;
    if (!isWanted && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    } else if (isWanted && this.#timer === null) {
      this.#timer = setInterval(() => this.#listener.look(), LOOK_INTERVAL_MS);
      this.#timer.unref();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    this.#arm();
    this.#log?.close();
    this.#uevents?.close();
  }
}
