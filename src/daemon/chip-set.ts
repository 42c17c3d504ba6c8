import type { ChipConfig, Config } from '../config/config.ts';
import { configErrorAt } from '../config/line-fault.ts';
import { CoprocessorError } from '../coprocessor/coprocessor-error.ts';
import type { Log } from '../coprocessor/log.ts';
import type { Chip } from '../gpio/chip.ts';
import { ChipLines } from '../gpio/chip-lines.ts';
import type { Line } from '../gpio/line.ts';
import type { Poller } from '../virtqueue/poller.ts';
import type { ChipStatus, CoprocessorStatus } from '../wire/control.ts';
import { applySettings, unknownLine } from './apply-settings.ts';
import { openLocalChip } from './open-chip.ts';
import { openCoprocessorChip } from './open-coprocessor-chip.ts';
import { SupervisedCoprocessor } from './supervised-coprocessor.ts';

/** Faults of the firmware rather than of the set-up: that chip is refused, the others are served. */
const FIRMWARE_FAULTS = new Set([
  'ERR_RESOURCE_TABLE',
  'ERR_VDEV',
  'ERR_CARVEOUT',
  'ERR_START_TIMEOUT',
  'ERR_WIRE',
  'ERR_RPMSG',
  'ERR_MEMORY_LOST',
]);

export interface ChipSetOptions {
  readonly poller: Poller;
  readonly onLog: Log;
  /** A co-processor's state has changed. */
  readonly onCoprocessor: () => void;
  /** A chip has gone or come back. */
  readonly onAvailability: () => void;
  /** The file of the configuration, for the places of faults in it; null for one that was made up. */
  readonly configFile: string | null;
}

interface OpenChip {
  readonly config: ChipConfig;
  readonly lines: ChipLines;
  /** What else is closed with it. */
  readonly release: (() => Promise<void>) | undefined;
}

/** The co-processors that run and the chips that are open. */
export class ChipSet {
  readonly #options: ChipSetOptions;
  readonly #coprocessors = new Map<string, SupervisedCoprocessor>();
  /** Why those that did not start did not. */
  readonly #refused = new Map<string, CoprocessorStatus>();
  readonly #chips = new Map<string, OpenChip>();
  readonly #lines = new Map<string, ChipLines>();
  readonly #releasing: Promise<void>[] = [];
  #closed = false;

  constructor(options: ChipSetOptions) {
    this.#options = options;
  }

  /** Lines of the open chips, by chip name. */
  get lines(): ReadonlyMap<string, ChipLines> {
    return this.#lines;
  }

  get all(): readonly ChipLines[] {
    return [...this.#lines.values()];
  }

  /** Co-processors, as `status` shows them. */
  get coprocessorStatus(): CoprocessorStatus[] {
    const supervised = [...this.#coprocessors.values()].map(({ status }) => status);
    return [...supervised, ...this.#refused.values()];
  }

  /** Chips, as `status` shows them. */
  get chipStatus(): ChipStatus[] {
    return [...this.#chips].map(([name, { config, lines }]) => ({
      name,
      label: lines.chip.label,
      lineCount: lines.chip.lineCount,
      available: lines.chip.available,
      coprocessor: config.type === 'coprocessor' ? config.coprocessor : null,
      edges: lines.edges,
      ambiguousEvents: lines.ambiguousEvents,
      counters: { ...lines.chip.counters },
    }));
  }

  /** Starts co-processors together. What the firmware is to blame for is logged; the first other fault is thrown. */
  async start(config: Config, names: readonly string[] = Object.keys(config.coprocessors)): Promise<void> {
    await Promise.all(names.map((name) => this.#start(name, config)));
    this.#throwIfClosed();
  }

  async #start(name: string, config: Config): Promise<void> {
    const vdevs = Object.values(config.chips).flatMap((chip) =>
      chip.type === 'coprocessor' && chip.coprocessor === name ? [chip.vdev] : [],
    );
    const { onLog, onCoprocessor } = this.#options;
    let starting: SupervisedCoprocessor | undefined;
    try {
      starting = new SupervisedCoprocessor(name, config.coprocessors[name]!, vdevs, onLog, onCoprocessor);
      this.#coprocessors.set(name, starting);
      await starting.start();
    } catch (error) {
      this.#coprocessors.delete(name);
      await starting?.close();
      // Names and numbers of lines are not known, so there is nothing to hold for it: it is not waited for.
      this.#refuse(`co-processor ${name}`, error);
      this.#refused.set(name, { name, state: 'failed', restarts: 0, reason: (error as Error).message });
    }
  }

  /** Whether a chip's co-processor has gone since it started: whatever opening the chip says then follows from that. */
  #isAway(config: ChipConfig): boolean {
    if (this.#closed || config.type !== 'coprocessor') return false;
    return this.#coprocessors.get(config.coprocessor)?.status.state !== 'running';
  }

  /** Logs a fault of the firmware; throws every other one. */
  #refuse(what: string, error: unknown, isAway = false): void {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!FIRMWARE_FAULTS.has(code) && !isAway) {
      if (error instanceof CoprocessorError)
        throw new CoprocessorError(error.code, `${what}: ${error.message}`, error);
      throw error;
    }
    this.#options.onLog('error', `${what} is refused: ${(error as Error).message}`);
  }

  /** Opens chips one after the other. What the firmware is to blame for is logged; every other fault is thrown. */
  async open(config: Config, names: readonly string[] = Object.keys(config.chips)): Promise<void> {
    for (const name of names) {
      try {
        await this.#open(name, config);
      } catch (error) {
        this.#refuse(`chip ${name}`, error, this.#isAway(config.chips[name]!));
      }
    }
  }

