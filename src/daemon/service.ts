import type { Config } from '../config/config.ts';
import { configErrorAt } from '../config/line-fault.ts';
import type { Coprocessor } from '../coprocessor/coprocessor.ts';
import { CoprocessorError } from '../coprocessor/coprocessor-error.ts';
import { VirtioGpioDevice } from '../exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../exporters/virtio-gpio/server.ts';
import { ChipLines } from '../gpio/chip-lines.ts';
import { LineSelectionError, selectLines } from '../gpio/line-selection.ts';
import { Poller } from '../virtqueue/poller.ts';
import { LineLog } from './line-log.ts';
import { openChip, startCoprocessor } from './open-chip.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface ServiceOptions {
  readonly config: Config;
  /** The file that the configuration came from; null for one that was made up. Errors of lines name their place in it. */
  readonly configFile: string | null;
  readonly onLog: (level: LogLevel, message: string) => void;
  /** Takes the lines of the line log. */
  readonly onLine: (text: string) => void;
}

/** Faults of the firmware rather than of the set-up: that chip is refused, the others are served. */
const FIRMWARE_FAULTS = new Set([
  'ERR_RESOURCE_TABLE',
  'ERR_VDEV',
  'ERR_CARVEOUT',
  'ERR_START_TIMEOUT',
  'ERR_WIRE',
]);

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
   * @throws ConfigError for lines that do not exist, CoprocessorError and NativeError for what cannot be opened; nothing is
   * left running then
   */
  static async start(options: ServiceOptions): Promise<Service> {
    const service = new Service(options);
    try {
      await service.#startCoprocessors();
      await service.#openChips();
      service.#export();
    } catch (error) {
      await service.close();
      throw error;
    }
    return service;
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
      try {
        const started = await startCoprocessor(name, coprocessor, vdevs, onLog);
        this.#coprocessors.set(name, started);
      } catch (error) {
        this.#refuse(`co-processor ${name}`, error);
      }
    });
    const results = await Promise.allSettled(starts);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
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
        const lines = new ChipLines(chip, chipConfig.type === 'sim' ? undefined : chipConfig.reads);
        lines.onAvailability = (available, reason) =>
          onLog(
            available ? 'info' : 'error',
            `chip ${name} is ${available ? 'available' : 'unavailable'}: ${reason}`,
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
        (chip) =>
          !this.#chips.has(chip) && lines.some(({ line }) => line === '*' || line.startsWith(`${chip}/`)),
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
