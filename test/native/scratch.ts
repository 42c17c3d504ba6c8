import { closeSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder for sockets that goes with the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-native-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Closes the descriptor when the test ends; one that the test closed itself is not an error. */
export function closeAfterTest(fd: number): number {
  onTestFinished(() => {
    try {
      closeSync(fd);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBADF') throw error;
    }
  });
  return fd;
}

/** What the process' descriptors refer to, by number. */
export function openDescriptors(): Map<number, string> {
  const open = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      open.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch (error) {
      // The listing holds the descriptor that was used for listing, too.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return open;
}

/** How many mappings of this process have `name` in /proc/self/maps. */
export function mappingsNamed(name: string): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes(name)).length;
}

/** File status flags and descriptor flags (octal, as the kernel prints them). */
export function descriptorFlags(fd: number): number {
  const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  if (flags === undefined) throw new Error(`no flags in fdinfo of descriptor ${fd}`);
  return Number.parseInt(flags, 8);
}

/** open(2) flags as /proc/PID/fdinfo shows them, on all architectures that Node runs on. */
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
