import { RESULT_OK } from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import { LineOperator, type Outcome } from '../../gpio/line-operator.ts';
import type { CommandAnswer, CommandRequest } from './worker-messages.ts';

/** Executes commands on lines, in the main thread; answers go back in batches, one message a turn of the loop. */
export class CommandRunner {
  readonly #operators: readonly LineOperator[];
  readonly #onAnswers: (answers: readonly CommandAnswer[]) => void;
  #answers: CommandAnswer[] = [];
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
    this.#isRunning = true;
    for (const command of commands) this.#start(command);
    this.#isRunning = false;
    this.#flush();
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
  }

  /** Ends running pulses; idempotent. */
  close(): void {
    this.forget();
    for (const operator of this.#operators) operator.close();
  }
}
