import {
  type ChipListener,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import { isIrqType } from '../../gpio/interrupt.ts';
import { LocalEdge } from '../../gpio/local-edge.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import {
  COMMAND_MASK,
  decodeMetuxConfig,
  decodeMetuxNames,
  FROM_DEVICE_QUEUE,
  METUX_LEVEL,
  REPLY_BIT,
  TO_DEVICE_QUEUE,
} from '../../wire/metux-gpio.ts';
import { FEATURE_EVENT_IDX } from '../../wire/vring.ts';
import { WireError } from '../../wire/wire-error.ts';
import { AnswerWatch } from '../answer-watch.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { CoprocessorChip } from '../supervised-chip.ts';
import type { BoundVdev } from '../vdev.ts';
import { describeStatus, VDEV_STATUS } from '../vdev-status.ts';
import {
  KIND_GET_DIRECTION,
  KIND_GET_VALUE,
  KIND_PROBE,
  KIND_SET_DIRECTION,
  KIND_SET_IRQ_TYPE,
  KIND_SET_VALUE,
  MetuxLines,
} from './metux-lines.ts';
import { MetuxMessages } from './metux-messages.ts';
import { MetuxRequests } from './metux-requests.ts';

export { isMetuxConfig } from '../../wire/metux-gpio.ts';

/** Features that this dialect can use, for the vdev's handshake: the protocol itself has none. */
export const WANTED_METUX_FEATURES = 1 << FEATURE_EVENT_IDX;

const BATCH = 256;

export interface MetuxChipOptions {
  readonly name: string;
  /** For people: where the chip is, e.g. the co-processor's name. */
  readonly where: string;
  readonly poller: Poller;
  /** After this time without an answer a request is answered with RESULT_TIMEOUT. */
  readonly requestTimeoutMs: number;
  /** The same for the first one, which finds the firmware while it boots; default: five times that. */
  readonly firstAnswerTimeoutMs?: number;
}

/**
 * A chip behind a metux virtio-gpio device of a co-processor, which we drive (wire/metux-gpio.ts). Replies of either mask are
 * understood. The device tells of every change of an input with its level, so subscriptions need no message of their own.
 */
export class MetuxChip implements CoprocessorChip, Pollable {
  readonly name: string;
  readonly label: string;
  readonly lineCount: number;
  readonly streamsLevels = true;
  available = true;
  /** Looked at while the guests that wait for it are: by itself it stays quiet, for the sake of idle power. */
  readonly pollUs = 0;
  readonly #vdev: BoundVdev;
  readonly #poller: Poller;
  readonly #names: readonly string[];
  readonly #fromDevice: DriverQueue;
  readonly #toDevice: DriverQueue;
  readonly #messages: MetuxMessages;
  readonly #lines: MetuxLines;
  readonly #requests: MetuxRequests;
  readonly #watch: AnswerWatch;
  readonly #edge = new LocalEdge();
  /** Messages of a type that there is not, or of a line or level that there is not. */
  #unknownTypes = 0;
  #linesOutOfRange = 0;
  #badLevels = 0;
  #listener: ChipListener | null = null;
  #polling = false;
  /** It went away because nothing was answered, and nothing has been since. */
  #isSilent = false;
  #onAnswering: (() => void) | null = null;
  /** Why it went away. */
  #lostReason: string | null = null;
  readonly #sink = (type: number, line: number, value: number): void => this.#received(type, line, value);

