import { constants } from 'node:os';
import type { Client } from '../client/client.ts';
import type { EdgeStream } from '../client/edge-stream.ts';
import type { EdgeChoice, LineEdge, LineInfo } from '../wire/control.ts';
import { BatchedOutput } from './batched-output.ts';
import { askForLines, reportRefusals } from './client-command.ts';
import type { CommandIo } from './command.ts';
import { customFormat, defaultFormat, type EdgeStyle, formatTime } from './edge-format.ts';
import { EventClock } from './event-clock.ts';
import type { LineArgument } from './line-arguments.ts';
import { formatLevels } from './line-format.ts';
import { visible } from './visible-text.ts';

/** What is written is waited for so long after a signal: its reader may be stuck. */
const LAST_WORDS_MS = 500;

type EndingSignal = 'SIGINT' | 'SIGTERM' | 'SIGPIPE';

export interface MonitorOptions {
  /** None: all lines of the chip, or of the service. */
  readonly lines: readonly LineArgument[];
  readonly chip: string | null;
  readonly edges: EdgeChoice;
  readonly eventLimit: number;
  readonly idleTimeoutMs: number | null;
  readonly format: string | undefined;
  readonly style: EdgeStyle;
  readonly isActiveLow: boolean;
  readonly isBanner: boolean;
  readonly isInitialState: boolean;
  readonly isJson: boolean;
  readonly isNumeric: boolean;
  readonly isQuiet: boolean;
}

/** Writes the edges of a subscription until enough came, none came for long, or a signal or the reader's end. */
export class EdgeMonitor {
  readonly #client: Client;
  readonly #options: MonitorOptions;
  readonly #io: CommandIo;
  readonly #clock = new EventClock();
  readonly #output: BatchedOutput;
  readonly #format: (edge: LineEdge) => string;
  /** Why it ends, when it does not by itself. */
  #signal: EndingSignal | null = null;
  #onSignal: () => void = () => {};

  constructor(client: Client, options: MonitorOptions, io: CommandIo) {
    this.#client = client;
    this.#options = options;
    this.#io = io;
    this.#output = new BatchedOutput(io.stdout, () => this.#end('SIGPIPE'));
    const { format, style, isJson } = options;
    if (isJson) this.#format = (edge) => this.#formatJson(edge);
    else if (format !== undefined) this.#format = customFormat(format, this.#clock, style);
    else this.#format = defaultFormat(this.#clock, style);
  }

