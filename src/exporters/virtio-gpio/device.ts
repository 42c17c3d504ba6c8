import {
  type Chip,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_NONE,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import type { LineConsumer, LineHandle } from '../../gpio/line-handle.ts';
import type { SelectedLine } from '../../gpio/line-selection.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import {
  EVENT_QUEUE,
  encodeConfig,
  encodeNames,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
  VIRTIO_GPIO_F_IRQ,
} from '../../wire/virtio-gpio.ts';
import { DeviceCounters } from './counters.ts';
import { EventService } from './event-service.ts';
import {
  batchOf,
  type ExportedDevice,
  type ExportedDeviceOptions,
  type Log,
  RING_FEATURES,
  someBlock,
} from './exported-device.ts';
import type { InflightRegion } from './inflight.ts';
import { RequestService } from './request-service.ts';
import { linesIdentity, ResumeState } from './resume-state.ts';

export type { Log } from './exported-device.ts';

export interface VirtioGpioDeviceOptions extends ExportedDeviceOptions {
  /**
   * What the guest had set, where a restarted service finds it again; it must be of the same lines ({@link linesIdentity}).
   * Default: memory of this process, for a front-end that comes back.
   */
  readonly openResumeState?: (lineCount: number, identity: number) => ResumeState;
}

/** Requests or buffers taken in one pass, so that no guest starves the others. */
const BATCH = 32;

/**
 * A virtio-gpio device (virtio 1.2, section 5.18) whose lines are lines of our chips: one consumer of them. Knows nothing of
 * the transport, which gives it rings, tells it of kicks, and is told when a ring wants a call.
 */
export class VirtioGpioDevice implements ExportedDevice, LineConsumer, Pollable {
  readonly name: string;
  readonly config: Uint8Array;
  readonly features = RING_FEATURES | (1n << BigInt(VIRTIO_GPIO_F_IRQ));
  readonly queueCount = 2;
  /** Settable: the poller looks at it each time. */
  pollUs: number;
  readonly counters: DeviceCounters;
  readonly #handles: readonly LineHandle[];
  readonly #chips: readonly Chip[];
  readonly blocks: boolean;
  readonly #batch: number;
  readonly #poller: Poller;
  readonly #requests: RequestService;
  readonly #events: EventService;
  readonly #calls: ((() => void) | null)[] = [null, null];
  readonly #onLog: Log;
  readonly #resume: ResumeState;
  /** {@link resume} was done for this connection. */
  #resumed = false;
  /** Counts connections and resets: what was under way for an earlier one is over. */
  #life = 0;
  /** A ring turned out to be untrustworthy; the transport tells the guest. */
  onBroken: ((queueIndex: number, reason: string) => void) | null = null;
  /**
   * Whether the rings' memory has gone from under them. What they hold then is not the guest's fault to be told of: the transport
   * ends, and says why.
   */
  hasLostMemory: (() => boolean) | null = null;
  #needsReset = false;
  /** Entries of each ring that named no chain to complete, as far as they are counted. */
  readonly #badHeads = [0, 0];

  constructor(options: VirtioGpioDeviceOptions) {
    this.name = `guest ${options.name}`;
    this.#poller = options.poller;
    this.pollUs = options.pollUs;
    this.#onLog = options.onLog;
    this.#handles = options.lines.map((selected, index) =>
      selected.line.lines.open(selected.line.offset, this, index, selected),
    );
    this.#chips = [...new Set(options.lines.map(({ line }) => line.lines.chip))];
    this.blocks = someBlock(this.#chips);
    this.#batch = batchOf(this, BATCH);
    const names = encodeNames(options.lines.map(({ name }) => name));
    this.config = encodeConfig({ lineCount: this.#handles.length, namesSize: names.length });
    this.counters = new DeviceCounters((reason) =>
      this.#logFault(
        'warn',
        `${this.name}: bad chain (${reason}); it is counted, and further ones are not logged`,
      ),
    );
    const open = options.openResumeState ?? ((count, identity) => new ResumeState(count, identity));
    this.#resume = open(this.#handles.length, linesIdentity(this.#handles.length, names));
    this.#requests = new RequestService(
      this.#handles,
      names,
      this.counters,
      () => this.#poller.request(this),
      (type, gpio, value) => this.#set(type, gpio, value),
    );
    this.#events = new EventService(this.#handles, this.counters);
  }

