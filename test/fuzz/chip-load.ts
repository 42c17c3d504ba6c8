import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  type Edge,
  IRQ_NONE,
  LEVEL_UNKNOWN,
  RESULT_INVALID,
  RESULT_OK,
} from '../../src/gpio/chip.ts';
import { monotonicNs } from '../../src/gpio/local-edge.ts';
import type { ByteSource } from './byte-source.ts';
import { invariant } from './target.ts';

const GET_DIRECTION = 0;
const SET_DIRECTION = 1;
const GET_VALUE = 2;
const SET_VALUE = 3;
const SET_IRQ_TYPE = 4;
const IRQ_TYPES = [3, 1, 2, 0, 4, 8] as const;

interface Operation {
  readonly kind: number;
  readonly line: number;
  readonly value: number;
  readonly deadlineMs: number;
}

export interface ChipLoadOptions {
  readonly requestTimeoutMs: number;
  /** Lines, as far as the chip's own requests do not know better. */
  readonly lineCount: number;
  /** What the chip makes of an answer to a read. @returns null when it may be, else why it cannot be true */
  readonly judge?: (kind: 'level' | 'direction', line: number, value: number) => string | null;
  /** Edges come only for lines that somebody asked to be told of. Not where the dialect's chip leaves that to its user. */
  readonly isSubscribedOnly: boolean;
}

/** Asks a chip for whatever its input says, and checks what it answers: once each, in time, with what can be. */
export class ChipLoad implements Completion, ChipListener {
  readonly #chip: Chip;
  readonly #options: ChipLoadOptions;
  readonly #open = new Map<number, Operation>();
  #next = 0;
  /** Per line: somebody may have a subscription now; and operations that may change that, under way. */
  readonly #maySubscribe: Uint8Array;
  readonly #underWay: Uint8Array;
  /** Per line: the last answer of such an operation said so. */
  readonly #confirmed: Uint8Array;
  /** Lines whose subscription has ended in this step: an edge that was on its way may be told yet. */
  readonly #ended = new Set<number>();
  readonly #results = new Set<number>();
  edges = 0;
  readonly levels = new Set<number>();
  gone: string | null = null;
  #counters: Readonly<Record<string, number>> = {};

  constructor(chip: Chip, options: ChipLoadOptions) {
    this.#chip = chip;
    this.#options = options;
    this.#maySubscribe = new Uint8Array(options.lineCount);
    this.#underWay = new Uint8Array(options.lineCount);
    this.#confirmed = new Uint8Array(options.lineCount);
    chip.listen(this);
  }

