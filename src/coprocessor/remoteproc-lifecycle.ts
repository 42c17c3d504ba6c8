import { CoprocessorError } from './coprocessor-error.ts';
import type { Log } from './log.ts';
import { isUp, Remoteproc, type RemoteprocState } from './remoteproc.ts';

/** What to do with the kernel's remoteproc of a co-processor. */
export interface RemoteprocOptions {
  /** `remoteproc0`, or its `name` attribute, which stays the same when drivers are probed in another order. */
  readonly name: string;
  /** Chosen before each start; as it is unless given. */
  readonly firmware?: string | undefined;
  /** Start it (or attach to it) when the service comes up; else wait until somebody else has. Default false. */
  readonly start?: boolean | undefined;
  /** Stop it when the service ends; one that this service attached to is detached instead. Default false. */
  readonly stopOnExit?: boolean | undefined;
  /** Whether the kernel starts it again after a crash; as it is unless given. */
  readonly recovery?: boolean | undefined;
  /** How long to wait for one that somebody else starts; 10000 unless given. */
  readonly startTimeoutMs?: number | undefined;
}

const DEFAULT_START_TIMEOUT_MS = 10_000;

/** What to do about a state in which no firmware runs. */
function remedy(state: RemoteprocState, { recovery }: Remoteproc): string {
  switch (state) {
    case 'crashed':
      return recovery === 'enabled'
        ? "the kernel's recovery has not brought it back: dmesg says why"
        : 'its recovery is disabled: set recovery: true, or start it again';
    case 'deleted':
      return 'the kernel has removed it (its driver was unbound or unloaded)';
    default:
      return 'set start: true, or start it otherwise (echo start > .../state)';
  }
}

/**
 * A co-processor's firmware as the kernel's remoteproc runs it, from the service's start to its end: start, attach, watch, stop.
 * Outlives the firmware: what becomes of its vrings is the business of who listens.
 */
export class RemoteprocLifecycle {
  readonly #remoteproc: Remoteproc;
  readonly #options: RemoteprocOptions;
  readonly #onLog: Log;
  readonly #listeners = new Set<(state: RemoteprocState) => void>();
  readonly #unwatch: () => void;
  #state: RemoteprocState;
  /** This service attached to it: it ran before, and runs on afterwards. */
  #isAttachedByUs = false;
  /** A start, stop or restart at a time. */
  #queue: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;
  #abortWait: (error: Error) => void = () => {};

  /**
   * Finds it and begins to watch it; nothing is started.
   * @param remoteproc for tests
   * @throws CoprocessorError ERR_REMOTEPROC: which ones there are
   */
  static open(
    options: RemoteprocOptions,
    onLog: Log,
    remoteproc = Remoteproc.find(options.name),
  ): RemoteprocLifecycle {
    return new RemoteprocLifecycle(options, onLog, remoteproc);
  }

  private constructor(options: RemoteprocOptions, onLog: Log, remoteproc: Remoteproc) {
    this.#remoteproc = remoteproc;
    this.#options = options;
    this.#onLog = onLog;
    this.#unwatch = remoteproc.watch((state) => this.#changed(state));
    this.#state = remoteproc.state;
    const { logFailure } = remoteproc;
    if (logFailure !== null) {
      onLog(
        'info',
        `${this.#label}: the kernel's log cannot be followed (${logFailure}): a crash shows only when requests time out; CAP_SYSLOG, or kernel.dmesg_restrict=0, would mend that`,
      );
    }
  }

