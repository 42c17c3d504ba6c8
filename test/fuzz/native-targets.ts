/** The targets in C: test/fuzz/native/run.sh builds and runs them, and prints one JSON object a target. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What `--target` calls all of them. */
export const NATIVE = 'native';

const SCRIPT = fileURLToPath(new URL('./native/run.sh', import.meta.url));

export interface NativeReport {
  readonly target: string;
  readonly executions: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly finds: number;
}

function isReport(value: unknown): value is NativeReport {
  if (typeof value !== 'object' || value === null) return false;
  const { target, executions, seconds, cpuSeconds, finds } = value as Record<string, unknown>;
  return (
    typeof target === 'string' && [executions, seconds, cpuSeconds, finds].every((n) => typeof n === 'number')
  );
}

/**
 * Its own messages go to standard error, finds included.
 * @throws Error when they could not run, with what the script said
 */
export async function runNative(seconds: number, seed: number, json: boolean): Promise<NativeReport[]> {
  const child = spawn('bash', [SCRIPT, '--seconds', String(seconds), '--seed', String(seed), '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const reports: NativeReport[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.trim() === '') continue;
    const value: unknown = JSON.parse(line);
    if (!isReport(value)) throw new Error(`${SCRIPT} printed ${line}, which is no report of a target`);
    reports.push(value);
    if (json) process.stdout.write(`${line}\n`);
    else process.stdout.write(`${describe(value)}\n`);
  }
  const [code, signal] = (await closed) as [number | null, string | null];
  const finds = reports.reduce((sum, report) => sum + report.finds, 0);
  if (code !== 0 && !(code === 1 && finds > 0))
    throw new Error(`the targets in C did not run: bash ${SCRIPT} ended with ${signal ?? code}`);
  return reports;
}

function describe({ target, executions, seconds, cpuSeconds, finds }: NativeReport): string {
  return [
    target.padEnd(26),
    `${executions} executions`.padStart(20),
    `${Math.round(executions / Math.max(seconds, 0.001))}/s`.padStart(10),
    ''.padStart(16),
    `${cpuSeconds.toFixed(1)} CPU s`.padStart(12),
    `${finds} finds`.padStart(9),
  ].join(' ');
}
