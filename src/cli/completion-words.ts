/** What an argument of a command or the value of an option is. */
export type WordKind = 'line' | 'line-value' | 'chip' | 'file' | 'folder' | 'none' | readonly string[];

/** An option and what follows it; null for an option without a value. */
export interface OptionWords {
  readonly long: string;
  readonly short?: string;
  readonly value: WordKind | null;
}

export interface CommandWords {
  readonly options: readonly OptionWords[];
  readonly argument: WordKind;
}

const flag = (long: string, short?: string): OptionWords =>
  short === undefined ? { long, value: null } : { long, short, value: null };
const value = (long: string, kind: WordKind, short?: string): OptionWords =>
  short === undefined ? { long, value: kind } : { long, short, value: kind };

const HELP = flag('help', 'h');
const CLIENT = [flag('json'), value('socket', 'file'), HELP];
const SCOPE = [value('chip', 'chip', 'c'), flag('by-name'), flag('strict', 's')];
const TUNING = [flag('lock-memory'), value('realtime', 'none')];
const ACTIVE_LOW = flag('active-low', 'l');
const CONSUMER = value('consumer', 'none', 'C');

/**
 * Every command's words, for the completion of shells: a table, because the commands that serve guests load the addon, which
 * a shell that waits for a key must not. A test holds it against the commands' help.
 */
export const COMMAND_WORDS: Readonly<Record<string, CommandWords>> = {
  serve: { options: [value('config', 'file', 'c'), ...TUNING, HELP], argument: 'none' },
  demo: {
    options: [
      value('dir', 'folder'),
      value('dialect', ['virtio-gpio', 'srtm', 'rpmsg-io', 'rpmsg-gpio', 'rpmsg-gpio-kind0', 'metux']),
      value('mqtt-port', 'none'),
      ...TUNING,
      HELP,
    ],
    argument: 'none',
  },
  'vhost-user-gpio': {
    options: [
      value('socket-path', 'file'),
      value('fd', 'none'),
      value('chip', 'none'),
      value('poll-us', 'none'),
      ...TUNING,
      flag('print-capabilities'),
      HELP,
    ],
    argument: 'none',
  },
  config: { options: [value('config', 'file', 'c'), flag('all', 'a'), HELP], argument: ['check', 'schema'] },
  inspect: { options: [flag('json', 'j'), value('section', 'none'), HELP], argument: 'file' },
  detect: { options: CLIENT, argument: 'chip' },
  info: { options: [...SCOPE, flag('unquoted'), ...CLIENT], argument: 'line' },
  get: {
    options: [
      ...SCOPE,
      ACTIVE_LOW,
      flag('numeric'),
      flag('unquoted'),
      flag('as-is', 'a'),
      CONSUMER,
      ...CLIENT,
    ],
    argument: 'line',
  },
  set: {
    options: [...SCOPE, ACTIVE_LOW, value('toggle', ['0'], 't'), flag('daemonize', 'z'), CONSUMER, ...CLIENT],
    argument: 'line-value',
  },
  toggle: { options: [...SCOPE, ...CLIENT], argument: 'line' },
  pulse: { options: [value('duration', 'none', 'd'), ...SCOPE, ACTIVE_LOW, ...CLIENT], argument: 'line' },
  release: { options: [...SCOPE, ...CLIENT], argument: 'line' },
  mon: {
    options: [
      ...SCOPE,
      value('edges', ['rising', 'falling', 'both'], 'e'),
      value('num-events', 'none', 'n'),
      value('idle-timeout', 'none'),
      value('format', 'none', 'F'),
      value('event-clock', ['monotonic', 'realtime'], 'E'),
      flag('localtime'),
      flag('utc'),
      ACTIVE_LOW,
      flag('initial-state', 'I'),
      flag('numeric', 'N'),
      flag('quiet', 'q'),
      flag('silent'),
      flag('unquoted'),
      flag('banner'),
      CONSUMER,
      ...CLIENT,
    ],
    argument: 'line',
  },
  status: { options: CLIENT, argument: 'none' },
  reload: { options: CLIENT, argument: 'none' },
  coprocessor: { options: CLIENT, argument: ['start', 'stop', 'restart'] },
  completion: { options: [HELP], argument: ['bash', 'zsh'] },
};

/** What stands behind `LINE=`. */
export const VALUE_WORDS = ['0', '1', 'active', 'inactive', 'on', 'off', 'true', 'false'];
