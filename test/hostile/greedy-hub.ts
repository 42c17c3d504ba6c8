/** The example firmware as a greedy co-processor: test/hostile/native/greedy_hub.c. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { processTree } from '../../bench/process-status.ts';
import type { Attack, AttackResult } from './greedy-attack.ts';
import { ATTACKER_FOLDER, type GreedyService, PEER_CPU } from './greedy-service.ts';

export type Greed = 'doorbell' | 'events' | 'names';

/** A service with that co-processor, whose inputs somebody watches: each level change is written to the line log. */
export function hubConfiguration(greed: Greed): Readonly<Record<string, unknown>> {
  const dialect = greed === 'names' ? ['--dialect=rpmsg-gpio'] : [];
  // The attacker is one of the last to get a processor: see greedy-service.ts.
  const command = [
    'chrt',
    '--idle',
    '0',
    'env',
    `GREEDY=${greed}`,
    join(ATTACKER_FOLDER, 'greedy-hub'),
    '--pins=pins.sock',
    ...dialect,
  ];
  return {
    coprocessors: {
      hub: {
        memory: [{ type: 'memfd', sizeBytes: 0x40000, deviceAddress: 0x20000000 }],
        resourceTable: { deviceAddress: 0x20000000 },
        doorbell: { type: 'eventfd' },
        exec: { command },
      },
    },
    chips: { hub: { coprocessor: 'hub', ...(greed === 'names' ? { dialect: 'rpmsg-gpio' } : {}) } },
    log: { lines: ['hub/*'] },
  };
}

/** The firmware's process. */
function firmwareOf(service: GreedyService): number {
  const pid = processTree(service.pid).find(
    (each) => readFileSync(`/proc/${each}/comm`, 'utf8').trim() === 'greedy-hub',
  );
  if (pid === undefined) throw new Error('the firmware does not run');
  return pid;
}

/** Lets the firmware be greedy until the end of the attack. */
export async function hubAttack(service: GreedyService): Promise<Attack> {
  const pid = firmwareOf(service);
  execFileSync('taskset', ['-a', '-p', '-c', String(PEER_CPU), String(pid)], { stdio: 'ignore' });
  process.kill(pid, 'SIGUSR1');
  return {
    end: async () => {
      process.kill(pid, 'SIGUSR2');
      return {} as AttackResult;
    },
  };
}
