import { CLIENT_USAGE, parseClientArgs, withService, writeJson } from './client-command.ts';
import { type Command, UsageError } from './command.ts';
import { visible } from './visible-text.ts';

const ACTIONS = ['start', 'stop', 'restart'] as const;

export const command: Command = {
  name: 'coprocessor',
  summary: 'start, stop or restart a co-processor',
  usage: `usage: rproc-gpio coprocessor start|stop|restart NAME [options]

Starts or stops the firmware of a co-processor that the service started, or that
the kernel's remoteproc runs. Its lines stay known meanwhile: guests get errors,
MQTT says offline, and outputs and subscriptions are brought back with it.
Returns when it is done. A co-processor that was stopped stays so until it is
started, whatever its restart policy.

${CLIENT_USAGE}
Exit code 1 when it was refused.
`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('coprocessor', args, {});
    const [given, name, ...rest] = positionals;
    const action = ACTIONS.find((each) => each === given);
    if (action === undefined) {
      throw new UsageError(
        `coprocessor: expected start, stop or restart${given === undefined ? '' : `, not '${given}'`}`,
      );
    }
    if (name === undefined || rest.length > 0)
      throw new UsageError(`coprocessor ${action}: exactly one co-processor is needed; status lists them`);
    return withService(values, async (client) => {
      const status = await client.coprocessor(name, action);
      if (values.json === true) writeJson(io, [status]);
      else io.stdout.write(`${visible(status.name)} ${status.state}\n`);
      return 0;
    });
  },
};
