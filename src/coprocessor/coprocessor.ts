import { onDeadMapping } from '../native.ts';
import { NeedlessRings, PAUSE_MS } from '../virtqueue/needless-rings.ts';
import { type ResourceTable, VDEV_OFFSET } from '../wire/resource-table.ts';
import { BufferMemory } from './buffer-memory.ts';
import { CoprocessorError, hex } from './coprocessor-error.ts';
import {
  type CoprocessorOptions,
  checkOptions,
  DEFAULT_START_TIMEOUT_MS,
  isInheritable,
} from './coprocessor-options.ts';
import { DeviceMemory } from './device-memory.ts';
import { ANY_NOTIFY_ID, type Doorbell } from './doorbell.ts';
import { FirmwareProcess } from './firmware-process.ts';
import { FirmwareWait } from './firmware-wait.ts';
import { kernelVdevs } from './kernel-vdevs.ts';
import type { Log } from './log.ts';
import { type MemoryRegion, openMemory } from './memory-region.ts';
import { createDoorbell } from './open-doorbell.ts';
import { locateTable, readTable, type TableLocation } from './table-source.ts';
import { waitForTable } from './table-wait.ts';
import type { BoundVdev, RemoteprocVdev } from './vdev.ts';
import { bind, findVdev, refuseDriven, storeStatus, vdevsOf } from './vdev-binding.ts';
import { describeVdevId, VDEV_STATUS } from './vdev-status.ts';

export type { CoprocessorOptions } from './coprocessor-options.ts';

/** Said to FirmwareWait when no call can be told from others. */
const NO_ID = -2;

/** What the doorbell says for a vdev and its vrings. */
interface VdevNotifyIds {
  readonly notifyid: number;
  readonly vrings: readonly { readonly notifyid: number }[];
}

/** What there is once the firmware offers its table. */
interface Running {
  readonly memory: DeviceMemory;
  readonly doorbell: Doorbell;
  readonly location: TableLocation;
  readonly buffers: BufferMemory;
}

/**
 * A co-processor from its start to its end: memory, doorbell, resource table, and the firmware's process where we start it. One
 * object is one life: after `onExit` it is closed, and a new one made.
 */
export class Coprocessor {
  readonly name: string;
  readonly #options: CoprocessorOptions;
  readonly #wait = new FirmwareWait();
  readonly #exitListeners: ((reason: string, isFailure: boolean) => void)[] = [];
  readonly #bound: RemoteprocVdev[] = [];
  /** Indices of vdevs that were reset and whose firmware may still be busy with the old queues. */
  readonly #settling = new Map<number, Promise<unknown>>();
  #regions: MemoryRegion[] = [];
  #memory: DeviceMemory | undefined;
  #unwatchMemory: () => void = () => {};
  #doorbell: Doorbell | undefined;
  #process: FirmwareProcess | undefined;
  #running: Running | undefined;
  readonly #calls: NeedlessRings;
  /** How far the rings of all vdevs were taken at the last call. */
  #calledAt = -1;
  /** Calls are not listened to until then. */
  #pause: NodeJS.Timeout | undefined;
  readonly #closingListeners: (() => void)[] = [];
  #bringUp: Promise<void> | undefined;
  #ended: { readonly reason: string; readonly isFailure: boolean } | undefined;
  #abortStart: (error: Error) => void = () => {};
  #closing: Promise<void> | undefined;

  constructor(options: CoprocessorOptions) {
    this.name = options.name;
    this.#options = options;
    this.#calls = options.calls ?? new NeedlessRings();
  }

