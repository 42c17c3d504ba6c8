import type { Stats } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultControlSocket, findControlSocket } from '../../src/client/control-socket.ts';

/** Files that are there, and whose they are. */
const files = new Map<string, number | 'EACCES'>();

vi.mock('node:fs', () => ({
  lstatSync: (path: string, options?: { readonly throwIfNoEntry?: boolean }): Partial<Stats> | undefined => {
    const uid = files.get(path);
    if (typeof uid === 'number') return { uid };
    if (uid === undefined && options?.throwIfNoEntry === false) return undefined;
    throw Object.assign(new Error(`lstat ${path}`), { code: uid ?? 'ENOENT' });
  },
}));

const SYSTEM = '/run/rproc-gpio/control.sock';
const OWN = '/run/user/1000/rproc-gpio/control.sock';

function as(uid: number, folder?: string, named?: string): void {
  vi.spyOn(process, 'getuid').mockReturnValue(uid);
  vi.stubEnv('XDG_RUNTIME_DIR', folder);
  vi.stubEnv('RPROC_GPIO_SOCKET', named);
}

beforeEach(() => files.clear());
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe('the default control socket', () => {
  it.each([
    [0, '/run/user/0', SYSTEM],
    [1000, '/run/user/1000', OWN],
    [1000, '', '/tmp/rproc-gpio-1000/control.sock'],
    [1000, undefined, '/tmp/rproc-gpio-1000/control.sock'],
  ])('of user %d with XDG_RUNTIME_DIR %s is %s', (uid, folder, expected) => {
    as(uid, folder);
    expect(defaultControlSocket()).toBe(expected);
  });
});

describe('the control socket that is looked for', () => {
  it('is the one that the environment names', () => {
    files.set(SYSTEM, 0);
    as(1000, '/run/user/1000', '/x.sock');
    expect(findControlSocket()).toBe('/x.sock');
    as(1000, '/run/user/1000', '');
    expect(findControlSocket()).toBe(SYSTEM);
  });

  it("is this user's own if it is there, else the system's, else where this user's would be", () => {
    as(1000, '/run/user/1000');
    expect(findControlSocket()).toBe(OWN);
    files.set(SYSTEM, 0);
    expect(findControlSocket()).toBe(SYSTEM);
    files.set(OWN, 1000);
    expect(findControlSocket()).toBe(OWN);
    files.set(SYSTEM, 'EACCES').delete(OWN);
    expect(findControlSocket()).toBe(OWN);
  });

  it('is none that another user has put where this one would look', () => {
    const path = '/tmp/rproc-gpio-1000/control.sock';
    as(1000);
    files.set(SYSTEM, 999).set(path, 1001);
    expect(findControlSocket()).toBe(SYSTEM);
    files.set(path, 0);
    expect(findControlSocket()).toBe(path);
  });
});
