import type { LineOutcome } from '../wire/control.ts';
import {
  askForLines,
  CLIENT_USAGE,
  type ForeignOption,
  parseClientArgs,
  reportRefusals,
  withService,
  writeJson,
} from './client-command.ts';
import type { Command } from './command.ts';
import { LINE_OPTIONS, LINE_USAGE, parseLines } from './line-arguments.ts';
import { formatLevels } from './line-format.ts';

/** Options of gpioget that would need another owner of the line than the service. */
const FOREIGN: Readonly<Record<string, ForeignOption>> = {
  bias: {
    type: 'string',
    short: 'b',
    instead: "the bias of a line is its chip's own matter; a co-processor's firmware sets it",
  },
  'hold-period': {
    type: 'string',
    short: 'p',
    instead: 'the service holds the lines all the time, nothing has to settle first; leave it out',
  },
};

export const command: Command = {
  name: 'get',
  summary: 'read levels',
  usage: `usage: rproc-gpio get [options] LINE...

Reads lines as gpioget does, and prints "A"=active "B"=inactive. Directions stay
as they are.
${LINE_USAGE}
  -c, --chip=CHIP        lines are of this chip
      --by-name          with --chip: a number is a name, too
  -l, --active-low       swap active and inactive
      --numeric          print 1 0
      --unquoted         no quotes around names
  -a, --as-is            as it always is: leave the direction alone
  -s, --strict           as it always is: refuse names that several lines have
  -C, --consumer=NAME    without effect: the service is the consumer
${CLIENT_USAGE}
Exit code 1 when a line could not be read; --numeric prints nothing then.
`,
  async run(args, io) {
    const options = {
      ...LINE_OPTIONS,
      'active-low': { type: 'boolean', short: 'l' },
      numeric: { type: 'boolean' },
      unquoted: { type: 'boolean' },
      'as-is': { type: 'boolean', short: 'a' },
      consumer: { type: 'string', short: 'C' },
    } as const;
    const { values, positionals } = parseClientArgs('get', args, options, FOREIGN);
    const lines = parseLines('get', positionals, values);
    return withService(values, async (client) => {
      const told = await askForLines(client, lines, io, () =>
        client.get(lines.map(({ reference }) => reference)),
      );
      if (told === null) return 1;
      const known = told.map(withLevel);
      const outcomes = values['active-low'] === true ? known.map(flipped) : known;
      const isNumeric = values.numeric === true;
      if (values.json === true) writeJson(io, outcomes);
      else {
        const levels = lines.flatMap(({ text }, index) => {
          const { ok = false, level = null } = outcomes[index] ?? {};
          return ok && level !== null ? [{ text, level }] : [];
        });
        // A number that is missing would give its place to the next one.
        if (levels.length === lines.length || (levels.length > 0 && !isNumeric)) {
          io.stdout.write(`${formatLevels(levels, { isNumeric, isUnquoted: values.unquoted === true })}\n`);
        }
      }
      return reportRefusals(client, lines, outcomes, io);
    });
  },
};

/** A read that was answered without a level has failed, too. */
function withLevel(outcome: LineOutcome): LineOutcome {
  if (!outcome.ok || outcome.level !== null) return outcome;
  return { ...outcome, ok: false, code: 'ERR_FAILED', reason: 'its level is not known' };
}

function flipped<T extends { readonly level: 0 | 1 | null }>(outcome: T): T {
  return outcome.level === null ? outcome : { ...outcome, level: outcome.level === 1 ? 0 : 1 };
}