  /**
   * Starts the device (DRIVER_OK), has it answer once and gives the chip.
   * @throws CoprocessorError ERR_VDEV when the configuration or the names make no sense, or no answer comes in time
   */
  static async open(vdev: BoundVdev, options: MetuxChipOptions): Promise<MetuxChip> {
    const failed = (text: string, cause?: unknown): CoprocessorError =>
      new CoprocessorError('ERR_VDEV', `${options.where}: vdev ${vdev.index}: ${text}`, cause);
    const bytes = vdev.readConfig();
    let names: readonly string[];
    try {
      names = decodeMetuxNames(bytes, decodeMetuxConfig(bytes));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw failed(`its config space is not metux virtio-gpio's: ${error.message}`, error);
    }
    const [fromDevice, toDevice] = [vdev.queues[FROM_DEVICE_QUEUE], vdev.queues[TO_DEVICE_QUEUE]];
    if (fromDevice === undefined || toDevice === undefined)
      throw failed(`it has ${vdev.queues.length} vrings; metux virtio-gpio needs 2`);
    const chip = new MetuxChip(vdev, options, names, fromDevice, toDevice);
    const timeoutMs = options.firstAnswerTimeoutMs ?? options.requestTimeoutMs * 5;
    const result = await chip.#probe(timeoutMs);
    if (result === RESULT_OK) return chip;
    const reason = chip.#lostReason;
    chip.#lost('not opened');
    throw failed(
      reason ??
        `no answer to GET_DIRECTION within ${timeoutMs} ms; is the firmware running, and the doorbell configured as it expects?`,
    );
  }

