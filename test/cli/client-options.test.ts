import { describe, expect, it } from 'vitest';
import { PROGRAM, run } from './command-process.ts';
import { ControlService } from './control-service.ts';
import { FakeService } from './fake-service.ts';

describe("options of libgpiod's tools that a service cannot follow", () => {
  it.each([
    [['get', '-b', 'pull-up', 'A'], /^rproc-gpio: get: --bias: the bias of a line is its chip's own matter/],
    [['get', '-p', '1ms', 'A'], /^rproc-gpio: get: --hold-period: the service holds the lines all the time/],
    [['set', '-d', 'open-drain', 'A=1'], /^rproc-gpio: set: --drive: /],
    [['set', '-i', 'A=1'], /^rproc-gpio: set: --interactive: /],
    [['set', '-p', '10ms', 'A=1'], /^rproc-gpio: set: --hold-period: .*rproc-gpio pulse --duration=TIME\n/],
    [['set', '-t', '10ms,20ms', 'A=1'], /^rproc-gpio: set: --toggle=10ms,20ms: .*'rproc-gpio toggle'/],
  ])('%j: said why, and what to do instead', async (args, message) => {
    const service = await FakeService.start({});
    const { code, stdout, stderr } = await service.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it.each([
    [['get']],
    [['set', 'LED']],
    [['set', 'LED=2']],
    [['toggle']],
    [['release']],
    [['pulse', 'LED']],
    [['pulse', '-d', '0', 'LED']],
    [['pulse', '-d', '61m', 'LED']],
    [['pulse', '-d', 'long', 'LED']],
    [['status', 'now']],
    [['reload', 'now']],
    [['detect', '--bias']],
    [['completion']],
    [['completion', 'fish']],
    [['completion', 'bash', 'zsh']],
  ])('%j: a usage error', async (args) => {
    const service = await FakeService.start({});
    const { code, stdout, stderr } = await service.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^rproc-gpio: .*\\nTry 'rproc-gpio ${args[0]} --help'\\.\\n$`));
  });
});

describe('services that are none', () => {
  it('another version of the protocol', async () => {
    const service = await FakeService.start({}, { service: 'rproc-gpio', protocol: 2, version: '9.0.0' });
    const { code, stderr } = await service.run(['detect']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: .*speaks control protocol 2, this client speaks 1/);
  });

  it('one that greets as another', async () => {
    const service = await FakeService.start({}, { hello: 'world' });
    const { code, stderr } = await service.run(['detect']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: no rproc-gpio service listens on /);
  });

  it('one that hangs up', async () => {
    const service = await FakeService.start({ chips: (_params, client) => client.hangUp() });
    const { code, stderr } = await service.run(['detect']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: the service on .* has closed the connection/);
  });

  it('refusals keep their words', async () => {
    const service = await FakeService.start({
      set: () => Object.assign(new Error('refused: on Sundays'), { code: 'ERR_REFUSED' }),
    });
    const { code, stderr } = await service.run(['set', 'A=1']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'rproc-gpio: refused: on Sundays\n' });
  });
});

/** Has node print every module and addon that it loads. */
const LOADING_HOOK = `
  import { register } from 'node:module';
  const source = 'export async function load(url, context, next) {' +
    'process._rawDebug("loaded " + url); return next(url, context); }';
  register('data:text/javascript,' + encodeURIComponent(source));
  const { dlopen } = process;
  process.dlopen = (...args) => { process._rawDebug('loaded ' + args[1]); return dlopen(...args); };`;
const TRACING = { NODE_OPTIONS: `--import="data:text/javascript,${encodeURIComponent(LOADING_HOOK)}"` };

function loadedFiles(stderr: string): string[] {
  return [...stderr.matchAll(/^loaded (.*)$/gm)].map((match) => match[1] as string);
}

/** Packages, the addon, and what loads them. */
function isHeavy(file: string): boolean {
  return /node_modules|\.node$|\/native\.js|\/daemon\//.test(file);
}

describe('a client command', () => {
  it('--socket says where, before the environment', async () => {
    const service = await ControlService.start();
    const { code, stdout } = await service.run(['detect', `--socket=${service.socket}`, 'aux'], {
      env: { RPROC_GPIO_SOCKET: '/nonexistent/control.sock' },
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'aux [simulated] (2 lines)\n' });
  });

  it('prints everything also into a pipe whose reader is slow', async () => {
    const chip = { label: 'x'.repeat(1000), lineCount: 1, available: true };
    const service = await FakeService.start({
      chips: () => Array.from({ length: 1000 }, (_, index) => ({ ...chip, name: `chip${index}` })),
    });
    const shell = service.start(['-c', `"${PROGRAM}" detect | { read -r first; wc -l; }`], {
      program: 'bash',
    });
    expect(await shell.exit()).toBe(0);
    expect(shell.stdout.trim()).toBe('999');
  });

  it('loads no addon, and no package: it runs in scripts', async () => {
    const service = await ControlService.start();
    const commands = [
      ['detect'],
      ['info'],
      ['get', 'IMU_INT'],
      ['set', 'RELAY=1'],
      ['toggle', 'RELAY'],
      ['pulse', '-d1', 'RELAY'],
      ['release', 'RELAY'],
      ['mon', '--idle-timeout=1'],
      ['status'],
      ['reload'],
      ['completion', 'bash'],
      ['completion', '--lines'],
    ];
    for (const args of commands) {
      const { code, stderr } = await service.run(args, { env: TRACING });
      expect(code, stderr).toBe(0);
      const loaded = loadedFiles(stderr);
      expect(loaded.some((url) => url.endsWith(`/dist/cli/${args[0]}.js`))).toBe(true);
      expect(loaded.filter(isHeavy)).toEqual([]);
    }
  });

  it('(the check above sees the addon and packages where they are loaded)', async () => {
    const { stderr } = await run(['vhost-user-gpio', '--chip=sim:1', '--fd=99'], { env: TRACING });
    const heavy = loadedFiles(stderr).filter(isHeavy);
    expect(heavy.some((file) => file.endsWith('rproc_gpio.node'))).toBe(true);
    expect(heavy.some((file) => file.includes('node_modules/zod'))).toBe(true);
  });
});
