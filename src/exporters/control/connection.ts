import type { Socket } from 'node:net';
import { type ControlRequest, MAX_REQUEST_BYTES, MAX_REQUEST_LINES } from '../../wire/control.ts';
import {
  encodeEnded,
  encodeError,
  encodeGreeting,
  encodeResult,
  encodeResultText,
} from '../../wire/control-reply.ts';
import { ControlFault, decodeRequest } from '../../wire/control-request.ts';
import { ClientOutput } from './client-output.ts';
import { type EdgeSink, Subscription } from './control-line.ts';
import type { ControlCounters, ControlLimits } from './counters.ts';
import { LineListing, LineWork, type Work } from './line-work.ts';
import { RequestSplitter } from './request-splitter.ts';
import {
  type Answer,
  carryOut,
  chosenLines,
  failure,
  isFailure,
  type RequestContext,
  type WatchRequest,
} from './requests.ts';
import type { Turns, TurnTaker } from './turns.ts';

/** Requests of one connection under way; it is not read from while there are that many. */
export const MAX_OUTSTANDING = 256;
/** Of one connection. */
export const MAX_SUBSCRIPTIONS = 64;
/** A request that has begun is to be there, all of it, after this time. */
export const REQUEST_TIMEOUT_MS = 10_000;

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly version: string;
  readonly context: RequestContext;
  readonly turns: Turns;
  readonly counters: ControlCounters;
  readonly limits: ControlLimits;
  readonly requestTimeoutMs: number;
  /** A fault of ours in a request. */
  readonly onFault: (error: unknown) => void;
  readonly onClosed: () => void;
}

