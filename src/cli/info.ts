import type { LineInfo } from '../wire/control.ts';
import { CLIENT_USAGE, parseClientArgs, withService, writeJson } from './client-command.ts';
import type { Command } from './command.ts';
import { findLines, LINE_OPTIONS, LINE_USAGE, lineFault, parseLine } from './line-arguments.ts';
import { formatLine } from './line-format.ts';

export const command: Command = {
  name: 'info',
  summary: 'show direction, settings and users of lines',
  usage: `usage: rproc-gpio info [options] [LINE...]

Prints what is known of lines, of all of them without LINE, as gpioinfo does. Of
a name that several lines have, each is shown.
${LINE_USAGE}
  -c, --chip=CHIP        lines of this chip only
      --by-name          with --chip: a number is a name, too
  -s, --strict           as it always is: look at every line for a name
      --unquoted         no quotes around names
${CLIENT_USAGE}`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('info', args, {
      ...LINE_OPTIONS,
      unquoted: { type: 'boolean' },
    });
    const wanted = positionals.map((text) => parseLine('info', text, values));
    return withService(values, async (client) => {
      const all = await client.lines(values.chip);
      const lines =
        wanted.length === 0
          ? all
          : all.filter((line) => wanted.some(({ reference }) => findLines(reference, [line]).length > 0));
      if (values.json === true) writeJson(io, lines);
      else io.stdout.write(format(lines, wanted.length === 0, values.unquoted === true));
      const unknown = wanted.filter(({ reference }) => findLines(reference, all).length === 0);
      for (const { reference } of unknown) io.stderr.write(`rproc-gpio: ${lineFault(reference, all)}\n`);
      return unknown.length === 0 ? 0 : 1;
    });
  },
};

function format(lines: readonly LineInfo[], isWhole: boolean, isUnquoted: boolean): string {
  let text = '';
  let chip: string | null = null;
  for (const line of lines) {
    if (isWhole && line.chip !== chip) {
      chip = line.chip;
      text += `${chip} - ${lines.filter((other) => other.chip === chip).length} lines:\n`;
    }
    const place = isWhole ? `\tline ${String(line.offset).padStart(3)}:` : `${line.chip} ${line.offset}`;
    text += `${place}\t${formatLine(line, isUnquoted)}\n`;
  }
  return text;
}
