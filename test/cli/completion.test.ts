import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_WORDS } from '../../src/cli/completion-words.ts';
import { PROGRAM, run, scratchFolder } from './command-process.ts';
import { ControlService } from './control-service.ts';
import { FakeService } from './fake-service.ts';

const BASH = `
source <("$PROGRAM" completion bash)
[[ $(complete -p rproc-gpio) == 'complete -F _rproc_gpio rproc-gpio' ]] || exit 9
COMP_LINE=$1 COMP_POINT=\${#1} COMP_TYPE=9 COMP_KEY=9
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
read -ra COMP_WORDS <<<"$1"
_rproc_gpio "$PROGRAM" '' ''
printf '%s\\n' "\${COMPREPLY[@]}"
`;

/** What bash would offer behind a line that is typed so far. */
async function offered(service: { readonly socket: string }, line: string): Promise<string[]> {
  const { code, stdout, stderr } = await run(['-c', BASH, 'bash', line], {
    program: 'bash',
    env: { PROGRAM, RPROC_GPIO_SOCKET: service.socket },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').filter((word) => word !== '');
}

const ALL_LINES = [
  'LED_STATUS',
  'LED_SENSE',
  'IMU_INT',
  'BUTTON',
  'hub/SHARED',
  'hub/#5',
  'A\\ B',
  'C=D',
  'aux/SHARED',
  'RELAY',
];

describe('completion in bash', () => {
  it.each([
    ['rproc-gpio ', [...Object.keys(COMMAND_WORDS), 'help', '--help', '--version']],
    ['rproc-gpio re', ['release', 'reload']],
    ['rproc-gpio get ', ALL_LINES],
    ['rproc-gpio get LED', ['LED_STATUS', 'LED_SENSE']],
    ['rproc-gpio get IMU_INT LED_', ['LED_STATUS', 'LED_SENSE']],
    ['rproc-gpio get A\\ ', ['A\\ B']],
    ['rproc-gpio set LED_ST', ['LED_STATUS=']],
    ['rproc-gpio set LED_STATUS=', ['0', '1', 'active', 'inactive', 'on', 'off', 'true', 'false']],
    ['rproc-gpio set IMU_INT=1 LED_STATUS=a', ['active']],
    ['rproc-gpio set C=D=o', ['on', 'off']],
    ['rproc-gpio set --j', ['--json']],
    ['rproc-gpio mon --e', ['--edges=', '--event-clock=']],
    ['rproc-gpio mon -e ', ['rising', 'falling', 'both']],
    ['rproc-gpio mon --edges=r', ['rising']],
    ['rproc-gpio mon --edges f', ['falling']],
    ['rproc-gpio mon -n ', []],
    ['rproc-gpio get -c ', ['hub', 'aux']],
    ['rproc-gpio get --chip=h', ['hub']],
    ['rproc-gpio detect ', ['hub', 'aux']],
    ['rproc-gpio config ', ['check', 'schema']],
    ['rproc-gpio completion z', ['zsh']],
    ['rproc-gpio status ', []],
    ['rproc-gpio nonsense ', []],
  ])('%j', async (line, words) => {
    const service = await ControlService.start();
    expect((await offered(service, line)).sort()).toEqual([...words].sort());
  });

  it('files and folders', async () => {
    const service = await FakeService.start({});
    const folder = join(service.socket, '..');
    expect(await offered(service, `rproc-gpio inspect ${folder}/c`)).toEqual([service.socket]);
    expect(await offered(service, `rproc-gpio get --socket=${folder}/`)).toEqual([service.socket]);
    expect(await offered(service, `rproc-gpio demo --dir ${folder}`)).toEqual([folder]);
  });

  it('asks the service of --socket', async () => {
    const service = await ControlService.start();
    const none = { socket: '/nonexistent/control.sock' };
    expect(await offered(none, `rproc-gpio get --socket=${service.socket} IMU`)).toEqual(['IMU_INT']);
    expect(await offered(none, `rproc-gpio get --socket ${service.socket} IMU`)).toEqual(['IMU_INT']);
  });

  it('offers nothing, and says nothing, where there is no service', async () => {
    expect(await offered({ socket: '/nonexistent/control.sock' }, 'rproc-gpio get ')).toEqual([]);
  });
});

describe('the names for completion', () => {
  it('are of lines and chips, one a line', async () => {
    const service = await ControlService.start();
    expect(await service.run(['completion', '--lines'])).toEqual({
      code: 0,
      stdout: `${ALL_LINES.map((name) => name.replaceAll('\\', '')).join('\n')}\n`,
      stderr: '',
    });
    expect((await service.run(['completion', '--chips'])).stdout).toBe('hub\naux\n');
  });

  it.each([
    ['hangs', null],
    ['greets but never answers', { service: 'rproc-gpio', protocol: 1, version: '0.1.0' }],
    ['speaks another protocol', { service: 'rproc-gpio', protocol: 2, version: '0.1.0' }],
  ])('are none, soon, where the service %s', async (_what, greeting) => {
    const service = await FakeService.start({}, greeting);
    expect(await service.run(['completion', '--lines'])).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

describe('the scripts', () => {
  it('have every option that the help of a command has', async () => {
    for (const [name, { options }] of Object.entries(COMMAND_WORDS)) {
      const { stdout } = await run([name, '--help']);
      const named = new Set([...stdout.matchAll(/--([a-z][a-z-]+)/g)].map((match) => match[1] as string));
      expect(options.map(({ long }) => long).sort(), name).toEqual([...named].sort());
      for (const { long, short } of options) {
        if (short !== undefined)
          expect(stdout, `${name} -${short}`).toMatch(new RegExp(`-${short}, (-., )?--`));
        expect(stdout, `${name} --${long}`).toContain(`--${long}`);
      }
    }
  });

  it('are for the commands that there are', async () => {
    const { stdout } = await run(['--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]*) /gm)].map((match) => match[1] as string);
    expect(Object.keys(COMMAND_WORDS).sort()).toEqual(commands.sort());
  });

  it.each(['bash', 'zsh'])('are read by %s without a complaint', async (shell) => {
    const { stdout } = await run(['completion', shell]);
    expect(stdout.length).toBeGreaterThan(1000);
    // Both shells read these scripts' syntax; zsh is asked where it is installed.
    const hasZsh = spawnSync('zsh', ['--version']).error === undefined;
    const checker = shell === 'zsh' && !hasZsh ? 'bash' : shell;
    const file = join(scratchFolder(), 'script');
    writeFileSync(file, stdout);
    const { status, stderr } = spawnSync(checker, ['-n', file], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
