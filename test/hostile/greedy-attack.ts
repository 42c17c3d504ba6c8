/** Attackers, and what they cost an honest guest. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ATTACKER_FOLDER, type GreedyService, PEER_CPU } from './greedy-service.ts';

/** What test/hostile/native says that it did. */
export interface AttackResult {
  readonly opened: number;
  readonly refused: number;
  /** Connections that the service closed. */
  readonly closed: number;
  readonly open: number;
  readonly bytesSent: number;
  readonly bytesRead: number;
  readonly kicks: number;
  readonly chains: number;
}

export interface Attack {
  /** Ends it, and gives what it did; idempotent. */
  end(): Promise<AttackResult>;
}

/** Bytes as an option of the attacker. */
export function hex(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as string).toString('hex');
}

/** Starts `greedy` with options. It is one of the last to get a processor: see greedy-service.ts. */
export async function launch(options: readonly string[]): Promise<Attack> {
  const program = join(ATTACKER_FOLDER, 'greedy');
  const parent = `--parent=${process.pid}`;
  const command = ['--idle', '0', 'taskset', '-c', String(PEER_CPU), program, parent, ...options];
  const child = spawn('chrt', command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  const closed = new Promise<number | null>((settle, reject) => {
    child.once('error', reject);
    child.once('close', settle);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await new Promise<void>((settle, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.includes('ready\n')) settle();
    });
    closed.then(
      (code) => reject(new Error(`greedy ${options.join(' ')} ended with ${code}: ${stderr}`)),
      reject,
    );
  });
  const end = async (): Promise<AttackResult> => {
    child.kill('SIGTERM');
    const code = await closed;
    if (code !== 0) throw new Error(`greedy ${options.join(' ')} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as AttackResult;
  };
  let ended: Promise<AttackResult> | null = null;
  return {
    end: () => {
      ended ??= end();
      return ended;
    },
  };
}

/** Keeps the attackers' processor awake, with an attack and without: waking it up costs more than a request. */
function keepAwake(): () => void {
  // Whatever becomes of the test, it ends with it, and after two minutes of the processor.
  const bound = ['--idle', '0', 'setpriv', '--pdeathsig', 'KILL', 'taskset', '-c', String(PEER_CPU)];
  const command = [...bound, 'sh', '-c', 'ulimit -t 120; while :; do :; done'];
  const child = spawn('chrt', command, { stdio: 'ignore' });
  return () => void child.kill('SIGKILL');
}

export interface Comparison {
  /** Median over the rounds: the victim's median with the attack over that without. */
  readonly ratio: number;
  readonly ratios: readonly number[];
  /** Of the attack of each round. */
  readonly results: readonly AttackResult[];
  /** Most resident memory seen during an attack, in MiB. */
  readonly residentMiB: number;
  /** Most descriptors that the service had during an attack. */
  readonly descriptors: number;
}

/** Of the victim's medians (see {@link Comparison.ratio}): above it, it is looked at more closely. */
export const MOST_RATIO = 2;
const MOST_ROUNDS = 21;
/** How often the service is looked at during an attack. */
const SAMPLE_MS = 50;

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/**
 * Measures the victim without and with an attack, in turn.
 * @throws Error when an answer was wrong
 */
export async function compare(
  service: GreedyService,
  attack: () => Promise<Attack>,
  rounds = 5,
  victim: () => ReturnType<GreedyService['victim']> = () => service.victim(),
): Promise<Comparison> {
  const ratios: number[] = [];
  const results: AttackResult[] = [];
  let residentMiB = 0;
  let descriptors = 0;
  const sleep = keepAwake();
  try {
    for (let round = 0; round < rounds; round++) await measure();
    // Somebody else's work on this machine falls on single rounds: with more of them it does not decide.
    while (median(ratios) > MOST_RATIO && ratios.length < MOST_ROUNDS) await measure();
  } finally {
    sleep();
  }
  return { ratio: median(ratios), ratios, results, residentMiB, descriptors };

  function look(): void {
    residentMiB = Math.max(residentMiB, service.residentMiB);
    descriptors = Math.max(descriptors, service.descriptors);
  }

  async function measure(): Promise<void> {
    const without = await victim();
    const running = await attack();
    const looking = setInterval(look, SAMPLE_MS);
    const withIt = await victim().finally(async () => {
      clearInterval(looking);
      look();
      results.push(await running.end());
    });
    if (without.errors + withIt.errors > 0)
      throw new Error(`wrong answers: ${without.errors}, ${withIt.errors}`);
    ratios.push(withIt.medianNs / without.medianNs);
  }
}