  /**
   * Opens memory and doorbell, starts the firmware where that is ours to do, and waits for its resource table.
   * Closes everything again when that fails.
   * @throws CoprocessorError with what was wrong, its code by the part that failed
   */
  async start(): Promise<void> {
    if (this.#bringUp !== undefined || this.#closing !== undefined) {
      throw new CoprocessorError('ERR_CLOSED', `co-processor ${this.name} can be started once only`);
    }
    const aborted = new Promise<never>((_resolve, reject) => {
      this.#abortStart = reject;
    });
    this.#bringUp = this.#start();
    try {
      await Promise.race([this.#bringUp, aborted]);
    } catch (error) {
      const isClosed = error instanceof CoprocessorError && error.code === 'ERR_CLOSED';
      // Whatever was found wrong in it follows from that.
      const truncated = isClosed ? null : (this.#memory?.truncated ?? null);
      await this.close();
      throw truncated === null ? error : new CoprocessorError('ERR_MEMORY_LOST', truncated, error);
    }
  }

  async #start(): Promise<void> {
    const { memory: sources, doorbell: doorbellOptions, exec, sysfsRoot, resourceTable } = this.#options;
    const timeoutMs = this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
    const deadline = performance.now() + timeoutMs;
    checkOptions(this.#options);
    for (const source of sources) this.#regions.push(openMemory(source, sysfsRoot));
    const memory = new DeviceMemory(this.#regions);
    this.#memory = memory;
    this.#unwatchMemory = onDeadMapping(() => {
      const { truncated } = memory;
      if (truncated !== null) this.#end('ERR_MEMORY_LOST', truncated);
    });
    const location = locateTable(resourceTable, memory);
    const doorbell = createDoorbell(doorbellOptions, timeoutMs, sysfsRoot);
    this.#doorbell = doorbell;
    if (exec !== undefined) {
      const region = this.#regions[sources.findIndex(isInheritable)];
      const inherited =
        region === undefined ? undefined : { memory: region, doorbellFds: doorbell.inheritedFds };
      this.#process = await FirmwareProcess.start(exec, inherited, this.#log);
      this.#process.onExit((reason, isFailure, isCrash) =>
        this.#end(isCrash ? 'ERR_CRASHED' : 'ERR_EXEC', reason, isFailure),
      );
    }
    this.#throwIfClosing();
    await doorbell.open(
      (notifyId) => this.#called(notifyId),
      (reason) => this.#end('ERR_DOORBELL', reason),
    );
    this.#throwIfClosing();
    await waitForTable(memory, location, {
      wait: this.#wait,
      timeoutMs,
      leftMs: Math.max(1, deadline - performance.now()),
      // Memory that we made is zero until the firmware writes: there another version is not garbage, but a fault.
      isFresh: sources.every((source) => source.type === 'memfd'),
      // Firmware that was there before us has called long ago, if at all.
      isRechecked: doorbellOptions.type !== 'eventfd',
    });
    const table = readTable(location, memory);
    const buffers = new BufferMemory(memory, location.deviceAddress);
    const running = { memory, doorbell, location, buffers };
    await this.#resetAbandoned(running, table);
    this.#running = running;
  }

  /** Resets vdevs that a driver gave up, and with `takeOver` those that somebody drives. */
  async #resetAbandoned(running: Running, table: ResourceTable): Promise<void> {
    const { takeOver = false, vdevs: wanted } = this.#options;
    const resets: Promise<void>[] = [];
    for (const [index, vdev] of vdevsOf(table).entries()) {
      if (wanted !== undefined && !wanted.includes(index)) continue;
      const isLive = (vdev.status & VDEV_STATUS.DRIVER) !== 0;
      const isGivenUp = (vdev.status & VDEV_STATUS.FAILED) !== 0;
      if (!isLive || !(takeOver || isGivenUp) || this.#inKernel(vdev.id) !== undefined) continue;
      this.#log('info', `vdev ${index} is reset: its status is ${hex(vdev.status)} from before`);
      storeStatus(running.memory, running.location.deviceAddress + vdev.offset + VDEV_OFFSET.STATUS, 0);
      running.doorbell.ring(vdev.notifyid);
      resets.push(this.#untilQuiet(vdev));
    }
    await Promise.all(resets);
  }

  #untilQuiet(vdev: VdevNotifyIds): Promise<void> {
    const { doorbell } = this.#options;
    const isDistinct = vdev.vrings.every((vring) => vring.notifyid !== vdev.notifyid);
    const intervalMs = doorbell.type === 'poll' ? (doorbell.intervalMs ?? 10) : 0;
    return this.#wait.untilQuiet(isDistinct ? vdev.notifyid : NO_ID, intervalMs);
  }

  /**
   * Binds a virtio device of the firmware. Buffers may then be posted; nothing moves until the vdev's `driverOk()`.
   * @param index among the VDEV entries of the resource table
   * @param wantedId virtio device ID: 41 GPIO, 7 rpmsg
   * @param wantedFeatures feature bits 0 to 31 to take if they are offered
   * @throws CoprocessorError ERR_VDEV (not there, another id, driven by somebody else, bad vring), ERR_CARVEOUT (no room),
   * ERR_RESOURCE_TABLE, ERR_DOORBELL
   */
  bindVdev(index: number, wantedId: number, wantedFeatures: number): BoundVdev {
    const running = this.#running;
    if (running === undefined || this.#ended !== undefined || this.#closing !== undefined) {
      throw new CoprocessorError('ERR_CLOSED', `co-processor ${this.name} does not run`);
    }
    if (this.#bound.some((vdev) => vdev.index === index)) {
      throw new CoprocessorError('ERR_VDEV', `vdev ${index} is bound already`);
    }
    if (this.#settling.has(index)) {
      throw new CoprocessorError(
        'ERR_VDEV',
        `vdev ${index} is still being reset: await resetVdev(${index}) first`,
      );
    }
    const { memory, doorbell, location, buffers } = running;
    // Anew for every binding: the firmware may have restarted since.
    const table = readTable(location, memory);
    const vdev = findVdev(table, index, wantedId);
    this.#refuseInKernel(index, wantedId);
    refuseDriven(vdev.status, index);
    if (vdev.status !== 0) {
      // Left by a binding that failed: it never was live, so the firmware has nothing to let go of.
      storeStatus(memory, location.deviceAddress + vdev.offset + VDEV_OFFSET.STATUS, 0);
      doorbell.ring(vdev.notifyid);
    }
    const bound = bind(vdev, index, wantedFeatures, {
      memory,
      buffers,
      doorbell,
      table,
      tableAddress: location.deviceAddress,
      onFail: (reason) => this.#log(this.#faultLevel, `vdev ${index} failed: ${reason}`),
      onClose: (wasLive) => {
        this.#bound.splice(this.#bound.indexOf(bound), 1);
        if (wasLive && this.#ended === undefined && this.#closing === undefined) this.#settle(index, vdev);
      },
    });
    this.#bound.push(bound);
    this.#log(
      'debug',
      `vdev ${index} is bound: features ${hex(bound.features)}, ${bound.queues.length} vrings`,
    );
    return bound;
  }

  /**
   * What a vdev is, without binding it: the id of its virtio device, and its configuration space.
   * @throws CoprocessorError ERR_VDEV when the resource table has none of that index, ERR_CLOSED
   */
  describeVdev(index: number): { readonly id: number; readonly config: Uint8Array } {
    const running = this.#running;
    if (running === undefined || this.#ended !== undefined || this.#closing !== undefined) {
      throw new CoprocessorError('ERR_CLOSED', `co-processor ${this.name} does not run`);
    }
    const vdevs = vdevsOf(readTable(running.location, running.memory));
    const vdev = vdevs[index];
    if (vdev === undefined) {
      const there = vdevs.length === 0 ? 'none' : `0 to ${vdevs.length - 1}`;
      throw new CoprocessorError('ERR_VDEV', `the resource table has no vdev ${index}; there are ${there}`);
    }
    return { id: vdev.id, config: vdev.config };
  }

  #settle(index: number, vdev: VdevNotifyIds): void {
    const settled = (): boolean => this.#settling.delete(index);
    this.#settling.set(index, this.#untilQuiet(vdev).then(settled, settled));
  }

