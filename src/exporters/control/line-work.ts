import {
  DIRECTION_OUT,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import type { Line } from '../../gpio/line.ts';
import type { LineOperator, Outcome, OutcomeListener } from '../../gpio/line-operator.ts';
import type { ControlCode, DirectionName, LineInfo, LineOutcome } from '../../wire/control.ts';
import { encodeValue } from '../../wire/control-reply.ts';
import type { ControlLines } from './control-line.ts';

/** Lines begun in one step: a guest waits for that many at most. */
const LINES_A_STEP = 16;

const CODES: Readonly<Record<number, ControlCode>> = {
  [RESULT_BUSY]: 'ERR_BUSY',
  [RESULT_REFUSED]: 'ERR_REFUSED',
  [RESULT_TIMEOUT]: 'ERR_TIMEOUT',
  [RESULT_UNAVAILABLE]: 'ERR_UNAVAILABLE',
  [RESULT_INVALID]: 'ERR_INVALID',
};

function levelOf(level: number): 0 | 1 | null {
  return level === 0 || level === 1 ? level : null;
}

function lineOutcome(line: Line, { result, level, text }: Outcome): LineOutcome {
  const { path, lines, offset, name } = line;
  const ok = result === RESULT_OK;
  const outcome = { line: path, chip: lines.name, offset, name, ok, level: levelOf(level) };
  return ok ? outcome : { ...outcome, code: CODES[result] ?? 'ERR_FAILED', reason: text };
}

/** What is known of a line, without asking the chip. */
export function lineInfo(line: Line): LineInfo {
  const { lines, offset, name, handles, settings } = line;
  // Of other lines the level is only what somebody once read.
  const isKnown = line.fresh || line.direction === DIRECTION_OUT;
  const level = isKnown ? levelOf(line.level) : null;
  const users = handles.filter((handle) => line.owner === handle || handle.usesInput || handle.watching);
  return {
    chip: lines.name,
    offset,
    name,
    direction: line.directionName as DirectionName,
    level: level !== null && settings.activeLow ? ((1 - level) as 0 | 1) : level,
    activeLow: settings.activeLow,
    owner: line.ownerName,
    users: [...new Set(users.map(({ consumer }) => consumer.name))],
    debounceMs: settings.debounceMs,
    edges: line.edges,
    available: lines.chip.available,
  };
}

/** What is done for a request a little at a time. */
export interface Work {
  readonly lines: readonly Line[];
  /** Does some. @returns whether there is more to begin */
  step(): boolean;
}

/** Something else than before when what clients follow by edges is: level, its origin, direction, and how many edges there were. */
function stateOf({ edges, level, direction, fresh }: Line): number {
  return ((edges * 4 + (level & 3)) * 4 + (direction & 3)) * 2 + (fresh ? 1 : 0);
}

/**
 * What is known of many lines, as the text of a list: thousands of them take milliseconds. The list is of one moment, its end: what
 * changed since it was written down is written anew.
 */
export class LineListing implements Work {
  readonly lines: readonly Line[];
  readonly #onDone: (text: string) => void;
  /** Of {@link LINES_A_STEP} lines each: to put thousands of texts together takes a millisecond, too. */
  readonly #texts: string[] = [];
  readonly #states: Float64Array;

  constructor(lines: readonly Line[], onDone: (text: string) => void) {
    this.lines = lines;
    this.#onDone = onDone;
    this.#states = new Float64Array(lines.length);
  }

  step(): boolean {
    const { length } = this.lines;
    if (this.#texts.length * LINES_A_STEP < length) this.#write(this.#texts.length);
    if (this.#texts.length * LINES_A_STEP < length) return true;
    for (let at = 0; at < length; at++)
      if (stateOf(this.lines[at] as Line) !== this.#states[at]) this.#write(Math.floor(at / LINES_A_STEP));
    this.#onDone(`[${this.#texts.join(',')}]`);
    return false;
  }

  #write(part: number): void {
    const begin = part * LINES_A_STEP;
    const lines = this.lines.slice(begin, begin + LINES_A_STEP);
    for (const [at, line] of lines.entries()) this.#states[begin + at] = stateOf(line);
    this.#texts[part] = encodeValue(lines.map(lineInfo)).slice(1, -1);
  }
}

/** An operation on each line of a request. Begins them in order, a few at a time; they end as the chips answer. */
export class LineWork implements Work {
  readonly lines: readonly Line[];
  readonly #open: ControlLines;
  readonly #start: (operator: LineOperator, at: number, done: OutcomeListener) => void;
  readonly #onDone: (outcomes: readonly LineOutcome[]) => void;
  readonly #outcomes: LineOutcome[];
  #begun = 0;
  #ended = 0;

  constructor(
    open: ControlLines,
    lines: readonly Line[],
    start: (operator: LineOperator, at: number, done: OutcomeListener) => void,
    onDone: (outcomes: readonly LineOutcome[]) => void,
  ) {
    this.#open = open;
    this.lines = lines;
    this.#start = start;
    this.#onDone = onDone;
    this.#outcomes = new Array(lines.length);
  }

  /** Begins some. @returns whether there are more to begin */
  step(): boolean {
    const until = Math.min(this.#begun + LINES_A_STEP, this.lines.length);
    while (this.#begun < until) this.#begin(this.#begun++);
    return this.#begun < this.lines.length;
  }

  #begin(at: number): void {
    const line = this.lines[at] as Line;
    const opened = this.#open.begin(line);
    this.#start(opened.operator, at, (outcome) => {
      this.#outcomes[at] = lineOutcome(line, outcome);
      this.#open.end(opened);
      this.#ended++;
      if (this.#ended === this.lines.length) this.#onDone(this.#outcomes);
    });
  }
}
