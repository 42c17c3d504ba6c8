import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from 'node:fs';

/** A socket cannot be had by the group that it is for. */
export class SocketGroupError extends Error {
  readonly code = 'ERR_GROUP';
  constructor(message: string) {
    super(message);
    this.name = 'SocketGroupError';
  }
}

/**
 * Number of a group, by its name (group(5)) or in digits.
 * @param what names the socket in the message
 * @throws SocketGroupError
 */
export function groupId(group: string, what: string): number {
  if (/^\d{1,9}$/.test(group)) return Number(group);
  // What another source of groups knows (nsswitch.conf) is not asked: that takes the C library, and a number does as well.
  const groups = readFileSync('/etc/group', 'utf8').split('\n');
  const entry = groups.map((line) => line.split(':')).find(([name]) => name === group);
  if (entry !== undefined && /^\d+$/.test(entry[2] ?? '')) return Number(entry[2]);
  throw new SocketGroupError(
    `${what}: there is no group '${group}' in /etc/group; name one of it, or give its number`,
  );
}

/**
 * Gives a path to a group.
 * @param what names the kind of socket in the message
 * @throws SocketGroupError that names the group
 */
export function giveToGroup(path: string, gid: number, mode: number, group: string, what: string): void {
  try {
    chownSync(path, -1, gid);
    chmodSync(path, mode);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new SocketGroupError(
      `${what}: ${path} cannot be given to group '${group}' (${errno}); the service's user must be in that group`,
    );
  }
}

/** @returns what removes the file at a path, if it is still the one that is there now; idempotent */
export function removerOf(path: string): () => void {
  const { ino, dev } = lstatSync(path);
  let isRemoved = false;
  return () => {
    // The number may be another file's by now.
    if (isRemoved) return;
    isRemoved = true;
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there?.ino === ino && there.dev === dev) unlinkSync(path);
  };
}
