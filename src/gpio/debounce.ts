import { type Edge, LEVEL_UNKNOWN } from './chip.ts';
import { LocalEdge } from './local-edge.ts';

/** Takes levels that were stable for the period; `edge` is null when a read found them and no edge led to them. */
export interface DebounceListener {
  debounced(level: number, edge: Edge | null): void;
}

/**
 * Debounces one line for one consumer, by the rules of the Linux character device's software debounce: each change starts the
 * period anew; at its end the level is told if it differs from the one told last, with the time of the last change. No timer
 * runs while nothing moves, and a burst of changes uses one.
 */
export class Debounce {
  #periodMs: number;
  readonly #listener: DebounceListener;
  /** The level after debouncing. */
  #level = LEVEL_UNKNOWN;
  /** The level before. */
  #raw = LEVEL_UNKNOWN;
  /** The last change, and when it was heard of. */
  readonly #edge = new LocalEdge();
  #changedAtMs = 0;
  /** Edges were in the burst, not reads only. */
  #hasEdge = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(periodMs: number, listener: DebounceListener) {
    this.#periodMs = periodMs;
    this.#listener = listener;
  }

  get periodMs(): number {
    return this.#periodMs;
  }

  /** Another period, for what is under way too. */
  set periodMs(periodMs: number) {
    this.#periodMs = periodMs;
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#look();
  }

  /** The level after debouncing; -1 while unknown. */
  get level(): number {
    return this.#level;
  }

  /** Whether changes wait for their period to end. */
  get isRunning(): boolean {
    return this.#timer !== null;
  }

  /** The line changed. Of merged changes only the last level has lasted. */
  edge(level: number, edge: Edge): void {
    const merged = edge.merged || (this.#hasEdge && this.#edge.merged);
    if (this.#level === LEVEL_UNKNOWN) this.#level = 1 - level;
    this.#edge.copy(edge);
    this.#edge.level = level;
    this.#edge.merged = merged;
    this.#hasEdge = true;
    this.#moved(level);
  }

  /** A level was read. The first one is taken at once: there is nothing that it could have bounced from. */
  observed(level: number): void {
    if (this.#level === LEVEL_UNKNOWN) {
      this.#level = level;
      this.#raw = level;
    }
    if (this.#timer === null && level === this.#level) return this.#listener.debounced(level, null);
    if (level !== this.#raw) this.#moved(level);
  }

  #moved(level: number): void {
    this.#raw = level;
    this.#changedAtMs = performance.now();
    this.#timer ??= setTimeout(() => this.#look(), this.#periodMs);
  }

  /** The timer ran out: the burst is over, or it went on meanwhile. */
  #look(): void {
    const leftMs = this.#changedAtMs + this.#periodMs - performance.now();
    if (leftMs > 0) {
      this.#timer = setTimeout(() => this.#look(), Math.ceil(leftMs));
      return;
    }
    this.#timer = null;
    this.#settled();
  }

  #settled(): void {
    const { level } = this;
    const edge = this.#hasEdge ? this.#edge : null;
    this.#hasEdge = false;
    // The last change led back: no edge. Who has not heard of the level yet, does now.
    if (this.#raw === level) return this.#listener.debounced(level, null);
    this.#level = this.#raw;
    this.#listener.debounced(this.#level, edge);
  }

  /** Ends the period now: what the level is, it is. */
  finish(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#settled();
  }

  /** Begins anew with a level that is certain (-1 = none is); idempotent. */
  reset(level: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#hasEdge = false;
    this.#level = level;
    this.#raw = level;
  }
}
