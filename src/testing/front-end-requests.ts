import {
  decodeNames,
  EVENT_REQUEST_SIZE,
  EVENT_RESPONSE_SIZE,
  MSG_GET_LINE_NAMES,
  REQUEST_GPIO_OFFSET,
  REQUEST_SIZE,
  REQUEST_TYPE_OFFSET,
  REQUEST_VALUE_OFFSET,
  RESPONSE_SIZE,
  STATUS_OK,
} from '../wire/virtio-gpio.ts';
import { FrontEndError, withDeadline } from './front-end-error.ts';
import type { FrontEndMemory } from './front-end-memory.ts';
import type { FrontEndVring } from './front-end-vring.ts';

/** A device's answer to a request. Bytes that it did not write are 0xee. */
export interface GpioResponse {
  /** 0 OK, 1 ERR. */
  readonly status: number;
  readonly value: number;
  /** Bytes that the device says it wrote: 2, as Linux insists. */
  readonly usedLength: number;
}

/** A returned event buffer. */
export interface GpioEvent {
  readonly gpio: number;
  /** 0 INVALID, 1 VALID. */
  readonly status: number;
  /** Bytes that the device says it wrote: 1, as Linux insists. */
  readonly usedLength: number;
}

/** What a response holds before the device writes it, to show bytes that it left out. */
const UNTOUCHED = 0xee;

/** Buffers of one size in guest memory, used again when their chain has come back. */
class BufferPool {
  readonly #memory: FrontEndMemory;
  readonly #sizeBytes: number;
  readonly #free: number[] = [];

  constructor(memory: FrontEndMemory, sizeBytes: number) {
    this.#memory = memory;
    this.#sizeBytes = sizeBytes;
  }

  take(): number {
    return this.#free.pop() ?? this.#memory.allocate(this.#sizeBytes, 8);
  }

  giveBack(address: number): void {
    this.#free.push(address);
  }
}

/** What a guest's virtio-gpio driver does on its two queues. */
export class GpioRequests {
  readonly #memory: FrontEndMemory;
  readonly #requestQueue: FrontEndVring;
  readonly #eventQueue: FrontEndVring;
  readonly #timeoutMs: number;
  /** By the size of the response. */
  readonly #pools = new Map<number, BufferPool>();
  readonly #listeners = new Set<(event: GpioEvent) => void>();
  readonly #untaken: GpioEvent[] = [];

  constructor(
    memory: FrontEndMemory,
    requestQueue: FrontEndVring,
    eventQueue: FrontEndVring,
    timeoutMs: number,
  ) {
    this.#memory = memory;
    this.#requestQueue = requestQueue;
    this.#eventQueue = eventQueue;
    this.#timeoutMs = timeoutMs;
  }

  #pool(sizeBytes: number): BufferPool {
    let pool = this.#pools.get(sizeBytes);
    if (pool === undefined) {
      pool = new BufferPool(this.#memory, sizeBytes);
      this.#pools.set(sizeBytes, pool);
    }
    return pool;
  }

  async request(type: number, gpio: number, value: number): Promise<GpioResponse> {
    const { bytes, usedLength } = await this.#exchange(type, gpio, value, RESPONSE_SIZE);
    return { status: bytes[0]!, value: bytes[1]!, usedLength };
  }

  async lineNames(lineCount: number, namesSizeBytes: number): Promise<string[]> {
    if (namesSizeBytes === 0) return new Array<string>(lineCount).fill('');
    const { bytes, usedLength } = await this.#exchange(MSG_GET_LINE_NAMES, 0, 0, 1 + namesSizeBytes);
    if (bytes[0] !== STATUS_OK || usedLength !== 1 + namesSizeBytes) {
      const message = `GET_LINE_NAMES: status ${bytes[0]}, used length ${usedLength} of ${1 + namesSizeBytes}`;
      throw new FrontEndError('ERR_FRONT_END_REFUSED', message);
    }
    return decodeNames(bytes.subarray(1), lineCount);
  }

  #exchange(
    type: number,
    gpio: number,
    value: number,
    responseBytes: number,
  ): Promise<{ bytes: Uint8Array; usedLength: number }> {
    const what = `vring ${this.#requestQueue.index} to return the request of type ${type} for line ${gpio}`;
    return withDeadline(what, this.#timeoutMs, (resolve, reject) => {
      const pool = this.#pool(REQUEST_SIZE + responseBytes);
      const requestAddress = pool.take();
      const responseAddress = requestAddress + REQUEST_SIZE;
      this.#memory.write(requestAddress, encodeRequest(type, gpio, value));
      this.#memory.write(responseAddress, new Uint8Array(responseBytes).fill(UNTOUCHED));
      try {
        this.#requestQueue.offer(requestAddress, REQUEST_SIZE, responseAddress, responseBytes, {
          resolve: (usedLength) => {
            const bytes = this.#memory.read(responseAddress, responseBytes);
            pool.giveBack(requestAddress);
            resolve({ bytes, usedLength });
          },
          reject,
        });
      } catch (error) {
        pool.giveBack(requestAddress);
        reject(error as Error);
      }
    });
  }

  /** Offers an event buffer for a line: unmasks its interrupt. @throws FrontEndError `ERR_FRONT_END_FULL` */
  queueEvent(gpio: number): void {
    const pool = this.#pool(EVENT_REQUEST_SIZE + EVENT_RESPONSE_SIZE);
    const address = pool.take();
    const responseAddress = address + EVENT_REQUEST_SIZE;
    this.#memory.write(address, Uint8Array.of(gpio & 0xff, gpio >>> 8, UNTOUCHED));
    this.#eventQueue.offer(address, EVENT_REQUEST_SIZE, responseAddress, EVENT_RESPONSE_SIZE, {
      resolve: (usedLength) => {
        const status = this.#memory.read(responseAddress, 1)[0]!;
        pool.giveBack(address);
        this.#returned({ gpio, status, usedLength });
      },
      // After a reset the buffer is simply no longer there.
      reject: () => {},
    });
  }

  #returned(event: GpioEvent): void {
    if (this.#listeners.size === 0) this.#untaken.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }

  onEvent(listener: (event: GpioEvent) => void): () => void {
    this.#listeners.add(listener);
    for (const event of this.#untaken.splice(0)) listener(event);
    return () => this.#listeners.delete(listener);
  }

  nextEvent(timeoutMs: number): Promise<GpioEvent> {
    const event = this.#untaken.shift();
    if (event !== undefined) return Promise.resolve(event);
    let listener: (event: GpioEvent) => void = () => {};
    return withDeadline<GpioEvent>(
      'an event',
      timeoutMs,
      (resolve) => {
        listener = (came) => {
          this.#listeners.delete(listener);
          resolve(came);
        };
        this.#listeners.add(listener);
      },
      () => this.#listeners.delete(listener),
    );
  }
}

/** The 8 bytes of a request. */
export function encodeRequest(type: number, gpio: number, value: number): Uint8Array {
  const bytes = new Uint8Array(REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(REQUEST_TYPE_OFFSET, type, true);
  view.setUint16(REQUEST_GPIO_OFFSET, gpio, true);
  view.setUint32(REQUEST_VALUE_OFFSET, value, true);
  return bytes;
}
