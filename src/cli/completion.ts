import { parseArgs } from 'node:util';
import { type Client, connect } from '../client/client.ts';
import { type Command, type CommandIo, UsageError } from './command.ts';
import { BASH_SCRIPT, ZSH_SCRIPT } from './completion-script.ts';
import { shortReferences } from './line-arguments.ts';
import { visible } from './visible-text.ts';

/** Somebody waits for a key to have an effect. */
const DEADLINE_MS = 1000;

export const command: Command = {
  name: 'completion',
  summary: "print a shell's completion script",
  usage: `usage: rproc-gpio completion bash|zsh

Prints a script that completes commands, options, and the names of the running
service's lines and chips. For this shell:

  source <(rproc-gpio completion bash)

and for every new one put that into ~/.bashrc, or into ~/.zshrc behind compinit
with zsh instead of bash. Or put the script where the shell looks for it:

  rproc-gpio completion bash > /etc/bash_completion.d/rproc-gpio
  rproc-gpio completion zsh > /usr/local/share/zsh/site-functions/_rproc-gpio

  -h, --help             this text
`,
  async run(args, io) {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        lines: { type: 'boolean' },
        chips: { type: 'boolean' },
        socket: { type: 'string' },
      },
    });
    if (values.lines === true) return offer(io, values.socket, lineNames);
    if (values.chips === true) return offer(io, values.socket, chipNames);
    const [shell, ...rest] = positionals;
    if (rest.length > 0) throw new UsageError(`completion: unexpected argument '${rest[0]}'`);
    switch (shell) {
      case 'bash':
        io.stdout.write(BASH_SCRIPT);
        return 0;
      case 'zsh':
        io.stdout.write(ZSH_SCRIPT);
        return 0;
      case undefined:
        throw new UsageError('completion: expected bash or zsh');
      default:
        throw new UsageError(`completion: expected bash or zsh, not '${shell}'`);
    }
  },
};

/** Prints what the service has, for the scripts above. Nothing where there is no service: a shell has no place for errors. */
async function offer(
  io: CommandIo,
  socket: string | undefined,
  names: (client: Client) => Promise<readonly string[]>,
): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), DEADLINE_MS);
  });
  const asked = connect({ ...(socket === undefined ? {} : { socket }), timeoutMs: DEADLINE_MS }).then(
    async (client) => {
      try {
        return await names(client);
      } finally {
        client.close();
      }
    },
  );
  const found = await Promise.race([asked.catch(() => null), late]);
  clearTimeout(timer);
  for (const name of found ?? []) io.stdout.write(`${name}\n`);
  return 0;
}

async function chipNames(client: Client): Promise<readonly string[]> {
  return (await client.chips()).map(({ name }) => name);
}

/** Each line by the shortest text that means it; one whose name cannot be typed has its offset. */
async function lineNames(client: Client): Promise<readonly string[]> {
  const lines = await client.lines();
  const texts = shortReferences(lines);
  return lines.map(({ chip, offset }, index) => {
    const text = texts[index] as string;
    return visible(text) === text ? text : `${chip}/#${offset}`;
  });
}
