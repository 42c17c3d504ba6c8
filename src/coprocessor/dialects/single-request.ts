import { type Completion, RESULT_OK, RESULT_TIMEOUT, RESULT_UNAVAILABLE } from '../../gpio/chip.ts';
import { AnswerWatch } from '../answer-watch.ts';
import { NOT_OWED, OWED_REQUEST, type OwedReplies } from './single-request-owed.ts';

/** Of {@link RequestCodec.begin}: the request was answered without asking the co-processor. */
export const ANSWERED = -1;

/** Pause before a message is sent again that found the send queue full. */
const SEND_PAUSE_MS = 5;
/** Replies that may be outstanding; more questions are not asked of a co-processor that answers none. */
const MAX_OWED = 64;
/** How long a co-processor may take at least for an answer that nobody waits for, where nothing tells it from the next one. */
export const MIN_QUIET_MS = 1000;

/** Result and value of a request. One object serves all of them. */
export interface Outcome {
  result: number;
  value: number;
}

/** A request, of one of the operations of its dialect. Used again for others. */
export interface SingleRequest {
  readonly operation: number;
  readonly line: number;
  readonly value: number;
}

/** How requests become messages. Nothing is allocated: messages are written into {@link message}. */
export interface RequestCodec {
  /** Whether replies carry what they answer; false: one reply looks like another, and all keys are the same. */
  readonly isKeyed: boolean;
  /** The message that was written last. */
  readonly message: Uint8Array;
  /**
   * The request's turn. May be called more than once for it.
   * @returns the key of its reply, or {@link ANSWERED} with the outcome filled
   */
  begin(request: SingleRequest, outcome: Outcome): number;
  /** Its message is about to be sent. A request that waits after `begin`, or is given up there, has changed nothing. */
  sending(request: SingleRequest): void;
  /** There was no room for the message after all: nothing was sent. */
  unsent(request: SingleRequest): void;
  /** It was answered, or given up (RESULT_TIMEOUT). May change the outcome. */
  finish(request: SingleRequest, outcome: Outcome): void;
  /** Number of different questions. */
  readonly questionCount: number;
  /** Writes a request that changes nothing and succeeds. @returns its key */
  question(index: number): number;
  /** Writes a request that changes nothing and fails; only without keys. */
  refusedQuestion(): void;
}

export interface SingleRequestsOptions {
  readonly codec: RequestCodec;
  readonly owed: OwedReplies;
  /** @returns false when there was no room: nothing was sent */
  readonly send: (message: Uint8Array) => boolean;
  /** From the call of {@link SingleRequests.submit} on. */
  readonly timeoutMs: number;
  /** How many requests may wait. */
  readonly limit: number;
  /** Told when the co-processor is to be taken for hung. */
  readonly onHang: (reason: string) => void;
}

interface QueuedRequest extends SingleRequest {
  operation: number;
  line: number;
  value: number;
  done: Completion | null;
  token: number;
  deadlineMs: number;
  isSent: boolean;
  key: number;
  next: QueuedRequest | null;
}

/**
 * Requests to a co-processor whose dialect has no request id: one at a time, the others wait behind it and are answered in order.
 * Each has a deadline. What was given up may still be answered later, and must not be taken for the answer of the next one:
 *
 * - With keys (command and line) a request is not sent while a reply with its key is owed. If it is, a question with another key
 *   is asked: the co-processor answers in order, so once that is answered nothing older can come.
 * - Without keys nothing is sent while anything is owed. A row of questions is asked that fail, longer than all that is owed,
 *   and then one that succeeds: so many errors in a row followed by a success can only be these.
 * - A co-processor that does not answer what fails gets time instead: the next request waits until the late reply has come, or
 *   nothing has for a second (or the timeout, if longer). This is the one case in which a later reply still could be mistaken.
 */
export class SingleRequests {
  /** Requests answered too late or never. */
  timeouts = 0;
  /** Replies to requests that had been given up: dropped. */
  lateReplies = 0;
  /** Replies to another request than the one under way: dropped. */
  otherReplies = 0;
  /** Replies while nothing was under way: dropped. */
  unsolicitedReplies = 0;
  /** Requests given up at once, as too many waited. */
  queueFull = 0;
  /** Times that a message found the endpoint's send queue full. */
  sendQueueFull = 0;
  /** Questions asked to find out which replies are still to come. */
  questions = 0;
  readonly #o: SingleRequestsOptions;
  readonly #watch: AnswerWatch;
  readonly #quietMs: number;
  readonly #outcome: Outcome = { result: RESULT_OK, value: 0 };
  #first: QueuedRequest | null = null;
  #last: QueuedRequest | null = null;
  #length = 0;
  #pool: QueuedRequest | null = null;
  #isPumping = false;
  #isClosed = false;
  /** Last message in either direction. */
  #trafficMs = 0;
  /** Until then questions that were asked may be answered. */
  #questionsUntilMs = 0;
  /** Errors in a row that are needed before a success, and those that came. */
  #errorsNeeded = Number.POSITIVE_INFINITY;
  #errorsHeard = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerMs = 0;
  readonly #onTimer = (): void => this.#expire();

