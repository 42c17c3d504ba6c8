import { CoprocessorError } from './coprocessor-error.ts';
import type { Log } from './log.ts';
import { type PauseBounds, RestartPause } from './restart-pause.ts';
import { type CoprocessorChip, SupervisedChip } from './supervised-chip.ts';

/** When firmware that is a process here is started again: whatever its end was, unless it exited with code 0, or not. */
export type RestartPolicy = 'always' | 'on-failure' | 'never';

/**
 * `running`: its chips are there, but for those refused. `restarting`: it is gone, or a chip of it is, and is brought back or
 * waited for. `stopped`: somebody stopped it, or it exited with code 0 and is left at that. `failed`: it is gone for good.
 */
export type CoprocessorState = 'running' | 'restarting' | 'stopped' | 'failed';

/** One life of a co-processor: {@link Coprocessor} is one. */
export interface Incarnation {
  start(): Promise<void>;
  onExit(listener: (reason: string, isFailure: boolean) => void): void;
  /** Kills the firmware's process. @returns whether there is one */
  kill(): boolean;
  /** What of it does not go on, for a watchdog (Progress). */
  stuck?(): string | null;
  close(): Promise<void>;
}

export interface SupervisorOptions<Running extends Incarnation> {
  readonly name: string;
  /** Makes a new life of the co-processor, with memory and doorbell of its own; not started. */
  readonly create: () => Running;
  /** The firmware is a process that we start: else it is waited for, and `restart` says nothing. */
  readonly hasProcess: boolean;
  readonly restart: RestartPolicy;
  /** Default: 100 ms to 10 s for a process, to 1 s for what only has to be found again. */
  readonly pauses?: PauseBounds;
  /** How long a process that does not answer is waited for before it is killed; 2000 unless given. */
  readonly killAfterMs?: number;
  /** How long a chip that is opened for the first time waits for a co-processor that went away meanwhile; 5000 unless given. */
  readonly returnTimeoutMs?: number;
  readonly onLog: Log;
  /** Told of every change. */
  readonly onState?: (state: CoprocessorState, reason: string | null) => void;
}

/** Opens a chip; of one that was lost before, `isReturn`. */
export type OpenChip<Running> = (running: Running, isReturn: boolean) => Promise<CoprocessorChip>;

const MIN_PAUSE_MS = 100;
const MAX_RESTART_PAUSE_MS = 10_000;
const MAX_SEARCH_PAUSE_MS = 1000;
const KILL_AFTER_MS = 2000;
/** How often it is looked whether firmware that hangs has started anew without a call; only while it hangs. */
const LOOK_MS = 1000;
/** How often a chip of a process is tried to be brought back before the process is started anew. */
const MAX_REBINDS = 3;
/** How often a process that crashes before it is up is started, and a chip whose co-processor goes away meanwhile opened. */
const MAX_FIRST_ATTEMPTS = 3;
const RETURN_TIMEOUT_MS = 5000;

interface Supervised<Running> {
  readonly chip: SupervisedChip;
  readonly open: OpenChip<Running>;
  /** Lost, and not closed yet: it may tell that the co-processor answers again. */
  lost: CoprocessorChip | null;
  /** Why it stays away though its co-processor is back; null = it does not. */
  refusal: string | null;
}

/**
 * Keeps a co-processor alive: when its process ends, its doorbell or memory goes, or a device of it is lost (reset, hung,
 * corrupt), its chips are away until it was started again, or came back by itself, and they were opened anew. Every life opens
 * memory and doorbell anew. Says one line when it goes and one when it is back.
 */
export class CoprocessorSupervisor<Running extends Incarnation> {
  readonly name: string;
  readonly #options: SupervisorOptions<Running>;
  readonly #pause: RestartPause;
  readonly #chips = new Map<string, Supervised<Running>>();
  #current: Running | null = null;
  /** Counts what ends all that is under way: the end of a life, stop, close. */
  #generation = 0;
  /** The work that brings things back; one at a time. */
  #work: Promise<void> = Promise.resolve();
  #isWorking = false;
  #state: CoprocessorState = 'stopped';
  #reason: string | null = null;
  #restarts = 0;
  #goneAtMs = 0;
  #wake: (() => void) | null = null;
  #timers: NodeJS.Timeout[] = [];
  /** Who waits for another state than `restarting`. */
  readonly #settled: (() => void)[] = [];
  #closed = false;
  /** What was said last of a failed attempt: it is said once. */
  #said = '';

