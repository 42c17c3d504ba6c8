/** One service with many guests, and with many lines: simulated ones. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServiceStatus } from '../src/wire/control.ts';
import { SERVICE_COMMAND, type Service, startProcess, untilReadyLine } from './service.ts';

export interface CrowdService extends Service {
  readonly guests: number;
  /** The guests' sockets are this and 0, 1, …; what `crowd` takes. */
  readonly socketPrefix: string;
  readonly controlSocketPath: string;
}

/**
 * Starts `rproc-gpio serve` with so many devices, each with lines of its own (2k drives 2k + 1).
 * @param isShared one more line that all devices have, the last one of each, and for the first device the one that drives it
 */
export async function startCrowdService(
  guests: number,
  lines: number,
  isShared: boolean,
  cpu: number | null,
): Promise<CrowdService> {
  let prefix = '';
  let controlSocketPath = '';
  const service = await startProcess(cpu, (folder) => {
    prefix = join(folder, 'guest');
    controlSocketPath = join(folder, 'control.sock');
    const file = join(folder, 'rproc-gpio.yaml');
    writeFileSync(
      file,
      JSON.stringify({
        ...devices(prefix, guests, lines, isShared),
        control: { socket: controlSocketPath },
        log: { lines: [] },
      }),
    );
    return {
      command: SERVICE_COMMAND,
      options: ['serve', `--config=${file}`],
      ready: untilReadyLine,
      socketPath: '',
      isNode: true,
    };
  });
  return { ...service, guests, socketPrefix: prefix, controlSocketPath };
}

function devices(prefix: string, guests: number, lines: number, isShared: boolean): object {
  const device = (guest: number): object => {
    const own: unknown[] = Array.from({ length: lines }, (_, line) => `own/sim${guest * lines + line}`);
    if (isShared && guest === 0) own.push({ line: 'shared/sim0', name: 'driver' });
    if (isShared) own.push({ line: 'shared/sim1', name: 'shared' });
    return { socket: `${prefix}${guest}`, lines: own };
  };
  return {
    chips: {
      own: { type: 'sim', lines: guests * lines },
      ...(isShared ? { shared: { type: 'sim', lines: 2 } } : {}),
    },
    exports: Object.fromEntries(Array.from({ length: guests }, (_, guest) => [`vm${guest}`, device(guest)])),
  };
}

/** Interrupts that the service has delivered to all its guests since it started, as it counts them itself. */
export async function interruptsOf(service: CrowdService): Promise<number> {
  const command = [SERVICE_COMMAND, 'status', '--json', `--socket=${service.controlSocketPath}`] as const;
  const { stdout } = await promisify(execFile)(command[0], command.slice(1), { maxBuffer: 0x1000000 });
  const status = JSON.parse(stdout) as ServiceStatus;
  return status.exports.reduce((sum, { counters }) => sum + counters.interrupts, 0);
}
