/** What a process does while nothing happens. */
import { setTimeout as delay } from 'node:timers/promises';
import { cpuSeconds, switchesBetween, voluntarySwitches } from './process-status.ts';

export interface QuietResult {
  /** Voluntary context switches over all threads. */
  readonly switches: number;
  /** Of them, by thread, those that had any. */
  readonly byThread: Readonly<Record<string, number>>;
  readonly cpuSeconds: number;
  readonly seconds: number;
}

/** Watches some processes for a while, all at once. */
export async function watchQuiet(pids: readonly number[], seconds: number): Promise<QuietResult[]> {
  const started = performance.now();
  const before = pids.map((pid) => ({ switches: voluntarySwitches(pid), cpu: cpuSeconds(pid) }));
  await delay(seconds * 1000);
  return pids.map((pid, i) => {
    const after = voluntarySwitches(pid);
    const { switches, cpu } = before[i]!;
    const byThread = [...after]
      .map(([thread, count]) => [thread, count - (switches.get(thread) ?? 0)] as const)
      .filter(([, count]) => count > 0);
    return {
      switches: switchesBetween(switches, after),
      byThread: Object.fromEntries(byThread),
      cpuSeconds: cpuSeconds(pid) - cpu,
      seconds: (performance.now() - started) / 1000,
    };
  });
}