  constructor(options: SupervisorOptions<Running>) {
    const { name, hasProcess } = options;
    this.name = name;
    this.#options = options;
    const maxMs = hasProcess ? MAX_RESTART_PAUSE_MS : MAX_SEARCH_PAUSE_MS;
    this.#pause = new RestartPause(options.pauses ?? { minMs: MIN_PAUSE_MS, maxMs });
  }

  get state(): CoprocessorState {
    return this.#state;
  }

  /** Why it is not running, or of a chip that is refused; null when all is well. */
  get reason(): string | null {
    if (this.#reason !== null) return this.#reason;
    for (const { refusal } of this.#chips.values()) if (refusal !== null) return refusal;
    return null;
  }

  /** For the watchdog, see Progress. What is away, or hangs, is brought back from here: that is no fault of this service. */
  stuck(): string | null {
    const stuck = this.#state === 'running' ? (this.#current?.stuck?.() ?? null) : null;
    return stuck === null ? null : `co-processor ${this.name}: ${stuck}`;
  }

  /** How often it came back. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Starts it for the first time. A crash may happen now as at any other time, so its process is started again after one; what it
   * says by exiting is more likely to be a fault of the set-up.
   * @throws CoprocessorError when that fails; nothing is left running then
   */
  async start(): Promise<void> {
    const { restart, onLog } = this.#options;
    for (let attempts = 1; ; attempts++) {
      this.#throwIfClosed();
      const first = this.#options.create();
      this.#current = first;
      try {
        await first.start();
        this.#throwIfClosed();
        return this.#began(first);
      } catch (error) {
        this.#current = null;
        const isCrash = error instanceof CoprocessorError && error.code === 'ERR_CRASHED';
        if (!isCrash || restart === 'never' || attempts === MAX_FIRST_ATTEMPTS) throw error;
        const pauseMs = this.#pause.next();
        onLog('error', `${this.name}: ${error.message}; starting it again in ${pauseMs} ms`);
        await this.#sleep(pauseMs);
      }
    }
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new CoprocessorError('ERR_CLOSED', `co-processor ${this.name} was closed`);
  }

  #began(running: Running): void {
    this.#current = running;
    this.#pause.started();
    this.#become('running', null);
    running.onExit((reason, isFailure) => {
      if (this.#current === running) this.#ended(reason, isFailure);
    });
  }

  /**
   * Opens a chip of the running co-processor for the first time; again, when that went away meanwhile and came back. It stays the
   * co-processor's until it is closed.
   * @throws CoprocessorError ERR_CLOSED when it does not run, and whatever `open` throws
   */
  async open(name: string, open: OpenChip<Running>): Promise<SupervisedChip> {
    const chip = new SupervisedChip(await this.#openFirst(open));
    if (this.#closed) {
      chip.close();
      this.#throwIfClosed();
    }
    const supervised: Supervised<Running> = { chip, open, lost: null, refusal: null };
    this.#chips.set(name, supervised);
    chip.onClosed(() => {
      if (this.#chips.get(name) === supervised) this.#chips.delete(name);
      this.#discard(supervised);
    });
    chip.onLost((reason, inner) => this.#chipLost(supervised, reason, inner));
    // Before anybody listened to it.
    if (!chip.available) chip.lose('it went away while it was opened');
    return chip;
  }

  async #openFirst(open: OpenChip<Running>): Promise<CoprocessorChip> {
    for (let attempts = 1; ; attempts++) {
      await this.#untilSettled();
      const running = this.#current;
      const mine = this.#generation;
      if (running === null || this.#state !== 'running')
        throw new CoprocessorError('ERR_CLOSED', this.#reason ?? `co-processor ${this.name} does not run`);
      try {
        return await open(running, false);
      } catch (error) {
        const isOver = mine !== this.#generation && !this.#closed;
        if (!isOver || attempts === MAX_FIRST_ATTEMPTS) throw error;
      }
    }
  }

  /** Resolves when it is not `restarting`, or has been for too long. */
  async #untilSettled(): Promise<void> {
    if (this.#state !== 'restarting') return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#options.returnTimeoutMs ?? RETURN_TIMEOUT_MS);
      this.#settled.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Stops it, and leaves it so. */
  async stop(reason = 'stopped by request'): Promise<void> {
    this.#throwIfClosed();
    await this.#end(reason);
    this.#become('stopped', reason);
    this.#options.onLog('info', `${this.name}: ${reason}`);
  }

  /**
   * Starts it after it was stopped, or has failed; without effect on one that runs.
   * @throws CoprocessorError when that fails; it is `failed` then
   */
  async startAgain(): Promise<void> {
    this.#throwIfClosed();
    if (this.#state === 'running') return;
    await this.#end('started by request');
    this.#pause.reset();
    const mine = this.#generation;
    try {
      await this.#live(mine);
    } catch (error) {
      if (mine === this.#generation) this.#become('failed', (error as Error).message);
      throw error;
    }
  }

  /** Stops it and starts it again. @throws CoprocessorError as {@link startAgain} */
  async restart(): Promise<void> {
    this.#throwIfClosed();
    await this.#end('restarted by request');
    this.#become('restarting', 'restarted by request');
    await this.startAgain();
  }

  #become(state: CoprocessorState, reason: string | null): void {
    this.#state = state;
    this.#reason = reason;
    if (state !== 'restarting') for (const settled of this.#settled.splice(0)) settled();
    this.#options.onState?.(state, reason);
  }

  /** A chip is gone. What it follows from may be told right after it, so that is waited for. */
  #chipLost(supervised: Supervised<Running>, reason: string, inner: CoprocessorChip): void {
    this.#discard(supervised);
    supervised.lost = inner;
    const mine = this.#generation;
    if (this.#state === 'running') this.#goneAtMs = performance.now();
    setImmediate(() => {
      if (mine !== this.#generation || supervised.lost !== inner) return;
      this.#bringBack(supervised, reason, inner);
    });
  }

  #bringBack(supervised: Supervised<Running>, reason: string, inner: CoprocessorChip): void {
    const { hasProcess, restart, killAfterMs = KILL_AFTER_MS } = this.#options;
    const { name } = supervised.chip;
    const said = `chip ${name} is gone: ${reason}`;
    const mine = this.#generation;
    const isSilent =
      inner.onAnswering?.(() => {
        if (mine !== this.#generation || supervised.lost !== inner) return;
        this.#stopTimers();
        this.#rebind();
      }) ?? false;
    this.#become('restarting', reason);
    if (!isSilent) {
      this.#options.onLog('error', `${this.name}: ${said}`);
      return this.#rebind();
    }
    const kills = hasProcess && restart !== 'never';
    const then = kills ? `it is killed in ${killAfterMs} ms unless it answers` : 'waiting for it to answer';
    this.#options.onLog('error', `${this.name}: ${said}; ${then}`);
    if (kills) this.#timers.push(setTimeout(() => this.#current?.kill(), killAfterMs));
    else this.#timers.push(setInterval(() => inner.look?.(), LOOK_MS));
  }

  /** Opens the lost chips anew on the co-processor that runs, after a pause: what is lost again and again keeps nobody busy. */
  #rebind(): void {
    const mine = this.#generation;
    const { hasProcess, restart } = this.#options;
    this.#begin(async () => {
      for (let attempts = 1; ; attempts++) {
        await this.#sleep(this.#pause.next());
        const running = this.#current;
        if (mine !== this.#generation || running === null) return;
        // Another one's return has brought it back, too.
        if (this.#lost.length === 0 && this.#state === 'running') return;
        try {
          await this.#openLost(running, mine);
          if (mine !== this.#generation) return;
          if (this.#lost.length === 0) return this.#back();
        } catch (error) {
          if (mine !== this.#generation) return;
          this.#say(error);
          // Its end is told as any other.
          if (hasProcess && restart !== 'never' && attempts >= MAX_REBINDS) return void running.kill();
        }
      }
    });
  }

  /** Chips that are away, but for those refused. */
  get #lost(): Supervised<Running>[] {
    return [...this.#chips.values()].filter(({ chip, refusal }) => chip.inner === null && refusal === null);
  }

  /** A failed attempt; the same failure again is said to the debug log only. */
  #say(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#options.onLog(text === this.#said ? 'debug' : 'warn', `${this.name}: not back yet: ${text}`);
    this.#said = text;
    if (this.#state === 'restarting') this.#become('restarting', text);
  }

  #back(): void {
    this.#said = '';
    this.#restarts++;
    this.#pause.started();
    this.#become('running', null);
    const afterMs = Math.round(performance.now() - this.#goneAtMs);
    this.#options.onLog('info', `${this.name}: is back after ${afterMs} ms (${this.#restarts}. return)`);
  }

  async #openLost(running: Running, mine: number): Promise<void> {
    for (const supervised of this.#lost) {
      // Before the next one is opened on the same device.
      this.#discard(supervised);
      const inner = await supervised.open(running, true);
      if (mine !== this.#generation || !this.#isOpen(supervised)) {
        inner.close();
        if (mine !== this.#generation) return;
        continue;
      }
      const refusal = supervised.chip.refusalOf(inner);
      if (refusal !== null) {
        inner.close();
        this.#refuse(supervised, refusal);
        continue;
      }
      for (const renamed of supervised.chip.renamedBy(inner).slice(0, 1))
        this.#options.onLog(
          'warn',
          `${this.name}: lines of chip ${supervised.chip.name} have other names now (line ${renamed}); the names of before stay`,
        );
      supervised.refusal = null;
      supervised.chip.replace(inner, 'the co-processor is back');
    }
  }

  #isOpen(supervised: Supervised<Running>): boolean {
    return this.#chips.get(supervised.chip.name) === supervised;
  }

  #refuse(supervised: Supervised<Running>, refusal: string): void {
    if (this.#refusalsSaid.get(supervised) !== refusal)
      this.#options.onLog('error', `${this.name}: ${refusal}`);
    this.#refusalsSaid.set(supervised, refusal);
    supervised.refusal = refusal;
  }

  readonly #refusalsSaid = new WeakMap<Supervised<Running>, string>();

  #discard(supervised: Supervised<Running>): void {
    const { lost } = supervised;
    supervised.lost = null;
    lost?.close();
  }

  /** The life of the co-processor is over: what follows is decided by policy. */
  #ended(reason: string, isFailure: boolean): void {
    const { hasProcess, restart, onLog } = this.#options;
    if (this.#state === 'running') this.#goneAtMs = performance.now();
    const ending = this.#end(reason);
    this.#begin(() => ending);
    const comesBack = !hasProcess || restart === 'always' || (restart === 'on-failure' && isFailure);
    if (!comesBack) {
      this.#become(isFailure ? 'failed' : 'stopped', reason);
      onLog('error', `${this.name}: ${reason}; it is not started again (restart: ${restart})`);
      return;
    }
    this.#become('restarting', reason);
    const mine = this.#generation;
    const pauseMs = this.#pause.next();
    onLog(
      'error',
      `${this.name}: ${reason}; ${hasProcess ? 'starting it again' : 'looking for it again'} in ${pauseMs} ms`,
    );
    this.#begin(async () => {
      await this.#sleep(pauseMs);
      while (mine === this.#generation) {
        try {
          return await this.#live(mine);
        } catch (error) {
          if (mine !== this.#generation) return;
          this.#say(error);
          await this.#sleep(this.#pause.next());
        }
      }
    });
  }

  /** Starts a new life and opens the chips in it. */
  async #live(mine: number): Promise<void> {
    const running = this.#options.create();
    this.#current = running;
    try {
      await running.start();
    } catch (error) {
      if (this.#current === running) this.#current = null;
      throw error;
    }
    // Whoever ended this generation has taken it and closes it.
    if (mine !== this.#generation) return;
    let over: string | null = null;
    // Not the state: it is `restarting` again when a chip was lost later on, and then nobody looks at `over`.
    let isUp = false;
    running.onExit((reason, isFailure) => {
      if (this.#current !== running) return;
      if (isUp) this.#ended(reason, isFailure);
      else over = reason;
    });
    for (const supervised of this.#chips.values()) supervised.refusal = null;
    try {
      await this.#openLost(running, mine);
      if (mine !== this.#generation) return;
      if (over !== null) throw new CoprocessorError('ERR_EXEC', over);
      isUp = true;
    } catch (error) {
      if (this.#current === running) this.#current = null;
      for (const { chip } of this.#chips.values()) chip.lose((error as Error).message);
      for (const supervised of this.#chips.values()) this.#discard(supervised);
      await running.close();
      throw error;
    }
    this.#back();
  }

  /** One piece of work after the other: what a generation began ends before the next one's begins. */
  #begin(work: () => Promise<void>): void {
    if (this.#isWorking && this.#wake !== null) this.#wake();
    this.#work = this.#work.then(async () => {
      this.#isWorking = true;
      try {
        await work();
      } catch (error) {
        this.#options.onLog(
          'error',
          `${this.name}: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
      this.#isWorking = false;
    });
  }

  /** Not longer than the generation. */
  #sleep(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), pauseMs);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }

  #stopTimers(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  /** Ends the present life: chips are lost first, then what they use is closed. */
  async #end(reason: string): Promise<void> {
    this.#generation++;
    this.#stopTimers();
    const running = this.#current;
    this.#current = null;
    for (const { chip } of this.#chips.values()) chip.lose(reason);
    for (const supervised of this.#chips.values()) this.#discard(supervised);
    this.#wake?.();
    await running?.close();
  }

  /** Closes the chips, then the co-processor; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const settled of this.#settled.splice(0)) settled();
    for (const { chip } of [...this.#chips.values()]) chip.close();
    await this.#end('closed');
    await this.#work;
  }
}