/** One client. What it asks for goes on when it leaves; what it watches does not. */
export class ControlConnection implements TurnTaker, EdgeSink {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #output: ClientOutput;
  readonly #splitter = new RequestSplitter();
  readonly #subscriptions = new Map<number, Subscription>();
  #lastSubscription = 0;
  /**
   * What is being done a little at a time, the first one first. The next request waits for all of it: requests of one client
   * are begun in their order.
   */
  readonly #works: Work[] = [];
  /** Requests that are not answered, and the lines that they are about. */
  #outstanding = 0;
  #outstandingLines = 0;
  /** A whole request has come, right or wrong. */
  #hasAsked = false;
  /** Runs while a part of a request is here. */
  #timer: NodeJS.Timeout | null = null;
  #isUnread = false;
  /** The client will send no more. */
  #inputEnded = false;
  /** All is said. */
  #isEnding = false;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { socket, version, counters, turns } = options;
    this.#socket = socket;
    this.#output = new ClientOutput({
      socket,
      counters,
      onPending: () => turns.write(this),
      onRoom: () => {
        if (this.#splitter.bytes > 0 || this.#inputEnded) turns.work(this);
      },
    });
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('end', () => {
      this.#inputEnded = true;
      turns.work(this);
    });
    // What ends a connection is told by 'close'.
    socket.on('error', () => {});
    socket.on('close', () => this.close());
    this.#output.send(encodeGreeting(version));
  }

  #received(chunk: Buffer): void {
    if (this.#inputEnded) return;
    this.#splitter.push(chunk);
    if (this.#splitter.bytes > MAX_REQUEST_BYTES) this.#socket.pause();
    this.#options.turns.work(this);
  }

  /** Whether the next request has to wait for answers to earlier ones, or for the client to take them. */
  get #isBlocked(): boolean {
    return (
      this.#outstanding >= MAX_OUTSTANDING ||
      this.#outstandingLines > MAX_REQUEST_LINES ||
      this.#output.isFull
    );
  }

  /** Whether it may be put out for another: it has never asked anything, or does not read. */
  get isIdle(): boolean {
    return !this.#hasAsked || this.#output.isStuck;
  }

  step(): boolean {
    const work = this.#works[0];
    if (work !== undefined) {
      if (!work.step()) this.#works.shift();
      return true;
    }
    if (this.#closed || this.#isEnding) return false;
    if (this.#isBlocked) {
      this.#countUnread();
      return false;
    }
    const line = this.#splitter.next();
    if (line === null) return this.#inputTaken();
    this.#hasAsked = true;
    this.#stopTimer();
    if (line === 'too long') {
      const message = `a request has at most ${MAX_REQUEST_BYTES} bytes`;
      this.#badRequest(new ControlFault(null, 'ERR_LIMIT', message));
      // Where the next one begins is not known.
      this.#inputEnded = true;
      return true;
    }
    if (line === 'not UTF-8') {
      this.#badRequest(new ControlFault(null, 'ERR_REQUEST', 'the request is not UTF-8'));
      return true;
    }
    const request = decodeRequest(line.text);
    if (request instanceof ControlFault) this.#badRequest(request);
    else this.#begin(request);
    return true;
  }

  /** Once for each time that the output is full. */
  #countUnread(): void {
    const { isFull } = this.#output;
    if (isFull && !this.#isUnread) this.#options.limits.unreadPauses++;
    this.#isUnread = isFull;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #stalled(): void {
    this.#timer = null;
    this.#options.limits.stalledConnections++;
    const message = `a request that has begun was not complete after ${this.#options.requestTimeoutMs / 1000} s`;
    this.#splitter.clear();
    this.#badRequest(new ControlFault(null, 'ERR_LIMIT', message));
    this.#inputEnded = true;
    this.#options.turns.work(this);
  }

  /** Every line that came was taken. */
  #inputTaken(): boolean {
    this.#isUnread = false;
    if (!this.#inputEnded) {
      if (this.#splitter.bytes > 0)
        this.#timer ??= setTimeout(() => this.#stalled(), this.#options.requestTimeoutMs);
      this.#socket.resume();
      return false;
    }
    if (this.#splitter.bytes > 0) {
      this.#splitter.clear();
      this.#badRequest(new ControlFault(null, 'ERR_REQUEST', 'the last request has no newline'));
    }
    // It may be gone altogether: answers are owed to it, watched lines would cost power.
    this.#unsubscribeAll();
    if (this.#outstanding === 0) this.#end();
    return false;
  }

  #badRequest(fault: ControlFault): void {
    this.#options.counters.badRequests++;
    this.#options.counters.errors++;
    this.#output.send(encodeError(fault.id, fault));
  }

  #begin(request: ControlRequest): void {
    const { counters, context, onFault } = this.#options;
    counters.requests++;
    this.#outstanding++;
    let lineCount = 0;
    let isAnswered = false;
    const answered = (text: string): void => {
      if (isAnswered) return;
      isAnswered = true;
      this.#outstanding--;
      this.#outstandingLines -= lineCount;
      this.#output.send(text);
      // The next one may have waited for this one.
      this.#options.turns.work(this);
    };
    const answer: Answer = {
      result: (result) => answered(encodeResult(request.id, result)),
      resultText: (text) => answered(encodeResultText(request.id, text)),
      failure: (reason) => {
        counters.errors++;
        answered(encodeError(request.id, reason));
      },
    };
    try {
      let work: Work | null = null;
      if (request.method === 'watch') work = this.#watch(request, answer);
      else if (request.method === 'unwatch') this.#unwatch(request.params.subscription, answer);
      else work = carryOut(context, request, answer);
      if (work === null) return;
      lineCount = work.lines.length;
      this.#outstandingLines += lineCount;
      this.#works.push(work);
    } catch (error) {
      onFault(error);
      answer.failure(failure('ERR_FAILED', `internal error: ${String(error)}`));
    }
  }

  #watch({ params }: WatchRequest, answer: Answer): LineWork | null {
    const { context } = this.#options;
    if (this.#subscriptions.size >= MAX_SUBSCRIPTIONS) {
      answer.failure(failure('ERR_LIMIT', `a connection has at most ${MAX_SUBSCRIPTIONS} subscriptions`));
      return null;
    }
    const chosen = chosenLines(context.index(), params);
    if (isFailure(chosen)) {
      answer.failure(chosen);
      return null;
    }
    const lines = [...new Set(chosen)];
    if (lines.length === 0) {
      answer.failure(failure('ERR_LINE', 'there are no lines to watch'));
      return null;
    }
    const subscription = new Subscription(++this.#lastSubscription, this, params.edges ?? 'both');
    this.#subscriptions.set(subscription.id, subscription);
    return new LineWork(
      context.lines,
      lines,
      (operator, at, done) => {
        const line = lines[at];
        if (line !== undefined && this.#subscriptions.has(subscription.id))
          context.lines.subscribe(subscription, line);
        // The chip answers a line's requests in their order: with this answer, it has taken the subscription.
        operator.get(done);
      },
      () => {
        this.#works.push(new LineListing(lines, (text) => this.#watching(subscription, text, answer)));
        this.#options.turns.work(this);
      },
    );
  }

  /** Tells the client of its subscription. @param text what its lines are now: edges go on from there */
  #watching(subscription: Subscription, text: string, answer: Answer): void {
    answer.resultText(`{"subscription":${subscription.id},"lines":${text}}`);
    subscription.active = true;
    if (subscription.lines.size === 0) this.ended(subscription, subscription.endReason);
  }

  #unwatch(id: number, answer: Answer): void {
    const subscription = this.#subscriptions.get(id);
    if (subscription === undefined) {
      const ids = [...this.#subscriptions.keys()].join(', ') || 'none';
      return answer.failure(failure('ERR_REQUEST', `there is no subscription ${id}; there are ${ids}`));
    }
    this.#forget(subscription);
    answer.result({});
  }

  #forget(subscription: Subscription): void {
    this.#output.forget(subscription);
    this.#subscriptions.delete(subscription.id);
    this.#options.context.lines.unsubscribe(subscription);
  }

  edge(subscription: Subscription, text: string): void {
    this.#output.edge(subscription, text);
  }

  ended(subscription: Subscription, reason: string): void {
    // One that the client does not know of yet ends when it is told of it.
    subscription.endReason = reason;
    if (!subscription.active || !this.#subscriptions.has(subscription.id)) return;
    this.#forget(subscription);
    this.#output.send(encodeEnded(subscription.id, reason));
  }

  flush(): void {
    this.#output.flush();
  }

  /** Says what is left to say, and ends. */
  #end(): void {
    this.#isEnding = true;
    this.#output.end();
  }

  #unsubscribeAll(): void {
    for (const subscription of this.#subscriptions.values())
      this.#options.context.lines.unsubscribe(subscription);
    this.#subscriptions.clear();
  }

  /** The connection ends, with a last word. */
  dismiss(reason: string, code: 'ERR_CLOSED' | 'ERR_LIMIT' = 'ERR_CLOSED'): void {
    if (this.#closed) return;
    this.#output.send(encodeError(null, failure(code, reason)));
    this.#output.flush();
    this.close();
  }

  /** Ends the connection; idempotent. Requests that have begun go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer();
    this.#output.close();
    this.#splitter.clear();
    this.#unsubscribeAll();
    this.#socket.destroy();
    this.#options.onClosed();
  }
}
