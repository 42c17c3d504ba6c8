import type { Config } from '../config/config.ts';
import { configErrorAt } from '../config/line-fault.ts';
import type { Coprocessor } from '../coprocessor/coprocessor.ts';
import { CoprocessorError } from '../coprocessor/coprocessor-error.ts';
import { VirtioGpioDevice } from '../exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../exporters/virtio-gpio/server.ts';
import { ChipLines } from '../gpio/chip-lines.ts';
import { LineSelectionError, matchesGlob, selectLines } from '../gpio/line-selection.ts';
import { Poller } from '../virtqueue/poller.ts';
import { LineLog } from './line-log.ts';
import { createCoprocessor, openChip } from './open-chip.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface ServiceOptions {
  readonly config: Config;
  /** The file that the configuration came from; null for one that was made up. Errors of lines name their place in it. */
  readonly configFile: string | null;
  readonly onLog: (level: LogLevel, message: string) => void;
  /** Takes the lines of the line log. */
  readonly onLine: (text: string) => void;
  /** Gives a start up that is under way. Without effect afterwards. */
  readonly signal?: AbortSignal;
}

/** Faults of the firmware rather than of the set-up: that chip is refused, the others are served. */
const FIRMWARE_FAULTS = new Set([
  'ERR_RESOURCE_TABLE',
  'ERR_VDEV',
  'ERR_CARVEOUT',
  'ERR_START_TIMEOUT',
  'ERR_WIRE',
]);

/** Whether a selector (`*` or `CHIP/LINE`) may mean lines of a chip. */
function isOfChip(selector: string, chip: string): boolean {
  return selector === '*' || matchesGlob(selector.slice(0, selector.indexOf('/')), chip);
}

