import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ControlSocketError, openListeningSocket } from '../../../src/exporters/control/listening-socket.ts';
import { listenUnix } from '../../../src/native.ts';
import { RawClient } from './raw-client.ts';
import { scratchFolder, serve } from './served-control.ts';

const mode = (path: string) => statSync(path).mode & 0o777;

function open(path: string, group?: string) {
  const listening = openListeningSocket(path, group);
  onTestFinished(() => {
    listening.remove();
    closeSync(listening.fd);
  });
  return listening;
}

/** Code and message with which it is refused. */
function refusal(path: string, group?: string): [string, string] {
  try {
    open(path, group);
  } catch (error) {
    if (error instanceof ControlSocketError) return [error.code, error.message];
    throw error;
  }
  return ['', 'not refused'];
}

describe('the control socket', () => {
  it('is for its user only, in a folder for its user only', () => {
    const path = join(scratchFolder(), 'new', 'control.sock');
    const { remove } = open(path);
    expect(mode(path)).toBe(0o600);
    expect(mode(join(path, '..'))).toBe(0o700);
    remove();
    remove();
    expect(existsSync(path)).toBe(false);
    expect(existsSync(join(path, '..'))).toBe(true);
  });

  it('leaves a folder that is there as it is', () => {
    const folder = join(scratchFolder(), 'there');
    mkdirSync(folder, { mode: 0o755 });
    open(join(folder, 'control.sock'));
    expect(mode(folder)).toBe(0o755);
  });

  it('is for a group, by name or number', () => {
    const gid = process.getgid?.() ?? 0;
    const path = join(scratchFolder(), 'new', 'control.sock');
    open(path, String(gid));
    expect(mode(path)).toBe(0o660);
    expect(mode(join(path, '..'))).toBe(0o750);
    expect(lstatSync(path).gid).toBe(gid);
    expect(statSync(join(path, '..')).gid).toBe(gid);
    const other = join(scratchFolder(), 'control.sock');
    // Who may give files to any group is root; the others are in one of /etc/group, mostly.
    open(other, gid === 0 ? 'root' : String(gid));
    expect(lstatSync(other).gid).toBe(gid);
  });

  it('names a group that is not there, and makes nothing', () => {
    const path = join(scratchFolder(), 'new', 'control.sock');
    expect(refusal(path, 'no-such-group')).toEqual([
      'ERR_GROUP',
      `control socket ${path}: there is no group 'no-such-group' in /etc/group; name one of it, or give its number`,
    ]);
    expect(existsSync(join(path, '..'))).toBe(false);
  });

  it('replaces the socket of a service that is dead, not of one that lives', async () => {
    const path = join(scratchFolder(), 'control.sock');
    closeSync(listenUnix(path));
    expect(existsSync(path)).toBe(true);
    await serve({ path });
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
    expect(refusal(path)).toEqual(['ERR_IN_USE', `a service runs already on ${path}`]);
    await expect(serve({ path })).rejects.toThrow(`a service runs already on ${path}`);
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
  });

  it('leaves alone what is no socket', () => {
    const path = join(scratchFolder(), 'control.sock');
    writeFileSync(path, 'mine');
    const [code, message] = refusal(path);
    expect(code).toBe('ERR_SOCKET');
    expect(message).toMatch(/something else than a socket/);
    expect(statSync(path).size).toBe(4);
  });

  it('removes only its own file', async () => {
    const path = join(scratchFolder(), 'control.sock');
    const { server } = await serve({ path });
    rmSync(path);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    onTestFinished(() => {
      other.close();
    });
    await server.close();
    expect(existsSync(path)).toBe(true);
  });

  it('says which folder is missing', () => {
    const path = join(scratchFolder(), 'a', 'b', 'control.sock');
    expect(refusal(path)).toEqual([
      'ERR_SOCKET',
      `control socket ${path}: the folder ${join(path, '..')} is not there and cannot be made (ENOENT); make it, or choose another place with control.socket`,
    ]);
    expect(refusal('/proc/rproc-gpio/control.sock')[0]).toBe('ERR_SOCKET');
    expect(refusal(join(scratchFolder(), 'x'.repeat(120)))[1]).toMatch(/at most 107 bytes/);
    const file = join(scratchFolder(), 'file');
    writeFileSync(file, '');
    expect(refusal(join(file, 'control.sock'))[1]).toMatch(/is not a folder|cannot be made/);
  });

  it('is not made where others could replace it', () => {
    const folder = join(scratchFolder(), 'open');
    mkdirSync(folder);
    // The umask does not count here.
    const all = join(folder, 'control.sock');
    chmodSync(folder, 0o777);
    expect(refusal(all)).toEqual([
      'ERR_SOCKET',
      `control socket ${all}: others may replace files in ${folder}; choose another place with control.socket`,
    ]);
    chmodSync(folder, 0o1777);
    open(all);
    const link = join(scratchFolder(), 'link');
    symlinkSync(folder, link);
    open(join(link, 'other.sock'));
  });

  it('is not made in a folder of another user', () => {
    const folder = join(scratchFolder(), 'theirs');
    mkdirSync(folder);
    const give = () => chownSync(folder, 12_345, -1);
    // Only root can make such a folder; then it is refused to root, too.
    if (process.getuid?.() !== 0) return expect(give).toThrow('EPERM');
    give();
    expect(refusal(join(folder, 'control.sock'))[1]).toMatch(/belongs to another user \(12345\)/);
  });
});
