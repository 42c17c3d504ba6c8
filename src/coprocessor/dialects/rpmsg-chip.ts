import {
  type ChipListener,
  type Completion,
  IRQ_BOTH,
  LEVEL_UNKNOWN,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import { LocalEdge } from '../../gpio/local-edge.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_LINE_NAMES,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../wire/virtio-gpio.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { RpmsgEndpoint, RpmsgTransport } from '../rpmsg/endpoint.ts';
import type { CoprocessorChip } from '../supervised-chip.ts';
import {
  type DropReason,
  INCOMING_NOTIFICATION,
  INCOMING_REPLY,
  Incoming,
  type RpmsgGpioDialect,
} from './rpmsg-dialect.ts';
import { RpmsgInterrupts } from './rpmsg-interrupts.ts';
import { MIN_QUIET_MS, SingleRequests } from './single-request.ts';
import { type OwedReplies, owedReplies } from './single-request-owed.ts';

export interface RpmsgChipOptions {
  readonly name: string;
  /** For people: where the chip is, e.g. the co-processor's name. */
  readonly where: string;
  /** After this time without an answer a request is answered with RESULT_TIMEOUT. */
  readonly requestTimeoutMs: number;
  /** How many requests may wait for each other; default 256 and four a line. */
  readonly requestQueueLimit?: number;
}

/** How often the first question is asked before the firmware is taken for one that speaks something else. */
const OPEN_ATTEMPTS = 5;

/**
 * A chip behind an rpmsg channel. Edges carry no level. A line of which the firmware notified is unmasked at once, before
 * anybody reads its level: an edge between a reading and an unmasking after it would be lost where the firmware does not
 * remember what happens to a masked line.
 */
export class RpmsgChip implements CoprocessorChip {
  readonly name: string;
  readonly label: string;
  readonly lineCount: number;
  readonly streamsLevels = false;
  available = true;
  readonly #transport: RpmsgTransport;
  readonly #endpoint: RpmsgEndpoint;
  readonly #dialect: RpmsgGpioDialect;
  readonly #owed: OwedReplies;
  readonly #interrupts: RpmsgInterrupts;
  readonly #requests: SingleRequests;
  readonly #requestTimeoutMs: number;
  readonly #edge = new LocalEdge();
  readonly #incoming = new Incoming();
  readonly #drops: Record<DropReason, number> = {
    shortMessages: 0,
    otherServices: 0,
    otherVersions: 0,
    unknownTypes: 0,
    unknownLines: 0,
  };
  #notifications = 0;
  /** Notifications of lines that are not subscribed: dropped. */
  #unsubscribed = 0;
  #isOpening = true;
  #reason = '';
  /** It went away because nothing was answered, and nothing has been since. */
  #isSilent = false;
  #onAnswering: (() => void) | null = null;
  #listener: ChipListener | null = null;

  /**
   * Opens a chip on an endpoint, which it owns from here on (it is closed when this fails): asks the firmware a question in the
   * dialect and waits for the answer.
   * @throws CoprocessorError ERR_RPMSG when none comes
   */
  static async open(
    transport: RpmsgTransport,
    endpoint: RpmsgEndpoint,
    dialect: RpmsgGpioDialect,
    options: RpmsgChipOptions,
  ): Promise<RpmsgChip> {
    const chip = new RpmsgChip(transport, endpoint, dialect, options);
    try {
      await chip.#greet();
    } catch (error) {
      chip.close();
      throw error;
    }
    return chip;
  }

  private constructor(
    transport: RpmsgTransport,
    endpoint: RpmsgEndpoint,
    dialect: RpmsgGpioDialect,
    options: RpmsgChipOptions,
  ) {
    const { requestTimeoutMs } = options;
    this.name = options.name;
    this.label = `${dialect.name} on ${options.where}`;
    this.lineCount = dialect.lines.lines.length;
    this.#endpoint = endpoint;
    this.#dialect = dialect;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#owed = owedReplies(transport, endpoint.name);
    this.#transport = transport;
    this.#interrupts = new RpmsgInterrupts(dialect, this.lineCount, {
      submit: (operation, line, done, token) => this.#requests.submit(operation, line, 0, done, token, true),
      onEdge: (line) => this.#listener?.edge(this.#edge.at(line, LEVEL_UNKNOWN)),
      pauseMs: requestTimeoutMs,
    });
    this.#requests = new SingleRequests({
      codec: this.#interrupts,
      owed: this.#owed,
      send: (message) => endpoint.send(message),
      timeoutMs: requestTimeoutMs,
      limit: options.requestQueueLimit ?? 256 + 4 * this.lineCount,
      onHang: (reason) => {
        // While it opens, other patience applies.
        if (this.#isOpening) return;
        this.#isSilent = true;
        this.#lose(`the channel "${endpoint.name}" ${reason}`);
      },
    });
    endpoint.onMessage((payload) => this.#received(payload));
    endpoint.onGone((reason) => {
      this.#lose(reason);
      // A channel of that name is another one then.
      this.#owed.forget();
      this.#answering();
    });
  }

  async #greet(): Promise<void> {
    const startMs = performance.now();
    let patienceMs = OPEN_ATTEMPTS * this.#requestTimeoutMs;
    if (!this.#dialect.isKeyed && !this.#owed.answersRefusals) {
      // What firmware makes of a request that there is not decides how late replies are told from others.
      this.#owed.answersRefusals = (await this.#ask(MSG_GET_LINE_NAMES)) === RESULT_FAILED;
      patienceMs += MIN_QUIET_MS;
    }
    while (this.available) {
      const result = await this.#ask(MSG_GET_DIRECTION);
      if (result !== RESULT_TIMEOUT) break;
      if (performance.now() - startMs < patienceMs) continue;
      this.#reason = `no answer within ${patienceMs} ms`;
      break;
    }
    this.#isOpening = false;
    if (this.#reason === '') return;
    const { name, lines } = this.#dialect;
    const seen = Object.entries(this.counters).filter(([, count]) => count > 0);
    throw new CoprocessorError(
      'ERR_RPMSG',
      `${this.label}: ${this.#reason} on the rpmsg channel "${this.#endpoint.name}"; does the firmware there speak ${name}, and has it port ${lines.port(0)}, pin ${lines.pin(0)}? Seen: ${seen.map(([what, count]) => `${what} ${count}`).join(', ')}`,
    );
  }

  #ask(operation: number): Promise<number> {
    return new Promise((resolve) => {
      this.#requests.submit(operation, 0, 0, { complete: (_token, result) => resolve(result) }, 0);
    });
  }

  /** What happened, and what was dropped by reason, since the chip was opened. */
  get counters(): Readonly<Record<string, number>> {
    const requests = this.#requests;
    return {
      timeouts: requests.timeouts,
      lateReplies: requests.lateReplies,
      otherReplies: requests.otherReplies,
      unsolicitedReplies: requests.unsolicitedReplies,
      requestQueueFull: requests.queueFull,
      sendQueueFull: requests.sendQueueFull,
      questions: requests.questions,
      notifications: this.#notifications,
      unsubscribedNotifications: this.#unsubscribed,
      ...this.#drops,
      ...this.#dialect.counters,
      ...faultsOfBus(this.#transport.counters),
    };
  }

  lineName(offset: number): string {
    return this.#dialect.lines.lines[offset]?.name ?? '';
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  #submit(operation: number, offset: number, value: number, done: Completion, token: number): void {
    if (!this.available) done.complete(token, RESULT_UNAVAILABLE, 0);
    else if (offset < 0 || offset >= this.lineCount) done.complete(token, RESULT_INVALID, 0);
    else this.#requests.submit(operation, offset, value, done, token);
  }

  getDirection(offset: number, done: Completion, token: number): void {
    this.#submit(MSG_GET_DIRECTION, offset, 0, done, token);
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    this.#submit(MSG_SET_DIRECTION, offset, direction, done, token);
  }

  getValue(offset: number, done: Completion, token: number): void {
    this.#submit(MSG_GET_VALUE, offset, 0, done, token);
  }

  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#submit(MSG_SET_VALUE, offset, level, done, token);
  }

  /**
   * Edges only: a level interrupt would be notified again with each unmasking, which is not the consumer's here, for as long as
   * the level lasts. RESULT_INVALID for the others.
   */
  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    if (type > IRQ_BOTH) return done.complete(token, RESULT_INVALID, 0);
    this.#submit(MSG_SET_IRQ_TYPE, offset, type, done, token);
  }

  /** Nothing waits for it: every request is its own message. */
  flush(): void {}

  #received(payload: Uint8Array): void {
    const incoming = this.#incoming;
    this.#dialect.decode(payload, incoming);
    if (!this.available) {
      if (incoming.kind !== INCOMING_REPLY) return;
      this.#owed.take(incoming.key);
      this.#answering();
    } else if (incoming.kind === INCOMING_REPLY) {
      this.#requests.reply(incoming.key, incoming.result, incoming.value);
    } else if (incoming.kind !== INCOMING_NOTIFICATION) {
      this.#drops[incoming.drop]++;
    } else if (this.#interrupts.notified(incoming.line)) {
      this.#notifications++;
      this.#listener?.edge(this.#edge.at(incoming.line, LEVEL_UNKNOWN));
    } else {
      this.#unsubscribed++;
    }
  }

  #lose(reason: string): void {
    if (!this.available) return;
    this.available = false;
    this.#reason = reason;
    this.#requests.close();
    this.#interrupts.close();
    // What is answered after all goes there.
    if (!this.#isSilent) this.#endpoint.close();
    this.#listener?.availability(false, reason);
  }

  onAnswering(listener: () => void): boolean {
    if (this.#isSilent) this.#onAnswering = listener;
    return this.#isSilent;
  }

  #answering(): void {
    const listener = this.#onAnswering;
    this.#isSilent = false;
    this.#onAnswering = null;
    listener?.();
  }

  /** Gives the channel back: another chip may be opened on it. Idempotent. */
  close(): void {
    // Nobody needs to be told of what they asked for.
    this.#listener = null;
    this.#onAnswering = null;
    this.#isSilent = false;
    this.#lose('closed');
    this.#endpoint.close();
  }
}

/** What is dropped before it is known for which channel, and so for which chip, it is. */
const BUS_FAULTS = [
  'unknownDestination',
  'noEndpoint',
  'badAnnouncementSize',
  'badAnnouncementName',
  'badAnnouncementAddress',
  'duplicateAnnouncements',
  'tooManyChannels',
  'unknownChannelsDestroyed',
  'badUsed',
] as const;

/** Of our own bus: the kernel's keeps its counts to itself. */
function faultsOfBus(counters: Readonly<Record<string, number>>): Record<string, number> {
  const known = BUS_FAULTS.filter((name) => counters[name] !== undefined);
  return Object.fromEntries(known.map((name) => [name, counters[name] as number]));
}
