/** `npm run fuzz`: all targets, by one seed (test/fuzz/README.md). */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { keepInput } from './corpus.ts';
import { NATIVE, type NativeReport, runNative } from './native-targets.ts';
import { superviseTarget, type TargetReport } from './supervise.ts';
import type { FuzzTarget } from './target.ts';
import { TARGETS } from './targets/index.ts';

const USAGE = `npm run fuzz -- [options]
  --seconds N        in all, shared evenly among the targets, by the clock (default 60)
  --executions N     of each target, instead of --seconds: the same inputs again; the C targets are left out
  --seed S           default 1
  --target=A,B       only these; NAME* stands for all that begin so; ${NATIVE} for the targets in C
  --input FILE|HEX   execute this input once; with one --target
  --only-typescript  leave the targets in C out
  --list             say what there is
  --json             one JSON object a line
Exit status: 0 nothing found, 1 finds, 2 it could not run.`;

/** The targets in C together get as much time as this many in TypeScript. */
const NATIVE_SHARES = 8;

class UsageError extends Error {}

function wholeNumber(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`--${name} is ${text}, should be a whole number from 1`);
  return value;
}

/** @returns the targets in TypeScript, and whether those in C are wanted */
function chosen(text: string | undefined): { targets: readonly FuzzTarget[]; native: boolean } {
  if (text === undefined) return { targets: TARGETS, native: true };
  const wishes = text.split(',').filter((wish) => wish !== '');
  const matches = (wish: string, name: string): boolean =>
    wish.endsWith('*') ? name.startsWith(wish.slice(0, -1)) : wish === name;
  for (const wish of wishes) {
    if (wish === NATIVE || TARGETS.some(({ name }) => matches(wish, name))) continue;
    const names = [...TARGETS.map(({ name }) => name), NATIVE].join(', ');
    throw new UsageError(`there is no target ${wish}; there are ${names}`);
  }
  return {
    targets: TARGETS.filter(({ name }) => wishes.some((wish) => matches(wish, name))),
    native: wishes.includes(NATIVE),
  };
}

function inputFile(text: string, folder: string): string {
  if (existsSync(text)) return text;
  if (!/^([0-9a-f]{2})*$/i.test(text))
    throw new UsageError(`--input ${text} is neither a file nor bytes in hex`);
  const path = join(folder, 'input');
  writeFileSync(path, Buffer.from(text, 'hex'));
  return path;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

function printFinds(report: TargetReport, seed: number, isReplay: boolean): void {
  for (const { execution, message, input, minimized } of report.finds) {
    print(`\nFIND in ${report.target}: seed ${seed}, execution ${execution}`);
    print(message);
    if (isReplay) continue;
    const path = relative(process.cwd(), keepInput(report.target, minimized));
    print(`input of ${minimized.length} bytes (found with ${input.length}): ${path}`);
    print(`again: npm run fuzz -- --target=${report.target} --input ${path}`);
    if (Buffer.compare(input, minimized) !== 0)
      print(
        `as it was found: npm run fuzz -- --target=${report.target} --seed ${seed} --executions ${execution + 1}`,
      );
  }
}

function summary(report: TargetReport): string {
  const rate = report.executions / Math.max(report.seconds, 0.001);
  return [
    report.target.padEnd(26),
    `${report.executions} executions`.padStart(20),
    `${Math.round(rate)}/s`.padStart(10),
    `${report.outcomes} outcomes`.padStart(16),
    `${report.cpuSeconds.toFixed(1)} CPU s`.padStart(12),
    `${report.finds.length} finds`.padStart(9),
  ].join(' ');
}

function printReport(report: TargetReport, json: boolean, seed: number): void {
  if (!json) return print(summary(report));
  const { target, executions, outcomes, seconds, cpuSeconds, finds } = report;
  const list = finds.map(({ execution, message, minimized }) => ({
    execution,
    message,
    inputHex: Buffer.from(minimized).toString('hex'),
  }));
  print(
    JSON.stringify({ target, seed, executions, outcomes, seconds, cpuSeconds, finds: finds.length, list }),
  );
}

interface Totals {
  executions: number;
  cpuSeconds: number;
  finds: number;
  targets: number;
}

function add(totals: Totals, report: TargetReport | NativeReport, finds: number): void {
  totals.targets++;
  totals.executions += report.executions;
  totals.cpuSeconds += report.cpuSeconds;
  totals.finds += finds;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string' },
      executions: { type: 'string' },
      seed: { type: 'string' },
      target: { type: 'string' },
      input: { type: 'string' },
      'only-typescript': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    print(USAGE);
    return 0;
  }
  const seed = wholeNumber('seed', values.seed, 1);
  const { targets, native: wantsNative } = chosen(values.target);
  if (values.list) {
    for (const { name, what } of targets) print(`${name.padEnd(26)} ${what}`);
    if (wantsNative) print(`${NATIVE.padEnd(26)} the addon and the firmware library in C (test/fuzz/native)`);
    return 0;
  }
  const executions = values.executions === undefined ? null : wholeNumber('executions', values.executions, 1);
  const isNative =
    wantsNative && !values['only-typescript'] && executions === null && values.input === undefined;
  const seconds = wholeNumber('seconds', values.seconds, 60);
  const share = seconds / (targets.length + (isNative ? NATIVE_SHARES : 0));
  const totals: Totals = { executions: 0, cpuSeconds: 0, finds: 0, targets: 0 };
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-fuzz-input-'));
  try {
    if (values.input !== undefined && targets.length !== 1)
      throw new UsageError('--input needs one --target that it is for');
    const inputPath = values.input === undefined ? null : inputFile(values.input, folder);
    for (const target of targets) {
      const task = { seed, executions, inputPath, seconds: executions === null ? share : null };
      const report = await superviseTarget(target, task);
      add(totals, report, report.finds.length);
      printReport(report, values.json, seed);
      if (!values.json) printFinds(report, seed, inputPath !== null);
      else if (inputPath === null)
        for (const { minimized } of report.finds) keepInput(target.name, minimized);
      if (report.outcome !== null && !values.json) print(`outcome: ${report.outcome}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (isNative) {
    const reports = await runNative(Math.max(1, Math.round(share * NATIVE_SHARES)), seed, values.json);
    for (const report of reports) add(totals, report, report.finds);
  } else if (wantsNative && !values.json) {
    print(`${NATIVE}: left out, as asked (--only-typescript, --executions, --input)`);
  }
  if (values.json) print(JSON.stringify({ total: true, seed, ...totals }));
  else
    print(
      `total: ${totals.targets} targets, ${totals.executions} executions, ${totals.cpuSeconds.toFixed(1)} CPU seconds, ${totals.finds} finds (seed ${seed})`,
    );
  return totals.finds === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof TypeError && String(Reflect.get(error, 'code')).startsWith('ERR_PARSE_ARGS'));
  process.stderr.write(
    isUsage
      ? `${(error as Error).message}\n${USAGE}\n`
      : `${error instanceof Error ? error.message : error}\n`,
  );
  process.exitCode = 2;
}
