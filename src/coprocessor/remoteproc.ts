import { CoprocessorError } from './coprocessor-error.ts';
import {
  findRemoteproc,
  type RemoteprocEntry,
  type RemoteprocState,
  type RemoteprocSystem,
  RUNNING_SYSTEM,
  readAttribute,
  readState,
  writeAttribute,
} from './remoteproc-sysfs.ts';
import { RemoteprocWatch } from './remoteproc-watch.ts';

export type { RemoteprocState } from './remoteproc-sysfs.ts';

export type Recovery = 'enabled' | 'disabled';

/** Whether firmware runs in this state, whoever started it. */
export function isUp(state: RemoteprocState): boolean {
  return state === 'running' || state === 'attached';
}

/**
 * A remote processor of the kernel: `/sys/class/remoteproc/remoteprocN` (Documentation/ABI/testing/sysfs-class-remoteproc).
 * Reading is done at once; what makes the kernel do something is a promise.
 */
export class Remoteproc {
  readonly #entry: RemoteprocEntry;
  readonly #system: RemoteprocSystem;
  readonly #listeners = new Set<(state: RemoteprocState) => void>();
  #watch: RemoteprocWatch | null = null;
  /** The state that the listeners were told last. */
  #told: RemoteprocState;

  /**
   * @param nameOrAttribute `remoteproc0`, or its `name` attribute
   * @param system for tests
   * @throws CoprocessorError ERR_REMOTEPROC: which ones there are
   */
  static find(nameOrAttribute: string, system = RUNNING_SYSTEM): Remoteproc {
    return new Remoteproc(findRemoteproc(nameOrAttribute, system.sysfsRoot), system);
  }

  private constructor(entry: RemoteprocEntry, system: RemoteprocSystem) {
    this.#entry = entry;
    this.#system = system;
    this.#told = readState(entry);
  }

  /** `remoteproc0` */
  get entry(): string {
    return this.#entry.entry;
  }

  /** Its `name` attribute. */
  get name(): string {
    return this.#entry.name;
  }

