import { DIRECTION_OUT, type Edge, LEVEL_UNKNOWN, RESULT_OK } from '../../gpio/chip.ts';
import type { ChipLines } from '../../gpio/chip-lines.ts';
import type { LineConsumer, LineHandle } from '../../gpio/line-handle.ts';
import type { SelectedLine } from '../../gpio/line-selection.ts';
import { LocalEdge } from '../../gpio/local-edge.ts';
import type { Limits, MqttStatus } from '../../wire/control.ts';
import { CommandRunner } from './command-runner.ts';
import {
  createRing,
  KIND_SHIFT,
  LEVEL_BIT,
  MERGED_BIT,
  RECORD_CHIP,
  RECORD_LINE,
  RingWriter,
} from './line-ring.ts';
import type { MqttOptions } from './mqtt-options.ts';
import { redact, secretsForAll } from './secrets.ts';
import {
  BROKER_LIMITS,
  COPROCESSOR_STATES,
  type CoprocessorState,
  SharedCounters,
  SharedTables,
} from './shared-tables.ts';
import { assignSegments } from './topic-names.ts';
import type { FromWorker, Log } from './worker-messages.ts';
import { WorkerThread } from './worker-thread.ts';

export interface MqttExporterOptions {
  readonly config: MqttOptions;
  /** Unique names within a chip. `selector` is the index in `config.lines`. */
  readonly lines: readonly SelectedLine[];
  readonly chips: readonly ChipLines[];
  /** Of this service. */
  readonly version: string;
  readonly onLog: Log;
  /** The worker thread ended by itself: nothing is published any more. */
  readonly onLost?: (reason: string) => void;
  /** The connection to the broker has come or gone. */
  readonly onConnection?: () => void;
  /** State of the co-processor of a chip; null for a chip without one. */
  readonly coprocessorOf?: (chip: string) => CoprocessorState | null;
}

const EDGE = 0;
const LINE = RECORD_LINE << KIND_SHIFT;
const CHIP = RECORD_CHIP << KIND_SHIFT;

/**
 * Lines on MQTT. This side watches the lines and executes commands; whatever formats, parses or waits for a broker is done
 * by a worker thread. A level change costs a few stores into shared memory, and a message to the worker when it sleeps.
 */
export class MqttExporter implements LineConsumer {
  readonly name = 'mqtt';
  readonly #options: MqttExporterOptions;
  readonly #handles: readonly LineHandle[];
  readonly #chipOfLine: Uint32Array;
  readonly #tables: SharedTables;
  readonly #counters = new SharedCounters();
  readonly #ring: RingWriter;
  readonly #runner: CommandRunner;
  readonly #worker: WorkerThread;
  readonly #unsubscribe: (() => void)[] = [];
  #isConnected = false;
  #reason: string | undefined = 'not connected yet';
  #closing: Promise<void> | null = null;

