import { type Completion, RESULT_OK } from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import {
  CHAIN_FAULTS,
  chainCost,
  type DescriptorChain,
  FAULT_NONE,
} from '../../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_LINE_NAMES,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_GPIO_OFFSET,
  REQUEST_SIZE,
  REQUEST_TYPE_OFFSET,
  REQUEST_VALUE_OFFSET,
  RESPONSE_SIZE,
  STATUS_ERR,
  STATUS_OK,
} from '../../wire/virtio-gpio.ts';
import type { DeviceCounters } from './counters.ts';
import { ReturnOrder } from './return-order.ts';

const HEADS = 0x10000;
/** Of those that wait for one line, so many are taken up in one go; more would hold up everybody else. */
const WAITING_BATCH = 32;
/** Generations after which tokens repeat: keeps them small integers. */
const GENERATIONS = 0x2000;

/**
 * The requestq of an exported device (virtio 1.2, section 5.18.6): requests of one line are processed and answered in
 * order, those of different lines overtake each other at the chip; whether they do on the ring is up to {@link ReturnOrder}. A
 * request that can be answered at once is, in the same pass.
 */
export class RequestService implements Completion {
  queue: DeviceQueue | null = null;
  /** Whether the driver negotiated VIRTIO_GPIO_F_IRQ. */
  hasIrq = false;
  readonly #handles: readonly LineHandle[];
  readonly #names: Uint8Array;
  readonly #counters: DeviceCounters;
  /** Called when an answer came outside of a pass, so that one is made. */
  readonly #onLateAnswer: () => void;
  /** Called with each request that set something and was answered OK; before the answer is visible. */
  readonly #onSet: (type: number, gpio: number, value: number) => void;
  readonly #order = new ReturnOrder();
  /** Requests under way, by the head of their chain. */
  #open: (DescriptorChain | undefined)[] = [];
  #lineOfHead = new Int32Array(0);
  #typeOfHead = new Int32Array(0);
  #valueOfHead = new Int32Array(0);
  /** Requests that wait for their line, linked by head; -1 ends a list. */
  #nextOfHead = new Int32Array(0);
  readonly #busy: Uint8Array;
  /** What is being restored on each line ({@link begin}). */
  readonly #restoring: Uint8Array;
  /** Lines whose waiting requests are being taken up ({@link #advance} is on the stack). */
  readonly #advancing: Uint8Array;
  /** Lines with more waiting requests than were taken up in one go; busy until {@link poll} goes on with them, in this order. */
  readonly #deferred: Uint8Array;
  #deferredLines: number[] = [];
  readonly #firstWaiting: Int32Array;
  readonly #lastWaiting: Int32Array;
  #generation = 0;
  #inPass = false;

  constructor(
    handles: readonly LineHandle[],
    names: Uint8Array,
    counters: DeviceCounters,
    onLateAnswer: () => void,
    onSet: (type: number, gpio: number, value: number) => void = () => {},
  ) {
    this.#handles = handles;
    this.#names = names;
    this.#counters = counters;
    this.#onLateAnswer = onLateAnswer;
    this.#onSet = onSet;
    this.#busy = new Uint8Array(handles.length);
    this.#restoring = new Uint8Array(handles.length);
    this.#advancing = new Uint8Array(handles.length);
    this.#deferred = new Uint8Array(handles.length);
    this.#firstWaiting = new Int32Array(handles.length).fill(-1);
    this.#lastWaiting = new Int32Array(handles.length).fill(-1);
  }

