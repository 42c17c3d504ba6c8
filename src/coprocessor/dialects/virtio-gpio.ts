import {
  type ChipListener,
  type Completion,
  DIRECTION_NONE,
  type Edge,
  IRQ_NONE,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import { FEATURE_EVENT_STREAM } from '../../wire/event-stream.ts';
import {
  decodeConfig,
  decodeNames,
  EVENT_QUEUE,
  MSG_GET_DIRECTION,
  MSG_GET_LINE_NAMES,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
  REQUEST_SIZE,
  RESPONSE_SIZE,
  STATUS_OK,
  VIRTIO_GPIO_F_IRQ,
} from '../../wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX } from '../../wire/vring.ts';
import { AnswerWatch } from '../answer-watch.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { CoprocessorChip } from '../supervised-chip.ts';
import type { BoundVdev } from '../vdev.ts';
import { describeStatus, VDEV_STATUS } from '../vdev-status.ts';
import { type EventSource, PlainEvents, StreamedEvents } from './virtio-gpio-events.ts';
import { VirtioGpioRequests } from './virtio-gpio-requests.ts';

/** Features that this dialect can use, for the vdev's handshake. */
export const WANTED_FEATURES =
  (1 << VIRTIO_GPIO_F_IRQ) | (1 << FEATURE_EVENT_STREAM) | (1 << FEATURE_EVENT_IDX);

/** Longest names block that is asked for: bounds the memory that a co-processor can make us take. */
const MAX_NAMES_BYTES = 0x40000;
const BATCH = 256;
/** Event buffers are given back after so many: until then the firmware has to do with what is left. */
const EVENTS_STEP = 32;

export interface VirtioGpioChipOptions {
  readonly name: string;
  /** For people: where the chip is, e.g. the co-processor's name. */
  readonly where: string;
  readonly poller: Poller;
  /** After this time without an answer a request is answered with RESULT_TIMEOUT. */
  readonly requestTimeoutMs: number;
  /** The same for the first one, which finds the firmware while it boots; default: five times that. */
  readonly firstAnswerTimeoutMs?: number;
  /** The co-processor was lost before: it has to answer something before the chip is taken for available. */
  readonly isReturn?: boolean;
}

/** A chip behind a virtio-gpio device of a co-processor, which we drive (virtio 1.2, section 5.18). */
export class VirtioGpioChip implements CoprocessorChip, Pollable {
  readonly name: string;
  readonly label: string;
  readonly lineCount: number;
  readonly streamsLevels: boolean;
  available = true;
  /** Looked at while the guests that wait for it are: by itself it stays quiet, for the sake of idle power. */
  readonly pollUs = 0;
  readonly #vdev: BoundVdev;
  readonly #poller: Poller;
  readonly #names: readonly string[];
  readonly #requestQueue: DriverQueue;
  readonly #eventQueue: DriverQueue | null;
  readonly #requests: VirtioGpioRequests;
  readonly #events: EventSource | null;
  readonly #irqCompletion: IrqTypeCompletion;
  #listener: ChipListener | null = null;
  #polling = false;
  readonly #watch: AnswerWatch;
  /** It went away because nothing was answered, and nothing has been since. */
  #isSilent = false;
  #onAnswering: (() => void) | null = null;
  readonly #sink = (edge: Edge): void => this.#listener?.edge(edge);

  /**
   * Starts the device (DRIVER_OK), asks for the line names and gives the chip.
   * @throws CoprocessorError ERR_VDEV when the configuration or the names make no sense, or no answer comes in time
   */
  static async open(vdev: BoundVdev, options: VirtioGpioChipOptions): Promise<VirtioGpioChip> {
    const { lineCount, namesSize } = decodeConfig(vdev.readConfig());
    if (lineCount === 0)
      throw new CoprocessorError(
        'ERR_VDEV',
        `${options.where}: vdev ${vdev.index} has 0 lines; at least 1 is needed`,
      );
    if (namesSize > MAX_NAMES_BYTES) {
      throw new CoprocessorError(
        'ERR_VDEV',
        `${options.where}: vdev ${vdev.index} announces ${namesSize} bytes of line names; at most ${MAX_NAMES_BYTES} are read`,
      );
    }
    const requestQueue = vdev.queues[REQUEST_QUEUE];
    if (requestQueue === undefined)
      throw new CoprocessorError(
        'ERR_VDEV',
        `${options.where}: vdev ${vdev.index} has no vrings; virtio-gpio needs 1, or 2 with interrupts`,
      );
    const streams = (vdev.features & (1 << FEATURE_EVENT_STREAM)) !== 0;
    for (const index of streams ? [REQUEST_QUEUE] : [REQUEST_QUEUE, EVENT_QUEUE]) {
      // A request and its answer, or a line and its event, are two descriptors of one chain.
      const size = vdev.queues[index]?.size ?? 2;
      if (size >= 2) continue;
      throw new CoprocessorError(
        'ERR_VDEV',
        `${options.where}: vring ${index} of vdev ${vdev.index} has ${size} descriptor; virtio-gpio needs at least 2`,
      );
    }
    const chip = new NamelessChip(vdev, options, lineCount);
    if (namesSize === 0 && options.isReturn) await chip.probe();
    const names = namesSize === 0 ? new Array<string>(lineCount).fill('') : await chip.readNames(namesSize);
    return new VirtioGpioChip(vdev, options, names, chip);
  }

  private constructor(
    vdev: BoundVdev,
    options: VirtioGpioChipOptions,
    names: readonly string[],
    started: NamelessChip,
  ) {
    this.#vdev = vdev;
    this.name = options.name;
    this.lineCount = names.length;
    this.#names = names;
    this.#poller = options.poller;
    this.#requestQueue = started.requestQueue;
    this.#eventQueue = started.eventQueue;
    this.#events = started.events;
    this.streamsLevels = started.events instanceof StreamedEvents;
    this.label = `virtio-gpio${this.streamsLevels ? '+stream' : ''} on ${options.where}`;
    this.#irqCompletion = new IrqTypeCompletion(this.#events);
    this.#watch = new AnswerWatch(options.requestTimeoutMs);
    this.#requests = new VirtioGpioRequests(
      vdev,
      started.requestQueue,
      this.lineCount,
      options.requestTimeoutMs,
      () => this.flush(),
      this.#watch,
      () => this.#silent(),
    );
    vdev.onCall(() => this.#called());
    vdev.onLost((reason) => {
      this.#lost(reason);
      this.#answering();
    });
  }

  /** Counters for people and tests. */
  get counters(): Readonly<Record<string, number>> {
    return {
      timeouts: this.#requests.timeouts,
      shortAnswers: this.#requests.shortAnswers,
      badValues: this.#requests.badValues,
      malformedEvents: this.#events?.malformed ?? 0,
      droppedEvents: this.#events?.dropped ?? 0,
      linesWithoutEventBuffer: this.#events?.starved ?? 0,
      badUsed: this.#requestQueue.badUsed + (this.#eventQueue?.badUsed ?? 0),
    };
  }

  lineName(offset: number): string {
    return this.#names[offset] ?? '';
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  #submit(type: number, offset: number, value: number, done: Completion, token: number): void {
    if (this.available) this.#requests.submit(type, offset, value, done, token);
    else done.complete(token, RESULT_UNAVAILABLE, 0);
  }

  getDirection(offset: number, done: Completion, token: number): void {
    this.#submit(MSG_GET_DIRECTION, offset, 0, done, token);
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    if (direction !== DIRECTION_NONE) return this.#submit(MSG_SET_DIRECTION, offset, direction, done, token);
    // Ends the subscription as well (virtio 1.2, section 5.18.6.4).
    const inner = this.#irqCompletion.wrap(offset, IRQ_NONE, done, token);
    this.#submit(MSG_SET_DIRECTION, offset, direction, this.#irqCompletion, inner);
  }

  getValue(offset: number, done: Completion, token: number): void {
    this.#submit(MSG_GET_VALUE, offset, 0, done, token);
  }

  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#submit(MSG_SET_VALUE, offset, level, done, token);
  }

  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    if (this.#events === null && type !== IRQ_NONE) return done.complete(token, RESULT_UNAVAILABLE, 0);
    const inner = this.#irqCompletion.wrap(offset, type, done, token);
    this.#submit(MSG_SET_IRQ_TYPE, offset, type, this.#irqCompletion, inner);
  }

  flush(): void {
    if (!this.available) return;
    if (this.#requests.hasUnsent) this.#send();
    if (this.#requests.waiting && !this.#polling) this.#poller.request(this);
  }

  /** Makes requests visible; not to a device that has been reset meanwhile, and has not said so. */
  #send(): void {
    this.#requests.hasUnsent = false;
    this.look();
    if (this.available && this.#requestQueue.publish()) this.#vdev.kick(REQUEST_QUEUE);
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
    else if (this.#isSilent && this.#requestQueue.hasUsed()) this.#answering();
  }

  /** It hangs. The queue stays as it is: what is answered late goes there, and tells that it does not hang any more. */
  #silent(): void {
    this.#isSilent = true;
    this.#lost(`vdev ${this.#vdev.index} ${this.#watch.text}`);
    this.#requestQueue.enableCalls();
    if (this.#requestQueue.hasUsed()) this.#answering();
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
    let count = this.#requests.poll(BATCH);
    const events = this.#events;
    const eventQueue = this.#eventQueue;
    if (events !== null && eventQueue !== null) {
      for (let left = BATCH; left > 0; left -= EVENTS_STEP) {
        const taken = events.poll(EVENTS_STEP, this.#sink);
        count += taken;
        if (eventQueue.publish()) this.#vdev.kick(EVENT_QUEUE);
        if (taken < EVENTS_STEP) break;
      }
    }
    this.#polling = false;
    if (this.#requests.hasUnsent) this.#send();
    const broken = this.#requestQueue.broken ?? eventQueue?.broken ?? null;
    if (broken !== null) {
      this.#vdev.fail(broken);
      this.#lost(broken);
    }
    return count > 0;
  }

  disableNotifications(): void {
    this.#requestQueue.disableCalls();
    this.#eventQueue?.disableCalls();
  }

  enableNotifications(): boolean {
    if (!this.available) return false;
    this.#requestQueue.enableCalls();
    this.#eventQueue?.enableCalls();
    return this.#requestQueue.hasUsed() || (this.#eventQueue?.hasUsed() ?? false);
  }

  #lost(reason: string): void {
    if (!this.available) return;
    this.available = false;
    this.#poller.remove(this);
    this.#requests.close();
    this.#irqCompletion.clear();
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

/** The device before its lines have names: posts the event buffers, starts it, asks the first question. */
class NamelessChip {
  readonly requestQueue: DriverQueue;
  readonly eventQueue: DriverQueue | null;
  readonly events: EventSource | null;
  readonly #vdev: BoundVdev;
  readonly #options: VirtioGpioChipOptions;
  readonly #lineCount: number;

  constructor(vdev: BoundVdev, options: VirtioGpioChipOptions, lineCount: number) {
    this.#vdev = vdev;
    this.#options = options;
    this.#lineCount = lineCount;
    this.requestQueue = vdev.queues[REQUEST_QUEUE] as DriverQueue;
    const eventQueue = vdev.queues[EVENT_QUEUE];
    const hasIrq = (vdev.features & (1 << VIRTIO_GPIO_F_IRQ)) !== 0 && eventQueue !== undefined;
    this.eventQueue = hasIrq ? eventQueue : null;
    this.events = null;
    if (this.eventQueue !== null) {
      const streams = (vdev.features & (1 << FEATURE_EVENT_STREAM)) !== 0;
      this.events = streams
        ? new StreamedEvents(vdev, this.eventQueue, lineCount)
        : new PlainEvents(vdev, this.eventQueue, lineCount);
    }
    vdev.driverOk();
  }

  async readNames(namesSize: number): Promise<string[]> {
    return decodeNames(await this.#ask(MSG_GET_LINE_NAMES, 'GET_LINE_NAMES', namesSize), this.#lineCount);
  }

  /** Asks something harmless: whether anybody is there. */
  async probe(): Promise<void> {
    await this.#ask(MSG_GET_DIRECTION, 'GET_DIRECTION', RESPONSE_SIZE - 1);
  }

  /** The first request, of line 0: everything of it is waited for. @param valueBytes of the answer, after its status */
  async #ask(type: number, name: string, valueBytes: number): Promise<Uint8Array> {
    const vdev = this.#vdev;
    const answerBytes = 1 + valueBytes;
    const { requestTimeoutMs, firstAnswerTimeoutMs = requestTimeoutMs * 5 } = this.#options;
    const address = vdev.buffers.allocate(REQUEST_SIZE + answerBytes, 16, 'first request');
    const window = vdev.memory.require('first request', address, REQUEST_SIZE + answerBytes, 8);
    const at = vdev.memory.offset;
    window.u32[at >>> 2] = type;
    window.u32[(at >>> 2) + 1] = 0;
    window.u8[at + REQUEST_SIZE] = 0xff;
    this.requestQueue.add(address, REQUEST_SIZE, address + REQUEST_SIZE, answerBytes);
    await new Promise<void>((resolve, reject) => {
      const failed = (text: string): void => {
        clearTimeout(timer);
        reject(new CoprocessorError('ERR_VDEV', `${this.#options.where}: vdev ${vdev.index}: ${text}`));
      };
      const timer = setTimeout(
        () =>
          failed(
            `no answer to ${name} within ${firstAnswerTimeoutMs} ms; is the firmware running, and the doorbell configured as it expects?`,
          ),
        firstAnswerTimeoutMs,
      );
      const look = (): void => {
        if (this.requestQueue.popUsed() < 0) {
          if (this.requestQueue.broken !== null) failed(this.requestQueue.broken);
          return;
        }
        if (this.requestQueue.usedBytes !== answerBytes || window.u8[at + REQUEST_SIZE] !== STATUS_OK) {
          return failed(
            `${name} was refused (status ${window.u8[at + REQUEST_SIZE]}, ${this.requestQueue.usedBytes} bytes, expected ${answerBytes})`,
          );
        }
        clearTimeout(timer);
        resolve();
      };
      vdev.onCall(look);
      vdev.onLost(failed);
      if (this.requestQueue.publish()) vdev.kick(REQUEST_QUEUE);
      look();
    });
    const block = new Uint8Array(valueBytes);
    for (let i = 0; i < valueBytes; i++) block[i] = window.u8[at + REQUEST_SIZE + 1 + i] as number;
    return block;
  }
}

/** Tells the event queue of subscriptions, and of their ends, as the co-processor confirms them. Control path. */
class IrqTypeCompletion implements Completion {
  readonly #events: EventSource | null;
  readonly #open = new Map<number, { line: number; type: number; done: Completion; token: number }>();
  #next = 0;

  constructor(events: EventSource | null) {
    this.#events = events;
  }

  wrap(line: number, type: number, done: Completion, token: number): number {
    const key = this.#next++;
    this.#open.set(key, { line, type, done, token });
    if (type === IRQ_NONE) this.#events?.ending(line);
    return key;
  }

  complete(key: number, result: number, value: number): void {
    const entry = this.#open.get(key);
    if (entry === undefined) return;
    this.#open.delete(key);
    if (entry.type === IRQ_NONE) this.#events?.ended(entry.line, result === RESULT_OK);
    else if (result === RESULT_OK) this.#events?.subscribed(entry.line);
    entry.done.complete(entry.token, result, value);
  }

  clear(): void {
    this.#open.clear();
  }
}
