/**
 * `npm run bench -- [--json] [--quick] [--placement=apart|free] [--rounds=N]`
 *
 * Measures the built service and prints every figure with its target. Exits with 1 when a target was missed by more
 * than noise explains (docs/performance.md), with 2 for a wrong option.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { exitStatus } from './figures.ts';
import { allowedCpus, buildPrograms } from './programs.ts';
import { figuresOf, tableOf } from './report.ts';
import { type Effort, FULL, measureRounds, type Placement, QUICK } from './rounds.ts';
import { type Service, startBackEnd, startYardstick } from './service.ts';
import { measureDemo, measureIdle } from './standing.ts';

const LINES = 32;

interface Options {
  readonly json: boolean;
  readonly effort: Effort;
  readonly placement: Placement;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      placement: { type: 'string', default: 'apart' },
      rounds: { type: 'string' },
    },
  });
  const effort = values.quick ? QUICK : FULL;
  const rounds = values.rounds === undefined ? effort.rounds : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds=${values.rounds}: must be 1 or more`);
  return { json: values.json, effort: { ...effort, rounds }, placement: placementOf(values.placement) };
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

async function run({ json, effort, placement }: Options): Promise<0 | 1> {
  const progress = (line: string): void => void process.stderr.write(`${line}\n`);
  buildPrograms();
  const services: Service[] = [];
  const started = async (starting: Promise<Service>): Promise<Service> => {
    const service = await starting;
    services.push(service);
    return service;
  };
  try {
    const backEnd = await started(startBackEnd(LINES, placement.serviceCpu));
    const unpolled = await started(startBackEnd(LINES, placement.serviceCpu, ['--poll-us=0']));
    const yardstick = await started(startYardstick(LINES, placement.serviceCpu));
    const rounds = await measureRounds({ backEnd, unpolled, yardstick }, effort, placement, progress);
    progress(`idle: settling for ${effort.settleSeconds} s`);
    const idle = await measureIdle(backEnd, effort.settleSeconds, effort.idleSeconds);
    progress('demo');
    const demo = await measureDemo();
    const figures = figuresOf(rounds, idle, demo);
    if (json) {
      const met = figures.every((each) => each.met !== false);
      const report = { date: new Date().toISOString(), machine: machine(), placement, effort, met };
      process.stdout.write(`${JSON.stringify({ ...report, figures, rounds, idle, demo })}\n`);
    } else {
      process.stdout.write(`${tableOf(figures)}\n`);
    }
    return exitStatus(figures);
  } finally {
    for (const service of services) await service.close();
  }
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
