import { closeSync, existsSync, openSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSocketPair, listenUnix } from '../../src/native.ts';
import { type FrontEndOptions, VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, PROGRAM, run, scratchFolder } from './command-process.ts';

/** A front-end in use, closed after the test. */
async function guestOf(options: FrontEndOptions): Promise<VhostUserFrontEnd> {
  const guest = await VhostUserFrontEnd.connect({ timeoutMs: 10_000, ...options });
  onTestFinished(() => guest.close());
  return guest;
}

/** Served on a socket in a folder of its own. */
async function served(...args: string[]) {
  const socketPath = join(scratchFolder(), 'x.sock');
  const command = new CommandProcess(['vhost-user-gpio', `--socket-path=${socketPath}`, ...args]);
  await command.until(/^ready: .*$/m);
  return { command, socketPath };
}

describe('--print-capabilities', () => {
  it('prints what vhost-user.json asks for, whatever else is given or not', async () => {
    for (const others of [[], ['--socket-path=/nowhere/x.sock', '--chip=sim:4']]) {
      const { code, stdout, stderr } = await run(['vhost-user-gpio', '--print-capabilities', ...others]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({ type: 'gpio', features: [] });
    }
  });
});

describe('--socket-path', () => {
  it('serves sim:N: names, values, edges by the wire between two lines', async () => {
    const { command, socketPath } = await served('--chip=sim:6', '--poll-us=0');
    expect(command.stdout).toBe(
      `ready: vhost-user-gpio (6 lines) on ${socketPath}; sim [simulated] (6 lines)\n`,
    );
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    const guest = await guestOf({ socketPath });
    expect(await guest.lineNames()).toEqual(['sim0', 'sim1', 'sim2', 'sim3', 'sim4', 'sim5']);
    expect((await guest.request(MSG_SET_DIRECTION, 4, 1)).status).toBe(0);
    expect((await guest.request(MSG_SET_IRQ_TYPE, 5, 3)).status).toBe(0);
    for (const level of [1, 0]) {
      guest.queueEvent(5);
      expect((await guest.request(MSG_SET_VALUE, 4, level)).status).toBe(0);
      expect(await guest.nextEvent()).toEqual({ gpio: 5, status: 1, usedLength: 1 });
      expect((await guest.request(MSG_GET_VALUE, 5)).value).toBe(level);
    }
    await guest.reconnect();
    expect((await guest.request(MSG_GET_VALUE, 5)).value).toBe(0);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'ends on %s at once, with a guest connected: code 0',
    async (signal) => {
      const { command, socketPath } = await served('--chip=sim:2');
      const guest = await guestOf({ socketPath });
      await guest.request(MSG_GET_VALUE, 0);
      const start = performance.now();
      expect(await command.terminate(signal)).toBe(0);
      expect(performance.now() - start).toBeLessThan(2000);
      expect(existsSync(socketPath)).toBe(false);
      await guest.disconnected();
    },
  );

  it('replaces a socket that a killed process left, and refuses a live one', async () => {
    const { command, socketPath } = await served('--chip=sim:2');
    const second = await run(['vhost-user-gpio', `--socket-path=${socketPath}`, '--chip=sim:2']);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^rproc-gpio: listen on .*x\.sock: .*another process is listening there$/m);
    const guest = await guestOf({ socketPath });
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    guest.close();
    expect(await command.terminate('SIGKILL')).toBe('SIGKILL');
    expect(existsSync(socketPath)).toBe(true);
    const third = new CommandProcess(['vhost-user-gpio', `--socket-path=${socketPath}`, '--chip=sim:2']);
    await third.until(/^ready/m);
    const next = await guestOf({ socketPath });
    expect((await next.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it.each([
    [
      'a folder that is not there',
      '/nowhere-at-all/x.sock',
      /there is no folder \/nowhere-at-all \(ENOENT\)/,
    ],
    [
      'a place where nobody may make one',
      '/sys/x.sock',
      /no permission to make it in \/sys \(E(PERM|ACCES)\)/,
    ],
    ['a file in its place', PROGRAM, /something else than a socket/],
    ['too long a path', `/tmp/${'x'.repeat(110)}`, /at most 107 bytes/],
  ])('with %s: exit code 1 and a clear text', async (_what, path, message) => {
    const { code, stdout, stderr } = await run(['vhost-user-gpio', `--socket-path=${path}`, '--chip=sim:2']);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.split('\n').find((line) => line.startsWith('rproc-gpio: '))).toMatch(message);
    expect(existsSync(PROGRAM)).toBe(true);
  });
});

describe('--chip=FILE#NAME', () => {
  const FILE = `chips:
  one: { type: sim, lines: 3 }
  two: { type: sim, lines: 5 }
`;

  it('serves that chip with all its lines, and nothing else of the file', async () => {
    const file = join(scratchFolder(), 'hub.yaml');
    writeFileSync(file, `${FILE}exports:\n  other: { socket: other.sock, lines: ['one/*'] }\n`);
    const { socketPath } = await served(`--chip=${file}#two`);
    expect(existsSync(join(file, '..', 'other.sock'))).toBe(false);
    expect(await (await guestOf({ socketPath })).lineNames()).toHaveLength(5);
  });

  it('that is not in the file: exit code 2, with those that are', async () => {
    const file = join(scratchFolder(), 'hub.yaml');
    writeFileSync(file, FILE);
    const { code, stderr } = await run(['vhost-user-gpio', '--socket-path=x.sock', `--chip=${file}#three`]);
    expect(code).toBe(2);
    expect(stderr).toContain("has no chip 'three'; it has one, two");
  });

  it('of a file that is wrong: exit code 2, with the place', async () => {
    const file = join(scratchFolder(), 'hub.yaml');
    writeFileSync(file, 'chips:\n  one: { type: sim, lines: many }\n');
    const { code, stderr } = await run(['vhost-user-gpio', '--socket-path=x.sock', `--chip=${file}#one`]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/hub\.yaml:2:28: chips\.one\.lines: /);
  });
});

describe('--fd', () => {
  it('serves a connected socket, and ends with code 0 when the front-end has gone', async () => {
    const [ours, theirs] = createSocketPair();
    const command = new CommandProcess(['vhost-user-gpio', '--fd=3', '--chip=sim:4'], { fd: theirs });
    closeSync(theirs);
    const guest = await guestOf({ fd: ours });
    expect(await guest.lineNames()).toHaveLength(4);
    expect(command.stdout).toBe('ready: 4 lines on descriptor 3\n');
    guest.close();
    expect(await command.exit()).toBe(0);
  });

  it('ends on SIGTERM with a connected socket', async () => {
    const [ours, theirs] = createSocketPair();
    const command = new CommandProcess(['vhost-user-gpio', '--fd=3', '--chip=sim:4'], { fd: theirs });
    closeSync(theirs);
    const guest = await guestOf({ fd: ours });
    await guest.request(MSG_GET_VALUE, 0);
    expect(await command.terminate()).toBe(0);
    await guest.disconnected();
  });

  it('serves a listening socket, one front-end after the other', async () => {
    const socketPath = join(scratchFolder(), 'listening.sock');
    const listening = listenUnix(socketPath);
    const command = new CommandProcess(['vhost-user-gpio', '--fd=3', '--chip=sim:4'], { fd: listening });
    closeSync(listening);
    for (let round = 0; round < 3; round++) {
      const guest = await guestOf({ socketPath });
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
      guest.close();
    }
    expect(await command.terminate()).toBe(0);
    // It is the parent's.
    expect(existsSync(socketPath)).toBe(true);
  });

  it('serves a listening socket that the parent left blocking', async () => {
    const socketPath = join(scratchFolder(), 'blocking.sock');
    const parent = `import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.execv(sys.argv[2], sys.argv[2:])`;
    const command = new CommandProcess(
      ['-c', parent, socketPath, PROGRAM, 'vhost-user-gpio', '--fd=3', '--chip=sim:4'],
      {
        program: 'python3',
      },
    );
    await command.until(/^ready: 4 lines on descriptor 3$/m);
    const guest = await guestOf({ socketPath });
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(await command.terminate()).toBe(0);
  });

  it('that is no socket, or not open: exit code 1', async () => {
    const fd = openSync('/dev/null', 'r');
    const noSocket = await run(['vhost-user-gpio', '--fd=3', '--chip=sim:4'], { fd });
    closeSync(fd);
    expect(noSocket.code).toBe(1);
    expect(noSocket.stderr).toMatch(/^rproc-gpio: descriptor 3 is not a socket \(chr\)$/m);
    const notOpen = await run(['vhost-user-gpio', '--fd=99', '--chip=sim:4']);
    expect(notOpen.code).toBe(1);
    expect(notOpen.stderr).toMatch(/^rproc-gpio: .*descriptor 99: bad file descriptor \(EBADF\)$/m);
  });
});

describe('arguments that make no sense', () => {
  it.each([
    ['neither socket nor descriptor', ['--chip=sim:1'], /exactly one of --socket-path=PATH and --fd=N/],
    ['both', ['--chip=sim:1', '--fd=3', '--socket-path=x'], /exactly one of --socket-path=PATH and --fd=N/],
    ['no chip', ['--socket-path=x'], /--chip=sim:N or --chip=FILE\.yaml#NAME is needed/],
    [
      'a chip of no lines',
      ['--socket-path=x', '--chip=sim:0'],
      /--chip=sim:0: a whole number from 1 to 65535/,
    ],
    ['too many lines', ['--socket-path=x', '--chip=sim:65536'], /--chip=sim:65536: a whole number/],
    ['a chip of neither kind', ['--socket-path=x', '--chip=hub'], /--chip=hub: sim:N or FILE\.yaml#NAME/],
    [
      'a file that is not there',
      ['--socket-path=x', '--chip=no.yaml#hub'],
      /no\.yaml: cannot be read \(ENOENT\)/,
    ],
    ['standard output as the socket', ['--fd=1', '--chip=sim:1'], /--fd=1: a whole number from 3/],
    ['a descriptor that is no number', ['--fd=three', '--chip=sim:1'], /--fd=three: a whole number/],
    [
      'polling for ever',
      ['--socket-path=x', '--chip=sim:1', '--poll-us=1001'],
      /--poll-us=1001: .* from 0 to 1000/,
    ],
  ])('%s: exit code 2', async (_what, args, message) => {
    const { code, stdout, stderr } = await run(['vhost-user-gpio', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^rproc-gpio: /);
    expect(stderr).toMatch(message);
  });
});
