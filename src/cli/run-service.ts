import type { Config } from '../config/config.ts';
import { type LogLevel, Service } from '../daemon/service.ts';
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
  const starting = Service.start({ config, configFile, onLog, onLine: (text) => io.stdout.write(text) });
  const first = await Promise.race([starting, ending]);
  if (typeof first === 'string') {
    await starting.then(
      (service) => service.close(),
      () => {},
    );
    return 0;
  }
  io.stdout.write(`ready: ${first.summary}\n`);
  if (hint !== undefined) io.stdout.write(hint);
  onReady?.(first);
  onLog('info', `ending on ${await ending}`);
  await first.close();
  return 0;
}
