/** One service with many guests, and with many lines: simulated ones. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICE_COMMAND, type Service, startProcess, untilReadyLine } from './service.ts';

export interface CrowdService extends Service {
  readonly guests: number;
  /** The guests' sockets are this and 0, 1, …; what `crowd` takes. */
  readonly socketPrefix: string;
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
  const service = await startProcess(cpu, (folder) => {
    prefix = join(folder, 'guest');
    const file = join(folder, 'rproc-gpio.yaml');
    writeFileSync(file, JSON.stringify(configuration(prefix, guests, lines, isShared)));
    return {
      command: SERVICE_COMMAND,
      options: ['serve', `--config=${file}`],
      ready: untilReadyLine,
      socketPath: '',
      isNode: true,
    };
  });
  return { ...service, guests, socketPrefix: prefix };
}

function configuration(prefix: string, guests: number, lines: number, isShared: boolean): object {
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
    control: { enabled: false },
    log: { lines: [] },
  };
}