  private constructor(
    vdev: BoundVdev,
    options: MetuxChipOptions,
    names: readonly string[],
    fromDevice: DriverQueue,
    toDevice: DriverQueue,
  ) {
    const lineCount = names.length;
    this.#vdev = vdev;
    this.name = options.name;
    this.label = `metux virtio-gpio on ${options.where}`;
    this.lineCount = lineCount;
    this.#names = names;
    this.#poller = options.poller;
    this.#fromDevice = fromDevice;
    this.#toDevice = toDevice;
    this.#messages = new MetuxMessages(vdev, fromDevice, toDevice);
    this.#lines = new MetuxLines(lineCount);
    this.#watch = new AnswerWatch(options.requestTimeoutMs);
    this.#requests = new MetuxRequests({
      messages: this.#messages,
      lines: this.#lines,
      lineCount,
      requestTimeoutMs: options.requestTimeoutMs,
      watch: this.#watch,
      afterExpiry: () => this.flush(),
      onSilent: () => this.#silent(),
    });
    vdev.driverOk();
    vdev.onCall(() => this.#called());
    vdev.onLost((reason) => {
      this.#lost(reason);
      this.#answering();
    });
  }

  #probe(timeoutMs: number): Promise<number> {
    return new Promise((resolve) => {
      const done: Completion = { complete: (_token, result) => resolve(result) };
      this.#requests.submit(KIND_PROBE, 0, 0, done, 0, timeoutMs);
      this.flush();
    });
  }

  /** Counters for people and tests. */
  get counters(): Readonly<Record<string, number>> {
    const { replies, timeouts, unexpected } = this.#requests;
    return {
      timeouts,
      unexpectedReplies: unexpected,
      lateReplies: replies.late,
      lostReplies: replies.lost,
      malformed: this.#messages.malformed,
      unknownTypes: this.#unknownTypes,
      linesOutOfRange: this.#linesOutOfRange,
      badValues: this.#lines.badValues + this.#badLevels,
      repeatedLevels: this.#lines.repeated,
      badUsed: this.#fromDevice.badUsed + this.#toDevice.badUsed,
    };
  }

  lineName(offset: number): string {
    return this.#names[offset] ?? '';
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  #submit(kind: number, offset: number, value: number, done: Completion, token: number): void {
    if (this.available) this.#requests.submit(kind, offset, value, done, token);
    else done.complete(token, RESULT_UNAVAILABLE, 0);
  }

  getDirection(offset: number, done: Completion, token: number): void {
    this.#submit(KIND_GET_DIRECTION, offset, 0, done, token);
  }

  /** There is no direction none here: such a line is an input, and tells nothing. */
  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    if (direction !== DIRECTION_NONE && direction !== DIRECTION_OUT && direction !== DIRECTION_IN)
      return done.complete(token, RESULT_INVALID, 0);
    this.#submit(KIND_SET_DIRECTION, offset, direction, done, token);
  }

  getValue(offset: number, done: Completion, token: number): void {
    this.#submit(KIND_GET_VALUE, offset, 0, done, token);
  }

  /** Of an input: kept until it becomes an output, which takes the level along. */
  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#submit(KIND_SET_VALUE, offset, level, done, token);
  }

  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    if (!isIrqType(type)) return done.complete(token, RESULT_INVALID, 0);
    this.#submit(KIND_SET_IRQ_TYPE, offset, type, done, token);
  }

  flush(): void {
    if (!this.available) return;
    if (this.#requests.hasUnsent) this.#send();
    if (this.#requests.waiting && !this.#polling) this.#poller.request(this);
  }

  /** Makes messages visible; not to a device that has been reset meanwhile, and has not said so. */
  #send(): void {
    this.#requests.hasUnsent = false;
    this.look();
    if (this.available && this.#toDevice.publish()) this.#vdev.kick(TO_DEVICE_QUEUE);
  }

  look(): void {
    const status = this.#vdev.readStatus();
    if ((status & VDEV_STATUS.DRIVER_OK) !== 0) return;
    this.#lost(
      `vdev ${this.#vdev.index} was reset by the co-processor: its status is ${describeStatus(status)}`,
    );
    this.#answering();
  }

  #called(): void {
    if (this.available) this.#poller.wake(this);
    else if (this.#isSilent && this.#fromDevice.hasUsed()) this.#answering();
  }

  /** It hangs. The queue stays as it is: what is answered late goes there, and tells that it does not hang any more. */
  #silent(): void {
    this.#isSilent = true;
    this.#lost(`vdev ${this.#vdev.index} ${this.#watch.text}`);
    this.#fromDevice.enableCalls();
    if (this.#fromDevice.hasUsed()) this.#answering();
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

  poll(): boolean {
    if (!this.available) return false;
    this.#polling = true;
    const reclaimed = this.#messages.reclaim();
    if (reclaimed > 0) this.#requests.resume();
    const count = this.#messages.poll(BATCH, this.#sink);
    this.#polling = false;
    if (!this.available) return false;
    if (this.#fromDevice.publish()) this.#vdev.kick(FROM_DEVICE_QUEUE);
    if (this.#requests.hasUnsent) this.#send();
    const broken = this.#fromDevice.broken ?? this.#toDevice.broken;
    if (broken !== null) {
      this.#vdev.fail(broken);
      this.#lost(broken);
    }
    return count > 0;
  }

  #received(type: number, line: number, value: number): void {
    if (!this.available) return;
    if ((type & REPLY_BIT) !== 0) return this.#requests.replied(type & COMMAND_MASK, line, value);
    if (type !== METUX_LEVEL) this.#unknownTypes++;
    else if (line >= this.lineCount) this.#linesOutOfRange++;
    else if (value !== 0 && value !== 1) this.#badLevels++;
    else if (this.#lines.level(line, value)) this.#tell(this.#edge.at(line, value));
  }

  #tell(edge: Edge): void {
    this.#listener?.edge(edge);
  }

  disableNotifications(): void {
    this.#fromDevice.disableCalls();
    this.#toDevice.disableCalls();
  }

  enableNotifications(): boolean {
    if (!this.available) return false;
    this.#fromDevice.enableCalls();
    // Sent buffers are taken back with the replies. Only what finds no room waits for them.
    const { starved } = this.#requests;
    if (starved) this.#toDevice.enableCalls();
    return this.#fromDevice.hasUsed() || (starved && this.#toDevice.hasUsed());
  }

  #lost(reason: string): void {
    if (!this.available) return;
    this.available = false;
    this.#lostReason = reason;
    this.#poller.remove(this);
    this.#requests.close();
    this.#listener?.availability(false, reason);
  }

  close(): void {
    // Nobody needs to be told of what they asked for.
    this.#listener = null;
    this.#onAnswering = null;
    this.#lost('closed');
    this.#vdev.close();
  }
}
