import { IRQ_NONE } from '../../gpio/chip.ts';
import type { LineHandle } from '../../gpio/line-handle.ts';
import {
  CHAIN_FAULTS,
  chainCost,
  type DescriptorChain,
  FAULT_NONE,
} from '../../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import {
  EVENT_INVALID,
  EVENT_REQUEST_SIZE,
  EVENT_RESPONSE_SIZE,
  EVENT_VALID,
} from '../../wire/virtio-gpio.ts';
import type { DeviceCounters } from './counters.ts';

/**
 * The eventq of an exported device (virtio 1.2, section 5.18.7): a buffer that lies here for a line unmasks its interrupt,
 * returning it is the interrupt. The rules themselves are gpio/interrupt.ts.
 */
export class EventService {
  queue: DeviceQueue | null = null;
  readonly #handles: readonly LineHandle[];
  readonly #counters: DeviceCounters;
  /** The buffer that lies here for each line. */
  readonly #held: (DescriptorChain | null)[];
  /**
   * Lines of whose interrupt the guest may think otherwise than we do, after a restart of this service: until it sets the type,
   * their buffers are held. Given back as INVALID, Linux offers them again at once, without end.
   */
  readonly #unsettled: Uint8Array;

  constructor(handles: readonly LineHandle[], counters: DeviceCounters) {
    this.#handles = handles;
    this.#counters = counters;
    this.#held = new Array<DescriptorChain | null>(handles.length).fill(null);
    this.#unsettled = new Uint8Array(handles.length);
  }

  /** Forgets the buffers: the driver starts anew. */
  reset(): void {
    this.#held.fill(null);
    this.#unsettled.fill(0);
  }

  /** The driver goes on from before this process, or this connection. */
  resume(): void {
    this.#unsettled.fill(1);
  }

  /** The guest set a line's interrupt type: from now on both know the same. */
  settled(gpio: number): void {
    if (this.#unsettled[gpio] === 0) return;
    this.#unsettled[gpio] = 0;
    this.#rearm(gpio);
  }

  /** A line's interrupt is what the guest takes it for, without its having set it. */
  regained(gpio: number): void {
    if (this.#unsettled[gpio] === 1) this.#rearm(gpio);
  }

  /** What the buffer means that came before the type was known. */
  #rearm(gpio: number): void {
    const handle = this.#handles[gpio] as LineHandle;
    if (!this.#held[gpio] || handle.interrupt.armed) return;
    if (handle.interrupt.type === IRQ_NONE) this.#return(gpio, EVENT_INVALID);
    else if (handle.arm()) this.interrupt(gpio);
  }

  /**
   * Serves another ring. Buffers that lie here stay with their lines when the ring goes on where it stopped (`continues`);
   * they are looked up again, as the memory may be mapped anew.
   */
  setQueue(queue: DeviceQueue | null, continues: boolean): void {
    this.queue = queue;
    if (!continues) {
      this.#held.fill(null);
      return;
    }
    if (queue === null) return;
    for (const [gpio, held] of this.#held.entries()) {
      if (held === null) continue;
      const { interrupt } = this.#handles[gpio] as LineHandle;
      const chain = queue.adopt(held.head);
      if (chain === null || chain.fault !== FAULT_NONE || chain.writableBytes < EVENT_RESPONSE_SIZE) {
        this.#held[gpio] = null;
        interrupt.armed = false;
        if (chain !== null) this.#refuse(queue, chain);
        continue;
      }
      this.#held[gpio] = chain;
      interrupt.armed = interrupt.type !== IRQ_NONE;
      // What happened while the ring stood still.
      if (interrupt.type === IRQ_NONE) this.disarmed(gpio);
      else if ((this.#handles[gpio] as LineHandle).arm()) {
        interrupt.armed = false;
        this.interrupt(gpio);
      }
    }
  }

  /** Takes at most `budget` buffers, fewer of those that are long. @returns how many */
  poll(budget: number): number {
    const { queue } = this;
    if (queue === null) return 0;
    let count = 0;
    for (let left = budget; left > 0; ) {
      const chain = queue.pop();
      if (chain === null) break;
      count++;
      left -= chainCost(chain);
      this.#take(queue, chain);
    }
    return count;
  }

  #take(queue: DeviceQueue, chain: DescriptorChain): void {
    if (chain.fault !== FAULT_NONE || chain.writableBytes < EVENT_RESPONSE_SIZE) {
      return this.#refuse(queue, chain);
    }
    if (chain.readableBytes < EVENT_REQUEST_SIZE) {
      this.#counters.bad('short-event-request');
      return this.#give(chain, EVENT_INVALID);
    }
    const gpio = chain.readU16(0);
    const handle = this.#handles[gpio];
    if (handle === undefined) {
      this.#counters.bad('line-out-of-range');
      return this.#give(chain, EVENT_INVALID);
    }
    // For a line whose interrupt is not enabled, or a second buffer for one that has one.
    if (this.#held[gpio] !== null) return this.#give(chain, EVENT_INVALID);
    if (handle.interrupt.type === IRQ_NONE) {
      if (this.#unsettled[gpio] === 0) return this.#give(chain, EVENT_INVALID);
      this.#held[gpio] = chain;
      return;
    }
    if (handle.arm()) {
      this.#counters.interrupts++;
      return this.#give(chain, EVENT_VALID);
    }
    this.#held[gpio] = chain;
  }

  /** Completes a chain that cannot be answered. */
  #refuse(queue: DeviceQueue, chain: DescriptorChain): void {
    const { fault } = chain;
    this.#counters.bad(fault === FAULT_NONE ? 'no-room-for-event' : (CHAIN_FAULTS[fault] as string));
    queue.push(chain, 0);
  }

  /** Delivers an interrupt of a line that was armed. */
  interrupt(gpio: number): void {
    if (this.queue === null) {
      // The ring stands still, its buffers wait for it to go on. Levels are not latched but looked at again then.
      const { interrupt } = this.#handles[gpio] as LineHandle;
      if (!interrupt.isLevel) interrupt.latched = true;
      return;
    }
    this.#return(gpio, EVENT_VALID);
    this.#counters.interrupts++;
  }

  /** The line's interrupt was disabled: its buffer goes back as INVALID. */
  disarmed(gpio: number): void {
    if (this.#unsettled[gpio] === 0) this.#return(gpio, EVENT_INVALID);
  }

  #return(gpio: number, status: number): void {
    const chain = this.#held[gpio];
    if (!chain || this.queue === null) return;
    this.#held[gpio] = null;
    this.#give(chain, status);
  }

  #give(chain: DescriptorChain, status: number): void {
    if (status === EVENT_INVALID) this.#counters.invalidEvents++;
    chain.writeU8(0, status);
    this.queue?.push(chain, EVENT_RESPONSE_SIZE);
  }
}
