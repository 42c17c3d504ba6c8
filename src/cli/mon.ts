import { CLIENT_USAGE, type ForeignOption, parseClientArgs, withService } from './client-command.ts';
import { type Command, UsageError } from './command.ts';
import type { EdgeStyle } from './edge-format.ts';
import { EdgeMonitor, type MonitorOptions } from './edge-monitor.ts';
import { LINE_OPTIONS, parseLines } from './line-arguments.ts';
import { parsePeriodMs } from './period.ts';
import { wholeNumber } from './whole-number.ts';

/** Longest delay of a timer. */
const MAX_TIMER_MS = 0x7fffffff;

const OPTIONS = {
  ...LINE_OPTIONS,
  'active-low': { type: 'boolean', short: 'l' },
  banner: { type: 'boolean' },
  consumer: { type: 'string', short: 'C' },
  edges: { type: 'string', short: 'e' },
  'event-clock': { type: 'string', short: 'E' },
  format: { type: 'string', short: 'F' },
  'idle-timeout': { type: 'string' },
  'initial-state': { type: 'boolean', short: 'I' },
  localtime: { type: 'boolean' },
  'num-events': { type: 'string', short: 'n' },
  numeric: { type: 'boolean', short: 'N' },
  quiet: { type: 'boolean', short: 'q' },
  silent: { type: 'boolean' },
  unquoted: { type: 'boolean' },
  utc: { type: 'boolean' },
} as const;

/** Options of gpiomon that change the line itself. */
const FOREIGN: Readonly<Record<string, ForeignOption>> = {
  bias: {
    type: 'string',
    short: 'b',
    instead: "the bias of a line is its chip's own matter; a co-processor's firmware sets it",
  },
  'debounce-period': {
    type: 'string',
    short: 'p',
    instead: 'set debounceMs of the line in the configuration',
  },
};

export const command: Command = {
  name: 'mon',
  summary: 'print level changes as they come',
  usage: `usage: rproc-gpio mon [options] [LINE...]

Prints edges as gpiomon does, of all lines without LINE. 'dropped N' on standard
error: so many were lost, because the reader of the output was too slow.

  -c, --chip=CHIP        lines of this chip; -s, --strict, --by-name as in get
  -e, --edges=EDGES      rising, falling or both (default)
  -n, --num-events=N     end after N edges
      --idle-timeout=TIME  end when no edge came for TIME: 500ms, 10s
  -F, --format=FORMAT    %o offset, %l line, %c chip, %e 1 or 2, %E rising or
                         falling, %S seconds, %U UTC, %L local time, %% percent
  -E, --event-clock=CLOCK  monotonic (default) or realtime
      --localtime, --utc times as date and time
  -l, --active-low       swap rising and falling
  -I, --initial-state    print levels first; with -N, --numeric as 1 0
  -q, --quiet, --silent  print no edges
      --unquoted         no quotes around names
      --banner           say when it begins
  -C, --consumer=NAME    without effect: the service is the consumer
${CLIENT_USAGE}`,
  async run(args, io) {
    const { values, positionals } = parseClientArgs('mon', args, OPTIONS, FOREIGN);
    const isJson = values.json === true;
    if (isJson && values.format !== undefined) {
      throw new UsageError('mon: --format and --json exclude each other');
    }
    const lines = positionals.length === 0 ? [] : parseLines('mon', positionals, values);
    const options: Omit<MonitorOptions, 'lines' | 'chip'> = {
      edges: parseEdges(values.edges),
      eventLimit: parseLimit(values['num-events']),
      idleTimeoutMs: parseIdleTimeout(values['idle-timeout']),
      format: values.format,
      style: parseStyle(values),
      isActiveLow: values['active-low'] === true,
      isBanner: values.banner === true,
      isInitialState: values['initial-state'] === true,
      isJson,
      isNumeric: values.numeric === true,
      isQuiet: values.quiet === true || values.silent === true,
    };
    return withService(values, async (client) =>
      new EdgeMonitor(client, { ...options, lines, chip: values.chip ?? null }, io).run(),
    );
  },
};

function parseEdges(text: string | undefined): MonitorOptions['edges'] {
  if (text === undefined || text === 'both') return 'both';
  if (text === 'rising' || text === 'falling') return text;
  throw new UsageError(`mon: --edges=${text}: expected rising, falling or both`);
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  return wholeNumber('mon: --num-events', text, 1, Number.MAX_SAFE_INTEGER);
}

function parseIdleTimeout(text: string | undefined): number | null {
  if (text === undefined) return null;
  const idleTimeoutMs = parsePeriodMs(text, 'mon: --idle-timeout');
  if (idleTimeoutMs > 0 && idleTimeoutMs <= MAX_TIMER_MS) return idleTimeoutMs;
  throw new UsageError(`mon: --idle-timeout=${text}: expected more than 0 and at most 24 days`);
}

/** Dates are of the wall clock, and the wall clock is written as a date unless seconds are asked for: as gpiomon does. */
function parseStyle(values: {
  readonly 'event-clock'?: string;
  readonly localtime?: boolean;
  readonly utc?: boolean;
  readonly unquoted?: boolean;
  readonly chip?: string;
}): EdgeStyle {
  const { 'event-clock': clock, localtime, utc } = values;
  if (localtime === true && utc === true)
    throw new UsageError('mon: --localtime and --utc exclude each other');
  if (clock !== undefined && clock !== 'monotonic' && clock !== 'realtime') {
    throw new UsageError(`mon: --event-clock=${clock}: expected monotonic or realtime`);
  }
  const asked = localtime === true ? 'localtime' : utc === true ? 'utc' : null;
  const time = asked ?? (clock === 'realtime' ? 'utc' : 'seconds');
  return {
    clock: clock ?? (asked === null ? 'monotonic' : 'realtime'),
    time,
    isWithChip: values.chip !== undefined,
    isUnquoted: values.unquoted === true,
  };
}