  /** Submits one operation, of a line that there is. */
  submit(source: ByteSource): void {
    const chip = this.#chip;
    const kind = source.below(5);
    const line = source.below(this.#options.lineCount);
    const token = this.#next++;
    const value =
      kind === SET_IRQ_TYPE ? source.pick(IRQ_TYPES) : source.below(kind === SET_DIRECTION ? 3 : 2);
    const deadlineMs = performance.now() + this.#options.requestTimeoutMs;
    this.#open.set(token, { kind, line, value, deadlineMs });
    if (kind === SET_IRQ_TYPE || kind === SET_DIRECTION) this.#underWay[line]!++;
    if (kind === SET_IRQ_TYPE && value !== IRQ_NONE) {
      this.#maySubscribe[line] = 1;
      this.#ended.delete(line);
    }
    if (kind === GET_DIRECTION) chip.getDirection(line, this, token);
    else if (kind === SET_DIRECTION) chip.setDirection(line, value, this, token);
    else if (kind === GET_VALUE) chip.getValue(line, this, token);
    else if (kind === SET_VALUE) chip.setValue(line, value, this, token);
    else chip.setIrqType(line, value, this, token);
    if (source.below(3) > 0) chip.flush();
  }

  complete(token: number, result: number, value: number): void {
    const operation = this.#open.get(token);
    invariant(operation !== undefined, `the request ${token} was answered twice, or never made`);
    this.#open.delete(token);
    this.#results.add(result);
    invariant(result >= RESULT_OK && result <= RESULT_INVALID, () => `the result ${result}`);
    const { kind, line } = operation;
    if (result !== RESULT_OK) {
      invariant(value === 0, () => `the value ${value} of the result ${result}`);
    } else if (kind === GET_VALUE || kind === GET_DIRECTION) {
      const what = kind === GET_VALUE ? 'level' : 'direction';
      const most = kind === GET_VALUE ? 1 : DIRECTION_IN;
      invariant(value >= 0 && value <= most && Number.isInteger(value), () => `the ${what} ${value}`);
      const fault = this.#options.judge?.(what, line, value) ?? null;
      invariant(fault === null, () => `the ${what} ${value} of line ${line}: ${fault}`);
    }
    this.#follow(operation, result);
  }

  #follow({ kind, line, value }: Operation, result: number): void {
    if (kind !== SET_IRQ_TYPE && kind !== SET_DIRECTION) return;
    this.#underWay[line]!--;
    const isNone = kind === SET_IRQ_TYPE ? value === IRQ_NONE : value === DIRECTION_NONE;
    if (result === RESULT_OK && (kind === SET_IRQ_TYPE || isNone)) this.#confirmed[line] = isNone ? 0 : 1;
    // What was refused, or not answered, has subscribed nobody.
    if (this.#underWay[line] === 0 && this.#confirmed[line] === 0) this.#ended.add(line);
  }

  edge(edge: Edge): void {
    const { offset, level, seq, timestampNs } = edge;
    this.edges++;
    this.levels.add(level);
    invariant(this.gone === null, 'an edge of a chip that is away');
    invariant(offset >= 0 && offset < this.#options.lineCount, () => `an edge of line ${offset}`);
    const isLevel = level === 0 || level === 1 || (!this.#chip.streamsLevels && level === LEVEL_UNKNOWN);
    invariant(isLevel, () => `an edge to the level ${level}`);
    invariant(Number.isInteger(seq) && seq >= 0, () => `an edge of the number ${seq}`);
    const nowNs = BigInt(Math.ceil(monotonicNs()));
    invariant(
      timestampNs >= 0n && timestampNs <= nowNs,
      () => `an edge at ${timestampNs} ns; now is ${nowNs}`,
    );
    if (this.#options.isSubscribedOnly)
      invariant(
        this.#maySubscribe[offset] === 1,
        () => `an edge of line ${offset}, to which nobody subscribed`,
      );
  }

  availability(available: boolean, reason: string): void {
    invariant(!available && this.gone === null, 'the chip went away twice');
    invariant(this.#open.size === 0, () => `it went away with ${this.#open.size} requests unanswered`);
    this.gone = reason;
  }

  /** Between steps: nothing waits for longer than it may. @param lateMs how long ago timers ran last, at most */
  check(counters: Readonly<Record<string, number>>, lateMs: number): void {
    for (const line of this.#ended) this.#maySubscribe[line] = 0;
    this.#ended.clear();
    const now = performance.now();
    for (const [token, { kind, deadlineMs }] of this.#open)
      invariant(deadlineMs + lateMs >= now, () => `request ${token} (kind ${kind}) waits for ever`);
    for (const [name, count] of Object.entries(counters)) {
      const before = this.#counters[name] ?? 0;
      // One of them tells how many there are now.
      const isGauge = name === 'linesWithoutEventBuffer';
      invariant(Number.isInteger(count) && count >= 0, () => `the counter ${name} is ${count}`);
      invariant(isGauge || count >= before, () => `the counter ${name} went from ${before} to ${count}`);
    }
    this.#counters = counters;
  }

  /** When the chip is closed: everything was answered. */
  finish(): void {
    invariant(this.#open.size === 0, () => `${this.#open.size} requests were never answered`);
  }

  get signature(): string {
    const results = [...this.#results].sort().join('');
    const counted = Object.entries(this.#counters)
      .filter(([, count]) => count > 0)
      .map(([name]) => name)
      .join(' ');
    const gone = this.gone === null ? 'there' : this.gone.replaceAll(/\d+/g, 'N').slice(0, 60);
    return `${gone} results ${results} levels ${[...this.levels].sort().join('')} ${counted}`;
  }
}
