import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_OUT,
  type Edge,
  IRQ_FALLING,
  IRQ_NONE,
  IRQ_RISING,
  LEVEL_UNKNOWN,
  RESULT_FAILED,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';

export interface Request {
  readonly what: 'getDirection' | 'setDirection' | 'getValue' | 'setValue' | 'setIrqType';
  readonly offset: number;
  readonly argument: number;
  readonly done: Completion;
  readonly token: number;
}

interface Answer extends Request {
  readonly result: number;
  readonly value: number;
}

interface DeviceLine {
  direction: number;
  /** What it puts out as an output. */
  value: number;
  /** What outside drives it to. */
  driven: number;
  irqType: number;
  /** Plain: a buffer lies in the event queue. */
  unmasked: boolean;
  latched: boolean;
}

/**
 * An asynchronous chip that does nothing by itself: requests wait until the device is stepped, answers and events wait in
 * two queues of their own until they are delivered. Without `streams` its events follow the standard (virtio 1.2, section
 * 5.18.7): no level, one outstanding a line, edges in between latched into one.
 */
export class ScriptedChip implements Chip {
  readonly name: string;
  readonly label = 'scripted';
  readonly lineCount: number;
  readonly streamsLevels: boolean;
  available = true;
  /** Everything that was asked for, as `setIrqType 3 = 1`. */
  readonly log: string[] = [];
  readonly requests: Request[] = [];
  readonly answers: Answer[] = [];
  readonly events: Edge[] = [];
  flushes = 0;
  /** Told of each request as it is made. */
  onRequest: (request: Request) => void = () => {};
  /** Gives a request another outcome than the device would; undefined = the device's. */
  outcome: (request: Request) => number | undefined = () => undefined;
  readonly #lines: DeviceLine[];
  #listener: ChipListener | null = null;
  #seq = 0;

