/**
 * Polling where it could do harm: one processor for the guest and the service, and processors that others keep busy. Each load
 * runs against a service that polls and one that does not, in turn; what counts is the ratio.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { PRESSURE_LOADS, PRESSURE_PLACES, type PressureRounds, pressureFigures } from './pressure-report.ts';
import { allowedCpus, type InterruptResult, type LoadResult, runProgram } from './programs.ts';
import { pinMainThread, type Service, startBackEnd } from './service.ts';

const LINES = 32;

/** A process that does nothing but keep a processor busy, until it is closed. */
function startBusyLoop(cpu: number): { close(): Promise<void> } {
  // Ends by itself should nobody end it.
  const loop = 'const t = Date.now(); while (Date.now() - t < 300_000);';
  const child: ChildProcess = spawn('taskset', ['-c', String(cpu), process.execPath, '-e', loop], {
    stdio: 'ignore',
  });
  const gone = new Promise<void>((settle) => {
    child.once('close', () => settle());
    child.once('error', () => settle());
  });
  return {
    close: () => {
      child.kill('SIGKILL');
      return gone;
    },
  };
}

async function measure({ effort, progress }: PartContext): Promise<PartResult> {
  const cpus = allowedCpus();
  const [first, second] = [cpus[0]!, cpus[1 % cpus.length]!];
  const started = new Started();
  const rounds = Object.fromEntries(
    PRESSURE_PLACES.map((place) => [place, { set: [], batch: [], interrupt: [] }]),
  ) as unknown as PressureRounds;
  try {
    const polled = await started.add(startBackEnd(LINES, null));
    const unpolled = await started.add(startBackEnd(LINES, null, ['--poll-us=0']));
    const options = {
      set: ['--mode=set', `--requests=${effort.pressureRequests}`],
      batch: ['--mode=set', '--outstanding=32', `--requests=${effort.pressureRequests * 20}`],
      interrupt: ['--mode=interrupt', '--pairs=1', `--requests=${effort.pressureRequests}`],
    };
    const run = (service: Service, load: readonly string[]): Promise<LoadResult | InterruptResult> =>
      runProgram('loadgen', [`--socket-path=${service.socketPath}`, '--warmup=200', ...load], first);
    for (const place of PRESSURE_PLACES) {
      const isApart = place === 'apart';
      for (const { pid } of [polled, unpolled]) pinMainThread(pid, [isApart ? second : first]);
      const loops = place === 'one' ? [] : isApart && second !== first ? [first, second] : [first];
      const busy = loops.map(startBusyLoop);
      try {
        // The first round warms up.
        for (let round = 0; round <= effort.pressureRounds; round++) {
          for (const load of PRESSURE_LOADS) {
            // Who begins alternates: what goes before warms caches and clocks.
            const order = round % 2 === 0 ? [polled, unpolled] : [unpolled, polled];
            const results = new Map<Service, LoadResult | InterruptResult>();
            for (const service of order) results.set(service, await run(service, options[load]));
            const pair = { polled: results.get(polled)!, unpolled: results.get(unpolled)! };
            if (round > 0) rounds[place][load].push(pair);
          }
          progress(`pressure: ${place}, round ${round}/${effort.pressureRounds}`);
        }
      } finally {
        for (const loop of busy) await loop.close();
      }
    }
    return { figures: pressureFigures(rounds), raw: { pressure: rounds } };
  } finally {
    await started.close();
  }
}

export const pressurePart: Part = { name: 'pressure', measure };
