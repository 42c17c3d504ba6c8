import type { ExportConfig } from '../config/config.ts';
import { VirtioGpioDevice } from '../exporters/virtio-gpio/device.ts';
import { Draft2021Device } from '../exporters/virtio-gpio/draft-2021-device.ts';
import type { ExportedDevice, Log } from '../exporters/virtio-gpio/exported-device.ts';
import { featureNames } from '../exporters/virtio-gpio/feature-names.ts';
import { MetuxDevice } from '../exporters/virtio-gpio/metux-device.ts';
import { ResumeFile, ResumeFileError } from '../exporters/virtio-gpio/resume-file.ts';
import { ResumeState } from '../exporters/virtio-gpio/resume-state.ts';
import { VhostUserServer } from '../exporters/virtio-gpio/server.ts';
import type { SelectedLine } from '../gpio/line-selection.ts';
import { onDeadMapping } from '../native.ts';
import type { Poller } from '../virtqueue/poller.ts';
import type { ServiceStatus } from '../wire/control.ts';
import { REPLY_2020, REPLY_2021 } from '../wire/metux-gpio.ts';

interface GuestExport {
  /** Outlives the service, with what the guest set; null without one. */
  readonly resumeFile: ResumeFile | null;
  readonly unwatch: () => void;
  readonly config: ExportConfig;
  readonly lines: readonly SelectedLine[];
  readonly server: VhostUserServer;
}

/** What a change of the configuration would do to one export. */
export interface ExportChange {
  /** A sentence for people: what is done, or why it cannot be. */
  readonly text: string;
  readonly refused: boolean;
  /** Whether the device is closed in favour of another, or for good; it must be before its chips are. */
  readonly closes: boolean;
}

function sameLines(before: readonly SelectedLine[], after: readonly SelectedLine[]): boolean {
  return (
    before.length === after.length &&
    before.every(({ line, name }, index) => line === after[index]?.line && name === after[index]?.name)
  );
}

function sameRights(before: readonly SelectedLine[], after: readonly SelectedLine[]): boolean {
  return before.every((line, index) => {
    const other = after[index];
    return line.access === other?.access && line.role === other.role && line.debounceMs === other.debounceMs;
  });
}

/** The devices offered to guests, and their sockets. */
export class GuestExports {
  readonly #poller: Poller;
  readonly #onLog: Log;
  readonly #onGuest: () => void;
  readonly #exports = new Map<string, GuestExport>();

  /** @param onGuest a guest has connected or gone */
  constructor(poller: Poller, onLog: Log, onGuest: () => void) {
    this.#poller = poller;
    this.#onLog = onLog;
    this.#onGuest = onGuest;
  }

