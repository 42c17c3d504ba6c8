import {
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { groupId, removerOf, SocketGroupError } from '../../src/exporters/socket-file.ts';
import { VirtioGpioDevice } from '../../src/exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../../src/exporters/virtio-gpio/server.ts';
import { listenUnix } from '../../src/native.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { scratchFolder } from '../cli/command-process.ts';

function server(): VhostUserServer {
  const poller = new Poller();
  const device = new VirtioGpioDevice({ name: 'vm1', lines: [], poller, pollUs: 0, onLog: () => {} });
  const made = new VhostUserServer({ device, onLog: () => {} });
  onTestFinished(() => {
    made.close();
    poller.close();
  });
  return made;
}

const mode = (path: string): number => statSync(path).mode & 0o777;

describe("a guest's socket", () => {
  it('is for its user only, or for a group', () => {
    const path = join(scratchFolder(), 'vm1.sock');
    const own = server();
    own.listen(path);
    expect(mode(path)).toBe(0o600);
    own.close();
    expect(existsSync(path)).toBe(false);
    const gid = process.getgid?.() ?? 0;
    server().listen(path, String(gid));
    expect([mode(path), statSync(path).gid]).toEqual([0o660, gid]);
  });

  it('is refused, and not left behind, for a group that is not there', () => {
    const path = join(scratchFolder(), 'vm1.sock');
    expect(() => server().listen(path, 'no-such-group')).toThrow(
      new SocketGroupError(
        `socket ${path}: there is no group 'no-such-group' in /etc/group; name one of it, or give its number`,
      ),
    );
    expect(existsSync(path)).toBe(false);
  });

  it('leaves alone what is no socket: a file, and a symbolic link to one or to nothing', () => {
    const folder = scratchFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    for (const [name, target] of [
      ['link', file],
      ['dangling', join(folder, 'nothing')],
    ] as const) {
      symlinkSync(target, join(folder, name));
      expect(() => server().listen(join(folder, name))).toThrow('something else than a socket');
      expect(lstatSync(join(folder, name)).isSymbolicLink()).toBe(true);
    }
    expect(() => server().listen(file)).toThrow('something else than a socket');
    expect(statSync(file).size).toBe(8);
    expect(existsSync(join(folder, 'nothing'))).toBe(false);
  });

  it.runIf(process.getuid?.() === 0)(
    'leaves the dead socket of another user alone, though it might remove it',
    () => {
      const path = join(scratchFolder(), 'vm1.sock');
      closeSync(listenUnix(path));
      chownSync(path, 65534, 65534);
      expect(() => server().listen(path)).toThrow(
        'there is a socket of another user at this path; it was left alone',
      );
      expect(lstatSync(path).uid).toBe(65534);
    },
  );

  it('is not removed when somebody else’s lies there by now', () => {
    const path = join(scratchFolder(), 'vm1.sock');
    const first = server();
    first.listen(path);
    unlinkSync(path);
    server().listen(path);
    first.close();
    expect(existsSync(path)).toBe(true);
  });
});

describe('groupId', () => {
  it('knows names of /etc/group, and numbers', () => {
    expect([groupId('root', 'x'), groupId('4711', 'x')]).toEqual([0, 4711]);
  });
});

describe('removerOf', () => {
  it('removes once', () => {
    const path = join(scratchFolder(), 'file');
    writeFileSync(path, '');
    const remove = removerOf(path);
    remove();
    writeFileSync(path, 'another');
    remove();
    remove();
    expect(existsSync(path)).toBe(true);
  });
});
