/** What the service costs while nothing happens: context switches, processor time, memory. */
import { setTimeout as delay } from 'node:timers/promises';
import { type QuietResult, watchQuiet } from './idle.ts';
import { processTree, residentBytes } from './process-status.ts';
import { startProgram } from './programs.ts';
import { type Service, startDemo } from './service.ts';

export interface DemoResult {
  /** Of the service's own process. */
  readonly residentBytes: number;
  /** With the firmware process that the demo starts. */
  readonly treeResidentBytes: number;
  readonly startMs: number;
}

/**
 * Attaches a guest with interrupts armed, lets the service settle, and watches it for a while.
 * @throws Error when the guest does not get attached, or when the service signals it although nothing happened.
 */
export async function measureIdle(
  backEnd: Service,
  settleSeconds: number,
  idleSeconds: number,
): Promise<QuietResult> {
  const stay = settleSeconds + idleSeconds + 30;
  const options = [`--socket-path=${backEnd.socketPath}`, '--mode=idle', '--pairs=16', `--seconds=${stay}`];
  const guest = startProgram('loadgen', options, null);
  let output = '';
  const attached = new Promise<void>((settle, reject) => {
    guest.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.includes('"attached":true')) settle();
    });
    guest.stderr!.setEncoding('utf8').on('data', (text: string) => (output += text));
    guest.once('error', reject);
    guest.once('close', () => reject(new Error(`the idle guest ended: ${output.trim()}`)));
  });
  try {
    await attached;
    await delay(settleSeconds * 1000);
    const [quiet] = await watchQuiet([backEnd.pid], idleSeconds);
    if (guest.exitCode !== null) throw new Error(`the idle guest ended: ${output.trim()}`);
    return quiet!;
  } finally {
    guest.kill('SIGTERM');
  }
}

/** Starts the demo, reads its memory once it is ready and has settled for a second, and ends it. */
export async function measureDemo(): Promise<DemoResult> {
  const demo = await startDemo();
  try {
    await delay(1000);
    const tree = processTree(demo.pid);
    return {
      residentBytes: residentBytes(demo.pid),
      treeResidentBytes: tree.reduce((sum, pid) => sum + residentBytes(pid), 0),
      startMs: demo.startMs,
    };
  } finally {
    await demo.close();
  }
}
