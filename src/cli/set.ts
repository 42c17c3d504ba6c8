import {
  askForLines,
  CLIENT_USAGE,
  type ForeignOption,
  parseClientArgs,
  reportRefusals,
  withService,
  writeJson,
} from './client-command.ts';
import { type Command, UsageError } from './command.ts';
import { LINE_OPTIONS, LINE_USAGE, parseLineValues } from './line-arguments.ts';

/** Options of gpioset that need a process that stays, or a chip that can do it. */
const FOREIGN: Readonly<Record<string, ForeignOption>> = {
  bias: {
    type: 'string',
    short: 'b',
    instead: "the bias of a line is its chip's own matter; a co-processor's firmware sets it",
  },
  drive: {
    type: 'string',
    short: 'd',
    instead: "lines are push-pull as their chip makes them; a co-processor's firmware sets anything else",
  },
  interactive: {
    type: 'boolean',
    short: 'i',
    instead: 'every set is a command of its own, and the lines stay set between them',
  },
  'hold-period': {
    type: 'string',
    short: 'p',
    instead:
      "the service holds the line until 'rproc-gpio release'; for a while only: rproc-gpio pulse --duration=TIME",
  },
};

export const command: Command = {
  name: 'set',
  summary: 'drive lines',
  usage: `usage: rproc-gpio set [options] LINE=VALUE...

Drives lines: value first, then direction. Returns at once; the service holds
them until 'rproc-gpio release LINE'. VALUE is 1 or 0, active or inactive, on or
off, true or false.
${LINE_USAGE}
  -c, --chip=CHIP        lines are of this chip
      --by-name          with --chip: a number is a name, too
  -l, --active-low       swap active and inactive
  -t, --toggle=0         as it always is: return at once; for sequences see
                         'rproc-gpio toggle' and 'rproc-gpio pulse'
  -z, --daemonize        as it always is: the lines stay held
  -s, --strict           as it always is: refuse names that several lines have
  -C, --consumer=NAME    without effect: the service is the consumer
${CLIENT_USAGE}
Exit code 1 when a line was refused, such as one that a guest drives.
`,
  async run(args, io) {
    const options = {
      ...LINE_OPTIONS,
      'active-low': { type: 'boolean', short: 'l' },
      toggle: { type: 'string', short: 't' },
      daemonize: { type: 'boolean', short: 'z' },
      consumer: { type: 'string', short: 'C' },
    } as const;
    const { values, positionals } = parseClientArgs('set', args, options, FOREIGN);
    if (values.toggle !== undefined && !/^0(us|ms|s|m)?$/.test(values.toggle)) {
      throw new UsageError(
        `set: --toggle=${values.toggle}: sequences need a process that stays; use 'rproc-gpio toggle', or 'rproc-gpio pulse --duration=TIME'`,
      );
    }
    const lines = parseLineValues('set', positionals, values, {
      isActiveLow: values['active-low'] === true,
    });
    return withService(values, async (client) => {
      const outcomes = await askForLines(client, lines, io, () =>
        client.set(lines.map(({ reference, level }) => ({ line: reference, level }))),
      );
      if (outcomes === null) return 1;
      if (values.json === true) writeJson(io, outcomes);
      return reportRefusals(client, lines, outcomes, io);
    });
  },
};
