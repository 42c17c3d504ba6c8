import { parseArgs } from 'node:util';
import { type Config, loadConfig, parseConfig } from '../config/config.ts';
import { type Command, type CommandIo, UsageError } from './command.ts';
import { TUNING_OPTIONS, TUNING_USAGE, tuneProcess } from './process-tuning.ts';
import { runService } from './run-service.ts';
import { serveDescriptor } from './serve-descriptor.ts';
import { wholeNumber } from './whole-number.ts';

/** What QEMU's docs/interop/vhost-user.json asks of `--print-capabilities`. */
const CAPABILITIES = { type: 'gpio', features: [] };

export const command: Command = {
  name: 'vhost-user-gpio',
  summary: 'serve one chip to one guest, as a vhost-user back-end',
  usage: `usage: rproc-gpio vhost-user-gpio --socket-path=PATH|--fd=N --chip=CHIP
                                  [options]

Follows "Backend program conventions" of QEMU's vhost-user.rst: stays in the
foreground, ends quickly on SIGTERM.

  --socket-path=PATH     listen on a Unix socket there (mode 0600)
  --fd=N                 serve an inherited socket, connected or listening
  --chip=sim:N           N simulated lines sim0, sim1, ...; line 2k is wired to
                         line 2k+1
  --chip=FILE.yaml#NAME  the chip NAME of a configuration file, all its lines
  --poll-us=N            keep looking at the rings for N microseconds after
                         serving them (0 to 1000, default 50; 0: do not)
  --print-capabilities   print the capabilities as JSON, and exit
${TUNING_USAGE}  -h, --help             this text
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        'socket-path': { type: 'string' },
        fd: { type: 'string' },
        chip: { type: 'string' },
        'poll-us': { type: 'string', default: '50' },
        'print-capabilities': { type: 'boolean' },
        ...TUNING_OPTIONS,
      },
    });
    if (values['print-capabilities'] === true) {
      io.stdout.write(`${JSON.stringify(CAPABILITIES)}\n`);
      return 0;
    }
    const socketPath = values['socket-path'];
    if ((socketPath === undefined) === (values.fd === undefined)) {
      throw new UsageError('exactly one of --socket-path=PATH and --fd=N is needed');
    }
    if (values.chip === undefined) throw new UsageError('--chip=sim:N or --chip=FILE.yaml#NAME is needed');
    const pollUs = wholeNumber('--poll-us', values['poll-us'], 0, 1000);
    const fd = values.fd === undefined ? -1 : wholeNumber('--fd', values.fd, 3, 1_000_000);
    const { config, file } = chipConfig(values.chip);
    await tuneProcess(values);
    if (socketPath === undefined) return serveDescriptor(config, fd, pollUs, io);
    return serveSocket(config, file, socketPath, pollUs, io);
  },
};

function serveSocket(
  config: Config,
  file: string | null,
  socket: string,
  pollUs: number,
  io: CommandIo,
): Promise<number> {
  const line = `${Object.keys(config.chips)[0]}/*`;
  const lines = [{ line, access: 'write' as const, role: 'any' as const }];
  const protocol = 'virtio-gpio' as const;
  const metuxReply = '2021' as const;
  const exports = {
    'vhost-user-gpio': { socket, protocol, metuxReply, pollUs, reconnectGraceMs: 0, resume: false, lines },
  };
  return runService({ config: { ...config, exports }, configFile: file, io });
}

/** The configuration of one chip, without exports and without a line log. */
function chipConfig(chip: string): { config: Config; file: string | null } {
  const simulated = /^sim:(\d+)$/.exec(chip);
  if (simulated !== null) {
    const lines = wholeNumber('--chip', simulated[1] as string, 1, 65535, 'sim:');
    const text = JSON.stringify({
      chips: { sim: { type: 'sim', lines } },
      control: { enabled: false },
      log: { lines: [] },
    });
    return { config: parseConfig(text, 'command line'), file: null };
  }
  const at = chip.lastIndexOf('#');
  if (at <= 0) throw new UsageError(`--chip=${chip}: sim:N or FILE.yaml#NAME is needed`);
  const file = chip.slice(0, at);
  const name = chip.slice(at + 1);
  const config = loadConfig(file);
  const chosen = config.chips[name];
  if (chosen === undefined) {
    throw new UsageError(
      `--chip=${chip}: ${file} has no chip '${name}'; it has ${Object.keys(config.chips).join(', ')}`,
    );
  }
  const coprocessors: Config['coprocessors'] = {};
  if (chosen.type === 'coprocessor') {
    const coprocessor = config.coprocessors[chosen.coprocessor];
    if (coprocessor !== undefined) coprocessors[chosen.coprocessor] = coprocessor;
  }
  const { mqtt: _mqtt, ...rest } = config;
  return {
    config: {
      ...rest,
      coprocessors,
      chips: { [name]: chosen },
      exports: {},
      control: { ...config.control, enabled: false },
      log: { ...config.log, lines: [] },
    },
    file,
  };
}
