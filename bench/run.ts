/**
 * `npm run bench -- [--json] [--quick] [--only=PART,...] [--placement=apart|free] [--rounds=N]`
 *
 * Measures the built service and prints every figure with its target. Exits with 1 when a target was missed by more
 * than noise explains (docs/performance.md), with 2 for a wrong option.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { exitStatus } from './figures.ts';
import type { Part, PartResult, Progress } from './part.ts';
import { partsNamed } from './parts.ts';
import { allowedCpus, buildPrograms } from './programs.ts';
import { failuresOf, tableOf } from './report.ts';
import { type Effort, FULL, type Placement, QUICK } from './rounds.ts';

interface Options {
  readonly json: boolean;
  readonly parts: readonly Part[];
  readonly effort: Effort;
  readonly placement: Placement;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      placement: { type: 'string', default: 'apart' },
      rounds: { type: 'string' },
    },
  });
  const effort = values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? effort.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds=${values.rounds}: must be 1 or more`);
  return {
    json: values.json,
    parts: partsNamed(values.only),
    effort: { ...effort, rounds },
    placement: placementOf(values.placement),
  };
}

function placementOf(name: string): Placement {
  const cpus = allowedCpus();
  switch (name) {
    case 'free':
      return { name, loadCpu: null, serviceCpu: null };
    case 'apart':
      // The floor's threads go to the first two processors as well; on one processor both sides share it.
      return { name, loadCpu: cpus[0]!, serviceCpu: cpus[1 % cpus.length]! };
    default:
      throw new Error(`--placement=${name}: must be apart or free`);
  }
}

function machine(): Record<string, string | number> {
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  return { processors: allowedCpus().length, model, kernel: release(), node: process.versions.node };
}

async function run({ json, parts, effort, placement }: Options): Promise<0 | 1> {
  const progress: Progress = (line) => void process.stderr.write(`${line}\n`);
  buildPrograms();
  const results: PartResult[] = [];
  for (const part of parts) results.push(await part.measure({ effort, placement, json, progress }));
  const figures = results.flatMap((result) => result.figures);
  if (json) {
    const met = figures.every((each) => each.met !== false);
    const report = { date: new Date().toISOString(), machine: machine(), placement, effort, met };
    const raw = Object.assign({}, ...results.map((result) => result.raw));
    process.stdout.write(`${JSON.stringify({ ...report, figures, ...raw })}\n`);
  } else {
    process.stdout.write(`${tableOf(figures)}\n`);
  }
  process.stderr.write(failuresOf(figures));
  return exitStatus(figures);
}

let chosen: Options;
try {
  chosen = options();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
}
try {
  process.exitCode = await run(chosen);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
