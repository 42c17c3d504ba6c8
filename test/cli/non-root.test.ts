import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_VALUE } from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, PROGRAM, run, scratchFolder } from './command-process.ts';

// Whole services, several a test, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

/** Nobody's on this machine, as far as anybody knows. */
const SERVICE = 61_234;
const GUEST = 61_235;
const STRANGER = 61_236;
/** A group that service and guest are in. */
const GROUP = 61_300;

/** A folder of the service's own. Its parents can be entered by everybody, as /run can. */
function runtimeFolder(): string {
  const parent = scratchFolder();
  chmodSync(parent, 0o755);
  const folder = join(parent, 'run');
  mkdirSync(folder);
  chownSync(folder, SERVICE, GROUP);
  chmodSync(folder, 0o755);
  return folder;
}

/** Runs something as another user, without a capability, and without a way to get any. */
function as(uid: number, groups: readonly number[], command: readonly string[]): string[] {
  const all = groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join(',')];
  return [
    '--reuid',
    String(uid),
    '--regid',
    String(uid),
    ...all,
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
    ...command,
  ];
}

function command(uid: number, groups: readonly number[], args: readonly string[], cwd: string) {
  const env = { RPROC_GPIO_SOCKET: join(cwd, 'control.sock'), HOME: cwd };
  return new CommandProcess(as(uid, groups, [PROGRAM, ...args]), { program: 'setpriv', cwd, env });
}

const CONFIG = (folder: string, group = '') => `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: [${HOST_FIRMWARE}, '--pins=${folder}/pins'] }
chips: { hub: { coprocessor: hub }, sim: { type: sim, lines: 4 } }
mqtt: { broker: embedded, port: 0 }
control: { socket: control.sock${group === '' ? '' : `, group: '${group}'`} }
exports: { vm1: { socket: vm1.sock${group === '' ? '' : `, group: '${group}'`}, lines: ['sim/*', hub/BUTTON] } }
`;

/** Whether a user can connect to a socket: what connect(2) says. */
async function connects(uid: number, groups: readonly number[], path: string): Promise<string> {
  const script = `require('node:net').connect(process.argv[1])
    .on('connect', () => { console.log('connected'); process.exit(); })
    .on('error', (error) => { console.log(error.code); process.exit(); });`;
  const { stdout } = await run(as(uid, groups, [process.execPath, '-e', script, path]), {
    program: 'setpriv',
  });
  return stdout.trim();
}

describe.runIf(process.getuid?.() === 0)(
  'the service of a user that is not root, without any capability',
  () => {
    it('serves guests, firmware, MQTT and commands from a folder of its own; nobody else can connect', async () => {
      const cwd = runtimeFolder();
      writeFileSync(join(cwd, 'rproc-gpio.yaml'), CONFIG(cwd));
      const service = command(SERVICE, [], ['serve'], cwd);
      await service.until(/^ready/m);
      const status = readFileSync(`/proc/${service.child.pid}/status`, 'utf8');
      expect(status).toMatch(/^Uid:\s+61234\s+61234\s+61234\s+61234$/m);
      expect(status).toMatch(/^CapPrm:\s+0+$/m);
      expect(status).toMatch(/^CapBnd:\s+0+$/m);
      const guest = await VhostUserFrontEnd.connect({ socketPath: join(cwd, 'vm1.sock'), timeoutMs: 10_000 });
      onTestFinished(() => guest.close());
      expect((await guest.request(MSG_SET_VALUE, 0, 1)).status).toBe(0);
      expect((await guest.request(MSG_SET_DIRECTION, 0, 1)).status).toBe(0);
      expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
      expect((await guest.request(MSG_GET_VALUE, 4)).status).toBe(0);
      for (const name of ['vm1.sock', 'vm1.sock.resume', 'control.sock']) {
        const { uid, mode } = statSync(join(cwd, name));
        expect([name, uid, (mode & 0o777).toString(8)]).toEqual([name, SERVICE, '600']);
      }
      const own = command(SERVICE, [], ['get', 'sim/sim1'], cwd);
      expect(await own.exit()).toBe(0);
      expect(own.stdout).toContain('active');
      for (const name of ['vm1.sock', 'control.sock'])
        expect(await connects(STRANGER, [], join(cwd, name))).toBe('EACCES');
      const stranger = command(STRANGER, [], ['get', 'sim/sim1'], cwd);
      expect(await stranger.exit()).toBe(1);
      expect(service.stderr).not.toMatch(/^(warn|error):/m);
      expect(await service.terminate()).toBe(0);
    });

    it('lets a group in, and nobody else', async () => {
      const cwd = runtimeFolder();
      writeFileSync(join(cwd, 'rproc-gpio.yaml'), CONFIG(cwd, String(GROUP)));
      const service = command(SERVICE, [GROUP], ['serve'], cwd);
      await service.until(/^ready/m);
      for (const name of ['vm1.sock', 'control.sock']) {
        const { gid, mode } = statSync(join(cwd, name));
        expect([gid, (mode & 0o777).toString(8)]).toEqual([GROUP, '660']);
        expect(await connects(GUEST, [GROUP], join(cwd, name))).toBe('connected');
        expect(await connects(STRANGER, [], join(cwd, name))).toBe('EACCES');
      }
      expect(await service.terminate()).toBe(0);
    });

    it('says that it is not in the group that a socket is for, and leaves nothing behind', async () => {
      const cwd = runtimeFolder();
      writeFileSync(join(cwd, 'rproc-gpio.yaml'), CONFIG(cwd, String(GROUP)).replace(/^control.*\n/m, ''));
      const service = command(SERVICE, [], ['serve'], cwd);
      expect(await service.exit()).toBe(1);
      expect(service.stderr).toContain(
        `cannot be given to group '${GROUP}' (EPERM); the service's user must be in that group`,
      );
      expect(() => statSync(join(cwd, 'vm1.sock'))).toThrow('ENOENT');
    });
  },
);
