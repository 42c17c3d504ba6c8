import type { MemoryWindow } from '../../virtqueue/address-space.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import { METUX_MESSAGE_SIZE } from '../../wire/metux-gpio.ts';
import type { BoundVdev } from '../vdev.ts';

const MAX_SLOTS = 64;

/** One message of the device's; the numbers are copies. `value` is signed. */
export type MessageSink = (type: number, line: number, value: number) => void;

/** The messages of a metux device: buffers to send from, and buffers that lie there for it to write into. */
export class MetuxMessages {
  /** Messages that were not 8 bytes. */
  malformed = 0;
  readonly #fromDevice: DriverQueue;
  readonly #toDevice: DriverQueue;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #address: number;
  readonly #received: number;
  readonly #slotOfReceived: Int32Array;
  readonly #slotOfSent: Int32Array;
  readonly #freeSlots: number[] = [];

  /** Posts the receive buffers. @throws CoprocessorError ERR_CARVEOUT when there is no room for the buffers */
  constructor(vdev: BoundVdev, fromDevice: DriverQueue, toDevice: DriverQueue) {
    this.#fromDevice = fromDevice;
    this.#toDevice = toDevice;
    this.#received = Math.min(fromDevice.size, MAX_SLOTS);
    const count = this.#received + Math.min(toDevice.size, MAX_SLOTS);
    const sizeBytes = count * METUX_MESSAGE_SIZE;
    this.#address = vdev.buffers.allocate(sizeBytes, METUX_MESSAGE_SIZE, 'message buffers');
    this.#window = vdev.memory.require('message buffers', this.#address, sizeBytes, METUX_MESSAGE_SIZE);
    this.#base = vdev.memory.offset;
    this.#slotOfReceived = new Int32Array(fromDevice.size).fill(-1);
    this.#slotOfSent = new Int32Array(toDevice.size).fill(-1);
    for (let slot = 0; slot < this.#received; slot++) this.#post(slot);
    for (let slot = count - 1; slot >= this.#received; slot--) this.#freeSlots.push(slot);
    fromDevice.publish();
  }

  #post(slot: number): void {
    const address = this.#address + slot * METUX_MESSAGE_SIZE;
    const head = this.#fromDevice.add(0, 0, address, METUX_MESSAGE_SIZE);
    if (head >= 0) this.#slotOfReceived[head] = slot;
  }

  /** Puts a message into the queue, to be published. @returns false when there is no room */
  send(type: number, line: number, value: number): boolean {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return false;
    const at = (this.#base + slot * METUX_MESSAGE_SIZE) >>> 2;
    this.#window.u32[at] = type | (line << 16);
    this.#window.u32[at + 1] = value;
    const head = this.#toDevice.add(this.#address + slot * METUX_MESSAGE_SIZE, METUX_MESSAGE_SIZE, 0, 0);
    if (head < 0) {
      this.#freeSlots.push(slot);
      return false;
    }
    this.#slotOfSent[head] = slot;
    return true;
  }

  /** Takes sent buffers back. @returns how many */
  reclaim(): number {
    let count = 0;
    for (let head = this.#toDevice.popUsed(); head >= 0; head = this.#toDevice.popUsed()) {
      this.#freeSlots.push(this.#slotOfSent[head] as number);
      this.#slotOfSent[head] = -1;
      count++;
    }
    return count;
  }

  /** Takes at most `budget` messages, whose buffers go back at once. @returns how many */
  poll(budget: number, sink: MessageSink): number {
    let count = 0;
    while (count < budget) {
      const head = this.#fromDevice.popUsed();
      if (head < 0) break;
      count++;
      const slot = this.#slotOfReceived[head] as number;
      this.#slotOfReceived[head] = -1;
      const at = (this.#base + slot * METUX_MESSAGE_SIZE) >>> 2;
      const typeAndLine = this.#window.u32[at] as number;
      const value = (this.#window.u32[at + 1] as number) | 0;
      const isWhole = this.#fromDevice.usedBytes === METUX_MESSAGE_SIZE;
      this.#post(slot);
      if (isWhole) sink(typeAndLine & 0xffff, typeAndLine >>> 16, value);
      else this.malformed++;
    }
    return count;
  }
}