  private constructor(options: MqttExporterOptions) {
    const { config, lines, chips, version, onLog } = options;
    this.#options = options;
    this.#tables = new SharedTables(lines.length, chips.length);
    const ring = createRing();
    this.#ring = new RingWriter(ring);
    this.#handles = lines.map(({ line, access, role, debounceMs }, index) =>
      line.lines.open(line.offset, this, index, { access, role, debounceMs }),
    );
    this.#chipOfLine = Uint32Array.from(lines, ({ line }) => chips.indexOf(line.lines));
    this.#runner = new CommandRunner(this.#handles, (answers) =>
      this.#worker.post({ kind: 'answers', answers }),
    );
    const segments = assignSegments(
      lines.map(({ line, name }) => ({ chip: line.lines.name, offset: line.offset, name })),
    );
    this.#worker = new WorkerThread({
      data: {
        options: config,
        version,
        chips: chips.map(({ name, chip }) => ({ name, label: chip.label })),
        lines: lines.map(({ line, name, role, access, selector }, index) => ({
          chip: this.#chipOfLine[index] as number,
          offset: line.offset,
          name,
          segment: segments[index] as string,
          role,
          access,
          deviceClass: config.lines[selector]?.deviceClass,
        })),
        ring,
        tables: this.#tables.memory,
        counters: this.#counters.memory,
      },
      onMessage: (message) => this.#message(message),
      onLost: (reason) => this.#lost(reason),
      onLog: (level, message) => onLog(level, `MQTT: ${message}`),
    });
  }

  /**
   * Resolves when the worker runs and the embedded broker, if there is to be one, listens; does not wait for another broker.
   * @throws MqttError ERR_MQTT_LISTEN, ERR_MQTT_WORKER; nothing is left running then
   */
  static async start(options: MqttExporterOptions): Promise<MqttExporter> {
    for (const text of secretsForAll(options.config)) options.onLog('warn', `MQTT: ${text}`);
    const exporter = new MqttExporter(options);
    try {
      exporter.#watch();
      await exporter.#worker.start();
    } catch (error) {
      await exporter.close();
      throw error;
    }
    return exporter;
  }

  #watch(): void {
    this.#options.chips.forEach((chip, index) => {
      this.#tables.coprocessorStates[index] = this.#coprocessorState(chip);
      this.#tables.chipAvailable[index] = chip.chip.available ? 1 : 0;
      this.#unsubscribe.push(chip.onAvailability((available) => this.#availability(index, available)));
    });
    for (const handle of this.#handles) {
      handle.watch(true);
      this.#look(handle);
    }
  }

  /** Takes over what is known of a line, and asks for the level of an output, of which no edge may ever tell. */
  #look(handle: LineHandle): void {
    const { line, index } = handle;
    if (line.fresh || line.direction === DIRECTION_OUT) this.#learn(handle, line.level);
    this.#tables.directions[index] = line.direction;
    this.#push(LINE | index, 0, 0);
    if (line.direction !== DIRECTION_OUT || line.level !== LEVEL_UNKNOWN) return;
    if (!line.lines.chip.available) return;
    const operator = this.#runner.operator(index);
    operator.get(({ result, level }) => {
      if (result !== RESULT_OK || line.direction !== DIRECTION_OUT) return;
      this.#tables.levels[index] = level;
      this.#push(LINE | index, 0, 0);
    });
  }

  #learn(handle: LineHandle, level: number): void {
    if (level === LEVEL_UNKNOWN) return;
    const { index, line } = handle;
    this.#tables.levels[index] = line.settings.activeLow ? 1 - level : level;
  }

  #push(what: number, seq: number, timeNs: number): void {
    if (this.#ring.push(what, seq, timeNs)) this.#worker.post(null);
  }

  interrupt(): void {
    // Watches edges; has no interrupt.
  }

  edge(handle: LineHandle, level: number, edge: Edge): void {
    const { index, line } = handle;
    const tables = this.#tables;
    const logical = line.settings.activeLow ? 1 - level : level;
    tables.levels[index] = logical;
    tables.ambiguousEvents[this.#chipOfLine[index] as number] = line.lines.ambiguousEvents;
    const seq = ((tables.edges[index] as number) + 1) >>> 0;
    tables.edges[index] = seq;
    // A bigint is an allocation: most edges have their time as a double.
    const timeNs = edge instanceof LocalEdge ? edge.timeNs : Number(edge.timestampNs);
    const flags = (logical === 1 ? LEVEL_BIT : 0) | (edge.merged ? MERGED_BIT : 0);
    this.#push(EDGE | flags | index, seq, timeNs);
  }

  observed(handle: LineHandle, level: number): void {
    this.#learn(handle, level);
    this.#push(LINE | handle.index, 0, 0);
  }

  changed(handle: LineHandle): void {
    this.#look(handle);
  }

  #coprocessorState({ name }: ChipLines): number {
    return COPROCESSOR_STATES.indexOf(this.#options.coprocessorOf?.(name) ?? '');
  }

  /** A co-processor's state has changed: those of all chips are looked at. */
  coprocessorChanged(): void {
    this.#options.chips.forEach((chip, index) => {
      const state = this.#coprocessorState(chip);
      if (state === this.#tables.coprocessorStates[index]) return;
      this.#tables.coprocessorStates[index] = state;
      this.#push(CHIP | index, 0, 0);
    });
  }

  #availability(chip: number, available: boolean): void {
    this.#tables.chipAvailable[chip] = available ? 1 : 0;
    this.#push(CHIP | chip, 0, 0);
    if (!available) return;
    for (const handle of this.#handles) {
      if (this.#chipOfLine[handle.index] === chip) this.#look(handle);
    }
  }

  /** Levels as their lines' settings have them now: a reload may have changed what `activeLow` says. */
  refresh(): void {
    for (const handle of this.#handles) {
      this.#learn(handle, handle.line.level);
      this.#look(handle);
    }
  }

  #message(message: FromWorker): void {
    switch (message.kind) {
      case 'connection':
        this.#isConnected = message.connected;
        this.#reason = message.connected ? undefined : message.reason;
        this.#options.onConnection?.();
        return;
      case 'commands':
        if (this.#closing === null) this.#runner.run(message.commands);
        return;
      case 'log':
        this.#options.onLog(message.level, `MQTT: ${message.message}`);
    }
  }

  #lost(reason: string): void {
    this.#isConnected = false;
    this.#reason = `the worker thread ended: ${reason}`;
    this.#runner.forget();
    // What it had taken and not published is gone with it.
    const lost = this.#counters.get('eventsTaken') - this.#counters.get('eventsSettled');
    this.#counters.add('eventsDropped', lost);
    this.#counters.add('eventsSettled', lost);
    this.#options.onLost?.(this.#reason);
  }

  /** For the watchdog, see Progress. */
  stuck(): string | null {
    const stuck = this.#worker.stuck();
    return stuck === null ? null : `MQTT: ${stuck}`;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Port of the embedded broker; null without one. */
  get port(): number | null {
    return this.#worker.port;
  }

  get #brokerLimits(): Limits {
    return Object.fromEntries(BROKER_LIMITS.map((name) => [name, this.#counters.get(name)]));
  }

  get status(): MqttStatus {
    const { broker } = this.#options.config;
    const counters = this.#counters;
    return {
      broker: redact(broker),
      connected: this.#isConnected,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(broker === 'embedded' ? { limits: this.#brokerLimits } : {}),
      counters: {
        published: counters.get('published'),
        eventsDropped: counters.get('eventsDropped') + this.#ring.edgesLost,
        commands: counters.get('commands'),
        refusedCommands: counters.get('refusedCommands'),
        badCommands: counters.get('badCommands'),
        ignoredRetained: counters.get('ignoredRetained'),
        refusedPublications: counters.get('refusedPublications'),
        reconnects: Math.max(0, counters.get('connections') - 1),
      },
    };
  }

  /** Ends commands under way, publishes that gateway and chips are offline, disconnects: within two seconds. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Pulses end first, so that the levels they leave are published; and who listens to a chip ends with its lines.
    this.#runner.close();
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await this.#worker.close();
    for (const handle of this.#handles) handle.close();
  }
}
