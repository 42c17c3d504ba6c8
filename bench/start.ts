/** What a start of the service takes, and what of it is whose; and the memory that it has with one guest. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { residentBytes } from './process-status.ts';
import { type LoadResult, ROOT, runProgram } from './programs.ts';
import { SERVICE_COMMAND, type Service, startProcess, untilReadyLine } from './service.ts';

/** One start, in milliseconds. */
export interface StartResult {
  /** From the command to `ready`. */
  readonly readyMs: number;
  /** `node -e 0`, from its start to its end. */
  readonly nodeMs: number;
  /** Of a process that does only that: loading the modules of `serve`, all of them. */
  readonly modulesMs: number;
  /** Of the same: reading and checking the configuration file. */
  readonly configMs: number;
}

export interface MemoryResult {
  /** VmRSS with a guest attached that has done nothing. */
  readonly attachedBytes: number;
  /** After its requests, 32 outstanding. */
  readonly loadedBytes: number;
}

const SIM_LINES = 32;
const PART_SCRIPT = `
const started = performance.now();
await import(process.argv[1]);
const loaded = performance.now();
(await import(process.argv[2])).loadConfig(process.argv[3]);
process.stdout.write(JSON.stringify([loaded - started, performance.now() - loaded]));
`;

/** `serve` with a simulated chip and a guest's device; nothing else but the control socket. */
export function startPlainService(): Promise<Service> {
  return startProcess(null, (folder) => {
    const file = join(folder, 'rproc-gpio.yaml');
    const socketPath = join(folder, 'vm1.sock');
    const configuration = {
      chips: { sim: { type: 'sim', lines: SIM_LINES } },
      exports: { vm1: { socket: socketPath, lines: ['sim/*'] } },
      control: { socket: join(folder, 'control.sock') },
      log: { lines: [] },
    };
    writeFileSync(file, JSON.stringify(configuration));
    return {
      command: SERVICE_COMMAND,
      options: ['serve', `--config=${file}`],
      ready: untilReadyLine,
      socketPath,
      isNode: true,
    };
  });
}

/** One start after the other, each beside a start of node alone. */
export async function measureStarts(rounds: number): Promise<StartResult[]> {
  const results: StartResult[] = [];
  const run = promisify(execFile);
  for (let round = 0; round < rounds; round++) {
    const service = await startPlainService();
    try {
      const started = performance.now();
      await run(process.execPath, ['-e', '0']);
      const nodeMs = performance.now() - started;
      const modules = ['dist/cli/serve.js', 'dist/config/config.js'].map(
        (file) => pathToFileURL(resolve(ROOT, file)).href,
      );
      const config = join(service.socketPath, '../rproc-gpio.yaml');
      const options = ['--input-type=module', '-e', PART_SCRIPT, ...modules, config];
      const [modulesMs, configMs] = JSON.parse((await run(process.execPath, options)).stdout) as [
        number,
        number,
      ];
      results.push({ readyMs: service.startMs, nodeMs, modulesMs, configMs });
    } finally {
      await service.close();
    }
  }
  return results;
}

export async function measureMemory(requests: number): Promise<MemoryResult> {
  const service = await startPlainService();
  try {
    const guest = (...options: readonly string[]): Promise<LoadResult> =>
      runProgram('loadgen', [`--socket-path=${service.socketPath}`, '--mode=set', ...options], null);
    await guest('--requests=1', '--warmup=0');
    const attachedBytes = residentBytes(service.pid);
    await guest(`--requests=${requests}`, '--outstanding=32', '--spin-us=50');
    return { attachedBytes, loadedBytes: residentBytes(service.pid) };
  } finally {
    await service.close();
  }
}
