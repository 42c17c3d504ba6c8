import { DIRECTION_IN, DIRECTION_NONE, DIRECTION_OUT, RESULT_OK, RESULT_TIMEOUT } from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import { CHAIN_FAULTS, type DescriptorChain, FAULT_NONE } from '../../virtqueue/descriptor-chain.ts';
import * as wire from '../../wire/draft-2021-gpio.ts';
import type { ExportedDeviceOptions } from './exported-device.ts';
import { LineTurns } from './line-turns.ts';
import { RingDevice } from './ring-device.ts';

/**
 * The driver waits 100 ms, and when nothing has come by then its chip is dead for good: an ERR goes out early enough to get
 * there on a host that is busy, too.
 */
const ANSWER_WITHIN_MS = 60;

interface Request {
  readonly line: number;
  readonly type: number;
  readonly data: number;
  readonly chain: DescriptorChain;
  readonly deadlineMs: number;
  isAnswered: boolean;
}

/** virtio-gpio as drafted in June 2021 (wire/draft-2021-gpio.ts), for guest kernels that carry that patch series. */
export class Draft2021Device extends RingDevice {
  readonly config: Uint8Array;
  readonly #turns = new LineTurns<Request>(
    (request, token) => this.#process(request, token),
    (request, result, value) => this.#done(request, result, value),
  );
  /** In the order of their deadlines. */
  #open: Request[] = [];
  #timer: NodeJS.Timeout | null = null;
  #inPass = false;

  constructor(options: ExportedDeviceOptions) {
    super(options, 1);
    this.config = wire.encodeDraftConfig(
      options.name,
      options.lines.map(({ name }) => name),
    );
  }

  protected serve(): number {
    const queue = this.queues[wire.COMMAND_QUEUE];
    if (!queue) return 0;
    let count = 0;
    this.#inPass = true;
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
      this.#take(chain);
      if (++count === this.batch) break;
    }
    this.#inPass = false;
    return count;
  }

  #take(chain: DescriptorChain): void {
    this.counters.requests++;
    if (chain.fault !== FAULT_NONE) {
      this.counters.bad(CHAIN_FAULTS[chain.fault] as string);
      this.queues[wire.COMMAND_QUEUE]?.push(chain, 0);
      return;
    }
    if (chain.writableBytes < wire.DRAFT_RESPONSE_SIZE) {
      this.counters.bad('no-room-for-response');
      chain.writeU8(0, wire.DRAFT_STATUS_ERR);
      this.queues[wire.COMMAND_QUEUE]?.push(chain, chain.writableBytes);
      return;
    }
    if (chain.readableBytes < wire.DRAFT_REQUEST_SIZE) {
      this.counters.bad('short-request');
      return this.#answer(chain, wire.DRAFT_STATUS_ERR, 0);
    }
    const line = chain.readU16(wire.REQUEST_GPIO_OFFSET);
    if (line >= this.lineCount) {
      this.counters.bad('line-out-of-range');
      return this.#answer(chain, wire.DRAFT_STATUS_ERR, 0);
    }
    const type = chain.readU16(wire.REQUEST_TYPE_OFFSET);
    const data = chain.readU8(wire.REQUEST_DATA_OFFSET);
    const deadlineMs = performance.now() + ANSWER_WITHIN_MS;
    const request: Request = { line, type, data, chain, deadlineMs, isAnswered: false };
    this.#turns.add(request);
    if (request.isAnswered) return;
    this.#open.push(request);
    this.#timer ??= setTimeout(() => this.#expire(), ANSWER_WITHIN_MS);
  }

  #process(request: Request, token: number): void {
    const { type, data } = request;
    const handle = this.handles[request.line] as LineHandle;
    const turns = this.#turns;
    // Nobody waits for it any more: it is not done either.
    if (request.isAnswered) return turns.complete(token, RESULT_TIMEOUT, 0);
    switch (type) {
      case wire.DRAFT_ACTIVATE:
        return turns.complete(token, RESULT_OK, 0);
      case wire.DRAFT_DEACTIVATE:
        return handle.setDirection(DIRECTION_NONE, turns, token);
      case wire.DRAFT_GET_DIRECTION:
        return handle.getDirection(turns, token);
      case wire.DRAFT_DIRECTION_INPUT:
        return handle.setDirection(DIRECTION_IN, turns, token);
      case wire.DRAFT_DIRECTION_OUTPUT:
        return handle.drive(data, turns, token);
      case wire.DRAFT_GET_VALUE:
        return handle.getValue(turns, token);
      case wire.DRAFT_SET_VALUE:
        return handle.setValue(data, turns, token);
      default:
        this.counters.bad('unknown-type');
        turns.complete(token, -1, 0);
    }
  }

  #done(request: Request, result: number, value: number): void {
    if (request.isAnswered) return;
    let data = 0;
    if (request.type === wire.DRAFT_GET_VALUE) data = value;
    else if (request.type === wire.DRAFT_GET_DIRECTION)
      data = value === DIRECTION_OUT ? wire.DRAFT_DIRECTION_OUT : wire.DRAFT_DIRECTION_IN;
    this.#close(request, result === RESULT_OK ? wire.DRAFT_STATUS_OK : wire.DRAFT_STATUS_ERR, data);
    const at = this.#open.indexOf(request);
    if (at >= 0) this.#open.splice(at, 1);
    if (!this.#inPass) this.wake();
  }

  #close(request: Request, status: number, data: number): void {
    request.isAnswered = true;
    this.#answer(request.chain, status, status === wire.DRAFT_STATUS_OK ? data : 0);
  }

  #answer(chain: DescriptorChain, status: number, data: number): void {
    if (status !== wire.DRAFT_STATUS_OK) this.counters.errors++;
    chain.writeU8(0, status);
    chain.writeU8(1, data);
    this.queues[wire.COMMAND_QUEUE]?.push(chain, wire.DRAFT_RESPONSE_SIZE);
  }

  #expire(): void {
    this.#timer = null;
    // Timers are exact to a millisecond.
    const nowMs = performance.now() + 1;
    const late = this.#open.findIndex(({ deadlineMs }) => deadlineMs > nowMs);
    const expired = this.#open.splice(0, late < 0 ? this.#open.length : late);
    for (const request of expired) this.#close(request, wire.DRAFT_STATUS_ERR, 0);
    const [next] = this.#open;
    if (next !== undefined)
      this.#timer = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(next.deadlineMs - nowMs)));
    // At once, not on the loop's next turn.
    this.publish(wire.COMMAND_QUEUE);
  }

  /** Answers everything under way with ERR: the ring is about to stop, and an index cannot say what is still open. */
  settle(index: number): void {
    for (const request of this.#open.splice(0)) this.#close(request, wire.DRAFT_STATUS_ERR, 0);
    this.publish(index);
  }

  protected forget(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#open = [];
    this.#turns.clear();
  }
}
