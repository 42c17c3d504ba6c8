import {
  DIRECTION_IN,
  DIRECTION_OUT,
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_REFUSED,
  RESULT_TIMEOUT,
} from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import { CHAIN_FAULTS, type DescriptorChain, FAULT_NONE } from '../../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import * as wire from '../../wire/metux-gpio.ts';
import { encodeNames } from '../../wire/virtio-gpio.ts';
import type { ExportedDeviceOptions } from './exported-device.ts';
import { LineTurns } from './line-turns.ts';
import { MetuxBuffers } from './metux-buffers.ts';
import { MetuxLevels } from './metux-levels.ts';
import { RingDevice } from './ring-device.ts';

const { FROM_DEVICE_QUEUE, TO_DEVICE_QUEUE } = wire;

/** Requests whose replies have not gone out: a driver that gives no buffers for them is not listened to beyond that. */
const MAX_OPEN = 4096;

/** Outcome of a message that there is not. */
const UNKNOWN_TYPE = -1;

export interface MetuxDeviceOptions extends ExportedDeviceOptions {
  /** What replies have besides the request's type: {@link wire.REPLY_2021}, the default, or {@link wire.REPLY_2020}. */
  readonly replyMask?: number;
}

interface Request {
  readonly line: number;
  readonly type: number;
  /** Signed. */
  readonly value: number;
  /** Goes back with the reply. */
  readonly chain: DescriptorChain;
  /** Makes no sense, and has no reply: its buffer goes back in its turn. */
  readonly isMute: boolean;
  isDone: boolean;
  /** Of the reply. */
  reply: number;
}

const ERRNO: Readonly<Record<number, number>> = {
  [UNKNOWN_TYPE]: wire.ENOSYS,
  [RESULT_FAILED]: wire.EIO,
  [RESULT_TIMEOUT]: wire.ETIMEDOUT,
  [RESULT_BUSY]: wire.EBUSY,
  [RESULT_REFUSED]: wire.EPERM,
  [RESULT_INVALID]: wire.EINVAL,
};

/**
 * A metux virtio-gpio device (wire/metux-gpio.ts), for guests with that out-of-tree driver. Replies go out in the order of the
 * requests, each when there is a receive buffer for it; LEVEL messages for inputs that the driver has requested or made inputs,
 * the newest level of each.
 */