  /** @returns the exit code @throws ControlError */
  async run(): Promise<number> {
    const interrupt = (): void => this.#end('SIGINT');
    const terminate = (): void => this.#end('SIGTERM');
    process.once('SIGINT', interrupt);
    process.once('SIGTERM', terminate);
    try {
      return await this.#monitor();
    } finally {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', terminate);
      await this.#lastWords();
      if (this.#signal !== null) raise(this.#signal);
    }
  }

  async #monitor(): Promise<number> {
    const { eventLimit, idleTimeoutMs, isActiveLow, isQuiet } = this.#options;
    const stream = this.#subscribe();
    const signalled = new Promise<void>((resolve) => {
      this.#onSignal = () => {
        stream.close();
        resolve();
      };
    });
    stream.onDropped = (count) => this.#dropped(count);
    let isPaused = false;
    let idleTimer: NodeJS.Timeout | null = null;
    try {
      const watched = await askForLines(this.#client, this.#wanted, this.#io, () => stream.ready);
      if (watched === null || !(await this.#begin(watched))) return 1;
      if (idleTimeoutMs !== null) {
        idleTimer = setTimeout(() => (isPaused ? idleTimer?.refresh() : stream.close()), idleTimeoutMs);
      }
      let count = 0;
      for await (const edge of stream) {
        if (this.#signal !== null) break;
        idleTimer?.refresh();
        if (!isQuiet) this.#output.write(this.#format(isActiveLow ? flipped(edge) : edge));
        if (++count >= eventLimit) break;
        if (!this.#output.isFull) continue;
        isPaused = true;
        await Promise.race([this.#output.flushed(), signalled]);
        isPaused = false;
      }
      return 0;
    } catch (error) {
      // What the client says of a stream that a signal closed is no news.
      if (this.#signal !== null) return 1;
      throw error;
    } finally {
      if (idleTimer !== null) clearTimeout(idleTimer);
      stream.close();
    }
  }

  #subscribe(): EdgeStream {
    const { lines, chip, edges: wanted, isActiveLow } = this.#options;
    const edges = isActiveLow ? opposite(wanted) : wanted;
    if (lines.length > 0) {
      return this.#client.edges(
        lines.map(({ reference }) => reference),
        { edges },
      );
    }
    return chip === null
      ? this.#client.edges(undefined, { edges })
      : this.#client.chip(chip).edges({ edges });
  }

  /** Says what it watches, as asked. @returns whether all levels could be read */
  async #begin(watched: readonly LineInfo[]): Promise<boolean> {
    const { isBanner, isInitialState, isJson, isNumeric, lines, style, isActiveLow } = this.#options;
    if (isBanner) this.#output.write(isJson ? bannerJson(watched) : banner(lines, watched.length));
    if (!isInitialState || watched.length === 0) return true;
    const wanted = watched.map(({ chip, offset, name }, index) => ({
      text: lines[index]?.text ?? (name === '' ? `${chip} ${offset}` : name),
      reference: `${chip}/#${offset}`,
    }));
    const outcomes = await this.#client.get(wanted.map(({ reference }) => reference));
    const levels = outcomes.flatMap(({ ok, level }, index) =>
      ok && level !== null
        ? [{ text: wanted[index]?.text ?? '', level: isActiveLow ? invert(level) : level }]
        : [],
    );
    if (isJson) {
      for (const outcome of outcomes) {
        const level = isActiveLow && outcome.level !== null ? invert(outcome.level) : outcome.level;
        this.#output.write(`${JSON.stringify({ ...outcome, level })}\n`);
      }
    } else if (levels.length > 0 && (!isNumeric || levels.length === wanted.length)) {
      this.#output.write(`${formatLevels(levels, { isNumeric, isUnquoted: style.isUnquoted })}\n`);
    }
    return (await reportRefusals(this.#client, wanted, outcomes, this.#io)) === 0;
  }

  /** What a message about unknown lines is about. */
  get #wanted(): readonly LineArgument[] {
    const { lines, chip } = this.#options;
    return lines.length > 0 || chip === null ? lines : [{ text: chip, reference: `${chip}/` }];
  }

  #formatJson(edge: LineEdge): string {
    const { style } = this.#options;
    if (style.time === 'seconds') return `${JSON.stringify(edge)}\n`;
    return `${JSON.stringify({ ...edge, time: formatTime(edge, this.#clock, style) })}\n`;
  }

  #dropped(count: number): void {
    if (this.#options.isJson) this.#output.write(`{"dropped":${count}}\n`);
    else this.#io.stderr.write(`dropped ${count}\n`);
  }

  #end(signal: EndingSignal): void {
    this.#signal ??= signal;
    this.#onSignal();
  }

  async #lastWords(): Promise<void> {
    if (this.#signal === null) return this.#output.flushed();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_WORDS_MS);
    });
    await Promise.race([this.#output.flushed(), late]);
    clearTimeout(timer);
  }
}

/** Ends the process by a signal that it had caught: a shell must see that it was one, to end its loop, too. */
function raise(signal: EndingSignal): void {
  // Node ignores SIGPIPE; libuv gives a signal its default action back when the last listener goes.
  const listener = (): void => {};
  process.on(signal, listener);
  process.off(signal, listener);
  process.kill(process.pid, signal);
  process.exit(128 + constants.signals[signal]);
}

function opposite(edges: EdgeChoice): EdgeChoice {
  return edges === 'both' ? 'both' : edges === 'rising' ? 'falling' : 'rising';
}

function invert(level: 0 | 1): 0 | 1 {
  return level === 1 ? 0 : 1;
}

function flipped(edge: LineEdge): LineEdge {
  return { ...edge, edge: edge.edge === 'rising' ? 'falling' : 'rising', level: invert(edge.level) };
}

function banner(lines: readonly LineArgument[], count: number): string {
  if (lines.length === 0) return `Monitoring all ${count} lines...\n`;
  const names = lines.map(({ text }) => `'${visible(text)}'`);
  const last = names.pop();
  return names.length === 0
    ? `Monitoring line ${last}...\n`
    : `Monitoring lines ${names.join(', ')}, and ${last}...\n`;
}

function bannerJson(watched: readonly LineInfo[]): string {
  const monitoring = watched.map(({ chip, offset, name }) => ({ chip, offset, name }));
  return `${JSON.stringify({ monitoring })}\n`;
}
