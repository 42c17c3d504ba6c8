import { suggest } from '../config/suggestion.ts';
import { CLIENT_USAGE, parseClientArgs, withService, writeJson } from './client-command.ts';
import type { Command } from './command.ts';
import { formatChip } from './line-format.ts';
import { visible } from './visible-text.ts';

export const command: Command = {
  name: 'detect',
  summary: 'list the chips',
  usage: `usage: rproc-gpio detect [options] [CHIP...]

Prints name, label and number of lines of each chip that the service has, as
gpiodetect does. 'unavailable' behind it: its co-processor is gone.

${CLIENT_USAGE}`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('detect', args, {});
    return withService(values, async (client) => {
      const all = await client.chips();
      const names = all.map(({ name }) => name);
      const unknown = positionals.filter((name) => !names.includes(name));
      const chips = positionals.length === 0 ? all : all.filter(({ name }) => positionals.includes(name));
      if (values.json === true) writeJson(io, chips);
      else io.stdout.write(chips.map((chip) => `${formatChip(chip)}\n`).join(''));
      for (const name of unknown) {
        io.stderr.write(
          `rproc-gpio: there is no chip '${visible(name)}'; ${suggest(name, names, 'chips')}\n`,
        );
      }
      return unknown.length === 0 ? 0 : 1;
    });
  },
};
