import { type Config, loadConfig } from '../config/config.ts';
import { type LogLevel, Service, type ServiceOptions } from '../daemon/service.ts';
import { Systemd } from '../daemon/systemd.ts';
import { Watchdog } from '../daemon/watchdog.ts';
import type { CommandIo } from './command.ts';
import { closeOnFault, endByFault } from './fault.ts';
import { loggable } from './visible-text.ts';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Writes log lines of at least `level` to standard error. */
export function logTo(io: CommandIo, level: LogLevel): (level: LogLevel, message: string) => void {
  const least = LEVELS.indexOf(level);
  return (messageLevel, message) => {
    if (LEVELS.indexOf(messageLevel) >= least) io.stderr.write(`${messageLevel}: ${loggable(message)}\n`);
  };
}

const ENDING_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Resolves with the name of the first signal that asks the process to end. */
export function endingSignal(signals: readonly NodeJS.Signals[] = ENDING_SIGNALS): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve(signal));
  });
}

/** Starts the service. A signal that comes before it runs gives it up: null. */
export async function startUnless(
  ending: Promise<string>,
  options: Omit<ServiceOptions, 'signal'>,
): Promise<Service | null> {
  const controller = new AbortController();
  void ending.then(() => controller.abort());
  try {
    return await Service.start({ ...options, signal: controller.signal });
  } catch (error) {
    if (controller.signal.aborted) return null;
    throw error;
  }
}

export interface RunOptions {
  readonly config: Config;
  readonly configFile: string | null;
  readonly io: CommandIo;
  /** SIGHUP and `reload` read the file again. */
  readonly reloads?: boolean;
  /** Said behind the `ready` line. */
  readonly hint?: (service: Service) => string;
  /** Told once guests can connect. */
  readonly onReady?: (service: Service) => void;
}

/** While it starts or ends, a service manager is told so often that it may take longer, and by how much. */
const EXTEND_EVERY_MS = 10_000;
const EXTEND_BY_MS = 30_000;

/** Runs the service until a signal ends it. @returns the exit code */
export async function runService({
  config,
  configFile,
  io,
  reloads = false,
  hint,
  onReady,
}: RunOptions): Promise<number> {
  const loads = reloads && configFile !== null;
  let service: Service | null = null;
  const onLog: ServiceOptions['onLog'] = (level, message) =>
    logTo(io, (service?.config ?? config).log.level)(level, message);
  const systemd = Systemd.take(process.env, onLog);
  let watchdog: Watchdog | null = null;
  let code = 0;
  let giveUp: (why: string) => void = () => {};
  const fault = new Promise<string>((resolve) => {
    giveUp = resolve;
  });
  const signal = !loads ? endingSignal() : endingSignal(['SIGTERM', 'SIGINT']);
  const ending = Promise.race([signal, fault]);
  const options: Omit<ServiceOptions, 'signal'> = {
    config,
    configFile,
    onLog,
    onLine: (text: string) => void io.stdout.write(text),
    onChange: () => systemd.changed(() => service?.statusLine ?? ''),
    onReload: (isUnderWay) => {
      if (isUnderWay) systemd.reloading();
      else systemd.ready(service?.statusLine ?? '');
    },
    onFatal: endByFault,
  };
  // One that comes during the start asks for what is being read anyway.
  if (loads) process.on('SIGHUP', () => void service?.reload().catch(sayRefused));
  const sayRefused = (error: unknown): void => onLog('error', `${(error as Error).message}`);
  const starting = startUnless(
    ending,
    !loads ? options : { ...options, loadConfig: () => loadConfig(configFile) },
  );
  const close = async (status: string): Promise<void> => {
    watchdog?.close();
    systemd.stopping(status);
    await (await starting)?.close();
  };
  closeOnFault(() => {
    code = 1;
    giveUp('an internal error');
    return close('ending after an internal error');
  });
  const extending = setInterval(() => systemd.extendTimeout(EXTEND_BY_MS), EXTEND_EVERY_MS);
  try {
    service = await starting;
  } finally {
    clearInterval(extending);
  }
  if (service === null) return code;
  io.stdout.write(`ready: ${service.summary}\n`);
  if (hint !== undefined) io.stdout.write(hint(service));
  systemd.ready(service.statusLine);
  watchdog = startWatchdog(systemd, service, onLog);
  onReady?.(service);
  onLog('info', `ending on ${await ending}`);
  if (code === 0) await close('ending');
  else await service.close();
  return code;
}

/** Only for somebody who asks for it: its looks are the only wake-ups of a service that has nothing to do. */
function startWatchdog(systemd: Systemd, service: Service, onLog: ServiceOptions['onLog']): Watchdog | null {
  if (systemd.watchdogMs === null) return null;
  return new Watchdog({
    periodMs: systemd.watchdogMs,
    progress: service,
    ping: () => systemd.watchdog(),
    onStuck: (reason) =>
      reason === null
        ? onLog('warn', 'watchdog: all goes on again')
        : onLog('error', `watchdog: ${reason}; the service manager is not told that all goes on`),
  });
}