export class MetuxDevice extends RingDevice {
  readonly config: Uint8Array;
  readonly #replyMask: number;
  readonly #turns = new LineTurns<Request>(
    (request, token) => this.#process(request, token),
    (request, result, value) => this.#done(request, result, value),
  );
  /** Those whose replies have not gone out, oldest first. */
  readonly #open: Request[] = [];
  readonly #levels: MetuxLevels;
  readonly #buffers: MetuxBuffers;
  /** Lines of whose changes the driver wants to know. */
  readonly #requested: Uint8Array;
  #inPass = false;
  /** The last message sent. */
  #wasReply = false;

  constructor(options: MetuxDeviceOptions) {
    super(options, 2);
    const names = encodeNames(options.lines.map(({ name }) => name));
    this.config = wire.encodeMetuxConfig(options.name, this.lineCount, names);
    this.#replyMask = options.replyMask ?? wire.REPLY_2021;
    this.#levels = new MetuxLevels(this.lineCount);
    this.#buffers = new MetuxBuffers(this.counters, () => this.wake());
    this.#requested = new Uint8Array(this.lineCount);
  }

  /** Level changes that were told of with a later one only. */
  get mergedLevels(): number {
    return this.#levels.merged;
  }

  override setQueue(
    index: number,
    queue: DeviceQueue | null,
    call: (() => void) | null,
    continues: boolean,
  ): void {
    if (index === FROM_DEVICE_QUEUE) {
      if (queue === null) this.#buffers.putBack();
      this.#buffers.setQueue(queue);
    }
    super.setQueue(index, queue, call, continues);
    if (queue !== null && index === FROM_DEVICE_QUEUE) this.#watch();
  }

  #watch(): void {
    for (const handle of this.handles) if (this.#requested[handle.index] === 1) handle.watch(true);
  }

  /** The driver goes on from a former process: which lines it has requested, it does not say again. */
  resume(): void {
    for (const handle of this.handles) {
      this.#requested[handle.index] = 1;
      handle.watch(true);
    }
  }

  protected serve(): number {
    let count = this.#buffers.poll() + this.#takeRequests();
    this.flushChips();
    while (this.#sendOne()) count++;
    return count;
  }

  #takeRequests(): number {
    const queue = this.queues[TO_DEVICE_QUEUE];
    if (!queue || !this.#listens) return 0;
    let count = 0;
    this.#inPass = true;
    while (count < this.batch && this.#listens) {
      const chain = queue.pop();
      if (chain === null) break;
      count++;
      this.#take(chain);
    }
    this.#inPass = false;
    return count;
  }

  /** Requests stay in their ring while nothing can be answered, or too many replies wait for buffers. */
  get #listens(): boolean {
    return this.queues[FROM_DEVICE_QUEUE] !== null && this.#open.length < MAX_OPEN;
  }

  override wants(index: number): boolean {
    return index !== TO_DEVICE_QUEUE || this.#listens;
  }

  #take(chain: DescriptorChain): void {
    this.counters.requests++;
    if (chain.fault !== FAULT_NONE || chain.readableBytes < wire.METUX_MESSAGE_SIZE) {
      const { fault } = chain;
      return this.#drop(chain, fault === FAULT_NONE ? 'short-request' : (CHAIN_FAULTS[fault] as string));
    }
    const type = chain.readU16(wire.MESSAGE_TYPE_OFFSET);
    const line = chain.readU16(wire.MESSAGE_LINE_OFFSET);
    const value = chain.readU32(wire.MESSAGE_VALUE_OFFSET) | 0;
    // Nothing that is answered.
    if ((type & wire.REPLY_BIT) !== 0 || type === wire.METUX_LEVEL) return this.#drop(chain, 'unknown-type');
    const request: Request = { line, type, value, chain, isMute: false, isDone: false, reply: 0 };
    this.#open.push(request);
    if (line < this.lineCount) return this.#turns.add(request);
    this.counters.bad('line-out-of-range');
    this.#done(request, RESULT_INVALID, 0);
  }

  #drop(chain: DescriptorChain, reason: string): void {
    this.counters.bad(reason);
    this.#open.push({ line: 0, type: 0, value: 0, chain, isMute: true, isDone: true, reply: 0 });
  }

  #process(request: Request, token: number): void {
    const { type, line, value } = request;
    const handle = this.handles[line] as LineHandle;
    const turns = this.#turns;
    switch (type) {
      case wire.METUX_REQUEST:
        this.#request(handle);
        return turns.complete(token, RESULT_OK, 0);
      case wire.METUX_DIRECTION_INPUT:
        this.#request(handle);
        return handle.setDirection(DIRECTION_IN, turns, token);
      case wire.METUX_DIRECTION_OUTPUT:
        this.#levels.forget(line);
        return handle.drive(value, turns, token);
      case wire.METUX_GET_DIRECTION:
        return handle.getDirection(turns, token);
      case wire.METUX_GET_LEVEL:
        return handle.getValue(turns, token);
      case wire.METUX_SET_LEVEL:
        // Outputs only: nothing is kept for later here.
        if (handle.line.isOutput) return handle.setValue(value, turns, token);
        return turns.complete(token, RESULT_REFUSED, 0);
      default:
        this.counters.bad('unknown-type');
        turns.complete(token, UNKNOWN_TYPE, 0);
    }
  }

  #request(handle: LineHandle): void {
    this.#requested[handle.index] = 1;
    handle.watch(true);
  }

  #done(request: Request, result: number, value: number): void {
    request.isDone = true;
    if (result !== RESULT_OK) {
      this.counters.errors++;
      request.reply = -(ERRNO[result] ?? wire.EIO);
    } else if (request.type === wire.METUX_GET_DIRECTION) {
      request.reply = value === DIRECTION_OUT ? wire.METUX_DIRECTION_OUT : wire.METUX_DIRECTION_IN;
    } else if (request.type === wire.METUX_GET_LEVEL) request.reply = value;
    else if (request.type === wire.METUX_SET_LEVEL) request.reply = request.value;
    if (!this.#inPass) this.wake();
  }

  edge(handle: LineHandle, level: number): void {
    if (handle.line.owner === handle) return;
    this.#levels.changed(handle.index, level);
    this.wake();
  }

  observed(handle: LineHandle, level: number): void {
    if (handle.line.owner === handle) return;
    this.#levels.observed(handle.index, level);
    if (this.#levels.isOwed) this.wake();
  }

  /**
   * Sends the oldest reply that is there, or a level: in turn where there is both, else whoever asks without end would hear of no
   * change. @returns whether there was something, and room for it
   */
  #sendOne(): boolean {
    for (let first = this.#open[0]; first?.isMute; first = this.#open[0]) this.#takeOut();
    if (!this.#buffers.hasRoom) return false;
    if (this.#wasReply && this.#sendLevel()) this.#wasReply = false;
    else if (this.#open[0]?.isDone) {
      this.#reply();
      this.#wasReply = true;
    } else if (!this.#sendLevel()) return false;
    // Both, whatever the driver says it wants: that of June 2021 has its callback on the other queue, and takes one buffer a call.
    this.queues[TO_DEVICE_QUEUE]?.publish();
    this.queues[FROM_DEVICE_QUEUE]?.publish();
    this.call(FROM_DEVICE_QUEUE);
    this.call(TO_DEVICE_QUEUE);
    return true;
  }

  /** The oldest request's buffer goes back: always in the order of the ring. */
  #takeOut(): Request {
    const request = this.#open.shift() as Request;
    this.queues[TO_DEVICE_QUEUE]?.push(request.chain, 0);
    return request;
  }

  #reply(): void {
    // The request's buffer first: Linux calls no callback of a queue in which nothing lies.
    const { type, line, reply } = this.#takeOut();
    this.#buffers.send(type | this.#replyMask, line, reply);
  }

  #sendLevel(): boolean {
    const line = this.#levels.take();
    if (line < 0) return false;
    this.counters.interrupts++;
    this.#buffers.send(wire.METUX_LEVEL, line, this.#levels.level(line));
    return true;
  }

  /**
   * Requests whose replies have not gone out lie in the ring as if they had not been taken, when it stops: whoever goes on with it
   * (maybe another process) takes them again. They are the last ones taken, as buffers go back in order, and none of them does
   * harm when it is done twice.
   */
  settle(index: number): void {
    if (index !== TO_DEVICE_QUEUE) return;
    const queue = this.queues[TO_DEVICE_QUEUE];
    const open = this.#open.splice(0);
    this.#turns.clear();
    if (!queue) return;
    queue.nextAvailable = (queue.nextAvailable - open.length) & 0xffff;
    for (const { chain } of open) chain.inFlight = false;
    this.publish(TO_DEVICE_QUEUE);
  }

  override suspend(): void {
    for (const handle of this.handles) handle.watch(false);
    super.suspend();
  }

  protected forget(): void {
    for (const handle of this.handles) handle.watch(false);
    this.#requested.fill(0);
    this.#levels.clear();
    this.settle(TO_DEVICE_QUEUE);
    // Its timer as well.
    if (this.#buffers.queue === null) this.#buffers.setQueue(null);
  }

  override close(): void {
    this.#buffers.setQueue(null);
    super.close();
  }
}