  get lineCount(): number {
    return this.#handles.length;
  }

  /** A ring of the device became untrustworthy since the last reset. */
  get needsReset(): boolean {
    return this.#needsReset;
  }

  /** What the driver accepted (virtio feature bits). */
  setFeatures(features: bigint): void {
    this.#requests.hasIrq = (features & (1n << BigInt(VIRTIO_GPIO_F_IRQ))) !== 0n;
  }

  /**
   * Attaches a ring, or takes it away (null). A taken ring has everything under way answered first.
   * @param continues the ring goes on where it stopped, its event buffers are still ours
   */
  setQueue(index: number, queue: DeviceQueue | null, call: (() => void) | null, continues: boolean): void {
    if (queue === null) this.#publish(index);
    this.#calls[index] = call;
    this.#badHeads[index] = 0;
    if (index === REQUEST_QUEUE) this.#requests.setQueue(queue);
    else if (index === EVENT_QUEUE) this.#events.setQueue(queue, continues);
    if (queue !== null) this.#poller.request(this);
    else if (this.#requests.queue === null && this.#events.queue === null) this.#poller.remove(this);
  }

  /** Answers what is under way on a ring that is about to stop, visibly. */
  settle(index: number): void {
    if (index !== REQUEST_QUEUE) return;
    this.#requests.settle();
    this.#publish(index);
  }

  /** The guest kicked. */
  kicked(): void {
    this.#poller.wake(this);
  }

  /** The guest set something on a line. Written down before it is answered. */
  #set(type: number, gpio: number, value: number): void {
    const { interrupt, direction } = this.#handles[gpio] as LineHandle;
    this.#resume.record(gpio, interrupt.type, direction, type === MSG_SET_VALUE ? value : -1);
    if (type === MSG_SET_DIRECTION && value === DIRECTION_NONE) this.#resume.forgetLevel(gpio);
    if (type === MSG_SET_IRQ_TYPE) this.#events.settled(gpio);
  }

  returnsInOrder(queueIndex: number): boolean {
    return queueIndex === REQUEST_QUEUE;
  }

  isAnswered(queueIndex: number): boolean {
    return queueIndex === REQUEST_QUEUE;
  }

  tracker(queueIndex: number, size: number): InflightRegion | null {
    return queueIndex === EVENT_QUEUE ? this.#resume.eventRegion(size) : null;
  }