  get #label(): string {
    const { entry, name } = this.#remoteproc;
    return name === '' ? entry : `${entry} (${name})`;
  }

  /** As it was told last. */
  get state(): RemoteprocState {
    return this.#state;
  }

  /** Firmware runs: its vrings can be used. Also one that runs without the kernel, when it is not ours to start. */
  get isUp(): boolean {
    return isUp(this.#state) || (this.#state === 'detached' && this.#options.start !== true);
  }

  /** Tells of each state from now on. @returns how to stop it; idempotent */
  onState(listener: (state: RemoteprocState) => void): () => void {
    // Of its own: the same function may be given twice.
    const own = (state: RemoteprocState): void => listener(state);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  #changed(state: RemoteprocState): void {
    const before = this.#state;
    this.#state = state;
    // Not at `detached`: the kernel detaches and attaches to recover it.
    if (state === 'offline') this.#isAttachedByUs = false;
    this.#onLog(
      state === 'crashed' || state === 'deleted' ? 'warn' : 'info',
      `${this.#label} is ${state}, was ${before}`,
    );
    for (const listener of [...this.#listeners]) listener(state);
  }

  /** Reads the state now: for who notices that something is wrong (a request timed out, the doorbell is silent). */
  look(): void {
    this.#remoteproc.look();
  }

  #enqueue(action: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(action);
    this.#queue = done.catch(() => {});
    return done;
  }

  /**
   * Brings it up as it is configured: recovery, firmware, start or attach; without `start` waits until it is up.
   * Resolves at once when it is up already.
   * @throws CoprocessorError ERR_REMOTEPROC, ERR_START_TIMEOUT, ERR_CLOSED
   */
  up(): Promise<void> {
    return this.#enqueue(async () => {
      const { recovery, start = false } = this.#options;
      this.#throwIfClosing();
      if (recovery !== undefined) await this.#remoteproc.setRecovery(recovery ? 'enabled' : 'disabled');
      this.look();
      if (this.isUp) this.#noteOtherFirmware();
      else if (start) await this.#start();
      else await this.#untilUp();
    });
  }

  /** `rproc-gpio coprocessor start`: starts it, whatever is configured. @throws CoprocessorError ERR_REMOTEPROC */
  start(): Promise<void> {
    return this.#enqueue(() => this.#start());
  }

  /** `rproc-gpio coprocessor stop`: stops it, also one that was attached to. @throws CoprocessorError ERR_REMOTEPROC */
  stop(): Promise<void> {
    return this.#enqueue(() => this.#remoteproc.stop());
  }

  /** `rproc-gpio coprocessor restart`. @throws CoprocessorError ERR_REMOTEPROC */
  restart(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#remoteproc.state !== 'detached') await this.#remoteproc.stop();
      await this.#start();
    });
  }

  async #start(): Promise<void> {
    this.#throwIfClosing();
    const { firmware } = this.#options;
    const { state } = this.#remoteproc;
    if (isUp(state)) return this.#noteOtherFirmware();
    if (firmware !== undefined && state === 'offline') await this.#remoteproc.setFirmware(firmware);
    await this.#remoteproc.start();
    this.#isAttachedByUs = state === 'detached';
  }

  #noteOtherFirmware(): void {
    const { firmware: wanted } = this.#options;
    const { firmware, state } = this.#remoteproc;
    if (wanted === undefined || firmware === wanted) return;
    this.#onLog(
      'warn',
      `${this.#label} is ${state} already with the firmware ${JSON.stringify(firmware)}, not ${JSON.stringify(wanted)}: it is used as it is (rproc-gpio coprocessor restart changes it)`,
    );
  }

  #untilUp(): Promise<void> {
    const timeoutMs = this.#options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        clearTimeout(timer);
        unlisten();
        this.#abortWait = () => {};
        if (error === undefined) resolve();
        else reject(error);
      };
      const unlisten = this.onState(() => {
        if (this.isUp) end();
      });
      const timer = setTimeout(() => {
        const { state } = this;
        end(
          new CoprocessorError(
            'ERR_START_TIMEOUT',
            `${this.#label} is ${state} after ${timeoutMs} ms; ${remedy(state, this.#remoteproc)}`,
          ),
        );
      }, timeoutMs);
      this.#abortWait = end;
    });
  }

  #throwIfClosing(): void {
    if (this.#closing !== null) throw this.#closedError();
  }

  #closedError(): CoprocessorError {
    return new CoprocessorError('ERR_CLOSED', `${this.#label}: the service ends`);
  }

  /**
   * Ends the watch; with `stopOnExit` stops it, or detaches from one that this service attached to. What fails is logged. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#abortWait(this.#closedError());
    await this.#queue;
    this.#listeners.clear();
    if (this.#options.stopOnExit === true) {
      const { state } = this.#remoteproc;
      try {
        if (this.#isAttachedByUs && state === 'attached') await this.#remoteproc.detach();
        else if (isUp(state) || state === 'crashed') await this.#remoteproc.stop();
      } catch (error) {
        this.#onLog('error', (error as Error).message);
      }
    }
    this.#unwatch();
  }
}
