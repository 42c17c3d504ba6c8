import type { CoprocessorConfig } from '../config/config.ts';
import { Coprocessor, type CoprocessorOptions } from '../coprocessor/coprocessor.ts';
import { CoprocessorError } from '../coprocessor/coprocessor-error.ts';
import type { Log } from '../coprocessor/log.ts';
import { RemoteprocLifecycle } from '../coprocessor/remoteproc-lifecycle.ts';
import type { SupervisedChip } from '../coprocessor/supervised-chip.ts';
import { CoprocessorSupervisor, type OpenChip } from '../coprocessor/supervisor.ts';
import { NeedlessRings } from '../virtqueue/needless-rings.ts';
import type { CoprocessorAction, CoprocessorStatus } from '../wire/control.ts';

/** One life of a co-processor whose firmware the kernel's remoteproc runs: it ends when that goes down. */
class RemoteprocLife extends Coprocessor {
  readonly #lifecycle: RemoteprocLifecycle;
  readonly #listeners: ((reason: string, isFailure: boolean) => void)[] = [];
  #unlisten: () => void = () => {};

  constructor(options: CoprocessorOptions, lifecycle: RemoteprocLifecycle) {
    super(options);
    this.#lifecycle = lifecycle;
  }

  override async start(): Promise<void> {
    let isStarted = false;
    // Before the wait: it may go down again at once.
    this.#unlisten = this.#lifecycle.onState((state) => {
      if (!isStarted || this.#lifecycle.isUp) return;
      for (const listener of this.#listeners.splice(0))
        listener(`remoteproc is ${state}`, state === 'crashed');
    });
    await this.#lifecycle.up();
    isStarted = true;
    await super.start();
    if (this.#lifecycle.isUp) return;
    await this.close();
    throw new CoprocessorError('ERR_REMOTEPROC', `remoteproc is ${this.#lifecycle.state} again`);
  }

  override onExit(listener: (reason: string, isFailure: boolean) => void): void {
    this.#listeners.push(listener);
    super.onExit((reason, isFailure) => {
      if (this.#listeners.includes(listener)) listener(reason, isFailure);
    });
  }

  override close(): Promise<void> {
    this.#unlisten();
    this.#listeners.length = 0;
    return super.close();
  }
}

/** A co-processor as configured: what keeps it alive, and the kernel's remoteproc where that runs its firmware. */
export class SupervisedCoprocessor {
  readonly name: string;
  readonly #supervisor: CoprocessorSupervisor<Coprocessor>;
  readonly #lifecycle: RemoteprocLifecycle | null;
  readonly #calls = new NeedlessRings();

  /**
   * @param onState told when {@link status} has changed
   * @throws CoprocessorError ERR_REMOTEPROC when the kernel has no such remoteproc
   */
  constructor(
    name: string,
    config: CoprocessorConfig,
    vdevs: readonly number[],
    onLog: Log,
    onState: () => void,
  ) {
    const { memory, resourceTable, doorbell, exec, remoteproc, startTimeoutMs, takeOver, restart } = config;
    this.name = name;
    const lifecycle = remoteproc === undefined ? null : RemoteprocLifecycle.open(remoteproc, onLog);
    this.#lifecycle = lifecycle;
    const options: CoprocessorOptions = {
      calls: this.#calls,
      name,
      memory,
      resourceTable,
      doorbell,
      exec,
      startTimeoutMs,
      takeOver,
      vdevs,
      onLog,
      isSupervised: true,
    };
    this.#supervisor = new CoprocessorSupervisor({
      name,
      create: () => (lifecycle === null ? new Coprocessor(options) : new RemoteprocLife(options, lifecycle)),
      hasProcess: exec !== undefined,
      restart,
      returnTimeoutMs: startTimeoutMs,
      onLog,
      onState: (state) => {
        // Whatever was lost, it may be for that.
        if (state === 'restarting') lifecycle?.look();
        onState();
      },
    });
  }

  get status(): CoprocessorStatus {
    const { name, state, reason, restarts } = this.#supervisor;
    return {
      name,
      state,
      restarts,
      limits: { needlessCalls: this.#calls.needless, callPauses: this.#calls.pauses },
      ...(reason === null ? {} : { reason }),
      ...(this.#lifecycle === null ? {} : { remoteproc: this.#lifecycle.state }),
    };
  }

  /** For the watchdog, see Progress. */
  stuck(): string | null {
    return this.#supervisor.stuck();
  }

  /** @throws CoprocessorError when it does not come up; nothing is tried again then */
  start(): Promise<void> {
    return this.#supervisor.start();
  }

  open(name: string, open: OpenChip<Coprocessor>): Promise<SupervisedChip> {
    return this.#supervisor.open(name, open);
  }

  /** Starts, stops or restarts it by request. @throws CoprocessorError when that fails */
  async control(action: CoprocessorAction): Promise<CoprocessorStatus> {
    const lifecycle = this.#lifecycle;
    if (lifecycle === null) {
      if (action === 'stop') await this.#supervisor.stop();
      else if (action === 'start') await this.#supervisor.startAgain();
      else await this.#supervisor.restart();
      return this.status;
    }
    // Its vdevs are let go of before the firmware is stopped.
    if (action !== 'start') await this.#supervisor.stop();
    if (action === 'stop') await lifecycle.stop();
    else {
      if (action === 'start') await lifecycle.start();
      else await lifecycle.restart();
      await this.#supervisor.startAgain();
    }
    return this.status;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#supervisor.close();
    await this.#lifecycle?.close();
  }
}
