import { defaultControlSocket } from '../client/control-socket.ts';
import type { Config } from '../config/config.ts';
import { CoprocessorError } from '../coprocessor/coprocessor-error.ts';
import { ControlServer } from '../exporters/control/control-server.ts';
import { MqttExporter } from '../exporters/mqtt/mqtt-exporter.ts';
import { assignSegments } from '../exporters/mqtt/topic-names.ts';
import type { ChipLines } from '../gpio/chip-lines.ts';
import { selectLines } from '../gpio/line-selection.ts';
import { Poller } from '../virtqueue/poller.ts';
import type { CoprocessorAction, CoprocessorStatus, ReloadReport, ServiceStatus } from '../wire/control.ts';
import { ChipSet } from './chip-set.ts';
import { GuestExports } from './guest-exports.ts';
import { LimitedLog } from './limited-log.ts';
import { LineLog } from './line-log.ts';
import { mqttOptions } from './mqtt-config.ts';
import { planReload, ReloadError } from './reload.ts';
import { selectAll } from './select-lines.ts';
import { packageVersion } from './version.ts';

/** How long the end waits for what consumers gave up: outputs that `onRelease` drives. */
const SETTLE_MS = 500;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface ServiceOptions {
  readonly config: Config;
  /** The file that the configuration came from; null for one that was made up. Errors of lines name their place in it. */
  readonly configFile: string | null;
  /** Reads the configuration anew, for {@link Service.reload}; throws ConfigError. */
  readonly loadConfig?: () => Config;
  readonly onLog: (level: LogLevel, message: string) => void;
  /** Takes the lines of the line log. */
  readonly onLine: (text: string) => void;
  /** Gives a start up that is under way. Without effect afterwards. */
  readonly signal?: AbortSignal;
  /** Something that {@link Service.statusLine} tells of may have changed. */
  readonly onChange?: () => void;
  /** A reload begins, or is over, however it went. */
  readonly onReload?: (isUnderWay: boolean) => void;
  /** A part of the service has ended by a fault of ours: the rest of it is to be closed. */
  readonly onFatal?: (reason: string) => void;
}

