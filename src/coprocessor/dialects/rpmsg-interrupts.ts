import {
  type Completion,
  DIRECTION_NONE,
  IRQ_NONE,
  LEVEL_UNKNOWN,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_IRQ_TYPE } from '../../wire/virtio-gpio.ts';
import type { RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { ANSWERED, type Outcome, type RequestCodec, type SingleRequest } from './single-request.ts';

/** Operation besides virtio-gpio's messages: sets the interrupt type of a line again, which unmasks it. */
const OP_UNMASK = 0x100;

/** Another one: reads the level of a line that was masked for longer than it should have been. */
const OP_CHECK = 0x101;
/** Added to the line's number in the token of an {@link OP_CHECK}. */
const CHECK = 0x1_0000;

export interface InterruptPorts {
  /** Submits one of the operations. */
  readonly submit: (operation: number, line: number, done: Completion, token: number) => void;
  /** Tells of an edge that no notification told of. */
  readonly onEdge: (line: number) => void;
  /** Before an unmasking that failed is tried again. */
  readonly pauseMs: number;
}

/**
 * The interrupts of a chip's lines, between its requests and its dialect. The firmware masks a line when it notifies of it;
 * setting the type again unmasks it.
 */
export class RpmsgInterrupts implements RequestCodec, Completion {
  readonly isKeyed: boolean;
  readonly message: Uint8Array;
  readonly questionCount: number;
  readonly #dialect: RpmsgGpioDialect;
  readonly #ports: InterruptPorts;
  /** As last sent to the firmware; none where that was refused. */
  readonly #types: Uint8Array;
  /** Type of its line before the request that is being sent. */
  #typeBefore = IRQ_NONE;
  /** Unmaskings that wait or are under way: one, and a second one while the first is under way. */
  readonly #pending: Uint8Array;
  readonly #isUnderWay: Uint8Array;
  /** As last read; -1 = never. */
  readonly #levels: Int8Array;
  /** Lines whose unmasking failed; and those where it is tried again. */
  readonly #failed = new Set<number>();
  readonly #retried = new Set<number>();
  #timer: NodeJS.Timeout | null = null;
  readonly #onTimer = (): void => this.#tryAgain();

  constructor(dialect: RpmsgGpioDialect, lineCount: number, ports: InterruptPorts) {
    this.isKeyed = dialect.isKeyed;
    this.message = dialect.message;
    this.questionCount = dialect.questionCount;
    this.#dialect = dialect;
    this.#ports = ports;
    this.#types = new Uint8Array(lineCount);
    this.#pending = new Uint8Array(lineCount);
    this.#isUnderWay = new Uint8Array(lineCount);
    this.#levels = new Int8Array(lineCount).fill(LEVEL_UNKNOWN);
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
    this.#ports.submit(OP_UNMASK, line, this, line);
  }

  /** An unmasking or a check was answered. Without it the line would stay silent for ever, so it is tried until it is done. */
  complete(token: number, result: number, value: number): void {
    if (result === RESULT_UNAVAILABLE) return;
    if (token >= CHECK) return this.#checked(token - CHECK, result, value);
    const line = token;
    (this.#pending[line] as number)--;
    this.#isUnderWay[line] = 0;
    if (result !== RESULT_OK) return this.#fail(line);
    this.#failed.delete(line);
    // The firmware may have forgotten an edge that came since somebody read the level.
    if (this.#retried.delete(line)) this.#ports.submit(OP_CHECK, line, this, CHECK + line);
  }

  #checked(line: number, result: number, level: number): void {
    const known = this.#levels[line] as number;
    if (this.#types[line] === IRQ_NONE || known === LEVEL_UNKNOWN) return;
    if (result !== RESULT_OK) this.#fail(line);
    else if (level !== known) this.#ports.onEdge(line);
  }

  #fail(line: number): void {
    this.#failed.add(line);
    this.#timer ??= setTimeout(this.#onTimer, this.#ports.pauseMs);
  }

  #tryAgain(): void {
    this.#timer = null;
    for (const line of [...this.#failed]) {
      this.#failed.delete(line);
      if (this.#types[line] === IRQ_NONE) continue;
      this.#retried.add(line);
      if (this.#pending[line] === 0) this.#submit(line);
    }
  }

  begin(request: SingleRequest, outcome: Outcome): number {
    const { operation, line, value } = request;
    if (operation === OP_UNMASK) {
      const type = this.#types[line] as number;
      outcome.result = RESULT_OK;
      outcome.value = 0;
      if (type === IRQ_NONE) return ANSWERED;
      return this.#dialect.begin(MSG_SET_IRQ_TYPE, line, type, outcome);
    }
    if (operation === OP_CHECK) return this.#dialect.begin(MSG_GET_VALUE, line, 0, outcome);
    const key = this.#dialect.begin(operation, line, value, outcome);
    if (key !== ANSWERED) return key;
    this.sending(request);
    this.#finished(request, outcome.result);
    return key;
  }

  /** Notifications may come before the answer; and those of a subscription that is about to end are nobody's. */
  sending({ operation, line, value }: SingleRequest): void {
    this.#typeBefore = this.#types[line] as number;
    if (operation === OP_UNMASK) this.#isUnderWay[line] = 1;
    else if (operation === MSG_SET_IRQ_TYPE) this.#types[line] = value;
    else if (operation === MSG_SET_DIRECTION && value === DIRECTION_NONE) this.#types[line] = IRQ_NONE;
  }

  unsent({ operation, line }: SingleRequest): void {
    this.#types[line] = this.#typeBefore;
    if (operation === OP_UNMASK) this.#isUnderWay[line] = 0;
  }

  finish(request: SingleRequest, outcome: Outcome): void {
    const { operation, line, value } = request;
    if (operation === OP_UNMASK)
      return this.#dialect.finish(MSG_SET_IRQ_TYPE, line, this.#types[line] as number, outcome);
    if (operation === OP_CHECK) return this.#dialect.finish(MSG_GET_VALUE, line, 0, outcome);
    this.#dialect.finish(operation, line, value, outcome);
    if (operation === MSG_GET_VALUE && outcome.result === RESULT_OK) this.#levels[line] = outcome.value;
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
    this.#retried.clear();
  }
}
