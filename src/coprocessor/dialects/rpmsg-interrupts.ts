import { type Completion, DIRECTION_NONE, IRQ_NONE, RESULT_OK, RESULT_UNAVAILABLE } from '../../gpio/chip.ts';
import { MSG_SET_DIRECTION, MSG_SET_IRQ_TYPE } from '../../wire/virtio-gpio.ts';
import type { RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { ANSWERED, type Outcome, type RequestCodec, type SingleRequest } from './single-request.ts';

/** Operation besides virtio-gpio's messages: sets the interrupt type of a line again, which unmasks it. */
export const OP_UNMASK = 0x100;

/** Sends an {@link OP_UNMASK}. */
export type Unmask = (line: number, done: Completion, token: number) => void;

/**
 * The interrupts of a chip's lines, between its requests and its dialect. The firmware masks a line when it notifies of it;
 * setting the type again unmasks it.
 */
export class RpmsgInterrupts implements RequestCodec, Completion {
  readonly isKeyed: boolean;
  readonly message: Uint8Array;
  readonly questionCount: number;
  readonly #dialect: RpmsgGpioDialect;
  readonly #unmask: Unmask;
  readonly #pauseMs: number;
  /** As last sent to the firmware; none where that was refused. */
  readonly #types: Uint8Array;
  /** Unmaskings that wait or are under way: one, and a second one while the first is under way. */
  readonly #pending: Uint8Array;
  readonly #isUnderWay: Uint8Array;
  /** Lines whose unmasking failed. */
  readonly #failed = new Set<number>();
  #timer: NodeJS.Timeout | null = null;
  readonly #onTimer = (): void => this.#tryAgain();

  /** @param pauseMs before an unmasking that failed is tried again */
  constructor(dialect: RpmsgGpioDialect, lineCount: number, pauseMs: number, unmask: Unmask) {
    this.isKeyed = dialect.isKeyed;
    this.message = dialect.message;
    this.questionCount = dialect.questionCount;
    this.#dialect = dialect;
    this.#unmask = unmask;
    this.#pauseMs = pauseMs;
    this.#types = new Uint8Array(lineCount);
    this.#pending = new Uint8Array(lineCount);
    this.#isUnderWay = new Uint8Array(lineCount);
  }

  /** A notification came. @returns whether the line is subscribed */
  notified(line: number): boolean {
    if (this.#types[line] === IRQ_NONE) return false;
    const pending = this.#pending[line] as number;
    // One that was sent may have been done before this notification. More than two never wait, whatever is notified.
    if (pending === 0 || (pending === 1 && this.#isUnderWay[line] === 1)) this.#submit(line);
    return true;
  }

  #submit(line: number): void {
    (this.#pending[line] as number)++;
    this.#unmask(line, this, line);
  }

  /** An unmasking was answered. Without it the line would stay silent for ever, so it is tried until it is done. */
  complete(line: number, result: number): void {
    (this.#pending[line] as number)--;
    this.#isUnderWay[line] = 0;
    if (result === RESULT_OK || result === RESULT_UNAVAILABLE) this.#failed.delete(line);
    else this.#failed.add(line);
    if (this.#failed.size > 0) this.#timer ??= setTimeout(this.#onTimer, this.#pauseMs);
  }

  #tryAgain(): void {
    this.#timer = null;
    for (const line of [...this.#failed]) {
      this.#failed.delete(line);
      if (this.#types[line] !== IRQ_NONE && this.#pending[line] === 0) this.#submit(line);
    }
  }

  begin(request: SingleRequest, outcome: Outcome): number {
    const { operation, line, value } = request;
    if (operation === OP_UNMASK) {
      const type = this.#types[line] as number;
      outcome.result = RESULT_OK;
      outcome.value = 0;
      if (type === IRQ_NONE) return ANSWERED;
      this.#isUnderWay[line] = 1;
      return this.#dialect.begin(MSG_SET_IRQ_TYPE, line, type, outcome);
    }
    // Notifications may come before the answer; and those of a subscription that is about to end are nobody's.
    if (operation === MSG_SET_IRQ_TYPE) this.#types[line] = value;
    else if (operation === MSG_SET_DIRECTION && value === DIRECTION_NONE) this.#types[line] = IRQ_NONE;
    const key = this.#dialect.begin(operation, line, value, outcome);
    if (key === ANSWERED) this.#finished(request, outcome.result);
    return key;
  }

  finish(request: SingleRequest, outcome: Outcome): void {
    const { operation, line, value } = request;
    if (operation === OP_UNMASK)
      return this.#dialect.finish(MSG_SET_IRQ_TYPE, line, this.#types[line] as number, outcome);
    this.#dialect.finish(operation, line, value, outcome);
    this.#finished(request, outcome.result);
  }

  #finished({ operation, line }: SingleRequest, result: number): void {
    if (operation === MSG_SET_IRQ_TYPE && result !== RESULT_OK) this.#types[line] = IRQ_NONE;
  }

  question(index: number): number {
    return this.#dialect.question(index);
  }

  refusedQuestion(): void {
    this.#dialect.refusedQuestion();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#failed.clear();
  }
}