  get names(): string[] {
    return [...this.#exports.keys()];
  }

  /** One line for people. */
  get summary(): string {
    const devices = [...this.#exports].map(
      ([name, { lines, config }]) =>
        `${name} (${lines.length} line${lines.length === 1 ? '' : 's'}) on ${config.socket}`,
    );
    return devices.join(', ') || 'no exports';
  }

  /** Makes a device; {@link listen} lets guests in. */
  add(name: string, config: ExportConfig, lines: readonly SelectedLine[]): void {
    const { reconnectGraceMs } = config;
    let resumeFile: ResumeFile | null = null;
    const device = this.#device(name, config, lines, (file) => {
      resumeFile = file;
    });
    const server = new VhostUserServer({
      device,
      reconnectGraceMs,
      onLog: this.#onLog,
      onConnected: this.#onGuest,
      onDisconnected: this.#onGuest,
    });
    this.#exports.set(name, { config, lines, server, resumeFile, unwatch: this.#watch(name, resumeFile) });
  }

  /** Says so when somebody truncates the file: its guest goes on, with what this process knows. @returns how to stop it */
  #watch(name: string, file: ResumeFile | null): () => void {
    if (file === null) return () => {};
    const unwatch = onDeadMapping(() => {
      if (!file.isDead) return;
      unwatch();
      this.#onLog(
        'warn',
        `export ${name}: somebody truncated ${file.path}: what the guest sets is kept as long as this service runs`,
      );
    });
    return unwatch;
  }

  #device(
    name: string,
    { protocol, pollUs, metuxReply, resume, socket }: ExportConfig,
    lines: readonly SelectedLine[],
    onResumeFile: (file: ResumeFile) => void,
  ): ExportedDevice {
    const options = { name, lines, poller: this.#poller, pollUs, onLog: this.#onLog };
    switch (protocol) {
      case 'metux':
        return new MetuxDevice({ ...options, replyMask: metuxReply === '2020' ? REPLY_2020 : REPLY_2021 });
      case 'draft-2021':
        return new Draft2021Device(options);
      default: {
        if (!resume) return new VirtioGpioDevice(options);
        const openResumeState = (lineCount: number, identity: number): ResumeState => {
          try {
            const file = ResumeFile.open(`${socket}.resume`, lineCount, identity);
            onResumeFile(file);
            return file.state;
          } catch (error) {
            if (!(error instanceof ResumeFileError)) throw error;
            // The guest is served all the same; only a restart of the service would cost it its interrupts.
            this.#onLog('warn', `export ${name}: ${error.message}`);
            return new ResumeState(lineCount, identity);
          }
        };
        return new VirtioGpioDevice({ ...options, openResumeState });
      }
    }
  }

  /** @throws NativeError when the socket cannot be made */
  listen(name: string): void {
    const { server, config } = this.#exports.get(name)!;
    server.listen(config.socket, config.group);
  }

  /** Closes a device and its connection. */
  remove(name: string): void {
    const removed = this.#exports.get(name);
    removed?.server.close();
    removed?.unwatch();
    // Behind the device, which writes to it. It stays on disk for the next service.
    removed?.resumeFile?.close();
    this.#exports.delete(name);
  }

  /** Whether an export uses lines of a chip, and a guest is connected to it. */
  connectedUserOf(chip: string): string | undefined {
    for (const [name, { lines, server }] of this.#exports) {
      if (server.connected && lines.some(({ line }) => line.lines.name === chip)) return name;
    }
    return undefined;
  }

  /**
   * What would have to be done for an export to be as configured; null when nothing.
   * @param config undefined: the export is no more
   * @param lines undefined: its chips are not known yet, or not there
   */
  changeOf(
    name: string,
    config: ExportConfig | undefined,
    lines: readonly SelectedLine[] | undefined,
  ): ExportChange | null {
    const before = this.#exports.get(name);
    const is = (text: string, closes: boolean): ExportChange => ({
      text: `export ${name} ${text}`,
      refused: false,
      closes,
    });
    if (before === undefined)
      return config === undefined || lines === undefined ? null : is('is added', false);
    const refuse = (what: string): ExportChange => ({
      text: `export ${name}: ${what} while a guest is connected; disconnect it first`,
      refused: true,
      closes: false,
    });
    const { connected } = before.server;
    if (config === undefined || lines === undefined)
      return connected ? refuse('it cannot be removed') : is('is removed', true);
    if (config.socket !== before.config.socket)
      return connected ? refuse('its socket cannot be changed') : is(`is moved to ${config.socket}`, true);
    if (config.group !== before.config.group)
      return connected
        ? refuse('its group cannot be changed')
        : is(`is for group ${config.group ?? 'none'}`, true);
    if (
      config.protocol !== before.config.protocol ||
      config.metuxReply !== before.config.metuxReply ||
      config.resume !== before.config.resume
    )
      return connected ? refuse('its protocol cannot be changed') : is(`speaks ${config.protocol}`, true);
    if (lines.length !== before.lines.length && connected) {
      return refuse(
        `the number of its lines cannot be changed from ${before.lines.length} to ${lines.length}`,
      );
    }
    if (!sameLines(before.lines, lines))
      return connected
        ? refuse('which lines it has, and their names, cannot be changed')
        : is('has other lines', true);
    if (!sameRights(before.lines, lines)) return is('has other rights or debounce periods', false);
    const { pollUs, reconnectGraceMs } = before.config;
    if (config.pollUs !== pollUs || config.reconnectGraceMs !== reconnectGraceMs)
      return is('has other times', false);
    return null;
  }

  /** Applies a change that was not refused. */
  apply(name: string, config: ExportConfig | undefined, lines: readonly SelectedLine[] | undefined): void {
    const change = this.changeOf(name, config, lines);
    if (change === null || change.refused) return;
    const before = this.#exports.get(name);
    if (change.closes) this.remove(name);
    if (config === undefined || lines === undefined) return;
    if (before === undefined || change.closes) {
      this.add(name, config, lines);
      this.listen(name);
      return;
    }
    const { server, resumeFile, unwatch } = before;
    server.device.configure(lines);
    server.device.pollUs = config.pollUs;
    server.reconnectGraceMs = config.reconnectGraceMs;
    this.#exports.set(name, { config, lines, server, resumeFile, unwatch });
  }

  /** Exports, as `status` shows them. */
  get status(): ServiceStatus['exports'] {
    return [...this.#exports].map(([name, { config, lines, server }]) => {
      const { requests, errors, interrupts, invalidEvents, badChains } = server.device.counters;
      return {
        name,
        socket: config.socket,
        lines: lines.length,
        connected: server.connected,
        features: featureNames(server.features),
        counters: { requests, errors, interrupts, invalidEvents, badChains: { ...badChains } },
        limits: { ...server.counters },
      };
    });
  }

  /** For the watchdog, see Progress. */
  stuck(): string | null {
    const found = [...this.#exports.values()].map(({ server }) => server.stuck());
    return found.find((text) => text !== null) ?? null;
  }

  /** Sockets and devices; idempotent. */
  close(): void {
    for (const name of this.names) this.remove(name);
  }
}
