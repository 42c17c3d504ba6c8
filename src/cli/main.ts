import { readFileSync } from 'node:fs';
import { ControlError } from '../client/control-error.ts';
import { type Command, type CommandIo, UsageError } from './command.ts';
import { endByFault } from './fault.ts';

interface Entry {
  readonly summary: string;
  /** Runs until it is told to end: then it ends, also when nobody reads what it printed. */
  readonly isService?: true;
  load(): Promise<{ readonly command: Command }>;
}

/** Loaded when they are called: `config check` needs no addon, and a command in a script nothing but a socket. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  serve: { summary: 'run the service as configured', isService: true, load: () => import('./serve.ts') },
  demo: {
    summary: 'run the service with a simulated sensor hub; needs no file',
    isService: true,
    load: () => import('./demo.ts'),
  },
  'vhost-user-gpio': {
    summary: 'serve one chip to one guest, as a vhost-user back-end',
    isService: true,
    load: () => import('./vhost-user-gpio.ts'),
  },
  config: { summary: 'check a configuration file, or print its schema', load: () => import('./config.ts') },
  inspect: { summary: 'show the resource table of a firmware file', load: () => import('./inspect.ts') },
  detect: { summary: 'list the chips of the running service', load: () => import('./detect.ts') },
  info: { summary: 'show direction, settings and users of lines', load: () => import('./info.ts') },
  get: { summary: 'read levels of lines', load: () => import('./get.ts') },
  set: { summary: 'drive lines', load: () => import('./set.ts') },
  toggle: { summary: 'invert lines', load: () => import('./toggle.ts') },
  pulse: { summary: 'drive lines for a time', load: () => import('./pulse.ts') },
  release: { summary: 'give driven lines up', load: () => import('./release.ts') },
  mon: { summary: 'print level changes as they come', load: () => import('./mon.ts') },
  status: { summary: 'show co-processors, guests, MQTT and owners', load: () => import('./status.ts') },
  reload: { summary: 'apply the changed configuration file', load: () => import('./reload.ts') },
  coprocessor: { summary: 'start, stop or restart one', load: () => import('./coprocessor.ts') },
  completion: { summary: "print a shell's completion script", load: () => import('./completion.ts') },
};

const USAGE = `usage: rproc-gpio COMMAND [options]

Offers the GPIO lines of a co-processor to guests, to MQTT and to a shell.

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
    // Codes of the service are about its side: a reload of a faulty file is no wrong use of the command.
    if (error instanceof ControlError) return 1;
    if (isUsageError(error)) {
      io.stderr.write(
        `Try 'rproc-gpio ${name !== undefined && Object.hasOwn(COMMANDS, name) ? `${name} ` : ''}--help'.\n`,
      );
      return 2;
    }
    return error instanceof Error && 'code' in error && error.code === 'ERR_CONFIG' ? 2 : 1;
  }
}

/** How long a service that ends waits for whoever reads its output. */
const SERVICE_LAST_WORDS_MS = 1000;

/** Resolves when everything is written: a pipe takes 64 KiB at once, and an exit forgets the rest. */
function emptied(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}

// A reader that goes away (`| head`) is no reason to stop serving.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
// Also what a promise was rejected with that nobody waits for, and what a callback of the addon throws.
process.on('uncaughtException', (error: unknown) => {
  endByFault(error instanceof Error ? (error.stack ?? error.message) : String(error));
});
const args = process.argv.slice(2);
process.exitCode = await main(args, { stdout: process.stdout, stderr: process.stderr });
const written = Promise.all([process.stdout, process.stderr].map(emptied));
const name = args[0] ?? '';
if (Object.hasOwn(COMMANDS, name) && COMMANDS[name]?.isService === true) {
  await Promise.race([written, new Promise((resolve) => setTimeout(resolve, SERVICE_LAST_WORDS_MS))]);
} else {
  await written;
}
// Whatever is still open has an owner that was closed; a signal must end the process now.
process.exit();
