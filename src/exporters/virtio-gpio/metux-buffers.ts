import { CHAIN_FAULTS, type DescriptorChain, FAULT_NONE } from '../../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import { encodeMetuxMessage, METUX_MESSAGE_SIZE } from '../../wire/metux-gpio.ts';
import type { DeviceCounters } from './counters.ts';

/** Buffers taken in one pass, so that no guest starves the others. */
const BATCH = 64;

/** How long a driver may take to hand a buffer back before the next message is sent nevertheless. */
const HAND_BACK_MS = 5;

/**
 * The receive buffers of a metux driver. The driver of June 2021 takes one buffer an interrupt, and two interrupts close to each
 * other may be one: so the next message goes out when the driver has handed a buffer back since the last one, or has had time to.
 */
export class MetuxBuffers {
  queue: DeviceQueue | null = null;
  readonly #counters: DeviceCounters;
  /** There may be room again, outside of a pass. */
  readonly #onRoom: () => void;
  readonly #held: DescriptorChain[] = [];
  readonly #bytes = new Uint8Array(METUX_MESSAGE_SIZE);
  /** Runs while a buffer is awaited that the driver hands back. */
  #timer: NodeJS.Timeout | null = null;

  constructor(counters: DeviceCounters, onRoom: () => void) {
    this.#counters = counters;
    this.#onRoom = onRoom;
  }

  /** Whether a message can be sent now. */
  get hasRoom(): boolean {
    return this.#timer === null && this.#held.length > 0;
  }

  /** Takes some of the buffers that lie there. @returns how many */
  poll(): number {
    const { queue } = this;
    if (queue === null) return 0;
    let count = 0;
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
      count++;
      if (chain.fault === FAULT_NONE && chain.writableBytes >= METUX_MESSAGE_SIZE) this.#held.push(chain);
      else {
        const { fault } = chain;
        this.#counters.bad(fault === FAULT_NONE ? 'no-room-for-message' : (CHAIN_FAULTS[fault] as string));
        queue.push(chain, 0);
      }
      this.#handedBack();
      if (count === BATCH) break;
    }
    return count;
  }

  #handedBack(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Writes a message and gives its buffer to the driver; only when there is room. The caller publishes and calls. */
  send(type: number, line: number, value: number): void {
    const chain = this.#held.shift() as DescriptorChain;
    chain.write(0, encodeMetuxMessage({ type, line, value }, this.#bytes));
    this.queue?.push(chain, METUX_MESSAGE_SIZE);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#onRoom();
    }, HAND_BACK_MS);
  }

  /**
   * Puts the buffers that were not used back where they were: the ring is about to stop, and nothing is in flight then. They were
   * taken in order, so they are the last ones that were.
   */
  putBack(): void {
    const { queue } = this;
    if (queue === null) return;
    queue.nextAvailable = (queue.nextAvailable - this.#held.length) & 0xffff;
    for (const chain of this.#held.splice(0)) chain.inFlight = false;
  }

  /** Serves another ring. */
  setQueue(queue: DeviceQueue | null): void {
    this.#held.length = 0;
    this.#handedBack();
    this.queue = queue;
  }
}
