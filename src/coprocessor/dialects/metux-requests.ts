import {
  type Completion,
  RESULT_FAILED,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import { METUX_GET_DIRECTION, METUX_GET_LEVEL } from '../../wire/metux-gpio.ts';
import type { AnswerWatch } from '../answer-watch.ts';
import { END, type LineTask, type MetuxLines } from './metux-lines.ts';
import type { MetuxMessages } from './metux-messages.ts';
import { MetuxReplies } from './metux-replies.ts';

/** What may be sent just to see that the replies before it are lost: changes nothing. */
const HARMLESS = [METUX_GET_DIRECTION, METUX_GET_LEVEL] as const;

interface Task extends LineTask {
  kind: number;
  line: number;
  value: number;
  done: Completion | null;
  token: number;
  deadlineMs: number;
  /** Command that was sent and not answered; -1 = none. */
  command: number;
  next: Task | null;
}

export interface MetuxRequestsOptions {
  readonly messages: MetuxMessages;
  readonly lines: MetuxLines;
  readonly lineCount: number;
  readonly requestTimeoutMs: number;
  readonly watch: AnswerWatch;
  /** Requests were given up; what waited behind them may have been sent. */
  readonly afterExpiry: () => void;
  /** Nothing is answered any more. */
  readonly onSilent: () => void;
}

/**
 * What is asked of a metux device: one task at a time within a line, over different lines as many as its queue holds, each with a
 * deadline. Its replies have no id but their order ({@link MetuxReplies}): a request of the same command and line as one that was
 * given up waits until that one's reply has come, or is known to be lost.
 */
export class MetuxRequests {
  /** Tasks answered too late or never. */
  timeouts = 0;
  /** Replies nobody asked for. */
  unexpected = 0;
  /** Messages were put into the queue since this was last set to false. */
  hasUnsent = false;
  readonly replies: MetuxReplies<Task>;
  readonly #options: MetuxRequestsOptions;
  readonly #first: (Task | null)[];
  readonly #last: (Task | null)[];
  /** {@link #advance} of the line is on the stack. */
  readonly #advancing: Uint8Array;
  /** Lines whose task waits for room in the queue, or for replies to be settled; each once. */
  #waiting: number[] = [];
  readonly #isWaiting: Uint8Array;
  #pool: Task | null = null;
  #open = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerDueMs = Number.POSITIVE_INFINITY;
  readonly #onTimer = (): void => this.#expire();

  constructor(options: MetuxRequestsOptions) {
    const { lineCount } = options;
    this.#options = options;
    this.replies = new MetuxReplies(lineCount);
    this.#first = new Array<Task | null>(lineCount).fill(null);
    this.#last = new Array<Task | null>(lineCount).fill(null);
    this.#advancing = new Uint8Array(lineCount);
    this.#isWaiting = new Uint8Array(lineCount);
  }

  /** Whether anything waits for an answer. */
  get waiting(): boolean {
    return this.#open > 0;
  }

  /** Whether messages wait for room in the queue. */
  get starved(): boolean {
    return this.#waiting.length > 0;
  }

  submit(
    kind: number,
    line: number,
    value: number,
    done: Completion,
    token: number,
    timeoutMs = this.#options.requestTimeoutMs,
  ): void {
    const deadlineMs = performance.now() + timeoutMs;
    const task = this.#take();
    task.kind = kind;
    task.line = line;
    task.value = value;
    task.done = done;
    task.token = token;
    task.deadlineMs = deadlineMs;
    task.command = END;
    task.next = null;
    const last = this.#last[line];
    this.#last[line] = task;
    this.#open++;
    if (last) last.next = task;
    else this.#first[line] = task;
    this.#schedule(deadlineMs);
    if (!last) this.#advance(line);
  }

  #take(): Task {
    const task = this.#pool;
    if (task === null)
      return { kind: 0, line: 0, value: 0, done: null, token: 0, deadlineMs: 0, command: END, next: null };
    this.#pool = task.next;
    return task;
  }

  /** Works on the tasks of a line until one waits for a reply, or for being sent. */
  #advance(line: number): void {
    if (this.#advancing[line] === 1) return;
    this.#advancing[line] = 1;
    for (let task = this.#first[line]; task && task.command === END; task = this.#first[line]) {
      const command = this.#options.lines.next(task);
      if (command === END) this.#end(task);
      else if (!this.#send(task, command)) {
        this.#wait(line);
        break;
      }
    }
    this.#advancing[line] = 0;
  }

  /** Removes the first task of its line, and completes it as it turned out. */
  #end(task: Task): void {
    const { result, value } = this.#options.lines.outcome;
    this.#finish(task, result, result === RESULT_OK ? value : 0);
  }

  #finish(task: Task, result: number, value: number): void {
    const { line, done, token } = task;
    // Who was told of another one closed everything.
    if (done === null) return;
    this.#first[line] = task.next;
    if (task.next === null) this.#last[line] = null;
    task.done = null;
    task.next = this.#pool;
    this.#pool = task;
    this.#open--;
    done.complete(token, result, value);
  }

  #send(task: Task, command: number): boolean {
    const { lines } = this.#options;
    if (!this.#sendNow(command, task.line, lines.argument, task, task.deadlineMs)) return false;
    task.command = command;
    return true;
  }

  #sendNow(command: number, line: number, value: number, owner: Task | null, untilMs: number): boolean {
    const { replies } = this;
    if (replies.isExpected(command, line) || !replies.hasRoom) return false;
    if (!this.#options.messages.send(command, line, value)) return false;
    replies.expect(command, line, owner, untilMs);
    this.hasUnsent = true;
    return true;
  }

  #wait(line: number): void {
    if (this.#isWaiting[line] === 0) this.#waiting.push(line);
    this.#isWaiting[line] = 1;
    this.#askHarmlessly(line);
  }

  /**
   * Nothing on its way would tell whether the replies of what was given up still come: something that changes nothing is asked,
   * as its reply comes after theirs.
   */
  #askHarmlessly(line: number): void {
    const nowMs = performance.now();
    if (this.replies.size === 0 || this.replies.isSettling(nowMs)) return;
    const untilMs = nowMs + this.#options.requestTimeoutMs;
    for (let i = 0; i < this.#first.length; i++) {
      const at = (line + i) % this.#first.length;
      for (const command of HARMLESS) {
        if (this.replies.isExpected(command, at)) continue;
        this.#sendNow(command, at, 0, null, untilMs);
        return;
      }
    }
  }

  /** A reply. @param command without the reply's bits */
  replied(command: number, line: number, value: number): void {
    const { lines, watch } = this.#options;
    const match = this.replies.take(command, line);
    if (match === null) {
      this.unexpected++;
      return;
    }
    watch.answered();
    const { owner } = match;
    for (const task of match.lost) {
      lines.unanswered(task.command, task.line);
      this.#finish(task, RESULT_FAILED, 0);
      this.#advance(task.line);
    }
    if (owner === null) lines.replied(null, command, line, value);
    else if (owner.done !== null) {
      owner.command = END;
      const next = lines.replied(owner, command, line, value);
      if (next === END) this.#end(owner);
      else if (!this.#send(owner, next)) this.#wait(line);
      if (next === END) this.#advance(line);
    }
    this.resume();
  }

  /** Sends what waited, as far as it can be now. */
  resume(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const line of waiting) this.#isWaiting[line] = 0;
    for (const line of waiting) this.#advance(line);
  }

  #schedule(deadlineMs: number): void {
    if (deadlineMs >= this.#timerDueMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerDueMs = deadlineMs;
    this.#timer = setTimeout(this.#onTimer, Math.max(0, Math.ceil(deadlineMs - performance.now())));
  }

  #expire(): void {
    this.#timer = null;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const nowMs = performance.now();
    let earliestMs = Number.POSITIVE_INFINITY;
    const expired: Task[] = [];
    for (const first of this.#first) {
      for (let task = first; task !== null; task = task.next) {
        if (task.deadlineMs <= nowMs) expired.push(task);
        else earliestMs = Math.min(earliestMs, task.deadlineMs);
      }
    }
    this.timeouts += expired.length;
    const told = expired.map((task) => this.#unlink(task));
    if (earliestMs < Number.POSITIVE_INFINITY) this.#schedule(earliestMs);
    for (const { done, token } of told) done?.complete(token, RESULT_TIMEOUT, 0);
    if (expired.length === 0) return;
    for (const { line } of told) this.#advance(line);
    this.#options.afterExpiry();
    if (this.#options.watch.timedOut(expired.length, nowMs)) this.#options.onSilent();
  }

  /** Takes a task that is given up out of its line. */
  #unlink(task: Task): { line: number; done: Completion | null; token: number } {
    const { line, done, token } = task;
    if (task.command !== END) {
      this.#options.lines.unanswered(task.command, line);
      this.replies.giveUp(task);
    }
    let previous: Task | null = null;
    for (let at = this.#first[line] ?? null; at !== task && at !== null; at = at.next) previous = at;
    if (previous === null) this.#first[line] = task.next;
    else previous.next = task.next;
    if (task.next === null) this.#last[line] = previous;
    task.done = null;
    task.next = this.#pool;
    this.#pool = task;
    this.#open--;
    return { line, done, token };
  }

  /** Answers everything that waits with RESULT_UNAVAILABLE; the queues are not used any more. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const open: { done: Completion; token: number }[] = [];
    for (const [line, first] of this.#first.entries()) {
      for (let task = first; task; task = task.next) {
        if (task.done !== null) open.push({ done: task.done, token: task.token });
        task.done = null;
      }
      this.#first[line] = null;
      this.#last[line] = null;
    }
    this.#open = 0;
    this.#waiting = [];
    this.#isWaiting.fill(0);
    this.replies.clear();
    for (const { done, token } of open) done.complete(token, RESULT_UNAVAILABLE, 0);
  }
}
