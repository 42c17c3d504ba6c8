import { closeSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { listenUnix, NativeError } from '../../native.ts';
import { giveToGroup, groupId, removerOf, SocketGroupError } from '../socket-file.ts';

/**
 * The control socket cannot be made: `ERR_IN_USE` a service listens there, `ERR_GROUP` its group cannot have it, `ERR_SOCKET`
 * anything else about its place.
 */
export class ControlSocketError extends Error {
  readonly code: 'ERR_IN_USE' | 'ERR_GROUP' | 'ERR_SOCKET';

  constructor(code: ControlSocketError['code'], message: string) {
    super(message);
    this.name = 'ControlSocketError';
    this.code = code;
  }
}

/** Bits of a folder's mode: everybody may write in it; only to files of their own. */
const WRITABLE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

function errnoOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? error);
}

/** Makes the folder if it is not there: not the ones above it, which are nobody's business of ours. */
function makeFolder(folder: string, path: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EEXIST') return false;
    throw new ControlSocketError(
      'ERR_SOCKET',
      `control socket ${path}: the folder ${folder} is not there and cannot be made (${code}); make it, or choose another place with control.socket`,
    );
  }
}

/** Who can replace the socket can play the service: nobody but this user and root may. */
function checkFolder(folder: string, path: string): void {
  const refuse = (why: string): never => {
    throw new ControlSocketError(
      'ERR_SOCKET',
      `control socket ${path}: ${why}; choose another place with control.socket`,
    );
  };
  const status = statSync(folder);
  if (!status.isDirectory()) return refuse(`${folder} is not a folder`);
  const mine = process.getuid?.() ?? 0;
  for (const { uid } of [status, lstatSync(folder)]) {
    if (uid !== mine && uid !== 0) refuse(`${folder} belongs to another user (${uid})`);
  }
  if ((status.mode & WRITABLE_BY_OTHERS) !== 0 && (status.mode & STICKY) === 0)
    refuse(`others may replace files in ${folder}`);
}

function listen(path: string): number {
  try {
    return listenUnix(path, 0o600, 128);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    if (error.code === 'EADDRINUSE')
      throw new ControlSocketError('ERR_IN_USE', `a service runs already on ${path}`);
    throw new ControlSocketError('ERR_SOCKET', `control socket: ${error.message}`);
  }
}

/** A socket that is being listened on. */
export interface ListeningSocket {
  readonly fd: number;
  /** Removes the socket file, if it is still this one; idempotent. The descriptor is its owner's to close. */
  remove(): void;
}

/**
 * Listens at a path, mode 0600, or 0660 for a group. Makes the folder (0700, for a group 0750) if it is missing; replaces the
 * socket of a service that ended without removing it.
 * @throws ControlSocketError
 */
export function openListeningSocket(path: string, group?: string): ListeningSocket {
  try {
    return open(path, group);
  } catch (error) {
    if (error instanceof SocketGroupError) throw new ControlSocketError('ERR_GROUP', error.message);
    throw error;
  }
}

function open(path: string, group?: string): ListeningSocket {
  const folder = dirname(path);
  const gid = group === undefined ? null : groupId(group, `control socket ${path}`);
  const isMade = makeFolder(folder, path);
  checkFolder(folder, path);
  const give = (given: string, mode: number): void => {
    if (group !== undefined && gid !== null) giveToGroup(given, gid, mode, group, 'control socket');
  };
  if (isMade) give(folder, 0o750);
  const fd = listen(path);
  const remove = removerOf(path);
  try {
    // Until then nobody but this user can connect.
    give(path, 0o660);
  } catch (error) {
    remove();
    closeSync(fd);
    throw error;
  }
  return { fd, remove };
}
