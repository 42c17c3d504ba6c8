import { parseArgs } from 'node:util';
import { loadConfig } from '../config/config.ts';
import type { Command } from './command.ts';
import { TUNING_OPTIONS, TUNING_USAGE, tuneProcess } from './process-tuning.ts';
import { runService } from './run-service.ts';

export const command: Command = {
  name: 'serve',
  summary: 'run the service as configured',
  usage: `usage: rproc-gpio serve [options]

Binds the configured co-processors and offers their lines to guests. Prints one
line beginning with 'ready' on standard output once guests can connect, then a
line for each level change. The log is on standard error. SIGTERM and SIGINT end
it; SIGHUP reads the file again and applies what changed.

  -c, --config=FILE      configuration (default: rproc-gpio.yaml); see
                         docs/config.md
${TUNING_USAGE}  -h, --help             this text
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: { config: { type: 'string', short: 'c', default: 'rproc-gpio.yaml' }, ...TUNING_OPTIONS },
    });
    const config = loadConfig(values.config);
    await tuneProcess(values);
    return runService({ config, configFile: values.config, io, reloads: true });
  },
};
