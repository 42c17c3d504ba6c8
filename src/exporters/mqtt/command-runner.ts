import { RESULT_OK } from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import { LineOperator, type Outcome } from '../../gpio/line-operator.ts';
import type { CommandAnswer, CommandRequest } from './worker-messages.ts';

/** How long commands may take of one turn of the event loop, looked at after every so many: guests wait for that long at most. */
const TURN_MS = 0.25;
const STEP = 8;

/**
 * Executes commands on lines, in the main thread, in the order in which they came, a few in each turn of the loop; answers go back in
 * batches, one message a turn. How many wait is bounded by who sends them: each is counted as under way until its answer.
 */
export class CommandRunner {
  readonly #operators: readonly LineOperator[];
  readonly #onAnswers: (answers: readonly CommandAnswer[]) => void;
  #answers: CommandAnswer[] = [];
  #waiting: readonly CommandRequest[] = [];
  /** Of those waiting, the next. */
  #next = 0;
  #continuation: NodeJS.Immediate | null = null;
  #isRunning = false;
  /** Counts workers: a new one knows nothing of the commands of the one before. */
  #era = 0;

  constructor(handles: readonly LineHandle[], onAnswers: (answers: readonly CommandAnswer[]) => void) {
    this.#operators = handles.map((handle) => new LineOperator(handle));
    this.#onAnswers = onAnswers;
  }

  /** The operator of a line. */
  operator(line: number): LineOperator {
    return this.#operators[line] as LineOperator;
  }

  run(commands: readonly CommandRequest[]): void {
    this.#waiting = this.#next === this.#waiting.length ? commands : [...this.#rest(), ...commands];
    this.#next = 0;
    if (this.#continuation === null) this.#step();
  }

  #rest(): readonly CommandRequest[] {
    return this.#waiting.slice(this.#next);
  }

  #step(): void {
    this.#continuation = null;
    const era = this.#era;
    const untilMs = performance.now() + TURN_MS;
    this.#isRunning = true;
    do {
      const end = Math.min(this.#next + STEP, this.#waiting.length);
      while (this.#next < end) this.#start(this.#waiting[this.#next++] as CommandRequest);
    } while (this.#next < this.#waiting.length && performance.now() < untilMs);
    this.#isRunning = false;
    this.#flush();
    if (era === this.#era && this.#next < this.#waiting.length)
      this.#continuation ??= setImmediate(() => this.#step());
  }

  #start({ id, line, command }: CommandRequest): void {
    const operator = this.operator(line);
    const era = this.#era;
    const done = (outcome: Outcome): void => {
      if (era === this.#era) this.#answer(id, outcome);
    };
    switch (command.kind) {
      case 'set':
        return operator.set(command.level, done);
      case 'toggle':
        return operator.toggle(done);
      case 'pulse':
        return operator.pulse(command.level, command.durationMs, done);
      case 'direction':
        return operator.setDirection(command.direction, done);
      case 'release':
        return operator.release(done);
      case 'get':
        return operator.get(done);
    }
  }

  #answer(id: number, { result, level, text }: Outcome): void {
    if (this.#answers.length === 0 && !this.#isRunning) setImmediate(() => this.#flush());
    this.#answers.push({ id, isOk: result === RESULT_OK, level, reason: text });
  }

  #flush(): void {
    if (this.#answers.length === 0) return;
    this.#onAnswers(this.#answers);
    this.#answers = [];
  }

  /** The worker that asked is gone. */
  forget(): void {
    this.#era++;
    this.#answers = [];
    this.#waiting = [];
    this.#next = 0;
    if (this.#continuation !== null) clearImmediate(this.#continuation);
    this.#continuation = null;
  }

  /** Ends running pulses; idempotent. */
  close(): void {
    this.forget();
    for (const operator of this.#operators) operator.close();
  }
}