  /**
   * Sets again what the guest had set: values, directions, interrupt types. It knows nothing of the interruption, so where the chip
   * cannot do that now, it is done when it can.
   */
  resume(): void {
    if (this.#resumed) return;
    this.#resumed = true;
    this.#events.resume();
    for (const handle of this.#handles) this.#resumeLine(handle);
    this.#flush();
  }

  #resumeLine(handle: LineHandle): void {
    const { irqType, direction, level } = this.#resume.line(handle.index);
    if (direction === DIRECTION_OUT) {
      if (handle.line.owner === handle) return;
      this.#again(
        handle,
        (done) => (level < 0 ? handle.setDirection(DIRECTION_OUT, done, 0) : handle.drive(level, done, 0)),
        () => handle.claimDirection(DIRECTION_OUT, level),
      );
      return;
    }
    if (level >= 0) {
      this.#again(
        handle,
        (done) => handle.setValue(level, done, 0),
        () => handle.claimDirection(DIRECTION_NONE, level),
      );
    }
    if (direction === DIRECTION_IN) {
      this.#again(
        handle,
        (done) => handle.setDirection(DIRECTION_IN, done, 0),
        () => handle.claimDirection(DIRECTION_IN, level),
      );
    }
    if (irqType !== IRQ_NONE) {
      this.#again(
        handle,
        (done) => handle.setIrqType(irqType, done, 0),
        () => handle.claimIrqType(irqType),
        // Its buffer may have come before the type.
        () => this.#events.regained(handle.index),
      );
    }
  }

  /**
   * Sets something; what the guest asks of the line comes after.
   * @param claim takes it for set when the chip does not answer; its result goes instead
   */
  #again(
    { index }: LineHandle,
    set: (done: Completion) => void,
    claim: () => number,
    whenSet: () => void = () => {},
  ): void {
    const life = this.#life;
    const again = (answer: number): void => {
      // The guest may have gone meanwhile.
      if (this.#life !== life) return;
      const isAway = answer === RESULT_UNAVAILABLE || answer === RESULT_TIMEOUT;
      const result = isAway ? claim() : answer;
      if (result === RESULT_OK) whenSet();
      else this.#onLog('warn', `${this.name}: line ${index} could not be set again as it was`);
    };
    this.#requests.begin(index);
    set({
      complete: (_token, result) => {
        again(result);
        this.#requests.end(index);
        this.#poller.request(this);
      },
    });
  }

  /** Device reset: all of this guest's claims end. */
  reset(): void {
    this.#resume.clear();
    this.#release();
  }

  /** Outputs are given up; which interrupts the guest had enabled is still known when it comes back. */
  expire(): void {
    this.#resume.clearOutputs();
    this.#release();
  }

  #release(): void {
    this.#restart();
    for (const handle of this.#handles) handle.reset();
    this.#flush();
  }

  /** The front-end has gone and may come back: interrupts end, outputs stay this guest's until {@link reset}. */
  suspend(): void {
    this.#restart();
    for (const handle of this.#handles) handle.suspend();
    this.#flush();
  }

  #restart(): void {
    this.#needsReset = false;
    this.#resumed = false;
    this.#life++;
    this.#events.reset();
    const { queue } = this.#requests;
    if (queue !== null) this.#requests.setQueue(queue);
  }

  /** Changes rights and debounce periods of the same lines, in place. */
  configure(lines: readonly SelectedLine[]): void {
    for (const [index, { access, role, debounceMs }] of lines.entries())
      this.#handles[index]?.configure({ access, role, debounceMs });
    this.#flush();
  }

  interrupt(handle: LineHandle): void {
    this.#events.interrupt(handle.index);
    this.#poller.request(this);
  }

  disarmed(handle: LineHandle): void {
    this.#events.disarmed(handle.index);
    this.#poller.request(this);
  }

  poll(): boolean {
    let count = this.#requests.poll(this.#batch) + this.#events.poll(BATCH);
    this.#flush();
    this.#publish(REQUEST_QUEUE);
    this.#publish(EVENT_QUEUE);
    count += this.#check(REQUEST_QUEUE, this.#requests.queue);
    count += this.#check(EVENT_QUEUE, this.#events.queue);
    return count > 0;
  }

  #flush(): void {
    for (let i = 0; i < this.#chips.length; i++) (this.#chips[i] as Chip).flush();
  }

  /** One index store and at most one call for everything that was returned since the last time. */
  #publish(index: number): void {
    const queue = index === REQUEST_QUEUE ? this.#requests.queue : this.#events.queue;
    if (queue?.publish()) this.#calls[index]?.();
  }

  /** Looks after faults of the ring itself. @returns how many of its entries were skipped */
  #check(index: number, queue: DeviceQueue | null): number {
    if (queue === null) return 0;
    const skipped = queue.badHeads - (this.#badHeads[index] as number);
    if (skipped > 0) {
      this.#badHeads[index] = queue.badHeads;
      this.counters.bad('bad-head', skipped);
    }
    if (queue.broken !== null) this.#stop(index, queue.broken);
    return skipped;
  }

  #stop(index: number, reason: string): void {
    this.#needsReset = true;
    this.#logFault('error', `${this.name}: queue ${index} stopped: ${reason}`);
    this.setQueue(index, null, null, false);
    this.onBroken?.(index, reason);
  }

  #logFault(level: 'warn' | 'error', message: string): void {
    if (!this.hasLostMemory?.()) this.#onLog(level, message);
  }

  disableNotifications(): void {
    this.#requests.queue?.disableKicks();
    this.#events.queue?.disableKicks();
  }

  enableNotifications(): boolean {
    const requests = this.#requests.queue;
    const events = this.#events.queue;
    requests?.enableKicks();
    events?.enableKicks();
    return (requests?.hasWork() ?? false) || (events?.hasWork() ?? false);
  }

  /** Gives all lines back; idempotent. */
  close(): void {
    this.#requests.setQueue(null);
    this.#events.setQueue(null, false);
    this.#poller.remove(this);
    for (const handle of this.#handles) handle.close();
  }
}