  /** Serves a new ring; null = none. Answers still to come for the old one are dropped: {@link settle} first. */
  setQueue(queue: DeviceQueue | null): void {
    this.#generation = (this.#generation + 1) % GENERATIONS;
    this.queue = queue;
    const size = queue?.size ?? 0;
    this.#open = new Array(size);
    this.#lineOfHead = new Int32Array(size);
    this.#typeOfHead = new Int32Array(size);
    this.#valueOfHead = new Int32Array(size);
    this.#order.setQueue(queue);
    this.#nextOfHead = new Int32Array(size).fill(-1);
    for (let gpio = 0; gpio < this.#busy.length; gpio++)
      this.#busy[gpio] = (this.#restoring[gpio] as number) > 0 ? 1 : 0;
    this.#firstWaiting.fill(-1);
    this.#lastWaiting.fill(-1);
    this.#deferred.fill(0);
    this.#deferredLines = [];
  }

  /** Something is being restored on a line: its requests wait until as many {@link end}s. */
  begin(gpio: number): void {
    (this.#restoring[gpio] as number)++;
    this.#busy[gpio] = 1;
  }

  end(gpio: number): void {
    (this.#restoring[gpio] as number)--;
    if (this.#restoring[gpio] !== 0 || this.#deferred[gpio] === 1) return;
    this.#busy[gpio] = 0;
    if ((this.#firstWaiting[gpio] as number) < 0) return;
    if (this.#advancing[gpio] === 0) this.#advance(gpio);
    if (!this.#inPass) this.#onLateAnswer();
  }

  /** Answers everything under way with ERR: the ring is about to stop, and an index cannot say what is still open. */
  settle(): void {
    const { queue } = this;
    if (queue === null) return;
    for (let head = 0; head < this.#open.length; head++) {
      const chain = this.#open[head];
      if (chain === undefined) continue;
      this.#open[head] = undefined;
      this.#answer(chain, STATUS_ERR, 0);
    }
    this.setQueue(queue);
  }

  /** Takes at most `budget` requests, fewer of those that are long. @returns how many */
  poll(budget: number): number {
    const { queue } = this;
    if (queue === null) return 0;
    this.#inPass = true;
    let count = this.#goOn(budget);
    for (let left = budget - count; left > 0; ) {
      const chain = queue.pop();
      if (chain === null) break;
      count++;
      left -= chainCost(chain);
      this.#order.taken(chain);
      this.#take(chain);
    }
    this.#inPass = false;
    return count;
  }

  #take(chain: DescriptorChain): void {
    this.#counters.requests++;
    if (chain.fault !== FAULT_NONE) {
      this.#counters.bad(CHAIN_FAULTS[chain.fault] as string);
      return this.#order.answered(chain, 0);
    }
    if (chain.writableBytes < RESPONSE_SIZE) {
      this.#counters.bad('no-room-for-response');
      chain.writeU8(0, STATUS_ERR);
      return this.#order.answered(chain, chain.writableBytes);
    }
    if (chain.readableBytes < REQUEST_SIZE) {
      this.#counters.bad('short-request');
      return this.#answer(chain, STATUS_ERR, 0);
    }
    if (chain.readU16(REQUEST_TYPE_OFFSET) === MSG_GET_LINE_NAMES) return this.#answerNames(chain);
    const gpio = chain.readU16(REQUEST_GPIO_OFFSET);
    if (gpio >= this.#handles.length) {
      this.#counters.bad('line-out-of-range');
      return this.#answer(chain, STATUS_ERR, 0);
    }
    this.#lineOfHead[chain.head] = gpio;
    this.#open[chain.head] = chain;
    if (this.#busy[gpio] === 0) return this.#process(chain, gpio);
    this.#nextOfHead[chain.head] = -1;
    const last = this.#lastWaiting[gpio] as number;
    if (last < 0) this.#firstWaiting[gpio] = chain.head;
    else this.#nextOfHead[last] = chain.head;
    this.#lastWaiting[gpio] = chain.head;
  }

  #process(chain: DescriptorChain, gpio: number): void {
    const handle = this.#handles[gpio] as LineHandle;
    const type = chain.readU16(REQUEST_TYPE_OFFSET);
    const value = chain.readU32(REQUEST_VALUE_OFFSET);
    const token = this.#generation * HEADS + chain.head;
    this.#typeOfHead[chain.head] = type;
    this.#valueOfHead[chain.head] = value;
    this.#busy[gpio] = 1;
    switch (type) {
      case MSG_SET_VALUE:
        return handle.setValue(value, this, token);
      case MSG_GET_VALUE:
        return handle.getValue(this, token);
      case MSG_GET_DIRECTION:
        return handle.getDirection(this, token);
      case MSG_SET_DIRECTION:
        return handle.setDirection(value, this, token);
      case MSG_SET_IRQ_TYPE:
        if (this.hasIrq) return handle.setIrqType(value, this, token);
        this.#counters.bad('irq-not-negotiated');
        break;
      default:
        this.#counters.bad('unknown-type');
    }
    this.complete(token, -1, 0);
  }

  complete(token: number, result: number, value: number): void {
    if (Math.floor(token / HEADS) !== this.#generation) return;
    const head = token % HEADS;
    const chain = this.#open[head];
    if (chain === undefined) return;
    this.#open[head] = undefined;
    const gpio = this.#lineOfHead[head] as number;
    if (result === RESULT_OK) {
      const type = this.#typeOfHead[head] as number;
      if (type === MSG_SET_VALUE || type === MSG_SET_DIRECTION || type === MSG_SET_IRQ_TYPE)
        this.#onSet(type, gpio, this.#valueOfHead[head] as number);
      this.#answer(chain, STATUS_OK, value);
    } else this.#answer(chain, STATUS_ERR, 0);
    this.#busy[gpio] = 0;
    if ((this.#firstWaiting[gpio] as number) >= 0 && this.#advancing[gpio] === 0) this.#advance(gpio);
    if (!this.#inPass) this.#onLateAnswer();
  }

  /** Goes on with lines that were left with requests to be taken up. @returns how many of these were */
  #goOn(budget: number): number {
    let count = 0;
    // Those that are left once more come last, and have their turn again in the next pass.
    for (let lines = this.#deferredLines.length; lines > 0 && count < budget; lines--) {
      const gpio = this.#deferredLines.shift();
      // Whatever was done has ended the ring.
      if (gpio === undefined) break;
      this.#deferred[gpio] = 0;
      // The end of the restoring goes on with it.
      if ((this.#restoring[gpio] as number) > 0) continue;
      this.#busy[gpio] = 0;
      count += this.#advance(gpio);
    }
    return count;
  }

  /**
   * Takes up requests that wait for their line, until one is under way again, or there are too many for once. A loop: as calls from
   * one completion to the next, thousands of requests that are answered at once would fill the stack.
   * @returns how many
   */
  #advance(gpio: number): number {
    const generation = this.#generation;
    let count = 0;
    this.#advancing[gpio] = 1;
    while (this.#busy[gpio] === 0 && generation === this.#generation) {
      const head = this.#firstWaiting[gpio] as number;
      if (head < 0) break;
      if (count === WAITING_BATCH) {
        this.#busy[gpio] = 1;
        this.#deferred[gpio] = 1;
        this.#deferredLines.push(gpio);
        break;
      }
      count++;
      const after = this.#nextOfHead[head] as number;
      this.#firstWaiting[gpio] = after;
      if (after < 0) this.#lastWaiting[gpio] = -1;
      this.#process(this.#open[head] as DescriptorChain, gpio);
    }
    this.#advancing[gpio] = 0;
    return count;
  }

  /** All fields of the response are set, also with ERR (virtio 1.2, section 5.18.6.8). */
  #answer(chain: DescriptorChain, status: number, value: number): void {
    if (status !== STATUS_OK) this.#counters.errors++;
    chain.writeU8(0, status);
    chain.writeU8(1, value);
    // The used length is exact whatever room there was: Linux compares it.
    this.#order.answered(chain, RESPONSE_SIZE);
  }

  #answerNames(chain: DescriptorChain): void {
    const names = this.#names;
    const gpio = chain.readU16(REQUEST_GPIO_OFFSET);
    if (chain.writableBytes < 1 + names.length || gpio !== 0 || names.length === 0) {
      this.#counters.bad('bad-names-request');
      return this.#answer(chain, STATUS_ERR, 0);
    }
    chain.writeU8(0, STATUS_OK);
    chain.write(1, names);
    this.#order.answered(chain, 1 + names.length);
  }
}
