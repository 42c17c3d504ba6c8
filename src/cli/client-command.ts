import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type Client, connect } from '../client/client.ts';
import type { LineOutcome } from '../wire/control.ts';
import { type CommandIo, UsageError } from './command.ts';
import { type LineArgument, lineFault } from './line-arguments.ts';
import { visible, visibleJson } from './visible-text.ts';

type OptionsConfig = NonNullable<ParseArgsConfig['options']>;

/** Options of every command that asks the running service; for parseArgs. */
export const CLIENT_OPTIONS = { json: { type: 'boolean' }, socket: { type: 'string' } } as const;

/** Lines for their usage texts. */
export const CLIENT_USAGE = `      --json             one JSON object a line
      --socket=PATH      the service's control socket ($RPROC_GPIO_SOCKET)
  -h, --help             this text
`;

/** An option of libgpiod's tool that means nothing here, and what to do instead. */
export interface ForeignOption {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly instead: string;
}

/**
 * Reads a client command's arguments.
 * @param foreign options of libgpiod's tool of the same name that are refused with a reason of their own
 * @throws UsageError, or what parseArgs throws
 */
export function parseClientArgs<const T extends OptionsConfig>(
  command: string,
  args: readonly string[],
  options: T,
  foreign: Readonly<Record<string, ForeignOption>> = {},
) {
  const all: OptionsConfig = { ...options, ...CLIENT_OPTIONS };
  for (const [name, { type, short }] of Object.entries(foreign)) {
    all[name] = short === undefined ? { type } : { type, short };
  }
  const parsed = parseArgs({ args: [...args], allowPositionals: true, options: all });
  for (const [name, { instead }] of Object.entries(foreign)) {
    if (parsed.values[name] !== undefined) throw new UsageError(`${command}: --${name}: ${instead}`);
  }
  return parsed as ReturnType<
    typeof parseArgs<{ args: string[]; allowPositionals: true; options: T & typeof CLIENT_OPTIONS }>
  >;
}

/** Refuses arguments of a command that takes none. @throws UsageError */
export function refuseArguments(command: string, texts: readonly string[]): void {
  if (texts.length > 0) throw new UsageError(`${command}: unexpected argument '${texts[0]}'`);
}

/** Connects to the running service for as long as `use` takes. @throws ControlError */
export async function withService<T>(
  { socket }: { readonly socket?: string | undefined },
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect(socket === undefined ? {} : { socket });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** Whether the service knows no such line, or several. */
export function isLineError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'ERR_LINE';
}

/**
 * Asks for something on lines. When the service does not know one, the names that it has tell which was meant.
 * @returns null when it was told on the error output
 * @throws ControlError for everything else
 */
export async function askForLines<T>(
  client: Client,
  lines: readonly LineArgument[],
  io: CommandIo,
  ask: () => Promise<T>,
): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (!isLineError(error)) throw error;
    for (const fault of await lineFaults(client, lines, error.message)) {
      io.stderr.write(`rproc-gpio: ${fault}\n`);
    }
    return null;
  }
}

async function lineFaults(
  client: Client,
  lines: readonly LineArgument[],
  otherwise: string,
): Promise<readonly string[]> {
  const all = await client.lines();
  const faults = lines.map(({ reference }) => lineFault(reference, all)).filter((fault) => fault !== null);
  return faults.length > 0 ? faults : [otherwise];
}

/**
 * Tells the reason of every line that was refused.
 * @returns the exit code: 0 when none was, else 1
 */
export async function reportRefusals(
  client: Client,
  lines: readonly LineArgument[],
  outcomes: readonly LineOutcome[],
  io: CommandIo,
): Promise<0 | 1> {
  const refused = outcomes.filter(({ ok }) => !ok);
  if (refused.length === 0) return 0;
  for (const { line, reason, code } of refused) {
    if (code === 'ERR_LINE') continue;
    io.stderr.write(`rproc-gpio: ${visible(line)}: ${reason ?? code ?? 'refused'}\n`);
  }
  const unknown = refused.filter(({ code }) => code === 'ERR_LINE');
  if (unknown.length > 0) {
    const otherwise = unknown.map(({ line, reason }) => `${visible(line)}: ${reason}`).join('; ');
    for (const fault of await lineFaults(client, lines, otherwise)) io.stderr.write(`rproc-gpio: ${fault}\n`);
  }
  return 1;
}

/** Writes objects as JSON, one a line. */
export function writeJson(io: CommandIo, objects: readonly object[]): void {
  io.stdout.write(objects.map((object) => `${visibleJson(object)}\n`).join(''));
}
