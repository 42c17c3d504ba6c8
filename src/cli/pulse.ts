import { type LineOutcome, MAX_PULSE_MS } from '../wire/control.ts';
import {
  askForLines,
  CLIENT_USAGE,
  parseClientArgs,
  reportRefusals,
  withService,
  writeJson,
} from './client-command.ts';
import { type Command, UsageError } from './command.ts';
import { LINE_OPTIONS, LINE_USAGE, type LineValue, parseLineValues } from './line-arguments.ts';
import { parsePeriodMs } from './period.ts';

export const command: Command = {
  name: 'pulse',
  summary: 'drive lines for a time, then back',
  usage: `usage: rproc-gpio pulse --duration=TIME [options] LINE[=VALUE]...

Drives lines to VALUE (1 without one) for TIME, then back to the other level.
Returns when the pulse has begun; the service ends it. A later set, toggle,
pulse or release of the line takes the place of what is left.
${LINE_USAGE}
  -d, --duration=TIME    10ms, 1s, 2m; a number alone is milliseconds. A part
                         of one is rounded up: 500us is 1ms. At most 60m
  -c, --chip=CHIP        lines are of this chip
      --by-name          with --chip: a number is a name, too
  -l, --active-low       swap active and inactive
  -s, --strict           as it always is: refuse names that several lines have
${CLIENT_USAGE}
Exit code 1 when a line was refused.
`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('pulse', args, {
      ...LINE_OPTIONS,
      duration: { type: 'string', short: 'd' },
      'active-low': { type: 'boolean', short: 'l' },
    });
    if (values.duration === undefined) throw new UsageError('pulse: --duration=TIME is needed, such as 10ms');
    const durationMs = parsePeriodMs(values.duration, 'pulse: --duration');
    if (durationMs === 0 || durationMs > MAX_PULSE_MS) {
      throw new UsageError(`pulse: --duration=${values.duration}: expected more than 0 and at most 60m`);
    }
    const lines = parseLineValues('pulse', positionals, values, {
      fallback: 1,
      isActiveLow: values['active-low'] === true,
    });
    return withService(values, async (client) => {
      const outcomes = await askForLines(client, lines, io, async () => {
        const ask = (level: 0 | 1): Promise<readonly LineOutcome[]> =>
          askAt(level, lines, (references) => client.pulse(references, level, durationMs));
        // One request a level; neither waits for the other.
        const [low, high] = await Promise.all([ask(0), ask(1)]);
        return inOrder(lines, low, high);
      });
      if (outcomes === null) return 1;
      if (values.json === true) writeJson(io, outcomes);
      return reportRefusals(client, lines, outcomes, io);
    });
  },
};

async function askAt(
  level: 0 | 1,
  lines: readonly LineValue[],
  ask: (references: readonly string[]) => Promise<readonly LineOutcome[]>,
): Promise<readonly LineOutcome[]> {
  const references = lines.filter((line) => line.level === level).map(({ reference }) => reference);
  return references.length === 0 ? [] : ask(references);
}

/** Outcomes in the order in which the lines were given. */
function inOrder(
  lines: readonly LineValue[],
  low: readonly LineOutcome[],
  high: readonly LineOutcome[],
): LineOutcome[] {
  const left = [low.values(), high.values()] as const;
  return lines.flatMap(({ level }) => {
    const { value: outcome } = left[level].next();
    return outcome === undefined ? [] : [outcome];
  });
}
