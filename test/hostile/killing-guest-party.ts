import { closeSync, fstatSync, openSync, readSync, truncateSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MSG_GET_VALUE, MSG_SET_VALUE, STATUS_OK } from '../../src/wire/virtio-gpio.ts';
import { LabProcess } from '../e2e/lab/lab-process.ts';
import type { ToldEdge } from './killing-edges.ts';
import type { GuestOptions } from './killing-guest.ts';
import { type Journal, nowNs, until, Violation } from './killing-journal.ts';

const PROGRAM = fileURLToPath(new URL('killing-guest.ts', import.meta.url));
const IRQ_LEVELS: readonly (0 | 1 | null)[] = [null, 1, 0, null];
/** No request of a guest that is served waits longer; while the chip is away it is refused in half a second. Others use the machine. */
const ANSWER_LIMIT_MS = 5000;

interface OpenRequest {
  readonly text: string;
  readonly ns: number;
}

/** The last SET_VALUE of a line. */
interface LastValue {
  readonly id: string;
  readonly level: number;
  /** It was answered OK: nothing but another one changes it. */
  isConfirmed: boolean;
}

/** A guest's process, and what its record says of it. */
export class GuestParty {
  readonly name: string;
  readonly #options: Omit<GuestOptions, 'logPath' | 'seed'>;
  readonly #lineNames: readonly string[];
  readonly #journal: Journal;
  readonly #folder: string;
  #process: LabProcess | null = null;
  #fd = -1;
  #path = '';
  #rest = '';
  #lives = 0;
  #tags = 0;
  #isIdle = false;
  #isFrozen = false;
  /** Ready, and its connection stands. */
  isServed = false;
  #isReady = false;
  #isLost = false;
  readonly #open = new Map<string, OpenRequest>();
  readonly #answers = new Map<string, { status: number; value: number }>();
  /** Since when the present life, its connection and its running have been undisturbed. */
  #undisturbedNs = 0;
  /** By line, of the present life. Requests of a line are done in the order in which they were made. */
  readonly #values = new Map<number, LastValue>();
  edges: ToldEdge[] = [];
  requests = 0;
  answers = 0;
  refusals = 0;
  reconnects = 0;
  events = 0;
  slowestMs = 0;

  constructor(
    name: string,
    folder: string,
    lineNames: readonly string[],
    journal: Journal,
    options: Omit<GuestOptions, 'logPath' | 'seed'>,
  ) {
    this.name = name;
    this.#folder = folder;
    this.#lineNames = lineNames;
    this.#journal = journal;
    this.#options = options;
  }

