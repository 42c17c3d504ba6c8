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
  name: 'release',
  summary: 'give lines up that set, toggle or pulse drives',
  usage: `usage: rproc-gpio release [options] LINE...

Gives up lines that commands drive, so that a guest or MQTT may drive them. What
becomes of the level says the line's onRelease in the configuration: it is kept,
unless that says otherwise. A line that no command drives stays as it is.
${LINE_USAGE}
  -c, --chip=CHIP        lines are of this chip
      --by-name          with --chip: a number is a name, too
  -s, --strict           as it always is: refuse names that several lines have
${CLIENT_USAGE}`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('release', args, LINE_OPTIONS);
    const lines = parseLines('release', positionals, values);
    return withService(values, async (client) => {
      const outcomes = await askForLines(client, lines, io, () =>
        client.release(lines.map(({ reference }) => reference)),
      );
      if (outcomes === null) return 1;
      if (values.json === true) writeJson(io, outcomes);
      return reportRefusals(client, lines, outcomes, io);
    });
  },
};
