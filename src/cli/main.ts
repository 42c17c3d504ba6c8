import { readFileSync } from 'node:fs';
import { type Command, type CommandIo, UsageError } from './command.ts';

/** Loaded when they are called: `config check` needs no addon. */
const COMMANDS: Readonly<
  Record<string, { readonly summary: string; load(): Promise<{ readonly command: Command }> }>
> = {
  serve: { summary: 'run the service as configured', load: () => import('./serve.ts') },
  demo: {
    summary: 'run the service with a simulated sensor hub; needs no file',
    load: () => import('./demo.ts'),
  },
  'vhost-user-gpio': {
    summary: 'serve one chip to one guest, as a vhost-user back-end',
    load: () => import('./vhost-user-gpio.ts'),
  },
  config: { summary: 'check a configuration file, or print its schema', load: () => import('./config.ts') },
  inspect: { summary: 'show the resource table of a firmware file', load: () => import('./inspect.ts') },
};

const USAGE = `usage: rproc-gpio COMMAND [options]

Offers the GPIO lines of a co-processor to guests, as a virtio-gpio device over
vhost-user.

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(17)}${summary}`)
  .join('\n')}

  -h, --help       this text; 'rproc-gpio COMMAND --help' tells more
  -V, --version    the version
`;

/** What parseArgs throws for arguments that it does not know. */
function isUsageError(error: unknown): error is Error {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ERR_USAGE' || String(error.code).startsWith('ERR_PARSE_ARGS'))
  );
}

/** Runs a command line. @returns the exit code: 0, 1 (error), 2 (usage or configuration) */
export async function main(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === '-h' || name === '--help' || name === 'help') {
    io.stdout.write(USAGE);
    return 0;
  }
  if (name === '-V' || name === '--version') {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    io.stdout.write(`rproc-gpio ${manifest.version}\n`);
    return 0;
  }
  try {
    if (name === undefined) throw new UsageError(`a command is needed: ${Object.keys(COMMANDS).join(', ')}`);
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (entry === undefined) {
      throw new UsageError(`there is no command '${name}'; commands are ${Object.keys(COMMANDS).join(', ')}`);
    }
    const { command } = await entry.load();
    if (rest.includes('--help') || rest.includes('-h')) {
      io.stdout.write(command.usage);
      return 0;
    }
    return await command.run(rest, io);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    io.stderr.write(`rproc-gpio: ${message}\n`);
    if (isUsageError(error)) {
      io.stderr.write(
        `Try 'rproc-gpio ${name !== undefined && Object.hasOwn(COMMANDS, name) ? `${name} ` : ''}--help'.\n`,
      );
      return 2;
    }
    return error instanceof Error && 'code' in error && error.code === 'ERR_CONFIG' ? 2 : 1;
  }
}

// A reader that goes away (`| head`) is no reason to stop serving.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
// A fault of ours never leaves a half-dead service behind.
process.on('uncaughtException', (error) => {
  process.stderr.write(`rproc-gpio: internal error: ${error.stack ?? String(error)}\n`);
  process.exit(1);
});
process.exitCode = await main(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr });
// Whatever is still open has an owner that was closed; a signal must end the process now.
process.exit();
