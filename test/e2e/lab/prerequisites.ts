import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout that the tests run in. */
export const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Something the lab needs is not there; the message names the command that mends it. */
export class PrerequisiteError extends Error {
  readonly code = 'E_LAB_PREREQUISITE';
}

/** What test/e2e/setup.sh prepared. All paths are absolute. */
export interface Prerequisites {
  /** User-Mode Linux with gpio-virtio and rpmsg built in. */
  readonly umlKernel: string;
  /** x86-64 `vmlinux` with a PVH entry point, which QEMU boots directly. */
  readonly x86Kernel: string;
  /** qemu-system-arm, version 10 or later. */
  readonly qemuArm: string;
  /** qemu-system-x86_64, version 10 or later. */
  readonly qemuX86: string;
  /** `-L` arguments that an unpacked QEMU needs to find its ROMs; empty for an installed one. */
  readonly qemuDataArguments: readonly string[];
  /** qemu-system-x86_64, version 7: its vhost-user-gpio-pci can reconnect, and has no interrupts. */
  readonly qemuReconnecting: string;
  /** `-L` arguments for {@link qemuReconnecting}. */
  readonly qemuReconnectingDataArguments: readonly string[];
  /** The broker; `mosquitto_passwd` lies in the bin folder beside its own. */
  readonly mosquitto: string;
}

const SETUP = 'bash test/e2e/setup.sh';

/**
 * Reads lab.env from the cache.
 *
 * @throws PrerequisiteError when it or a file that it names is missing: a missing lab is a failed test, never a skipped one.
 */
export function prerequisites(): Prerequisites {
  const file = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'rproc-gpio/e2e/lab.env');
  if (!existsSync(file)) throw new PrerequisiteError(`${file} is missing: run ${SETUP}`);
  const values = new Map<string, string>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const separator = line.indexOf('=');
    if (separator > 0) values.set(line.slice(0, separator), line.slice(separator + 1));
  }
  const pathOf = (key: string): string => {
    const path = values.get(key);
    if (!path) throw new PrerequisiteError(`${file} does not name ${key}: run ${SETUP} again`);
    requireFile(path, SETUP);
    return path;
  };
  const folderArguments = (key: string): string[] =>
    (values.get(key) ?? '')
      .split(':')
      .filter((folder) => folder !== '')
      .flatMap((folder) => ['-L', folder]);
  return {
    umlKernel: pathOf('UML_KERNEL'),
    x86Kernel: pathOf('X86_KERNEL'),
    qemuArm: pathOf('QEMU_ARM'),
    qemuX86: pathOf('QEMU_X86'),
    qemuDataArguments: folderArguments('QEMU_DATA'),
    qemuReconnecting: pathOf('QEMU_RECONNECTING'),
    qemuReconnectingDataArguments: folderArguments('QEMU_RECONNECTING_DATA'),
    mosquitto: pathOf('MOSQUITTO'),
  };
}

/** @throws PrerequisiteError naming `mendingCommand` when there is no file at `path`. */
export function requireFile(path: string, mendingCommand: string): string {
  if (!existsSync(path)) throw new PrerequisiteError(`${path} is missing: run ${mendingCommand}`);
  return path;
}