  constructor(lineCount: number, options: { readonly streams: boolean; readonly name?: string }) {
    this.name = options.name ?? 'scripted';
    this.lineCount = lineCount;
    this.streamsLevels = options.streams;
    this.#lines = Array.from({ length: lineCount }, () => ({
      direction: 0,
      value: 0,
      driven: 0,
      irqType: IRQ_NONE,
      unmasked: false,
      latched: false,
    }));
  }

  #line(offset: number): DeviceLine {
    return this.#lines[offset] as DeviceLine;
  }

  lineName(offset: number): string {
    return `line${offset}`;
  }
  listen(listener: ChipListener): void {
    this.#listener = listener;
  }
  flush(): void {
    this.flushes++;
  }
  close(): void {
    this.#listener = null;
  }

  getDirection(offset: number, done: Completion, token: number): void {
    this.#submit({ what: 'getDirection', offset, argument: 0, done, token });
  }
  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    this.#submit({ what: 'setDirection', offset, argument: direction, done, token });
  }
  getValue(offset: number, done: Completion, token: number): void {
    this.#submit({ what: 'getValue', offset, argument: 0, done, token });
  }
  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#submit({ what: 'setValue', offset, argument: level, done, token });
  }
  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    this.#submit({ what: 'setIrqType', offset, argument: type, done, token });
  }

  #submit(request: Request): void {
    const isSet = request.what.startsWith('set');
    this.log.push(`${request.what} ${request.offset}${isSet ? ` = ${request.argument}` : ''}`);
    this.onRequest(request);
    if (this.available) this.requests.push(request);
    else request.done.complete(request.token, RESULT_UNAVAILABLE, 0);
  }

  /** Takes the log: what was asked for since the last time. */
  asked(): string[] {
    return this.log.splice(0);
  }

  /** The level on the wire. */
  level(offset: number): number {
    const line = this.#line(offset);
    return line.direction === DIRECTION_OUT ? line.value : line.driven;
  }
  irqType(offset: number): number {
    return this.#line(offset).irqType;
  }
  direction(offset: number): number {
    return this.#line(offset).direction;
  }
  /** The firmware sets a direction by itself. */
  become(offset: number, direction: number): void {
    this.#line(offset).direction = direction;
  }

  /** The firmware sets what it puts out as an output. */
  put(offset: number, level: number): void {
    this.#line(offset).value = level;
  }

  /** Outside drives a line. */
  drive(offset: number, level: number): void {
    const line = this.#line(offset);
    const before = this.level(offset);
    line.driven = level;
    if (this.level(offset) === before || line.direction === DIRECTION_OUT) return;
    const type = line.irqType;
    if (type === IRQ_NONE || (type === IRQ_RISING && level === 0) || (type === IRQ_FALLING && level === 1))
      return;
    if (this.streamsLevels) this.record(offset, level);
    else if (line.unmasked) this.#event(offset);
    else line.latched = true;
  }

  /** Puts a record into the stream. */
  record(offset: number, level: number, merged = false): void {
    this.#seq++;
    this.events.push({ offset, level, seq: this.#seq, merged, timestampNs: BigInt(this.#seq) });
  }

  #event(offset: number): void {
    this.#line(offset).unmasked = false;
    this.events.push({ offset, level: LEVEL_UNKNOWN, seq: 0, merged: false, timestampNs: 0n });
  }

  #unmask(offset: number): void {
    const line = this.#line(offset);
    line.unmasked = true;
    if (!line.latched) return;
    line.latched = false;
    this.#event(offset);
  }

  /** The device takes up the next request; false when there is none. */
  serve(): boolean {
    const request = this.requests.shift();
    if (request === undefined) return false;
    const result = this.outcome(request) ?? this.#execute(request);
    const line = this.#line(request.offset);
    let value = 0;
    if (result === RESULT_OK && request.what === 'getValue') value = this.level(request.offset);
    if (result === RESULT_OK && request.what === 'getDirection') value = line.direction;
    this.answers.push({ ...request, result, value });
    return true;
  }

  #execute({ what, offset, argument }: Request): number {
    const line = this.#line(offset);
    if (what === 'setValue') line.value = argument;
    if (what === 'setDirection') {
      line.direction = argument;
      if (argument === 0) this.#off(line);
    }
    if (what === 'setIrqType' && argument === IRQ_NONE) this.#off(line);
    else if (what === 'setIrqType') {
      if (line.direction === DIRECTION_OUT) return RESULT_FAILED;
      if (line.irqType !== IRQ_NONE && line.irqType !== argument) return RESULT_FAILED;
      line.irqType = argument;
      this.#unmask(offset);
    }
    return RESULT_OK;
  }

  #off(line: DeviceLine): void {
    line.irqType = IRQ_NONE;
    line.unmasked = false;
    line.latched = false;
  }

  /** Delivers the next answer; false when there is none. */
  deliverAnswer(): boolean {
    const answer = this.answers.shift();
    answer?.done.complete(answer.token, answer.result, answer.value);
    return answer !== undefined;
  }

  /** Delivers the next event; a plain one's buffer goes back before. */
  deliverEvent(): boolean {
    const event = this.events.shift();
    if (event === undefined) return false;
    if (!this.streamsLevels && this.irqType(event.offset) !== IRQ_NONE) this.#unmask(event.offset);
    this.#listener?.edge(event);
    return true;
  }

  /** Serves and delivers until nothing is left. */
  settle(): void {
    while (this.serve() || this.deliverAnswer() || this.deliverEvent());
  }

  /** The chip goes away, as a dialect tells of it: all that is pending is answered before. */
  lose(reason = 'crashed'): void {
    this.available = false;
    this.events.length = 0;
    for (const { done, token } of [...this.answers.splice(0), ...this.requests.splice(0)]) {
      done.complete(token, RESULT_UNAVAILABLE, 0);
    }
    this.#listener?.availability(false, reason);
  }

  /** The chip goes away and leaves what was asked for unanswered. */
  vanish(): void {
    this.available = false;
    this.#listener?.availability(false, 'vanished');
  }

  /**
   * It is back, with nothing subscribed; outside drives the lines as before. After a restart its lines are inputs, after a
   * broken connection its outputs still are outputs.
   */
  recover(how: 'restarted' | 'reconnected' = 'restarted'): void {
    for (const line of this.#lines) {
      if (how === 'restarted') {
        line.direction = 0;
        line.value = 0;
      }
      this.#off(line);
    }
    this.events.length = 0;
    this.available = true;
    this.#listener?.availability(true, how);
  }
}