/** Everything that runs: co-processors, chips, exported devices. Made by {@link Service.start}, ended by {@link close}. */
export class Service {
  readonly #options: ServiceOptions;
  /** Runs all rings of this service. */
  readonly poller = new Poller();
  readonly #coprocessors = new Map<string, Coprocessor>();
  readonly #chips = new Map<string, ChipLines>();
  readonly #servers = new Map<string, VhostUserServer>();
  #lineLog: LineLog | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: ServiceOptions) {
    this.#options = options;
  }

  /**
   * Starts co-processors, opens chips, makes the devices, and listens last: who can connect, can use.
   * @throws ConfigError for lines that do not exist, CoprocessorError and NativeError for what cannot be opened, the signal's
   * reason when it came; nothing is left running then
   */
  static async start(options: ServiceOptions): Promise<Service> {
    const service = new Service(options);
    const { signal } = options;
    let giveUp = (): void => {};
    try {
      const givenUp = new Promise<never>((_resolve, reject) => {
        giveUp = () => reject(signal?.reason);
      });
      signal?.throwIfAborted();
      signal?.addEventListener('abort', giveUp);
      await Promise.race([service.#start(), givenUp]);
    } catch (error) {
      await service.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    return service;
  }

  async #start(): Promise<void> {
    await this.#startCoprocessors();
    this.#throwIfClosing();
    await this.#openChips();
    this.#throwIfClosing();
    this.#export();
  }

  /** What was opened before is closed; nothing may be opened after it. */
  #throwIfClosing(): void {
    if (this.#closing !== null) throw new CoprocessorError('ERR_CLOSED', 'the service was closed');
  }

  /** One line for people: the exported devices and their sockets. */
  get summary(): string {
    const { exports } = this.#options.config;
    const devices = [...this.#servers].map(([name, { device }]) => {
      const lines = device.lineCount;
      return `${name} (${lines} line${lines === 1 ? '' : 's'}) on ${exports[name]?.socket}`;
    });
    const chips = [...this.#chips.values()].map(
      ({ name, chip }) => `${name} [${chip.label}] (${chip.lineCount} lines)`,
    );
    return `${devices.join(', ') || 'no exports'}; ${chips.join(', ')}`;
  }

  /** The chips' lines, by chip name. */
  get chips(): ReadonlyMap<string, ChipLines> {
    return this.#chips;
  }

  async #startCoprocessors(): Promise<void> {
    const { config, onLog } = this.#options;
    const starts = Object.entries(config.coprocessors).map(async ([name, coprocessor]) => {
      const vdevs = Object.values(config.chips).flatMap((chip) =>
        chip.type !== 'sim' && chip.coprocessor === name ? [chip.vdev] : [],
      );
      const starting = createCoprocessor(name, coprocessor, vdevs, onLog);
      this.#coprocessors.set(name, starting);
      try {
        await starting.start();
      } catch (error) {
        this.#coprocessors.delete(name);
        this.#refuse(`co-processor ${name}`, error);
      }
    });
    // The first fault ends it: the others need not be waited for, they are closed.
    await Promise.all(starts);
  }

  /** Logs a fault of the firmware; throws every other one. */
  #refuse(what: string, error: unknown): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!FIRMWARE_FAULTS.has(code)) {
      if (error instanceof CoprocessorError)
        throw new CoprocessorError(error.code, `${what}: ${error.message}`, error);
      throw error;
    }
    this.#options.onLog('error', `${what} is refused: ${(error as Error).message}`);
  }

  async #openChips(): Promise<void> {
    const { config, onLog } = this.#options;
    for (const [name, chipConfig] of Object.entries(config.chips)) {
      try {
        let coprocessor: { running: Coprocessor; requestTimeoutMs: number } | undefined;
        if (chipConfig.type !== 'sim') {
          const running = this.#coprocessors.get(chipConfig.coprocessor);
          if (running === undefined) continue;
          const requestTimeoutMs = config.coprocessors[chipConfig.coprocessor]?.requestTimeoutMs ?? 200;
          coprocessor = { running, requestTimeoutMs };
        }
        const chip = await openChip(name, chipConfig, coprocessor, this.poller);
        if (this.#closing !== null) chip.close();
        this.#throwIfClosing();
        const lines = new ChipLines(chip, chipConfig.type === 'sim' ? undefined : chipConfig.reads);
        lines.onAvailability((available, reason) =>
          onLog(
            available ? 'info' : 'error',
            `chip ${name} is ${available ? 'available' : 'unavailable'}: ${reason}`,
          ),
        );
        this.#chips.set(name, lines);
        await new Promise<void>((resolve) => lines.learnDirections(resolve));
        onLog('info', `chip ${name} [${chip.label}] (${chip.lineCount} lines)`);
      } catch (error) {
        this.#refuse(`chip ${name}`, error);
      }
    }
    if (this.#chips.size === 0) {
      throw new CoprocessorError(
        'ERR_VDEV',
        'no chip could be opened, so there is nothing to serve; see the errors above',
      );
    }
  }

  #export(): void {
    const { config, onLog, onLine } = this.#options;
    const chips = [...this.#chips.values()];
    const devices: { name: string; socket: string; server: VhostUserServer }[] = [];
    for (const [name, { lines, pollUs, socket }] of Object.entries(config.exports)) {
      const missing = Object.keys(config.chips).filter(
        (chip) => !this.#chips.has(chip) && lines.some(({ line }) => isOfChip(line, chip)),
      );
      if (missing.length > 0) {
        onLog('error', `export ${name} is refused: its chip ${missing.join(', ')} could not be opened`);
        continue;
      }
      const selected = this.#select(name, chips, lines);
      const device = new VirtioGpioDevice({ name, lines: selected, poller: this.poller, pollUs, onLog });
      const server = new VhostUserServer({ device, onLog });
      this.#servers.set(name, server);
      devices.push({ name, socket, server });
    }
    this.#lineLog = new LineLog(chips, config.log.lines, onLine);
    for (const { socket, server } of devices) server.listen(socket);
  }

  #select(name: string, chips: readonly ChipLines[], lines: Config['exports'][string]['lines']) {
    try {
      return selectLines(chips, lines);
    } catch (error) {
      const { configFile } = this.#options;
      if (!(error instanceof LineSelectionError) || configFile === null) throw error;
      throw configErrorAt(
        configFile,
        ['exports', name, 'lines', error.selector],
        error.message,
        error.remedy,
      );
    }
  }

  /** Ends everything, sockets first; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const server of this.#servers.values()) server.close();
    this.#lineLog?.close();
    for (const { chip } of this.#chips.values()) chip.close();
    this.poller.close();
    await Promise.all([...this.#coprocessors.values()].map((coprocessor) => coprocessor.close()));
  }
}
