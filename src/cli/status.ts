import { CLIENT_USAGE, parseClientArgs, refuseArguments, withService, writeJson } from './client-command.ts';
import type { Command } from './command.ts';
import { formatStatus } from './status-format.ts';

export const command: Command = {
  name: 'status',
  summary: 'show co-processors, chips, guests, MQTT and owners',
  usage: `usage: rproc-gpio status [options]

Prints the state of the running service: its co-processors, chips, guests with
their features and counters, MQTT, and who drives which output.

${CLIENT_USAGE}`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('status', args, {});
    refuseArguments('status', positionals);
    return withService(values, async (client) => {
      const status = await client.status();
      if (values.json === true) writeJson(io, [status]);
      else io.stdout.write(formatStatus(status, Date.now()));
      return 0;
    });
  },
};