  constructor(options: SingleRequestsOptions) {
    this.#o = options;
    this.#watch = new AnswerWatch(options.timeoutMs);
    this.#quietMs = Math.max(MIN_QUIET_MS, options.timeoutMs);
  }

  /** Requests that wait or are under way. */
  get length(): number {
    return this.#length;
  }

  /** @param isUnbounded one of the chip's own, of which there are only so many */
  submit(
    operation: number,
    line: number,
    value: number,
    done: Completion,
    token: number,
    isUnbounded = false,
  ): void {
    if (this.#isClosed) return done.complete(token, RESULT_UNAVAILABLE, 0);
    if (this.#length >= this.#o.limit && !isUnbounded) {
      this.queueFull++;
      return done.complete(token, RESULT_TIMEOUT, 0);
    }
    const request = this.#take();
    request.operation = operation;
    request.line = line;
    request.value = value;
    request.done = done;
    request.token = token;
    request.deadlineMs = performance.now() + this.#o.timeoutMs;
    request.isSent = false;
    request.next = null;
    if (this.#last === null) this.#first = request;
    else this.#last.next = request;
    this.#last = request;
    this.#length++;
    this.#pump();
  }

  #take(): QueuedRequest {
    const request = this.#pool;
    if (request !== null) {
      this.#pool = request.next;
      return request;
    }
    return {
      operation: 0,
      line: 0,
      value: 0,
      done: null,
      token: 0,
      deadlineMs: 0,
      isSent: false,
      key: 0,
      next: null,
    };
  }

  /** Answers the first request with the outcome. */
  #complete(): void {
    const request = this.#first as QueuedRequest;
    const { done, token } = request;
    const { result, value } = this.#outcome;
    this.#first = request.next;
    if (this.#first === null) this.#last = null;
    this.#length--;
    request.done = null;
    request.next = this.#pool;
    this.#pool = request;
    done?.complete(token, result, value);
  }

  /** Sends the first request, unless it was, and answers those that need not be sent. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#first !== null && !this.#first.isSent && this.#begin(this.#first));
    } finally {
      this.#isPumping = false;
    }
    if (this.#first !== null) this.#arm(this.#first.deadlineMs);
  }

  /** @returns false when it has to wait for something */
  #begin(request: QueuedRequest): boolean {
    const { codec, owed } = this.#o;
    const key = codec.begin(request, this.#outcome);
    if (key === ANSWERED) {
      this.#complete();
      return true;
    }
    if (codec.isKeyed ? owed.has(key) : owed.length > 0) {
      if (!this.#settle(key)) return false;
      // The message was overwritten.
      return true;
    }
    // An endpoint may have the reply before it returns.
    request.key = key;
    request.isSent = true;
    codec.sending(request);
    if (this.#send()) return true;
    codec.unsent(request);
    request.isSent = false;
    this.#arm(performance.now() + SEND_PAUSE_MS);
    return false;
  }

  #send(): boolean {
    this.#trafficMs = performance.now();
    if (this.#o.send(this.#o.codec.message)) return true;
    this.sendQueueFull++;
    return false;
  }

  /** A reply came. */
  reply(key: number, result: number, value: number): void {
    if (this.#isClosed) return;
    const { codec, owed } = this.#o;
    const current = this.#first;
    this.#trafficMs = performance.now();
    if (current?.isSent && current.key === key) {
      // All that is owed was asked before.
      owed.clear();
      this.#questionsUntilMs = 0;
      this.#outcome.result = result;
      this.#outcome.value = value;
      codec.finish(current, this.#outcome);
      this.#watch.answered();
      this.#complete();
      return this.#pump();
    }
    const found = owed.take(key);
    if (found === NOT_OWED) {
      if (current?.isSent) this.otherReplies++;
      else this.unsolicitedReplies++;
      return;
    }
    this.#watch.answered();
    if (found === OWED_REQUEST) this.lateReplies++;
    else if (codec.isKeyed) this.#questionsUntilMs = 0;
    if (!codec.isKeyed) this.#heardOfRow(result);
    if (owed.length === 0) this.#questionsUntilMs = 0;
    this.#pump();
  }

  #heardOfRow(result: number): void {
    if (this.#questionsUntilMs > 0) this.#questionsUntilMs = this.#trafficMs + this.#o.timeoutMs;
    if (result !== RESULT_OK) {
      this.#errorsHeard++;
      return;
    }
    if (this.#errorsHeard >= this.#errorsNeeded) this.#o.owed.clear();
    this.#errorsHeard = 0;
  }

  /** Finds out whether what is owed will still come. @returns whether that is certain now */
  #settle(key: number): boolean {
    const { codec, owed } = this.#o;
    const nowMs = performance.now();
    if (!codec.isKeyed && !owed.answersRefusals) {
      if (nowMs - this.#trafficMs >= this.#quietMs) {
        owed.clear();
        return true;
      }
      this.#arm(this.#trafficMs + this.#quietMs);
      return false;
    }
    if (nowMs < this.#questionsUntilMs) {
      this.#arm(this.#questionsUntilMs);
      return false;
    }
    this.#questionsUntilMs = nowMs + this.#o.timeoutMs;
    this.#arm(this.#questionsUntilMs);
    if (codec.isKeyed) this.#ask(key);
    else this.#askRow();
    // Endpoints may have had the replies already.
    return codec.isKeyed ? !owed.has(key) : owed.length === 0;
  }

  #ask(blocked: number): void {
    const { codec, owed } = this.#o;
    if (owed.length >= MAX_OWED) return;
    let index = 0;
    let other = 0;
    for (; index < codec.questionCount; index++) {
      const key = codec.question(index);
      if (key !== blocked && !owed.has(key)) break;
      if (key !== blocked) other = index;
    }
    const key = codec.question(index < codec.questionCount ? index : other);
    this.#sendQuestion(key);
  }

  #askRow(): void {
    const { codec, owed } = this.#o;
    const count = owed.length + 1;
    if (owed.length + count + 1 > MAX_OWED) return;
    this.#errorsHeard = 0;
    this.#errorsNeeded = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      codec.refusedQuestion();
      if (!this.#sendQuestion(0)) return;
    }
    const key = codec.question(0);
    this.#errorsNeeded = count;
    if (!this.#sendQuestion(key)) this.#errorsNeeded = Number.POSITIVE_INFINITY;
  }

  #sendQuestion(key: number): boolean {
    const { owed } = this.#o;
    this.questions++;
    owed.add(key, true);
    if (this.#send()) return true;
    owed.removeLast();
    return false;
  }

  #expire(): void {
    this.#timer = null;
    const { codec, owed } = this.#o;
    const nowMs = performance.now();
    let expired = 0;
    this.#isPumping = true;
    try {
      while (this.#first !== null && this.#first.deadlineMs <= nowMs) {
        const request = this.#first;
        this.#outcome.result = RESULT_TIMEOUT;
        this.#outcome.value = 0;
        if (request.isSent) {
          owed.add(request.key, false);
          codec.finish(request, this.#outcome);
          this.#outcome.result = RESULT_TIMEOUT;
        }
        // What was not sent because we wait for silence says nothing about the co-processor.
        if (request.isSent || codec.isKeyed || owed.answersRefusals) expired++;
        this.timeouts++;
        this.#complete();
      }
    } finally {
      this.#isPumping = false;
    }
    if (expired > 0 && this.#watch.timedOut(expired, nowMs)) this.#o.onHang(this.#watch.text);
    if (!this.#isClosed) this.#pump();
  }

  /** Has the timer run out at that time, or earlier. */
  #arm(atMs: number): void {
    if (this.#isClosed || (this.#timer !== null && this.#timerMs <= atMs)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = atMs;
    this.#timer = setTimeout(this.#onTimer, Math.max(0, Math.ceil(atMs - performance.now())));
  }

  /** Answers everything that waits with RESULT_UNAVAILABLE, in order. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#first?.isSent) this.#o.owed.add(this.#first.key, false);
    this.#outcome.result = RESULT_UNAVAILABLE;
    this.#outcome.value = 0;
    while (this.#first !== null) {
      this.#outcome.result = RESULT_UNAVAILABLE;
      this.#outcome.value = 0;
      this.#complete();
    }
  }
}
