import { parseArgs } from 'node:util';
import { ConfigError, configJsonSchema, loadConfig } from '../config/config.ts';
import { type Command, type CommandIo, UsageError } from './command.ts';

const USAGE = `Usage: rproc-gpio config check [-c FILE] [--all]
       rproc-gpio config schema

check   checks a configuration file and starts nothing
schema  prints the JSON Schema of the file, for editors

  -c, --config FILE  the file (default: rproc-gpio.yaml)
  -a, --all          print every fault of the file, not only the first
  -h, --help         print this text

Exit code: 0 the file is fine, 2 it is not.
`;

/** The default of `-c`. */
export const DEFAULT_CONFIG_FILE = 'rproc-gpio.yaml';

/** `rproc-gpio config check|schema`. */
export const command: Command = {
  name: 'config',
  summary: 'check the configuration file, or print its JSON Schema',
  usage: USAGE,
  run(args, io) {
    const { values, positionals } = parse(args);
    if (values.help === true) {
      io.stdout.write(USAGE);
      return 0;
    }
    const [verb, ...rest] = positionals;
    if (rest.length > 0) throw new UsageError(`config: unexpected argument "${rest[0]}"`);
    switch (verb) {
      case 'check':
        return check(values.config ?? DEFAULT_CONFIG_FILE, values.all === true, io);
      case 'schema':
        if (values.config !== undefined || values.all === true) {
          throw new UsageError('config schema: takes no options');
        }
        io.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
        return 0;
      case undefined:
        throw new UsageError('config: expected "check" or "schema"');
      default:
        throw new UsageError(`config: expected "check" or "schema", not "${verb}"`);
    }
  },
};

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: 'string', short: 'c' },
        all: { type: 'boolean', short: 'a' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(`config: ${(error as Error).message}`);
  }
}

function check(file: string, isAll: boolean, io: CommandIo): number {
  try {
    const { coprocessors, chips, exports } = loadConfig(file);
    const counts = [count(coprocessors, 'coprocessor'), count(chips, 'chip'), count(exports, 'export')].join(
      ', ',
    );
    io.stdout.write(`${file}: ok (${counts})\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first, ...others] = error.all;
    io.stderr.write(`rproc-gpio: ${first!.message}\n`);
    if (isAll) {
      for (const other of others) io.stderr.write(`rproc-gpio: ${other.message}\n`);
    } else if (others.length > 0) {
      io.stderr.write(`rproc-gpio: ${others.length} more; --all prints them\n`);
    }
    return 2;
  }
}

function count(map: Readonly<Record<string, unknown>>, noun: string): string {
  const { length } = Object.keys(map);
  return `${length} ${noun}${length === 1 ? '' : 's'}`;
}
