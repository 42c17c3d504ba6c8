/** What a client of the control socket that asks for thousands of lines, again and again, costs a guest. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Figure, figure, type Target } from './figures.ts';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { type FloorResult, type LoadResult, runProgram } from './programs.ts';
import { SERVICE_COMMAND, type Service, startProcess, untilReadyLine } from './service.ts';
import { median, medianOfRatios } from './statistics.ts';

/** Of the chip that the client asks for, and of the guest's own. */
const LINES = 4096;
const GUEST_LINES = 32;
const BIG = 'big';
const METHODS = ['lines', 'watch', 'status'] as const;
type Method = (typeof METHODS)[number];
/**
 * Twice what a guest's request may take without the client. Not twice what it takes: alone it is at 0.1 to 0.5 x floor, from one
 * run to the next, by whether the guest's processor has gone to sleep.
 */
const TARGET: Target = { relation: '<=', value: 2 * 0.65 };

type ControlLoad = LoadResult & {
  /** One in a thousand takes longer: that is where a turn of the loop shows that takes long. */
  readonly p999Ns: number;
};

/** A guest's requests without the client, and directly after it with it. */
export interface ControlRound {
  readonly floor: FloorResult;
  readonly alone: ControlLoad;
  readonly beside: ControlLoad;
  /** Answers that the client got meanwhile, a second. */
  readonly answersPerSecond: number;
}
export type ControlRounds = Readonly<Record<Method, readonly ControlRound[]>>;

interface ControlService extends Service {
  readonly controlSocketPath: string;
}

async function startControlService(cpu: number | null): Promise<ControlService> {
  let socketPath = '';
  let controlSocketPath = '';
  const service = await startProcess(cpu, (folder) => {
    socketPath = join(folder, 'guest.sock');
    controlSocketPath = join(folder, 'control.sock');
    const file = join(folder, 'rproc-gpio.yaml');
    const lines = Array.from({ length: GUEST_LINES }, (_, line) => `small/sim${line}`);
    const configuration = {
      chips: { [BIG]: { type: 'sim', lines: LINES }, small: { type: 'sim', lines: GUEST_LINES } },
      exports: { vm: { socket: socketPath, lines } },
      control: { socket: controlSocketPath },
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
  return { ...service, controlSocketPath };
}

async function measure({ effort, placement, progress }: PartContext): Promise<PartResult> {
  const started = new Started();
  try {
    const service = await started.add(startControlService(placement.serviceCpu));
    const load = (): Promise<ControlLoad> =>
      runProgram<ControlLoad>(
        'loadgen',
        [
          `--socket-path=${service.socketPath}`,
          '--mode=set',
          `--lines=${GUEST_LINES}`,
          `--requests=${effort.controlRequests}`,
          '--warmup=500',
        ],
        placement.loadCpu,
      );
    const floorOptions = [`--rounds=${effort.floorRounds}`, `--placement=${placement.name}`];
    const rounds: Record<Method, ControlRound[]> = { lines: [], watch: [], status: [] };
    for (let round = 1; round <= effort.controlRounds; round++) {
      for (const method of METHODS) {
        const floor = await runProgram<FloorResult>('floor', floorOptions, null);
        const alone = await load();
        const asking = await ask(service, method);
        try {
          const before = performance.now();
          const answersBefore = asking.answers();
          const beside = await load();
          const seconds = (performance.now() - before) / 1000;
          const answersPerSecond = (asking.answers() - answersBefore) / seconds;
          rounds[method].push({ floor, alone, beside, answersPerSecond });
          const p99s = `p99 ${alone.p99Ns}, ${beside.p99Ns} ns; p99.9 ${alone.p999Ns}, ${beside.p999Ns} ns`;
          progress(`control ${round}/${effort.controlRounds} ${method}: ${p99s}`);
        } finally {
          await asking.close();
        }
      }
    }
    return { figures: controlFigures(rounds), raw: { control: rounds } };
  } finally {
    await started.close();
  }
}

/** Asks for all lines of the chip, the next time as soon as the answer is here. */
async function ask(
  service: ControlService,
  method: Method,
): Promise<{ answers(): number; close(): Promise<void> }> {
  const socket = connect(service.controlSocketPath);
  await once(socket, 'connect');
  let answers = 0;
  const next = (id: number): void => {
    const params = method === 'status' ? {} : { chip: BIG };
    socket.write(`${JSON.stringify({ id, method, params })}\n`);
  };
  let fault: Error | null = null;
  const reader = createInterface({ input: socket });
  reader.on('line', (line) => {
    // Not read as JSON: that costs more than to make it, and the client shares the machine with the guest.
    if (line.startsWith('{"id":')) {
      if (!line.startsWith('{"id":0,')) answers++;
      // What is watched is let go again: there are at most 64 subscriptions.
      if (method === 'watch' && !line.startsWith('{"id":0,')) {
        const subscription = /"subscription":(\d+)/.exec(line)?.[1];
        socket.write(`{"id":0,"method":"unwatch","params":{"subscription":${subscription}}}\n`);
      } else next(1);
    }
    if (/^\{"id":\w+,"error"/.test(line)) fault = new Error(`${method} was answered ${line.slice(0, 200)}`);
  });
  const first = once(reader, 'line');
  next(1);
  await first;
  return {
    answers: () => answers,
    close: async () => {
      reader.close();
      const closed = once(socket, 'close');
      socket.destroy();
      await closed;
      if (fault !== null) throw fault;
    },
  };
}

/** Medians of the rounds' ratios. */
export function controlFigures(rounds: ControlRounds): Figure[] {
  const all = METHODS.flatMap((method) => rounds[method]);
  const errors = all.reduce((sum, { alone, beside }) => sum + alone.errors + beside.errors, 0);
  return [
    ...METHODS.flatMap((method) => methodFigures(method, rounds[method])),
    figure('controlWrongAnswers', 'count', errors, { relation: '<=', value: 0 }),
  ];
}

function methodFigures(method: Method, rounds: readonly ControlRound[]): Figure[] {
  const name = `controlBeside${method.charAt(0).toUpperCase()}${method.slice(1)}`;
  const of = (side: 'alone' | 'beside', key: 'medianNs' | 'p99Ns' | 'p999Ns'): number[] =>
    rounds.map((round) => round[side][key]);
  return [
    figure(
      `${name}MedianOverFloor`,
      'x floor',
      medianOfRatios(
        of('beside', 'medianNs'),
        rounds.map(({ floor }) => floor.medianNs),
      ),
      TARGET,
    ),
    figure(`${name}Median`, 'x alone', medianOfRatios(of('beside', 'medianNs'), of('alone', 'medianNs'))),
    figure(`${name}P99`, 'x alone', medianOfRatios(of('beside', 'p99Ns'), of('alone', 'p99Ns'))),
    figure(`${name}P99Us`, 'us', median(of('beside', 'p99Ns')) / 1000),
    figure(`${name}P999Us`, 'us', median(of('beside', 'p999Ns')) / 1000),
    figure(`${name}AloneP999Us`, 'us', median(of('alone', 'p999Ns')) / 1000),
    figure(`${name}AloneP99Us`, 'us', median(of('alone', 'p99Ns')) / 1000),
    figure(`${name}Rate`, 'answers/s', median(rounds.map(({ answersPerSecond }) => answersPerSecond))),
  ];
}

export const controlPart: Part = { name: 'control', measure };
