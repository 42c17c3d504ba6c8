import { readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Client, connect } from '../../src/client/client.ts';
import { CommandProcess, PROGRAM, run, scratchFolder } from '../cli/command-process.ts';
import { PinsClient } from '../cli/pins-client.ts';

const PAGE = readFileSync(new URL('../../docs/commands.md', import.meta.url), 'utf8');

interface Example {
  readonly command: string;
  readonly output: string;
}

/** Commands of the page's `console` blocks, with what they print. */
const EXAMPLES: readonly Example[] = [...PAGE.matchAll(/^```console\n([\s\S]*?)^```/gm)].flatMap((block) =>
  [...(block[1] as string).matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(
    ([, command = '', output = '']) => ({
      command,
      output,
    }),
  ),
);

/** What differs from run to run is made the same: times, counts, process numbers, paths. */
function comparable({ command, output }: Example): string {
  const text = output
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}/g, 'DATE')
    .replace(/\b\d+\.\d{9}\b/g, 'SECONDS')
    .replace(/"(seq|timestampNs)":"?\d+"?/g, '"$1":COUNT');
  if (!command.includes(' status')) return text;
  return text
    .replace(/ up .*/, ' up TIME')
    .replace(/\S+vm1\.sock/, 'SOCKET')
    .replace(/(?<!vm)\d+/g, 'N')
    .replace(/\s+/g, ' ');
}

/** Once it is watched, lets an input go up and down until the watcher has enough. */
async function edges(client: Client, pins: PinsClient, watcher: CommandProcess): Promise<void> {
  let isOver = false;
  const over = watcher.exit().finally(() => {
    isOver = true;
  });
  const isWatched = async (): Promise<boolean> => {
    const [line] = await client.lines(['IMU_INT']);
    return line?.users.includes('command line') === true;
  };
  while (!isOver && !(await isWatched()));
  for (let level = 1; !isOver; level = 1 - level) {
    await pins.ask(`set IMU_INT ${level}`);
    // The service has told of it before it answers this.
    await client.get(['IMU_INT']);
  }
  await pins.ask('set IMU_INT 0');
  await over;
}

describe('docs/commands.md', () => {
  it('has examples of most commands', () => {
    const commands = new Set(EXAMPLES.map(({ command }) => command.split(' ')[1]));
    for (const name of [
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
    ]) {
      expect(commands).toContain(name);
    }
  });

  it('every example prints what the page says, in this order, against the demo', async () => {
    const folder = scratchFolder();
    const demo = new CommandProcess(['demo', `--dir=${folder}`, '--mqtt-port=0']);
    await demo.until(/^ready: .*\n/);
    const socket = join(folder, 'control.sock');
    const client = await connect(socket);
    const pins = new PinsClient(join(folder, 'pins.sock'));
    const environment = {
      RPROC_GPIO_SOCKET: socket,
      PATH: `${dirname(PROGRAM)}${delimiter}${process.env.PATH ?? ''}`,
    };
    try {
      for (const example of EXAMPLES) {
        const { command } = example;
        const shell = new CommandProcess(['-c', `${command} 2>&1`], { program: 'bash', env: environment });
        if (command.includes(' mon ') && command.endsWith(' IMU_INT')) await edges(client, pins, shell);
        await shell.exit();
        expect(comparable({ command, output: shell.stdout }), command).toBe(comparable(example));
      }
    } finally {
      client.close();
    }
    expect(await demo.terminate()).toBe(0);
  }, 60_000);

  it('names every command of the program', async () => {
    const { stdout } = await run(['--help']);
    const serving = ['serve', 'demo', 'vhost-user-gpio', 'config', 'inspect'];
    for (const [, name = ''] of stdout.matchAll(/^ {2}([a-z][a-z-]*) /gm)) {
      if (!serving.includes(name)) expect(PAGE).toMatch(new RegExp(`^\\| \`${name}[ \`]`, 'm'));
    }
  });
});
