/** What a start takes, what memory there is to one guest, and what service and firmware do while nothing happens. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { BROKER_INSTALLATION, findMosquitto, startBroker } from './broker.ts';
import { type Figure, figure, type Target, unmeasured } from './figures.ts';
import { EVENT_LINES, startHubMqttService } from './hub-service.ts';
import { type QuietResult, watchQuiet } from './idle.ts';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { residentBytes } from './process-status.ts';
import { launchProgram } from './programs.ts';
import { SERVICE_COMMAND } from './service.ts';
import { type MemoryResult, measureMemory, measureStarts, type StartResult } from './start.ts';
import { median } from './statistics.ts';

const SWITCHES: Target = { relation: '<=', value: 10 };
/** The clock ticks in hundredths of a second: less than one tick is nothing. */
const CPU: Target = { relation: '<', value: 0.01 };

const RESIDENT: Target = { relation: '<=', value: 90 };
const MEGABYTE = 1e6;

export interface IdleResults {
  readonly service: QuietResult;
  readonly firmware: QuietResult;
  /** VmRSS of the service. */
  readonly residentBytes: number;
}

async function measure(context: PartContext): Promise<PartResult> {
  const { effort, progress } = context;
  const starts = await measureStarts(effort.rounds);
  progress(`start: ${starts.map(({ readyMs }) => readyMs.toFixed(0)).join(', ')} ms to ready`);
  const memory = await measureMemory(effort.pipelinedRequests);
  const idle = await measureAttached(context);
  const standing = [...startFigures(starts), ...memoryFigures(memory)];
  return { figures: [...standing, ...idle.figures], raw: { starts, memory, ...idle.raw } };
}

async function measureAttached({ effort, json, progress }: PartContext): Promise<PartResult> {
  const program = findMosquitto();
  if (program === null) {
    process.stderr.write(`bench: ${BROKER_INSTALLATION}; what everything attached costs is not measured\n`);
    return { figures: unmeasuredIdleFigures(json), raw: { idleAttached: null } };
  }
  const started = new Started();
  try {
    const broker = await started.add(startBroker(program));
    const service = await started.add(startHubMqttService(broker.port, 'idle', 0, { control: true }));
    const { settleSeconds, idleSeconds } = effort;
    const stay = `--seconds=${settleSeconds + idleSeconds + 60}`;
    for (const [socketPath, pairs] of [
      [service.loopSocketPath, 1],
      [service.simSocketPath, 16],
    ]) {
      const options = ['--mode=idle', `--socket-path=${socketPath}`, `--pairs=${pairs}`, stay];
      const guest = launchProgram('loadgen', options, null);
      await started.add({ close: async () => guest.end() });
      await guest.ready;
    }
    await started.add(monitor(service.controlSocketPath));
    progress(`idle, everything attached: settling for ${settleSeconds} s`);
    await delay(settleSeconds * 1000);
    const [quiet, firmware] = await watchQuiet([service.pid, service.firmwarePid], idleSeconds);
    const results = { service: quiet!, firmware: firmware!, residentBytes: residentBytes(service.pid) };
    progress(`idle service: ${JSON.stringify(results.service.byThread)}`);
    progress(`idle firmware: ${JSON.stringify(results.firmware.byThread)}`);
    return { figures: idleFigures(results), raw: { idleAttached: results } };
  } finally {
    await started.close();
  }
}

/** `rproc-gpio mon` of the lines that MQTT has too, once it is there. */
async function monitor(controlSocketPath: string): Promise<{ close(): Promise<void> }> {
  const lines = EVENT_LINES.map((line) => `hub/${line}`);
  const child: ChildProcess = spawn(
    SERVICE_COMMAND,
    ['mon', `--socket=${controlSocketPath}`, '--banner', ...lines],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const closed = once(child, 'close');
  const ended = closed.then(([code]) => Promise.reject(new Error(`mon ended with ${code}`)));
  ended.catch(() => undefined);
  await Promise.race([once(child.stdout!, 'data'), ended]);
  child.stdout!.resume();
  return {
    close: async () => {
      child.kill('SIGTERM');
      await closed;
    },
  };
}

/** Our own part of a start is what node's is not. */
export function startFigures(starts: readonly StartResult[]): Figure[] {
  const of = (key: keyof StartResult): number => median(starts.map((each) => each[key]));
  const own = median(starts.map(({ readyMs, nodeMs }) => readyMs - nodeMs));
  const rest = median(
    starts.map(({ readyMs, nodeMs, modulesMs, configMs }) => readyMs - nodeMs - modulesMs - configMs),
  );
  return [
    figure('startReady', 'ms', of('readyMs'), { relation: '<=', value: 1000 }),
    figure('startNode', 'ms', of('nodeMs')),
    figure('startOwn', 'ms', own),
    figure('startOwnModules', 'ms', of('modulesMs')),
    figure('startOwnConfig', 'ms', of('configMs')),
    figure('startOwnRest', 'ms', rest),
  ];
}

export function memoryFigures({ attachedBytes, loadedBytes }: MemoryResult): Figure[] {
  return [
    figure('residentAttached', 'MB', attachedBytes / MEGABYTE, RESIDENT),
    figure('residentLoaded', 'MB', loadedBytes / MEGABYTE, RESIDENT),
  ];
}

export function idleFigures({ service, firmware, residentBytes: resident }: IdleResults): Figure[] {
  const inSeconds = `in ${service.seconds.toFixed(0)} s`;
  return [
    figure('idleAttachedSwitches', inSeconds, service.switches, SWITCHES),
    figure('idleAttachedCpu', 's', service.cpuSeconds, CPU),
    figure('idleFirmwareSwitches', inSeconds, firmware.switches, SWITCHES),
    figure('idleFirmwareCpu', 's', firmware.cpuSeconds),
    figure('residentEverything', 'MB', resident / MEGABYTE),
  ];
}

/** Without a broker. @param fails whether the run fails for it */
export function unmeasuredIdleFigures(fails: boolean): Figure[] {
  return [
    unmeasured('idleAttachedSwitches', 'in 10 s', SWITCHES, fails),
    unmeasured('idleAttachedCpu', 's', CPU, fails),
  ];
}

export const idlePart: Part = { name: 'idle', measure };
