import {
  askForLines,
  CLIENT_USAGE,
  parseClientArgs,
  reportRefusals,
  withService,
  writeJson,
} from './client-command.ts';
import type { Command } from './command.ts';
import { LINE_OPTIONS, LINE_USAGE, parseLines } from './line-arguments.ts';

export const command: Command = {
  name: 'toggle',
  summary: 'invert the levels of lines, and drive them',
  usage: `usage: rproc-gpio toggle [options] LINE...

Inverts lines. An input becomes an output, at the other level than it has.
${LINE_USAGE}
  -c, --chip=CHIP        lines are of this chip
      --by-name          with --chip: a number is a name, too
  -s, --strict           as it always is: refuse names that several lines have
${CLIENT_USAGE}
Exit code 1 when a line was refused.
`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('toggle', args, LINE_OPTIONS);
    const lines = parseLines('toggle', positionals, values);
    return withService(values, async (client) => {
      const outcomes = await askForLines(client, lines, io, () =>
        client.toggle(lines.map(({ reference }) => reference)),
      );
      if (outcomes === null) return 1;
      if (values.json === true) writeJson(io, outcomes);
      return reportRefusals(client, lines, outcomes, io);
    });
  },
};
