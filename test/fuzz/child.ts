/** One target in a process of its own: started by test/fuzz/run.ts, which outlives whatever becomes of it. */
import { readFileSync } from 'node:fs';
import { readCorpus } from './corpus.ts';
import { IDLE, ProgressFile } from './progress.ts';
import { FuzzSession, minimize } from './session.ts';
import type { FuzzTarget } from './target.ts';

export interface ChildTask {
  /** The module that exports TARGETS. */
  readonly module: string;
  readonly target: string;
  readonly seed: number;
  /** Stops by the clock; null = not. */
  readonly seconds: number | null;
  readonly executions: number | null;
  /** A file whose bytes are executed instead, once. */
  readonly inputPath: string | null;
  readonly progressPath: string;
}

export interface ChildFind {
  readonly execution: number;
  readonly message: string;
  /** Base64. */
  readonly input: string;
}

export type ChildMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'find'; readonly find: ChildFind }
  /** A smaller input with the last find; base64. */
  | { readonly kind: 'minimized'; readonly input: string }
  | {
      readonly kind: 'done';
      readonly executions: number;
      readonly outcomes: number;
      readonly seconds: number;
      readonly cpuSeconds: number;
      /** With a given input: what it came to. */
      readonly outcome: string | null;
    };

function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => resolve());
  });
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const textOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

async function single(target: FuzzTarget, path: string, progress: ProgressFile): Promise<string> {
  const input = new Uint8Array(readFileSync(path));
  progress.note(0, input);
  return target.run(input);
}

async function run(task: ChildTask): Promise<void> {
  const { TARGETS } = (await import(task.module)) as { TARGETS: readonly FuzzTarget[] };
  const target = TARGETS.find(({ name }) => name === task.target);
  if (target === undefined) throw new Error(`there is no target ${task.target}`);
  const progress = new ProgressFile(task.progressPath);
  const session = new FuzzSession(target, {
    seed: task.seed,
    corpus: readCorpus(target.name).map(({ bytes }) => bytes),
    before: (execution, input) => progress.note(execution, input),
  });
  await send({ kind: 'ready' });
  // A promise that never settles is a hang, not the end.
  setInterval(() => {}, 1_000_000);
  const cpu = process.cpuUsage();
  const start = performance.now();
  const secondsSoFar = (): number => (performance.now() - start) / 1000;
  const reportFind = (input: Uint8Array, execution: number, error: unknown) =>
    send({ kind: 'find', find: { execution, message: textOf(error), input: base64(input) } });
  // What comes out of a callback belongs to the execution under way, or to the one before.
  process.on('uncaughtException', (error) => {
    void reportFind(new Uint8Array(0), -1, error).then(() => process.exit(3));
  });
  let outcome: string | null = null;
  if (task.inputPath !== null) {
    try {
      outcome = await single(target, task.inputPath, progress);
    } catch (error) {
      await reportFind(new Uint8Array(readFileSync(task.inputPath)), 0, error);
    }
    session.executions = 1;
  } else {
    const seconds = task.seconds ?? Number.POSITIVE_INFINITY;
    const limit = task.executions ?? Number.POSITIVE_INFINITY;
    while (session.executions < limit) {
      if (session.executions >= session.initialExecutions && secondsSoFar() >= seconds) break;
      const find = await session.step();
      if (find === null) continue;
      progress.note(IDLE, new Uint8Array(0));
      await reportFind(find.input, find.execution, find.error);
      await send({ kind: 'minimized', input: base64(await minimize(target, find)) });
      break;
    }
  }
  progress.note(IDLE, new Uint8Array(0));
  await target.close?.();
  const { user, system } = process.cpuUsage(cpu);
  await send({
    kind: 'done',
    executions: session.executions,
    outcomes: session.outcomes.size,
    seconds: secondsSoFar(),
    cpuSeconds: (user + system) / 1e6,
    outcome,
  });
  progress.close();
  process.exit(0);
}

process.once('message', (task) => void run(task as ChildTask));