  async #open(name: string, config: Config): Promise<void> {
    const { onLog, poller } = this.#options;
    const chipConfig = config.chips[name]!;
    let chip: Chip;
    let release: (() => Promise<void>) | undefined;
    if (chipConfig.type === 'coprocessor') {
      const supervisor = this.#coprocessors.get(chipConfig.coprocessor);
      // It was refused, and that was said.
      if (supervisor === undefined) return;
      const { requestTimeoutMs, startTimeoutMs, rpmsgBufferBytes } =
        config.coprocessors[chipConfig.coprocessor]!;
      const context = { poller, requestTimeoutMs, startTimeoutMs, rpmsgBufferBytes, onLog };
      chip = await supervisor.open(name, (running, isReturn) =>
        openCoprocessorChip(name, chipConfig, running, context, isReturn),
      );
    } else ({ chip, release } = await openLocalChip(name, chipConfig, onLog));
    if (this.#closed) {
      chip.close();
      await release?.();
    }
    this.#throwIfClosed();
    const lines = new ChipLines(chip, chipConfig.type === 'coprocessor' ? chipConfig.reads : undefined);
    // Of a co-processor's chip its supervisor says it.
    const isSupervised = chipConfig.type === 'coprocessor' || chipConfig.type === 'rpmsg';
    lines.onAvailability((available, reason) => {
      onLog(
        isSupervised ? 'debug' : available ? 'info' : 'error',
        `chip ${name} is ${available ? 'available' : 'unavailable'}: ${reason}`,
      );
      this.#options.onAvailability();
    });
    this.#chips.set(name, { config: chipConfig, lines, release });
    this.#lines.set(name, lines);
    this.#checkSettings(name, lines, chipConfig);
    await new Promise<void>((resolve) => lines.learnDirections(resolve));
    applySettings(lines, chipConfig.lineSettings);
    const failed = await new Promise<readonly Line[]>((resolve) => lines.applyInitial(resolve));
    for (const { path, settings } of failed)
      onLog('warn', `line ${path} could not be made "${settings.initial}" as lineSettings say`);
    onLog('info', `chip ${name} [${chip.label}] (${chip.lineCount} lines)`);
  }

  /** @throws ConfigError for settings of a line that the chip does not have */
  #checkSettings(name: string, lines: ChipLines, { lineSettings }: ChipConfig): void {
    const key = unknownLine(lines, lineSettings);
    if (key === undefined) return;
    const { configFile } = this.#options;
    const names = lines.lines.filter((line) => line.name !== '').map((line) => line.name);
    const right = `${name} has ${lines.lines.length} lines: ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}`;
    const wrong = `"${key}" is no line`;
    if (configFile === null) throw new Error(`chips.${name}.lineSettings: ${wrong}; ${right}`);
    throw configErrorAt(configFile, ['chips', name, 'lineSettings', key], wrong, right, 'key');
  }

  /** Applies changed `lineSettings` and `reads` of a chip that stays open. @returns whether something changed for its consumers */
  configure(name: string, config: ChipConfig): boolean {
    const open = this.#chips.get(name);
    if (open === undefined) return false;
    this.#checkSettings(name, open.lines, config);
    const changed = applySettings(open.lines, config.lineSettings).length > 0;
    this.#chips.set(name, { ...open, config });
    return changed;
  }

  /** Closes a chip whose consumers have closed their lines. */
  closeChip(name: string): void {
    const open = this.#chips.get(name);
    open?.lines.chip.close();
    const releasing = open?.release?.();
    if (releasing !== undefined) this.#releasing.push(releasing);
    this.#lines.delete(name);
    this.#chips.delete(name);
  }

  /** What keeps a co-processor alive; undefined for one that is not configured or did not start. */
  coprocessor(name: string): SupervisedCoprocessor | undefined {
    return this.#coprocessors.get(name);
  }

  /** Ends a co-processor whose chips are closed. */
  async stop(name: string): Promise<void> {
    const stopping = this.#coprocessors.get(name);
    this.#coprocessors.delete(name);
    this.#refused.delete(name);
    await stopping?.close();
  }

  /** What was opened before is closed; nothing may be opened after it. */
  #throwIfClosed(): void {
    if (this.#closed) throw new CoprocessorError('ERR_CLOSED', 'the service was closed');
  }

  /** State of a chip's co-processor; null for a chip that has none. */
  coprocessorOf(chip: string): CoprocessorStatus['state'] | null {
    const config = this.#chips.get(chip)?.config;
    if (config?.type !== 'coprocessor') return null;
    return this.#coprocessors.get(config.coprocessor)?.status.state ?? null;
  }

  /** For the watchdog, see Progress. */
  stuck(): string | null {
    const found = [...this.#coprocessors.values()].map((coprocessor) => coprocessor.stuck());
    return found.find((text) => text !== null) ?? null;
  }

  /** Waits until nothing is under way at any chip, for so long. */
  async settle(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    const idle = this.all.map((lines) => new Promise<void>((resolve) => lines.whenIdle(resolve)));
    await Promise.race([Promise.all(idle), late]);
    clearTimeout(timer);
  }

  /** Closes chips, then co-processors; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const name of [...this.#chips.keys()]) this.closeChip(name);
    const stopping = [...this.#coprocessors.keys()].map((name) => this.stop(name));
    await Promise.all([...stopping, ...this.#releasing.splice(0)]);
  }
}
