import { lstatSync } from 'node:fs';
import { join } from 'node:path';

/** Where a service of root, or of the system, listens. */
const SYSTEM_SOCKET = '/run/rproc-gpio/control.sock';

function userId(): number {
  return process.getuid?.() ?? 0;
}

/** Where a service of this user listens unless told otherwise. */
export function defaultControlSocket(): string {
  const uid = userId();
  if (uid === 0) return SYSTEM_SOCKET;
  const { XDG_RUNTIME_DIR } = process.env;
  if (XDG_RUNTIME_DIR) return join(XDG_RUNTIME_DIR, 'rproc-gpio', 'control.sock');
  return `/tmp/rproc-gpio-${uid}/control.sock`;
}

/** Whether there is a socket that this user, or root, made: in /tmp anybody could have. */
function isThere(path: string): boolean {
  try {
    const { uid } = lstatSync(path);
    return uid === userId() || uid === 0;
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Where to ask: `$RPROC_GPIO_SOCKET`; else this user's service if there is one, else the system's, else this user's. */
export function findControlSocket(): string {
  const { RPROC_GPIO_SOCKET } = process.env;
  if (RPROC_GPIO_SOCKET) return RPROC_GPIO_SOCKET;
  const own = defaultControlSocket();
  if (isThere(own)) return own;
  try {
    return exists(SYSTEM_SOCKET) ? SYSTEM_SOCKET : own;
  } catch {
    // Its folder is not for this user: the default's message says what to do.
    return own;
  }
}