  /** As the kernel says now; `deleted` also when it is gone. */
  get state(): RemoteprocState {
    return readState(this.#entry);
  }

  /** The firmware's file name, below the kernel's firmware folders. Empty when it is gone. */
  get firmware(): string {
    return readAttribute(this.#entry, 'firmware') ?? '';
  }

  /** Whether the kernel starts it again by itself after a crash. */
  get recovery(): Recovery {
    return readAttribute(this.#entry, 'recovery') === 'disabled' ? 'disabled' : 'enabled';
  }

  #write(attribute: 'state' | 'firmware' | 'recovery', value: string): Promise<void> {
    return writeAttribute(this.#entry, attribute, value, this.#system).finally(() => this.look());
  }

  /**
   * Chooses the firmware for the next start. Nothing is written when it is that one already.
   * @param name below the kernel's firmware folders, without a leading `/`
   * @throws CoprocessorError ERR_REMOTEPROC when the co-processor is not offline, or writing is not allowed
   */
  async setFirmware(name: string): Promise<void> {
    if (name.startsWith('/') || name.split('/').includes('..') || name.trim() === '' || name.includes('\n')) {
      throw new CoprocessorError(
        'ERR_REMOTEPROC',
        `${this.entry}: firmware ${JSON.stringify(name)} is not a file name below the kernel's firmware folders (/lib/firmware), as sensor-hub.elf would be`,
      );
    }
    if (this.firmware === name) return;
    const { state } = this;
    if (state !== 'offline') {
      throw new CoprocessorError(
        'ERR_REMOTEPROC',
        `${this.entry}: firmware ${JSON.stringify(name)} can be chosen only while it is offline; it is ${state}, with ${JSON.stringify(this.firmware)}: stop it first`,
      );
    }
    await this.#write('firmware', name);
  }

  /**
   * Says whether the kernel starts it again after a crash. Enabling it recovers one that has crashed at once.
   * @throws CoprocessorError ERR_REMOTEPROC
   */
  async setRecovery(recovery: Recovery): Promise<void> {
    if (this.recovery !== recovery) await this.#write('recovery', recovery);
  }

  /**
   * Starts it, attaches to one that runs by itself (`detached`), or recovers one that has crashed. Resolves once it is up.
   * Does nothing when it is: the kernel would count a second start, and the next stop would not stop it.
   * @throws CoprocessorError ERR_REMOTEPROC: firmware not found and where the kernel looks, permission, what the state is
   */
  async start(): Promise<void> {
    const before = this.state;
    if (isUp(before)) return;
    this.#requireThere(before);
    if (before === 'crashed') await this.#write('recovery', 'recover');
    else await this.#write('state', 'start');
    const after = this.state;
    if (isUp(after)) return;
    throw new CoprocessorError(
      'ERR_REMOTEPROC',
      `${this.entry} was ${before}, and is ${after} after its start; the kernel's log says why: dmesg | grep ${this.entry}`,
    );
  }

  /**
   * Stops its firmware. Resolves once it is offline.
   * @throws CoprocessorError ERR_REMOTEPROC
   */
  async stop(): Promise<void> {
    const before = this.state;
    if (before === 'offline') return;
    this.#requireThere(before);
    if (before === 'detached') {
      throw new CoprocessorError(
        'ERR_REMOTEPROC',
        `${this.entry} is detached: it runs without the kernel, which can stop it only after a start, which attaches to it`,
      );
    }
    await this.#write('state', 'stop');
    this.#requireLeft(before, 'stop');
  }

  /**
   * Lets go of one that was attached to: its firmware goes on.
   * @throws CoprocessorError ERR_REMOTEPROC when it is not attached, or its driver cannot detach
   */
  async detach(): Promise<void> {
    const before = this.state;
    if (before === 'detached') return;
    this.#requireThere(before);
    if (before !== 'attached') {
      throw new CoprocessorError(
        'ERR_REMOTEPROC',
        `${this.entry} is ${before}: only one that is attached can be detached`,
      );
    }
    await this.#write('state', 'detach');
    this.#requireLeft(before, 'detach');
  }

  #requireThere(state: RemoteprocState): void {
    if (state !== 'deleted') return;
    throw new CoprocessorError(
      'ERR_REMOTEPROC',
      `${this.entry}: the kernel has removed it (its driver was unbound or unloaded)`,
    );
  }

  #requireLeft(before: RemoteprocState, command: string): void {
    if (this.state !== before) return;
    throw new CoprocessorError(
      'ERR_REMOTEPROC',
      `${this.entry} is still ${before} after ${command}: it was started more than once, or another driver uses it; each start needs a ${command} of its own`,
    );
  }

  /**
   * Tells of each state from now on, also of those between two looks where the kernel's log can be followed
   * (remoteproc-watch.ts). Ticks only while the co-processor is not up, and only without the log.
   * @returns how to stop it; idempotent
   */
  watch(listener: (state: RemoteprocState) => void): () => void {
    // Of its own: the same function may be given twice.
    const own = (state: RemoteprocState): void => listener(state);
    if (this.#watch === null) {
      this.#watch = new RemoteprocWatch(this.#entry, this.#system, {
        said: (state) => this.#tell(state),
        look: () => this.look(),
      });
      this.#told = this.state;
      this.#watch.up(isUp(this.#told));
    }
    this.#listeners.add(own);
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      this.#watch?.close();
      this.#watch = null;
    };
  }

  /** Why the kernel's log cannot be followed; null when it is, and when nobody watches. */
  get logFailure(): string | null {
    return this.#watch?.logFailure ?? null;
  }

  /** Reads the state now, and tells a change: for who notices that something is wrong (a request timed out). */
  look(): void {
    if (this.#watch === null) return;
    // First: what it says is older than the state that is read afterwards.
    this.#watch.readLog();
    this.#tell(this.state);
  }

  #tell(state: RemoteprocState): void {
    if (state === this.#told) return;
    this.#told = state;
    this.#watch?.up(isUp(state));
    for (const listener of [...this.#listeners]) listener(state);
  }
}