  /** Closes a vdev and waits until the firmware has let go of it, so that it can be bound again. */
  async resetVdev(index: number): Promise<void> {
    this.#bound.find((vdev) => vdev.index === index)?.close();
    await this.#settling.get(index);
  }

  #inKernel(id: number): string | undefined {
    // The kernel knows nothing of firmware that is a process of ours.
    if (this.#options.exec !== undefined) return undefined;
    return kernelVdevs(this.#options.sysfsRoot ?? '/sys').find((vdev) => vdev.id === id)?.path;
  }

  #refuseInKernel(index: number, id: number): void {
    const path = this.#inKernel(id);
    if (path === undefined) return;
    throw new CoprocessorError(
      'ERR_VDEV',
      `vdev ${index} (id ${describeVdevId(id)}) is the kernel's: it shows as ${path}. To keep the kernel off it, place this vdev's resource table outside the section .resource_table of the firmware, where remoteproc does not look, and give its address as resourceTable.deviceAddress`,
    );
  }

  /**
   * The listener is told once when the co-processor is gone: its process ended, its doorbell broke down, or its memory was
   * truncated. Everything but a process that exited with code 0 is a failure. Bound vdevs are told before. Not told of `close()`.
   */
  onExit(listener: (reason: string, isFailure: boolean) => void): void {
    if (this.#ended !== undefined) listener(this.#ended.reason, this.#ended.isFailure);
    else this.#exitListeners.push(listener);
  }

  /** For the watchdog: what of the bound vdevs' rings does not go on; null when all do. See Progress. */
  stuck(): string | null {
    const found = [...this.#bound].map((vdev) => vdev.stuck());
    return found.find((text) => text !== null) ?? null;
  }

  /** Kills the firmware's process, whose end is told as any other. @returns whether there is one */
  kill(): boolean {
    this.#process?.kill();
    return this.#process !== undefined;
  }

  get #faultLevel(): 'debug' | 'error' {
    return this.#options.isSupervised ? 'debug' : 'error';
  }

  /** The listener runs when `close()` begins, while memory and vrings are still there. */
  onClosing(listener: () => void): void {
    this.#closingListeners.push(listener);
  }

  #called(notifyId: number): void {
    this.#wait.called(notifyId);
    this.#tell(notifyId);
    const { doorbell } = this.#options;
    // Without a bound vdev there are no rings, and calls say other things. A doorbell that is polled never rings by itself.
    if (doorbell.type === 'poll' || this.#bound.length === 0) return;
    let position = 0;
    for (const { queues } of this.#bound) for (const queue of queues) position += queue.nextUsed;
    const hadWork = position !== this.#calledAt;
    this.#calledAt = position;
    if (this.#calls.rang(hadWork)) this.#pauseCalls();
  }

  /** It rings without end, and its rings are empty: they are looked at every few milliseconds for now. */
  #pauseCalls(): void {
    const doorbell = this.#doorbell;
    if (doorbell?.pause === undefined || this.#pause !== undefined) return;
    doorbell.pause();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      doorbell.resume?.();
      this.#tell(ANY_NOTIFY_ID);
    }, PAUSE_MS);
  }

  /** The vdevs that are meant look at their rings. */
  #tell(notifyId: number): void {
    // Backwards: a vdev may be closed, and so be taken out, by what its call brings.
    for (let i = this.#bound.length - 1; i >= 0; i--) {
      const vdev = this.#bound[i] as RemoteprocVdev;
      if (vdev.isMeant(notifyId)) vdev.called();
    }
  }

