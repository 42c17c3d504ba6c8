import { type Config, loadConfig } from '../config/config.ts';
import { type LogLevel, Service, type ServiceOptions } from '../daemon/service.ts';
import type { CommandIo } from './command.ts';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Writes log lines of at least `level` to standard error. */
export function logTo(io: CommandIo, level: LogLevel): (level: LogLevel, message: string) => void {
  const least = LEVELS.indexOf(level);
  return (messageLevel, message) => {
    if (LEVELS.indexOf(messageLevel) >= least) io.stderr.write(`${messageLevel}: ${message}\n`);
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
  const ending = !loads ? endingSignal() : endingSignal(['SIGTERM', 'SIGINT']);
  let service: Service | null = null;
  const onLog: ServiceOptions['onLog'] = (level, message) =>
    logTo(io, (service?.config ?? config).log.level)(level, message);
  const options = { config, configFile, onLog, onLine: (text: string) => void io.stdout.write(text) };
  // One that comes during the start asks for what is being read anyway.
  if (loads) process.on('SIGHUP', () => void service?.reload().catch(sayRefused));
  const sayRefused = (error: unknown): void => onLog('error', `${(error as Error).message}`);
  service = await startUnless(
    ending,
    !loads ? options : { ...options, loadConfig: () => loadConfig(configFile) },
  );
  if (service === null) return 0;
  io.stdout.write(`ready: ${service.summary}\n`);
  if (hint !== undefined) io.stdout.write(hint(service));
  onReady?.(service);
  onLog('info', `ending on ${await ending}`);
  await service.close();
  return 0;
}
