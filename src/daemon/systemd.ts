import { Buffer } from 'node:buffer';
import { notifyServiceManager } from '../native.ts';

type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

/** A status line is sent at most so often. */
const STATUS_PAUSE_MS = 1000;
/** Everything that a service manager tells by the environment; none of it is meant for the processes that this one starts. */
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/** The notification protocol of systemd (sd_notify(3), sd_watchdog_enabled(3)). Without NOTIFY_SOCKET all of it does nothing. */
export class Systemd {
  readonly #address: string | null;
  readonly #onLog: Log;
  /** How often it wants to hear of us, in milliseconds; null = it does not. */
  readonly watchdogMs: number | null;
  #saidFault = false;
  /** The line that was sent last. */
  #status = '';
  #statusMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;

  private constructor(address: string | null, watchdogMs: number | null, onLog: Log) {
    this.#address = address;
    this.watchdogMs = watchdogMs;
    this.#onLog = onLog;
  }

  /** Reads what the service manager says in the environment, and takes it out of there. */
  static take(environment: NodeJS.ProcessEnv, onLog: Log): Systemd {
    const [address, usec, pid] = VARIABLES.map((name) => environment[name]);
    for (const name of VARIABLES) delete environment[name];
    // Of a parent whose environment was inherited: not meant for this process (sd_watchdog_enabled(3)).
    const isOurs = pid === undefined || pid === String(process.pid);
    const isPeriod = usec !== undefined && /^[1-9]\d{0,15}$/.test(usec);
    if (usec !== undefined && isOurs && !isPeriod)
      onLog('warn', `WATCHDOG_USEC=${usec} is no number of microseconds; there is no watchdog`);
    const watchdogMs = isOurs && isPeriod ? Number(usec) / 1000 : null;
    return address === undefined || address === ''
      ? new Systemd(null, null, onLog)
      : new Systemd(address, watchdogMs, onLog);
  }

  /** Somebody listens. */
  get isThere(): boolean {
    return this.#address !== null;
  }

  #send(...assignments: readonly string[]): void {
    if (this.#address === null) return;
    try {
      notifyServiceManager(this.#address, Buffer.from(`${assignments.join('\n')}\n`));
      this.#saidFault = false;
    } catch (error) {
      if (!this.#saidFault) this.#onLog('warn', `service manager: ${(error as Error).message}`);
      this.#saidFault = true;
    }
  }

  /** The service runs, or is done reloading. */
  ready(status: string): void {
    this.#send('READY=1', this.#noted(status));
  }

  /** It is reading its configuration anew; {@link ready} follows, whatever comes of it. */
  reloading(): void {
    this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** It ends; no status follows. */
  stopping(status: string): void {
    this.#stopTimer();
    this.#send('STOPPING=1', this.#noted(status));
  }

  /** It goes on. */
  watchdog(): void {
    this.#send('WATCHDOG=1');
  }

  /** What is under way (start, reload, end) may take so much longer, from now on. */
  extendTimeout(ms: number): void {
    this.#send(`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`);
  }

  /**
   * What the one line for people says may have changed. It is made and sent once a second at most, and the last one always is; sent
   * only when it differs.
   */
  changed(status: () => string): void {
    if (this.#address === null || this.#timer !== null) return;
    const pauseMs = STATUS_PAUSE_MS - (performance.now() - this.#statusMs);
    if (pauseMs <= 0) return this.#tell(status());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tell(status());
    }, pauseMs);
  }

  #tell(status: string): void {
    this.#statusMs = performance.now();
    if (status !== this.#status) this.#send(this.#noted(status));
  }

  #noted(status: string): string {
    this.#status = status;
    this.#statusMs = performance.now();
    return `STATUS=${status.replaceAll(/\s+/g, ' ')}`;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Idempotent. */
  close(): void {
    this.#stopTimer();
  }
}
