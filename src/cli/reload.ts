import { CLIENT_USAGE, parseClientArgs, refuseArguments, withService, writeJson } from './client-command.ts';
import type { Command } from './command.ts';
import { visible } from './visible-text.ts';

export const command: Command = {
  name: 'reload',
  summary: 'apply the changed configuration file',
  usage: `usage: rproc-gpio reload [options]

Has the service read its configuration file again and apply what changed, as the
signal SIGHUP does, and prints it. What did not change is not disturbed. A file
with a fault, or a change that cannot be made under a running guest, is refused.

${CLIENT_USAGE}
Exit code 1 when it was refused.
`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('reload', args, {});
    refuseArguments('reload', positionals);
    return withService(values, async (client) => {
      const report = await client.reload();
      if (values.json === true) writeJson(io, [report]);
      else if (report.unchanged) io.stdout.write('nothing changed\n');
      else io.stdout.write(report.changed.map((sentence) => `${visible(sentence)}\n`).join(''));
      return 0;
    });
  },
};
