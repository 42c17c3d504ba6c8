import type { LogLevel } from './service.ts';

type Log = (level: LogLevel, message: string) => void;

/** Lines of one source that are written at once, however fast they come. */
const BURST = 100;
/** After the burst, one line for each of these. */
const INTERVAL_MS = 1000;
/** How long what was left out is counted before that is said. */
const REPORT_MS = 10_000;
/** Sources that are told apart; names of sockets, chips and clients come from the configuration, but nobody checks that here. */
const MAX_SOURCES = 256;

interface Source {
  readonly name: string;
  /** Lines that may be written now. */
  left: number;
  sinceMs: number;
  /** Lines that were not, by level. */
  leftOut: number;
  timer: NodeJS.Timeout | null;
}

/**
 * A log that no peer can flood: of each source (what stands before the first colon: `guest vm1`, `control socket`, `MQTT`) so many
 * lines, then one a second. What is left out is counted, and the count is written.
 */
export class LimitedLog {
  readonly #write: Log;
  readonly #nowMs: () => number;
  readonly #sources = new Map<string, Source>();

  constructor(write: Log, nowMs: () => number = () => performance.now()) {
    this.#write = write;
    this.#nowMs = nowMs;
  }

  readonly log: Log = (level, message) => {
    const source = this.#source(level, message.slice(0, Math.max(0, message.indexOf(':'))));
    const now = this.#nowMs();
    source.left = Math.min(BURST, source.left + (now - source.sinceMs) / INTERVAL_MS);
    source.sinceMs = now;
    if (source.left >= 1) {
      source.left--;
      this.#write(level, message);
      return;
    }
    source.leftOut++;
    // Runs only after something was left out: an idle service has no timer of this.
    source.timer ??= setTimeout(() => this.#report(source), REPORT_MS).unref();
  };

  /** Each level by itself: those that are not wanted leave nothing out of the others. */
  #source(level: LogLevel, name: string): Source {
    const key = `${level}:${name}`;
    let source = this.#sources.get(key);
    if (source !== undefined) return source;
    if (this.#sources.size >= MAX_SOURCES) this.#forget();
    source = { name, left: BURST, sinceMs: this.#nowMs(), leftOut: 0, timer: null };
    this.#sources.set(key, source);
    return source;
  }

  /** Makes room: the source that was new first, with its count told. */
  #forget(): void {
    const [oldest] = this.#sources;
    if (oldest === undefined) return;
    const [key, source] = oldest;
    this.#sources.delete(key);
    this.#report(source);
  }

  #report(source: Source): void {
    if (source.timer !== null) clearTimeout(source.timer);
    source.timer = null;
    if (source.leftOut === 0) return;
    const what = source.name === '' ? 'the log' : source.name;
    this.#write('warn', `${what}: ${source.leftOut} more lines were left out`);
    source.leftOut = 0;
  }

  /** Says what was left out and not said yet; idempotent. */
  close(): void {
    for (const source of this.#sources.values()) this.#report(source);
  }
}
