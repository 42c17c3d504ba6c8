/**
 * Runs in a User-Mode Linux kernel whose root is the host's (uml-host-root.ts) and does what a test asks for: makes chips, uses
 * them through `GpiochipChip` and `ChipLines` as the service does, runs programs. Its input and output are the console.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Edge } from '../../../src/gpio/chip.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import type { LineConsumer, LineHandle } from '../../../src/gpio/line-handle.ts';
import { GpiochipChip } from '../../../src/gpiochip/gpiochip.ts';
import { VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { burst, createSim, levelOf, pull, removeSim } from './gpio-sim.ts';
import { coprocessorDoers } from './kernel-agent-coprocessor.ts';
import type { Answer, CommandName, Commands, News } from './kernel-agent-protocol.ts';

function tell(message: News | Answer): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A chip with its lines, and a handle for each. */
class OpenChip implements LineConsumer {
  readonly name = 'agent';
  readonly chip: GpiochipChip;
  readonly handles: readonly LineHandle[];
  readonly #chipName: string;

  constructor(name: string, path: string) {
    this.#chipName = name;
    this.chip = GpiochipChip.open({ name, path, onLog: (_level, text) => tell({ kind: 'log', text }) });
    const lines = new ChipLines(this.chip);
    lines.onAvailability((available, reason) =>
      tell({ kind: 'availability', chip: name, available, reason }),
    );
    lines.learnDirections();
    this.handles = lines.lines.map(({ offset }) => lines.open(offset, this, offset));
  }

  interrupt(): void {
    // Edges are watched here; what makes an interrupt of them is tested without a kernel.
  }

  edge(handle: LineHandle, level: number, { seq, merged, timestampNs }: Edge): void {
    const { offset } = handle.line;
    tell({
      kind: 'edge',
      chip: this.#chipName,
      offset,
      level,
      seq,
      merged,
      timestampNs: String(timestampNs),
    });
  }

  close(): void {
    for (const handle of this.handles) handle.close();
    this.chip.close();
  }
}

const chips = new Map<string, OpenChip>();
const guests = new Map<string, VhostUserFrontEnd>();
const programs = new Map<number, ChildProcess>();

function chipOf(name: string): OpenChip {
  const chip = chips.get(name);
  if (chip === undefined) throw new Error(`no chip ${name} is open`);
  return chip;
}

function handleOf(chip: string, offset: number): LineHandle {
  const handle = chipOf(chip).handles[offset];
  if (handle === undefined) throw new RangeError(`${chip} has no line ${offset}`);
  return handle;
}

function guestOf(name: string): VhostUserFrontEnd {
  const guest = guests.get(name);
  if (guest === undefined) throw new Error(`no guest ${name} is connected`);
  return guest;
}

/** Resolves with a program's id once it has started. */
function start([file = '', ...parameters]: readonly string[]): Promise<number> {
  const child = spawn(file, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      const pid = child.pid as number;
      programs.set(pid, child);
      for (const stream of [child.stdout, child.stderr])
        createInterface({ input: stream as NonNullable<typeof stream> }).on('line', (text) =>
          tell({ kind: 'line', pid, text }),
        );
      resolve(pid);
    });
  });
}

function stop(pid: number): Promise<Commands['stop']['gives']> {
  const child = programs.get(pid);
  if (child === undefined) throw new Error(`no program ${pid} was started`);
  programs.delete(pid);
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null)
      return resolve({ exitCode: child.exitCode, signal: child.signalCode });
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal }));
    child.kill('SIGTERM');
  });
}

type Doers = {
  [Name in CommandName]: (
    parameters: Commands[Name]['takes'],
  ) => Commands[Name]['gives'] | Promise<Commands[Name]['gives']>;
};

const doers: Doers = {
  ...coprocessorDoers(tell, (_level, text) => tell({ kind: 'log', text })),
  createSim: ({ name, banks }) => createSim(name, banks),
  removeSim: ({ name }) => {
    removeSim(name);
    return null;
  },
  pull: ({ chip, offset, level }) => {
    pull(chip, offset, level);
    return null;
  },
  burst: ({ chip, offset, count }) => {
    burst(chip, offset, count);
    return null;
  },
  level: ({ chip, offset }) => levelOf(chip, offset),
  open: ({ name, path }) => {
    const opened = new OpenChip(name, path);
    chips.set(name, opened);
    return { label: opened.chip.label, lineNames: opened.handles.map(({ line }) => line.name) };
  },
  close: ({ name }) => {
    chipOf(name).close();
    chips.delete(name);
    return null;
  },
  operate: ({ chip, offset, operation, value }) =>
    new Promise((resolve) => {
      const done = {
        complete: (_token: number, result: number, answer: number) => resolve({ result, value: answer }),
      };
      const handle = handleOf(chip, offset);
      if (operation === 'getDirection' || operation === 'getValue') handle[operation](done, 0);
      else handle[operation](value ?? 0, done, 0);
    }),
  watch: ({ chip, offset, on }) => {
    handleOf(chip, offset).watch(on);
    return null;
  },
  counters: ({ chip }) => chipOf(chip).chip.counters,
  connectGuest: async ({ guest, socketPath }) => {
    const frontEnd = await VhostUserFrontEnd.connect({ socketPath });
    guests.set(guest, frontEnd);
    frontEnd.onEvent(({ gpio, status }) => tell({ kind: 'interrupt', guest, line: gpio, status }));
    return { lineNames: await frontEnd.lineNames() };
  },
  guestRequest: ({ guest, type, line, value }) => guestOf(guest).request(type, line, value),
  guestUnmask: ({ guest, line }) => {
    guestOf(guest).queueEvent(line);
    return null;
  },
  clock: () => String(process.hrtime.bigint()),
  run: ({ command }) =>
    new Promise((resolve) =>
      execFile('sh', ['-c', command], (error, stdout, stderr) =>
        resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr }),
      ),
    ),
  start: ({ command }) => start(command),
  stop: ({ pid }) => stop(pid),
  writeFile: ({ path, text }) => {
    writeFileSync(path, text);
    return null;
  },
};

async function execute(line: string): Promise<void> {
  const { id, command, parameters } = JSON.parse(line) as {
    id: number;
    command: CommandName;
    parameters: never;
  };
  try {
    const value: unknown = await doers[command](parameters);
    tell({ kind: 'answer', id, value });
  } catch (error) {
    const { code = 'ERROR', message } = error as Error & { code?: string };
    tell({ kind: 'answer', id, error: { code, message } });
  }
}

// One after the other: what a test says first happens first.
let before = Promise.resolve();
createInterface({ input: process.stdin, terminal: false }).on('line', (line) => {
  before = before.then(() => execute(line));
});
tell({ kind: 'ready' });
