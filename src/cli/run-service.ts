import type { Config } from '../config/config.ts';
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

/** Resolves with the name of the first signal that asks the process to end. */
export function endingSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.once(signal, () => resolve(signal));
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
  /** Said behind the `ready` line. */
  readonly hint?: string;
  /** Told once guests can connect. */
  readonly onReady?: (service: Service) => void;
}

/** Runs the service until a signal ends it. @returns the exit code */
export async function runService({ config, configFile, io, hint, onReady }: RunOptions): Promise<number> {
  const ending = endingSignal();
  const onLog = logTo(io, config.log.level);
  const service = await startUnless(ending, {
    config,
    configFile,
    onLog,
    onLine: (text) => io.stdout.write(text),
  });
  if (service === null) return 0;
  io.stdout.write(`ready: ${service.summary}\n`);
  if (hint !== undefined) io.stdout.write(hint);
  onReady?.(service);
  onLog('info', `ending on ${await ending}`);
  await service.close();
  return 0;
}
