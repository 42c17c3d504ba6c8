import type { Chip } from '../../gpio/chip.ts';
import type { SelectedLine } from '../../gpio/line-selection.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import { FEATURE_EVENT_IDX, FEATURE_INDIRECT_DESC, FEATURE_VERSION_1 } from '../../wire/vring.ts';
import type { DeviceCounters } from './counters.ts';
import type { InflightRegion } from './inflight.ts';

/** Feature bits of the rings, which every exported device offers. */
export const RING_FEATURES =
  (1n << BigInt(FEATURE_INDIRECT_DESC)) |
  (1n << BigInt(FEATURE_EVENT_IDX)) |
  (1n << BigInt(FEATURE_VERSION_1));

/** Requests that are served in one go where a chip holds up the caller with each: 40 us on a fast one, milliseconds on a slow bus. */
const BLOCKING_BATCH = 4;

/** How many requests a device serves in one go. */
export function batchOf({ blocks }: Pollable, most: number): number {
  return blocks === true ? Math.min(BLOCKING_BATCH, most) : most;
}

/** Whether the requests for one of these lines hold up the caller. */
export function someBlock(chips: readonly Chip[]): boolean {
  return chips.some(({ blocks }) => blocks === true);
}

export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

export interface ExportedDeviceOptions {
  /** The guest's name, as in `guest vm1`. */
  readonly name: string;
  readonly lines: readonly SelectedLine[];
  readonly poller: Poller;
  /** How long to keep looking at the rings after serving them, in microseconds; 0 = wait for a kick at once. */
  readonly pollUs: number;
  readonly onLog: Log;
}

/** A device that a transport offers to a guest, whatever it speaks with the guest's driver. */
export interface ExportedDevice {
  /** For messages: `guest vm1`. */
  readonly name: string;
  /** The config space. */
  readonly config: Uint8Array;
  /** virtio feature bits that it offers. */
  readonly features: bigint;
  readonly queueCount: number;
  readonly lineCount: number;
  readonly counters: DeviceCounters;
  /** Settable: the poller looks at it each time. */
  pollUs: number;
  /** A ring turned out to be untrustworthy; the transport tells the guest. */
  onBroken: ((queueIndex: number, reason: string) => void) | null;
  /**
   * Whether the rings' memory has gone from under them. What they hold then is not the guest's fault to be told of: the transport
   * ends, and says why.
   */
  hasLostMemory: (() => boolean) | null;
  /** A ring of the device became untrustworthy since the last reset. */
  readonly needsReset: boolean;
  /** What the driver accepted (virtio feature bits). */
  setFeatures(features: bigint): void;
  /**
   * Attaches a ring, or takes it away (null). A taken ring has everything under way answered first.
   * @param continues the ring goes on where it stopped, buffers that lie in it are still the device's
   */
  setQueue(index: number, queue: DeviceQueue | null, call: (() => void) | null, continues: boolean): void;
  /** Answers what is under way on a ring that is about to stop, visibly. */
  settle(index: number): void;
  /** The guest kicked. */
  kicked(): void;
  /** Device reset: all of this guest's claims end. */
  reset(): void;
  /** The front-end has gone and may come back: interrupts end, outputs stay this guest's until {@link reset}. */
  suspend(): void;
  /** Outputs have waited for the front-end long enough. Default: {@link reset}. */
  expire?(): void;
  /**
   * The rings go on where a former connection or process left them: what the driver set once, it takes for still set. Called
   * before the first of these rings is attached, maybe again for the next one.
   */
  resume?(): void;
  /** Whether chains of a ring that nobody tracks go back in the order of the available ring. Default: no. */
  returnsInOrder?(queueIndex: number): boolean;
  /** The device's own tracking of a ring of which the front-end keeps none; null = none either. */
  tracker?(queueIndex: number, size: number): InflightRegion | null;
  /** Whether what lies in a ring would be taken now. Default: yes. */
  wants?(queueIndex: number): boolean;
  /** Whether each chain of a ring is returned within a bounded time, whatever the guest does. Default: no. */
  isAnswered?(queueIndex: number): boolean;
  /** Changes rights and debounce periods of the same lines, in place. */
  configure(lines: readonly SelectedLine[]): void;
  /** Gives all lines back; idempotent. */
  close(): void;
}
