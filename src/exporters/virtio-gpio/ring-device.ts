import type { Chip } from '../../gpio/chip.ts';
import type { LineConsumer, LineHandle } from '../../gpio/line-handle.ts';
import type { SelectedLine } from '../../gpio/line-selection.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import { DeviceCounters } from './counters.ts';
import {
  batchOf,
  type ExportedDevice,
  type ExportedDeviceOptions,
  type Log,
  RING_FEATURES,
  someBlock,
} from './exported-device.ts';

const BATCH = 64;

/**
 * What the devices of other drivers than the standard's have in common: lines of our chips as a consumer of them, rings that come
 * and go, and their faults.
 */
export abstract class RingDevice implements ExportedDevice, LineConsumer, Pollable {
  readonly name: string;
  abstract readonly config: Uint8Array;
  readonly features = RING_FEATURES;
  readonly queueCount: number;
  pollUs: number;
  readonly counters: DeviceCounters;
  onBroken: ((queueIndex: number, reason: string) => void) | null = null;
  hasLostMemory: (() => boolean) | null = null;
  readonly handles: readonly LineHandle[];
  protected readonly queues: (DeviceQueue | null)[];
  readonly #calls: ((() => void) | null)[];
  readonly #chips: readonly Chip[];
  readonly blocks: boolean;
  /** Requests that are served in one go. */
  protected readonly batch: number;
  readonly #poller: Poller;
  readonly #onLog: Log;
  #needsReset = false;
  /** Entries of each ring that named no chain to complete, as far as they are counted. */
  readonly #badHeads: number[];

  constructor(options: ExportedDeviceOptions, queueCount: number) {
    this.name = `guest ${options.name}`;
    this.#poller = options.poller;
    this.pollUs = options.pollUs;
    this.#onLog = options.onLog;
    this.queueCount = queueCount;
    this.queues = new Array<null>(queueCount).fill(null);
    this.#calls = new Array<null>(queueCount).fill(null);
    this.#badHeads = new Array<number>(queueCount).fill(0);
    this.handles = options.lines.map((selected, index) =>
      selected.line.lines.open(selected.line.offset, this, index, selected),
    );
    this.#chips = [...new Set(options.lines.map(({ line }) => line.lines.chip))];
    this.blocks = someBlock(this.#chips);
    this.batch = batchOf(this, BATCH);
    this.counters = new DeviceCounters((reason) =>
      this.#logFault(
        'warn',
        `${this.name}: bad chain (${reason}); it is counted, and further ones are not logged`,
      ),
    );
  }

  /** Serves at most a bounded batch of everything. @returns how much */
  protected abstract serve(): number;
  /** The rings' contents are about to be another driver's. */
  protected abstract forget(): void;
  abstract settle(index: number): void;

  /** The standard's interrupts: nobody has them here. */
  interrupt(): void {}

  /** The device's protocol has no features of its own. */
  setFeatures(): void {}

  get lineCount(): number {
    return this.handles.length;
  }

  get needsReset(): boolean {
    return this.#needsReset;
  }

  setQueue(index: number, queue: DeviceQueue | null, call: (() => void) | null, _continues: boolean): void {
    if (queue === null) this.publish(index);
    this.#calls[index] = call;
    this.#badHeads[index] = 0;
    this.queues[index] = queue;
    if (queue !== null) this.wake();
    else if (this.queues.every((other) => other === null)) this.#poller.remove(this);
  }

  /** Something is to be sent, outside of a pass. */
  protected wake(): void {
    this.#poller.request(this);
  }

  kicked(): void {
    this.#poller.wake(this);
  }

  reset(): void {
    this.#needsReset = false;
    this.forget();
    for (const handle of this.handles) handle.reset();
    this.flushChips();
  }

  suspend(): void {
    this.#needsReset = false;
    for (const handle of this.handles) handle.suspend();
    this.flushChips();
  }

  configure(lines: readonly SelectedLine[]): void {
    for (const [index, { access, role, debounceMs }] of lines.entries())
      this.handles[index]?.configure({ access, role, debounceMs });
    this.flushChips();
  }

  poll(): boolean {
    let count = this.serve();
    this.flushChips();
    for (let index = 0; index < this.queueCount; index++) {
      this.publish(index);
      count += this.#check(index);
    }
    return count > 0;
  }

  protected flushChips(): void {
    for (const chip of this.#chips) chip.flush();
  }

  /** One index store and at most one call for everything that was returned since the last time. */
  protected publish(index: number): void {
    if (this.queues[index]?.publish()) this.call(index);
  }

  protected call(index: number): void {
    this.#calls[index]?.();
  }

  /** Looks after faults of the ring itself. @returns how many of its entries were skipped */
  #check(index: number): number {
    const queue = this.queues[index];
    if (!queue) return 0;
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
    for (const queue of this.queues) queue?.disableKicks();
  }

  enableNotifications(): boolean {
    for (const queue of this.queues) queue?.enableKicks();
    return this.queues.some((queue, index) => queue !== null && this.wants(index) && queue.hasWork());
  }

  /** Whether what lies in a ring would be taken now. */
  wants(_index: number): boolean {
    return true;
  }

  close(): void {
    this.forget();
    this.queues.fill(null);
    this.#calls.fill(null);
    this.#poller.remove(this);
    for (const handle of this.handles) handle.close();
  }
}
