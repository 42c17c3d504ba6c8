import { Carveout } from '../../../src/coprocessor/carveout.ts';
import { VirtioGpioChip } from '../../../src/coprocessor/dialects/virtio-gpio.ts';
import type { BoundVdev } from '../../../src/coprocessor/vdev.ts';
import type { Completion } from '../../../src/gpio/chip.ts';
import { AddressSpace } from '../../../src/virtqueue/address-space.ts';
import type { DescriptorChain } from '../../../src/virtqueue/descriptor-chain.ts';
import { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { DriverQueue } from '../../../src/virtqueue/driver-queue.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { encodeConfig, encodeNames } from '../../../src/wire/virtio-gpio.ts';
import { vringLayout } from '../../../src/wire/vring.ts';

const BASE = 0x1000_0000;
const BUFFER_BYTES = 0x20000;
export const F_IRQ = 1;
export const F_STREAM = 1 << 16;
export const F_EVENT_IDX = 1 << 29;

export interface PlayedOptions {
  readonly lineCount?: number;
  readonly names?: readonly string[];
  /** Default: F_IRQ. */
  readonly features?: number;
  readonly queueSizes?: readonly number[];
  readonly requestTimeoutMs?: number;
  readonly firstAnswerTimeoutMs?: number;
  /** Memory for buffers. */
  readonly bufferBytes?: number;
  /** Config space as the firmware has it; default: what fits. */
  readonly config?: Uint8Array;
  /** Names block that GET_LINE_NAMES answers; null = no answer. */
  readonly namesAnswer?: Uint8Array | null;
}

/** A request that the firmware has taken. */
export interface Taken {
  readonly type: number;
  readonly line: number;
  readonly value: number;
  readonly chain: DescriptorChain;
}

interface Layout {
  readonly size: number;
  readonly address: number;
  readonly availableOffset: number;
  readonly usedOffset: number;
}

/** Both ends of a bound vdev in one memory: what the dialect drives, and the firmware's queues, which tests play. */
export class PlayedFirmware implements BoundVdev {
  readonly index = 0;
  readonly id = 41;
  readonly features: number;
  readonly memory = new AddressSpace();
  readonly queues: readonly DriverQueue[];
  readonly buffers: Carveout;
  readonly view: DataView;
  readonly options: PlayedOptions;
  readonly lineCount: number;
  readonly poller = new Poller();
  /** The firmware's ends of the queues, from DRIVER_OK on. */
  device: DeviceQueue[] = [];
  /** Kicks by queue. */
  readonly kicks = [0, 0];
  readonly failures: string[] = [];
  closes = 0;
  /** Offsets of the used rings in the memory. */
  readonly usedOffsets: number[] = [];
  readonly #layouts: Layout[] = [];
  #onCall: () => void = () => {};
  readonly #onLost: ((reason: string) => void)[] = [];

  constructor(options: PlayedOptions = {}) {
    const { features = F_IRQ, queueSizes = [16, 16], lineCount = 4, bufferBytes = BUFFER_BYTES } = options;
    this.options = options;
    this.features = features;
    this.lineCount = lineCount;
    let address = BASE;
    for (const size of queueSizes) {
      const layout = vringLayout(size, 16);
      this.#layouts.push({ size, address, ...layout });
      this.usedOffsets.push(address - BASE + layout.usedOffset);
      address += Math.ceil(layout.sizeBytes / 64) * 64;
    }
    const memory = new ArrayBuffer(address - BASE + bufferBytes);
    this.view = new DataView(memory);
    this.memory.add(BASE, memory);
    this.buffers = new Carveout(address, bufferBytes);
    this.queues = this.#layouts.map(
      (layout) =>
        new DriverQueue({ memory: this.memory, eventIdx: this.#eventIdx, ...this.#addresses(layout) }),
    );
  }

  get #eventIdx(): boolean {
    return (this.features & F_EVENT_IDX) !== 0;
  }

  #addresses({ size, address, availableOffset, usedOffset }: Layout) {
    return {
      size,
      descriptorAddress: address,
      availableAddress: address + availableOffset,
      usedAddress: address + usedOffset,
    };
  }

  readConfig(): Uint8Array {
    const names = encodeNames(this.options.names ?? []);
    return this.options.config ?? encodeConfig({ lineCount: this.lineCount, namesSize: names.length });
  }
  readStatus(): number {
    return 7;
  }
  kick(queueIndex: number): void {
    (this.kicks[queueIndex] as number)++;
    if (queueIndex === 0) this.#answerNames();
  }
  onCall(listener: () => void): void {
    this.#onCall = listener;
  }
  onLost(listener: (reason: string) => void): void {
    this.#onLost.push(listener);
  }
  driverOk(): void {
    this.device = this.#layouts.map(
      (layout) =>
        new DeviceQueue({
          memory: this.memory,
          eventIdx: this.#eventIdx,
          indirect: false,
          nextAvailable: 0,
          ...this.#addresses(layout),
        }),
    );
  }
  fail(reason: string): void {
    this.failures.push(reason);
  }
  close(): void {
    this.closes++;
  }

  /** The firmware goes away. */
  lose(reason: string): void {
    for (const listener of this.#onLost.splice(0)) listener(reason);
  }

  /** Rings, whether the driver asked for it or not. */
  ring(): void {
    this.#onCall();
  }

  queue(index: number): DeviceQueue {
    return this.device[index] as DeviceQueue;
  }

  #names = true;
  /** The first request of all: answered by itself, so that tests begin with the chip open. */
  #answerNames(): void {
    const { namesAnswer, names } = this.options;
    if (!this.#names || names === undefined || namesAnswer === null) return;
    this.#names = false;
    const [request] = this.take();
    if (request === undefined) return;
    const block = namesAnswer ?? encodeNames(names);
    request.chain.writeU8(0, 0);
    request.chain.write(1, block);
    this.queue(0).push(request.chain, 1 + block.length);
    this.#publish(0);
  }

  #publish(index: number): void {
    // As a firmware does: the doorbell only when the driver asked for it.
    if (this.queue(index).publish()) this.ring();
  }

  /** Takes all requests that lie there. */
  take(): Taken[] {
    const taken: Taken[] = [];
    for (let chain = this.queue(0).pop(); chain !== null; chain = this.queue(0).pop()) {
      if (chain.fault !== 0 || chain.readableBytes !== 8) throw new Error('not a request');
      taken.push({ type: chain.readU16(0), line: chain.readU16(2), value: chain.readU32(4), chain });
    }
    return taken;
  }

  /** As `type:line=value`. */
  static text({ type, line, value }: Taken): string {
    return `${type}:${line}=${value}`;
  }

  answer(request: Taken | undefined, status: number, value = 0, usedBytes = 2): void {
    if (request === undefined) throw new Error('no such request');
    if (usedBytes > 0) request.chain.writeU8(0, status);
    if (usedBytes > 1) request.chain.writeU8(1, value);
    this.queue(0).push(request.chain, usedBytes);
    this.#publish(0);
  }

  /** Answers everything OK, with the line's number as the value where there is one. */
  answerAll(): string[] {
    const taken = this.take();
    for (const request of taken) {
      const reads = request.type === 2 || request.type === 4;
      this.answer(request, 0, reads ? request.line & 1 : 0);
    }
    return taken.map(PlayedFirmware.text);
  }

  /** Event buffers of a plain device, by line. */
  readonly eventBuffers = new Map<number, DescriptorChain[]>();

  /** Takes the event buffers that lie there; returns their lines. */
  takeBuffers(): number[] {
    const lines: number[] = [];
    for (let chain = this.queue(1).pop(); chain !== null; chain = this.queue(1).pop()) {
      const line = chain.readU16(0);
      if (chain.readableBytes !== 2 || chain.writableBytes !== 1) throw new Error('not an event buffer');
      this.eventBuffers.set(line, [...(this.eventBuffers.get(line) ?? []), chain]);
      lines.push(line);
    }
    return lines;
  }

  /** Gives the buffer of a line back. @param status 1 = VALID, 0 = INVALID */
  event(line: number, status = 1, usedBytes = 1): void {
    this.takeBuffers();
    const chain = this.eventBuffers.get(line)?.shift();
    if (chain === undefined) throw new Error(`line ${line} has no event buffer`);
    chain.writeU8(0, status);
    this.queue(1).push(chain, usedBytes);
    this.#publish(1);
  }

  /** Puts a record of 16 bytes into the next event buffer, without ringing; false when there is none. */
  record(bytes: Uint8Array, usedBytes = bytes.length): boolean {
    const chain = this.queue(1).pop();
    if (chain === null) return false;
    if (chain.readableBytes !== 0 || chain.writableBytes !== 16) throw new Error('not a record buffer');
    chain.write(0, bytes);
    this.queue(1).push(chain, usedBytes);
    return true;
  }

  publishRecords(): void {
    this.#publish(1);
  }

  open(): Promise<VirtioGpioChip> {
    const { requestTimeoutMs = 100, firstAnswerTimeoutMs } = this.options;
    return VirtioGpioChip.open(this, {
      name: 'hub',
      where: 'm4',
      poller: this.poller,
      requestTimeoutMs,
      ...(firstAnswerTimeoutMs !== undefined && { firstAnswerTimeoutMs }),
    });
  }
}

/** Outcomes as `token: result value`, in the order in which they came. */
export class TokenLog implements Completion {
  readonly list: string[] = [];

  complete(token: number, result: number, value: number): void {
    this.list.push(`${token}: ${result} ${value}`);
  }

  taken(): string[] {
    return this.list.splice(0);
  }
}
