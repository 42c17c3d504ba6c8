/**
 * `npm run bench -- [--json] [--quick] [--only=guest|mqtt] [--placement=apart|free] [--rounds=N]`
 *
 * Measures the built service and prints every figure with its target. Exits with 1 when a target was missed by more
 * than noise explains (docs/performance.md), with 2 for a wrong option.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { BarePublisher } from './bare.ts';
import { BROKER_INSTALLATION, findMosquitto, startBroker } from './broker.ts';
import { exitStatus, type Figure } from './figures.ts';
import { startHubService } from './hub-service.ts';
import { mqttFiguresOf, unmeasuredMqttFigures } from './mqtt-report.ts';
import { type MqttRounds, measureMqtt } from './mqtt-rounds.ts';
import { allowedCpus, buildPrograms } from './programs.ts';
import { figuresOf, tableOf } from './report.ts';
import { type Effort, FULL, measureRounds, type Placement, QUICK, type Rounds } from './rounds.ts';
import { startBackEnd, startYardstick } from './service.ts';
import { type DemoResult, type IdleResult, measureDemo, measureIdle } from './standing.ts';

const LINES = 32;

interface Options {
  readonly json: boolean;
  readonly guest: boolean;
  readonly mqtt: boolean;
  readonly effort: Effort;
  readonly placement: Placement;
}

type Progress = (line: string) => void;

/** What a part measured: its figures, and what they were made of. */
interface Part {
  readonly figures: readonly Figure[];
  readonly raw: {
    readonly rounds?: Rounds;
    readonly idle?: IdleResult;
    readonly demo?: DemoResult;
    readonly mqtt?: MqttRounds | null;
  };
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
  if (values.only !== undefined && values.only !== 'guest' && values.only !== 'mqtt')
    throw new Error(`--only=${values.only}: must be guest or mqtt`);
  return {
    json: values.json,
    guest: values.only !== 'mqtt',
    mqtt: values.only !== 'guest',
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

/** What has to be closed, the last one first. */
class Started {
  readonly #all: { close(): Promise<void> }[] = [];

  async add<T extends { close(): Promise<void> }>(starting: T | Promise<T>): Promise<T> {
    const each = await starting;
    this.#all.push(each);
    return each;
  }

  async close(): Promise<void> {
    for (const each of this.#all.splice(0).reverse()) await each.close();
  }
}

/** Requests and interrupts of one guest, idleness, and the demo. */
async function measureGuestPart({ effort, placement }: Options, progress: Progress): Promise<Part> {
  const started = new Started();
  try {
    const backEnd = await started.add(startBackEnd(LINES, placement.serviceCpu));
    const unpolled = await started.add(startBackEnd(LINES, placement.serviceCpu, ['--poll-us=0']));
    const yardstick = await started.add(startYardstick(LINES, placement.serviceCpu));
    const rounds = await measureRounds({ backEnd, unpolled, yardstick }, effort, placement, progress);
    progress(`idle: settling for ${effort.settleSeconds} s`);
    const idle = await measureIdle(backEnd, effort.settleSeconds, effort.idleSeconds);
    progress('demo');
    const demo = await measureDemo();
    return { figures: figuresOf(rounds, idle, demo), raw: { rounds, idle, demo } };
  } finally {
    await started.close();
  }
}

async function measureMqttPart({ effort, placement, json }: Options, progress: Progress): Promise<Part> {
  const program = findMosquitto();
  if (program === null) {
    // A report for machines must not look complete when it is not; people read what is said here.
    process.stderr.write(`bench: ${BROKER_INSTALLATION}; the MQTT figures are not measured\n`);
    return { figures: unmeasuredMqttFigures(json), raw: { mqtt: null } };
  }
  const started = new Started();
  try {
    const broker = await started.add(startBroker(program));
    const qos0 = await started.add(startHubService(broker.port, 'mqtt-qos0', 0));
    const qos1 = await started.add(startHubService(broker.port, 'mqtt-qos1', 1));
    const bare = await started.add(new BarePublisher());
    const mqtt = await measureMqtt({ broker, qos0, qos1, bare }, effort, placement, progress);
    return { figures: mqttFiguresOf(mqtt), raw: { mqtt } };
  } finally {
    await started.close();
  }
}

async function run(chosen: Options): Promise<0 | 1> {
  const progress: Progress = (line) => void process.stderr.write(`${line}\n`);
  buildPrograms();
  const parts: Part[] = [];
  if (chosen.guest) parts.push(await measureGuestPart(chosen, progress));
  if (chosen.mqtt) parts.push(await measureMqttPart(chosen, progress));
  const figures = parts.flatMap((part) => part.figures);
  if (chosen.json) {
    const { placement, effort } = chosen;
    const met = figures.every((each) => each.met !== false);
    const report = { date: new Date().toISOString(), machine: machine(), placement, effort, met };
    const raw = Object.assign({}, ...parts.map((part) => part.raw));
    process.stdout.write(`${JSON.stringify({ ...report, figures, ...raw })}\n`);
  } else {
    process.stdout.write(`${tableOf(figures)}\n`);
  }
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