  #end(
    code: 'ERR_EXEC' | 'ERR_CRASHED' | 'ERR_DOORBELL' | 'ERR_MEMORY_LOST',
    reason: string,
    isFailure = true,
  ): void {
    if (this.#ended !== undefined || this.#closing !== undefined) return;
    this.#abortStart(new CoprocessorError(code, reason));
    if (this.#running === undefined) return;
    this.#ended = { reason, isFailure };
    this.#log(this.#faultLevel, reason);
    this.#wait.abort(new CoprocessorError(code, reason));
    for (const vdev of [...this.#bound]) vdev.lose(reason);
    for (const listener of this.#exitListeners.splice(0)) listener(reason, isFailure);
  }

  #throwIfClosing(): void {
    if (this.#closing !== undefined) throw this.#closedError();
  }

  #closedError(): CoprocessorError {
    return new CoprocessorError('ERR_CLOSED', `co-processor ${this.name} was closed`);
  }

  readonly #log: Log = (level, message) => this.#options.onLog?.(level, `${this.name}: ${message}`);

  /** Resets the bound vdevs, ends the firmware's process, and gives everything back. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Not before #closing is set: what is torn down here calls back.
    await Promise.resolve();
    for (const listener of this.#closingListeners.splice(0)) listener();
    for (const vdev of [...this.#bound]) vdev.close();
    this.#abortStart(this.#closedError());
    this.#wait.abort(this.#closedError());
    this.#doorbell?.close();
    clearTimeout(this.#pause);
    // A start that is under way notices now, and must not leave anything behind.
    await this.#bringUp?.catch(() => {});
    await this.#process?.close();
    this.#unwatchMemory();
    for (const region of this.#regions.splice(0)) region.close();
    this.#running = undefined;
  }
}
