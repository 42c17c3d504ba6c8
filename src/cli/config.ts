import { parseArgs } from 'node:util';
import { type Config, ConfigError, configJsonSchema, loadConfig } from '../config/config.ts';
import { topicSegment } from '../exporters/mqtt/topic-names.ts';
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
    const config = loadConfig(file);
    const { coprocessors, chips, exports, mqtt } = config;
    const counts = [count(coprocessors, 'coprocessor'), count(chips, 'chip'), count(exports, 'export')];
    if (mqtt !== undefined) counts.push('mqtt');
    io.stdout.write(`${file}: ok (${counts.join(', ')})\n`);
    for (const { name, segment } of mappedNames(config)) {
      io.stdout.write(`${file}: mqtt: no topic can hold "${name}": it is published as ${segment}\n`);
    }
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

/** New names that MQTT or Home Assistant cannot carry. Names that the firmware gives are known only when it runs. */
function mappedNames({ mqtt }: Config): { name: string; segment: string }[] {
  return (mqtt?.lines ?? []).flatMap(({ name }) => {
    if (name === undefined) return [];
    const segment = topicSegment(name);
    return segment === name ? [] : [{ name, segment }];
  });
}

function count(map: Readonly<Record<string, unknown>>, noun: string): string {
  const { length } = Object.keys(map);
  return `${length} ${noun}${length === 1 ? '' : 's'}`;
}