/** Everything that runs: co-processors, chips, exported devices. Made by {@link Service.start}, ended by {@link close}. */
export class Service {
  readonly #options: ServiceOptions;
  readonly #log: LimitedLog;
  readonly #startedAtMs = Date.now();
  /** Runs all rings of this service. */
  readonly poller = new Poller();
  readonly #chipSet: ChipSet;
  readonly #guests: GuestExports;
  #config: Config;
  #mqtt: MqttExporter | null = null;
  #control: ControlServer | null = null;
  #lineLog: LineLog | null = null;
  #reloading: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  private constructor(options: ServiceOptions) {
    const { config, configFile } = options;
    this.#log = new LimitedLog(options.onLog);
    const onLog = this.#log.log;
    this.#options = { ...options, onLog };
    this.#config = config;
    this.#chipSet = new ChipSet({
      poller: this.poller,
      onLog,
      configFile,
      onCoprocessor: () => {
        this.#mqtt?.coprocessorChanged();
        this.#changed();
      },
      onAvailability: () => this.#changed(),
    });
    this.#guests = new GuestExports(this.poller, onLog, () => this.#changed());
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

  #changed(): void {
    this.#options.onChange?.();
  }

  async #start(): Promise<void> {
    const { onLog, onLine, configFile } = this.#options;
    await this.#chipSet.start(this.#config);
    await this.#chipSet.open(this.#config);
    this.#throwIfClosing();
    if (this.#chipSet.lines.size === 0) {
      throw new CoprocessorError(
        'ERR_VDEV',
        'no chip could be opened, so there is nothing to serve; see the errors above',
      );
    }
    const selections = selectAll(this.#config, this.#chipSet.all, configFile);
    for (const [name, chips] of selections.missing) {
      onLog('error', `export ${name} is refused: its chip ${chips.join(', ')} could not be opened`);
    }
    for (const [name, lines] of selections.exports)
      this.#guests.add(name, this.#config.exports[name]!, lines);
    this.#lineLog = new LineLog(this.#chipSet.all, this.#config.log.lines, onLine);
    await this.#startMqtt();
    this.#throwIfClosing();
    await this.#startControl();
    this.#throwIfClosing();
    for (const name of this.#guests.names) this.#guests.listen(name);
  }

  /** What was opened before is closed; nothing may be opened after it. */
  #throwIfClosing(): void {
    if (this.#closing !== null) throw new CoprocessorError('ERR_CLOSED', 'the service was closed');
  }

  async #startMqtt(): Promise<void> {
    const { mqtt } = this.#config;
    if (mqtt === undefined) return;
    // That all selectors mean something was checked with those of the exports.
    const lines = selectLines(this.#chipSet.all, mqtt.lines, { mayBeEmpty: true, uniqueNames: 'chip' });
    const segments = assignSegments(
      lines.map(({ line, name }) => ({ chip: line.lines.name, offset: line.offset, name })),
    );
    lines.forEach(({ line, name }, index) => {
      if (name !== '' && name !== segments[index])
        this.#options.onLog(
          'info',
          `mqtt: no topic can hold the name of ${line.path}: it is ${line.lines.name}/${segments[index]}`,
        );
    });
    const started = await MqttExporter.start({
      config: mqttOptions(mqtt),
      lines,
      chips: this.#chipSet.all,
      version: packageVersion(),
      coprocessorOf: (name) => this.#chipSet.coprocessorOf(name),
      onLog: this.#options.onLog,
      onConnection: () => this.#changed(),
      onLost: (reason) => this.#options.onFatal?.(`MQTT: ${reason}`),
    });
    this.#mqtt = started;
    if (this.#closing !== null) await started.close();
  }

  async #startControl(): Promise<void> {
    const { enabled, socket, group, access } = this.#config.control;
    if (!enabled) return;
    const { onLog } = this.#options;
    const path = socket ?? process.env.RPROC_GPIO_SOCKET ?? defaultControlSocket();
    const server = new ControlServer({
      path,
      group,
      access,
      version: packageVersion(),
      chips: () => this.#chipSet.all,
      status: () => this.status,
      reload: () => this.reload(),
      coprocessor: (name, action) => this.controlCoprocessor(name, action),
      onLog,
    });
    try {
      await server.listen();
    } catch (error) {
      await server.close();
      // Who did not ask for it is not kept from serving: a second service of one user has no default socket.
      if (socket !== undefined) throw error;
      onLog('warn', `no control socket: ${(error as Error).message}; name one with control.socket`);
      return;
    }
    this.#control = server;
    if (this.#closing !== null) await server.close();
  }

  /** One line for people: the exported devices and their sockets. */
  get summary(): string {
    const chips = this.#chipSet.all.map(
      ({ name, chip }) => `${name} [${chip.label}] (${chip.lineCount} lines)`,
    );
    return `${this.#guests.summary}; ${chips.join(', ')}`;
  }

  /** One short line for a service manager: chips, guests, co-processors, MQTT. */
  get statusLine(): string {
    const chips = this.#chipSet.chipStatus;
    const away = chips.filter(({ available }) => !available).map(({ name }) => name);
    const guests = this.#guests.status;
    const parts = [
      `${chips.length} ${chips.length === 1 ? 'chip' : 'chips'}${away.length === 0 ? '' : ` (away: ${away.join(', ')})`}`,
      `${guests.filter(({ connected }) => connected).length} of ${guests.length} guests connected`,
      ...this.#chipSet.coprocessorStatus.map(({ name, state }) => `co-processor ${name} ${state}`),
    ];
    if (this.#mqtt !== null) parts.push(`MQTT ${this.#mqtt.isConnected ? 'connected' : 'not connected'}`);
    return parts.join('; ');
  }

  /** For a watchdog, see Progress. All parts are looked at each time. */
  stuck(): string | null {
    const found = [this.#guests.stuck(), this.#chipSet.stuck(), this.#mqtt?.stuck() ?? null];
    return found.find((text) => text !== null) ?? null;
  }

  /** The chips' lines, by chip name. */
  get chips(): ReadonlyMap<string, ChipLines> {
    return this.#chipSet.lines;
  }

  /** Port of the embedded MQTT broker; null without one. */
  get mqttPort(): number | null {
    return this.#mqtt?.port ?? null;
  }

  /** What `rproc-gpio status` shows. */
  get status(): ServiceStatus {
    const owners = this.#chipSet.all.flatMap(({ lines }) =>
      lines.flatMap(({ path, ownerName }) => (ownerName === null ? [] : [{ line: path, owner: ownerName }])),
    );
    return {
      version: packageVersion(),
      pid: process.pid,
      startedAtMs: this.#startedAtMs,
      configFile: this.#options.configFile,
      coprocessors: this.#chipSet.coprocessorStatus,
      chips: this.#chipSet.chipStatus,
      exports: this.#guests.status,
      mqtt: this.#mqtt?.status ?? null,
      owners,
    };
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config;
  }

  /**
   * Reads the configuration anew and applies what changed; what did not change is not disturbed. All of it or nothing.
   * @throws ConfigError for a faulty file, ReloadError for changes that a running service cannot make; nothing was changed then
   */
  reload(): Promise<ReloadReport> {
    const reloaded = this.#reloading.then(async () => {
      this.#options.onReload?.(true);
      try {
        return await this.#reload();
      } finally {
        this.#options.onReload?.(false);
      }
    });
    // One after the other; the next one does not care how this one ended.
    this.#reloading = reloaded.catch(() => {});
    return reloaded;
  }

  /**
   * Starts, stops or restarts a co-processor; resolves when it is done.
   * @throws CoprocessorError when there is none of that name, or it cannot be done
   */
  async controlCoprocessor(name: string, action: CoprocessorAction): Promise<CoprocessorStatus> {
    this.#throwIfClosing();
    const coprocessor = this.#chipSet.coprocessor(name);
    if (coprocessor !== undefined) return coprocessor.control(action);
    const names = this.#chipSet.coprocessorStatus.map((each) => each.name);
    const text = `no co-processor is named '${name}'; there ${names.length === 0 ? 'are none' : `is ${names.join(', ')}`}`;
    throw new CoprocessorError('ERR_COPROCESSOR', text);
  }

  async #reload(): Promise<ReloadReport> {
    const { loadConfig, configFile, onLog, onLine } = this.#options;
    this.#throwIfClosing();
    if (loadConfig === undefined) throw new ReloadError(['this service runs without a configuration file']);
    const before = this.#config;
    const config = loadConfig();
    const plan = planReload(before, config, this.#chipSet, this.#guests, configFile);
    for (const name of plan.guestsToClose) this.#guests.remove(name);
    // Consumers of chips that go have to be gone before: MQTT and the log are made anew, guests were closed.
    if (plan.restartsMqtt) {
      await this.#mqtt?.close();
      this.#mqtt = null;
    }
    if (plan.restartsLog) this.#lineLog?.close();
    for (const name of plan.chipsToClose) this.#chipSet.closeChip(name);
    this.#control?.chipsChanged();
    for (const name of plan.coprocessorsToStop) await this.#chipSet.stop(name);
    this.#config = config;
    let fault: unknown;
    try {
      await this.#chipSet.start(config, plan.coprocessorsToStart);
      await this.#chipSet.open(config, plan.chipsToOpen);
      this.#throwIfClosing();
      for (const [name, chip] of Object.entries(config.chips)) this.#chipSet.configure(name, chip);
      const { exports } = selectAll(config, this.#chipSet.all, configFile);
      for (const name of new Set([...this.#guests.names, ...Object.keys(config.exports)]))
        this.#guests.apply(name, config.exports[name], exports.get(name));
    } catch (error) {
      // What was opened only now turned out wrong (a firmware without a line that an export wants): the rest runs on.
      fault = error;
    }
    this.#throwIfClosing();
    if (plan.restartsLog) this.#lineLog = new LineLog(this.#chipSet.all, config.log.lines, onLine);
    if (plan.restartsMqtt) await this.#startMqtt();
    if (fault !== undefined) throw fault;
    for (const text of plan.changed) onLog('info', `reloaded: ${text}`);
    if (plan.changed.length === 0) onLog('info', 'reloaded: nothing has changed');
    return { changed: plan.changed, unchanged: plan.changed.length === 0 };
  }

  /** Ends everything, sockets first; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#guests.close();
    this.#lineLog?.close();
    await Promise.all([this.#mqtt?.close(), this.#control?.close()]);
    await this.#chipSet.settle(SETTLE_MS);
    const chipsClosed = this.#chipSet.close();
    this.poller.close();
    await chipsClosed;
    this.#log.close();
  }
}
