import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run } from './command-process.ts';

const COMMANDS = [
  'serve',
  'demo',
  'vhost-user-gpio',
  'config',
  'inspect',
  'detect',
  'info',
  'get',
  'set',
  'toggle',
  'pulse',
  'release',
  'mon',
  'status',
  'reload',
  'completion',
];

describe('help', () => {
  it.each([[['--help']], [['-h']], [['help']], ...COMMANDS.map((command) => [[command, '--help']])])(
    '%j prints a text that fits a screen of 80 by 24',
    async (args) => {
      const { code, stdout, stderr } = await run(args);
      expect(code).toBe(0);
      expect(stderr).toBe('');
      const lines = stdout.trimEnd().split('\n');
      expect(lines[0]).toMatch(/^usage: rproc-gpio/i);
      expect(lines.length).toBeLessThanOrEqual(24);
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
    },
  );

  it('names every command', async () => {
    const { stdout } = await run(['--help']);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  it('of a command names its options', async () => {
    const { stdout } = await run(['vhost-user-gpio', '--help']);
    for (const option of ['--socket-path', '--fd', '--chip=sim:N', '--poll-us', '--print-capabilities']) {
      expect(stdout).toContain(option);
    }
  });
});

describe('--version', () => {
  it('prints the version of the package', async () => {
    const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    for (const option of ['--version', '-V']) {
      expect(await run([option])).toEqual({ code: 0, stdout: `rproc-gpio ${version}\n`, stderr: '' });
    }
  });
});

describe('arguments that make no sense', () => {
  it.each([
    ['no command', [], /^rproc-gpio: a command is needed: serve, /],
    ['an unknown command', ['toString'], /^rproc-gpio: there is no command 'toString'; commands are serve, /],
    ['an option instead of a command', ['--chip=sim:1'], /there is no command '--chip=sim:1'/],
    ['an unknown option', ['serve', '--nope'], /--nope/],
    ['an option without its value', ['serve', '-c'], /-c, --config <value>' argument missing/],
    ['an argument too many', ['serve', 'rproc-gpio.yaml'], /rproc-gpio\.yaml/],
    ['an argument too many', ['demo', 'now'], /now/],
    [
      'a priority that is none',
      ['demo', '--dir=.', '--realtime=high'],
      /--realtime=high: a priority is .* 1 to 99/,
    ],
    ['config without a verb', ['config'], /expected "check" or "schema"/],
    ['inspect without a file', ['inspect'], /./],
  ])('%s: exit code 2, told on standard error', async (_what, args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    const [first, hint, ...rest] = stderr.trimEnd().split('\n');
    expect(first).toMatch(/^rproc-gpio: /);
    expect(first).toMatch(message);
    expect(hint).toMatch(/^Try 'rproc-gpio .*--help'\.$/);
    expect(rest).toEqual([]);
  });
});