  /** Begins a life; without waiting for anything. */
  start(seed: number): void {
    this.#lives++;
    this.#path = `${this.#folder}/${this.name}.${this.#lives}.log`;
    this.#fd = openSync(this.#path, 'a+');
    this.#position = 0;
    this.#rest = '';
    this.#isReady = false;
    this.#isLost = false;
    this.isServed = false;
    this.#isIdle = false;
    this.#open.clear();
    this.#values.clear();
    this.#undisturbedNs = nowNs();
    const options: GuestOptions = { ...this.#options, logPath: this.#path, seed };
    this.#process = new LabProcess({
      name: this.name,
      command: [process.execPath, '--import', 'tsx', PROGRAM, JSON.stringify(options)],
    });
    this.#journal.note(this.name, `started as ${this.#process.pid}`);
  }

  get lives(): number {
    return this.#lives;
  }

  get outputs(): readonly number[] {
    return [...this.#options.outputs, ...this.#options.held];
  }

  /** The interrupts that it has asked for: line names and the level that an edge leads to, null for both. */
  get interrupts(): readonly (readonly [string, 0 | 1 | null])[] {
    return this.#options.inputs.map(([line, type]) => [
      this.#lineNames[line] ?? '',
      IRQ_LEVELS[type] ?? null,
    ]);
  }

  /** @returns the process, as it was; the rest of its record was read */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    process.kill('SIGKILL');
    await process.exited;
    this.read();
    this.#end();
  }

  #end(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#process = null;
    this.isServed = false;
    this.#isFrozen = false;
    // A guest that is gone waits for nothing.
    this.#open.clear();
  }

  freeze(isFrozen: boolean): void {
    this.#process?.kill(isFrozen ? 'SIGSTOP' : 'SIGCONT');
    this.#isFrozen = isFrozen;
    this.excuse();
  }

  /** What was asked before now could not be answered in time. */
  excuse(): void {
    this.#undisturbedNs = nowNs();
  }

  say(text: string): void {
    if (text === 'off') this.#isIdle = false;
    this.#process?.write(`${text}\n`);
  }

  /** Reads what it has written since the last time. @throws Violation when that breaks a rule */
  read(): void {
    if (this.#process?.ended !== undefined && this.#fd >= 0 && this.#process.exitCode !== null)
      throw new Violation(`${this.name} ended: ${this.#process.stderr.tail()}`);
    const bytes = Buffer.alloc(65_536);
    while (this.#fd >= 0) {
      const count = readSync(this.#fd, bytes, 0, bytes.length, this.#position);
      if (count === 0) return;
      this.#position += count;
      const lines = (this.#rest + bytes.toString('latin1', 0, count)).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#record(line);
    }
  }

  #position = 0;

  /** Forgets what was read; the guest is idle. */
  shorten(): void {
    this.read();
    if (this.#fd < 0 || fstatSync(this.#fd).size !== this.#position) return;
    truncateSync(this.#path);
    this.#position = 0;
  }

  #record(record: string): void {
    const [ns = '', what = '', ...words] = record.split(' ');
    const atNs = Number(ns);
    this.#journal.note(this.name, [what, ...words].join(' '), atNs);
    const [id = '', second = '', third = ''] = words;
    switch (what) {
      case 'Q':
        this.requests++;
        this.#open.set(id, { text: words.join(' '), ns: atNs });
        if (Number(second) === MSG_SET_VALUE)
          this.#values.set(Number(third), { id, level: Number(words[3]), isConfirmed: false });
        break;
      case 'A':
        this.#answered(id, Number(second), atNs);
        break;
      case 'X':
        throw new Violation(
          `${this.name}: request ${this.#open.get(id)?.text} was never answered: ${second}`,
        );
      case 'E':
        this.#event(Number(id), Number(second), atNs);
        break;
      case 'T':
        this.#answers.set(id, { status: Number(second), value: Number(third) });
        break;
      case 'lost':
        this.isServed = false;
        this.#isLost = true;
        break;
      case 'back':
        this.reconnects++;
        this.#isLost = false;
        this.isServed = this.#isReady;
        this.#undisturbedNs = atNs;
        break;
      case 'ready':
        this.#isReady = true;
        this.isServed = true;
        break;
      case 'idle':
        this.#isIdle = true;
        break;
    }
  }

  #answered(id: string, status: number, atNs: number): void {
    const request = this.#open.get(id);
    if (request === undefined) throw new Violation(`${this.name}: request ${id} was answered twice`);
    this.#open.delete(id);
    this.answers++;
    if (status !== STATUS_OK) this.refusals++;
    for (const value of this.#values.values()) if (value.id === id) value.isConfirmed = status === STATUS_OK;
    // While the service or the guest itself does not run nothing is answered.
    if (this.#isFrozen || this.#isLost || request.ns < this.#undisturbedNs) return;
    const tookMs = (atNs - request.ns) / 1e6;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    if (tookMs > ANSWER_LIMIT_MS)
      throw new Violation(`${this.name}: request ${request.text} took ${Math.round(tookMs)} ms`);
  }

  #event(offset: number, status: number, atNs: number): void {
    const interrupt = this.#options.inputs.find(([line]) => line === offset);
    const line = this.#lineNames[offset];
    if (interrupt === undefined || line === undefined || status !== 1)
      throw new Violation(`${this.name}: event buffer of line ${offset} came back with status ${status}`);
    this.events++;
    const level = IRQ_LEVELS[interrupt[1]] ?? null;
    this.edges.push({ line, level, atNs, edgeNs: null, merged: false, seq: null, session: `${this.#lives}` });
  }

  /** Resolves when it asks for nothing, and all that it asked was answered. @throws Violation */
  async idle(limitMs: number): Promise<void> {
    this.say('off');
    await until(
      () =>
        `${this.name} has its answers; open: ${[...this.#open.values()].map(({ text }) => text).join(', ')}`,
      limitMs,
      () => {
        this.read();
        return this.#isIdle && this.#open.size === 0;
      },
    );
  }

  /** One request. @throws Violation when it is not answered */
  async ask(type: number, line: number, value = 0): Promise<{ status: number; value: number }> {
    const tag = `t${++this.#tags}`;
    this.say(`ask ${tag} ${type} ${line} ${value}`);
    let answer: { status: number; value: number } | undefined;
    await until(`${this.name} gets an answer to ${type} ${line} ${value}`, ANSWER_LIMIT_MS, () => {
      this.read();
      answer = this.#answers.get(tag);
      return answer !== undefined;
    });
    this.#answers.delete(tag);
    return answer as { status: number; value: number };
  }

  /** Outputs, by offset, with the level that the service has confirmed last and that nobody has put in question since. */
  get confirmed(): (readonly [number, number])[] {
    return [...this.#values].flatMap(([line, { level, isConfirmed }]) =>
      isConfirmed ? [[line, level] as const] : [],
    );
  }

  /** Levels of all lines; null where that is refused. */
  levels(): Promise<(number | null)[]> {
    return Promise.all(
      this.#lineNames.map(async (_name, offset) => {
        const { status, value } = await this.ask(MSG_GET_VALUE, offset);
        return status === STATUS_OK ? value : null;
      }),
    );
  }

  /** Idempotent. */
  async close(): Promise<void> {
    const process = this.#process;
    this.#process = null;
    process?.kill('SIGKILL');
    await process?.exited;
    this.#end();
  }
}
