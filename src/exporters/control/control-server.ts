import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { DIRECTION_OUT, type Edge } from '../../gpio/chip.ts';
import type { ChipLines } from '../../gpio/chip-lines.ts';
import type { LineConsumer, LineHandle } from '../../gpio/line-handle.ts';
import type {
  ControlStatus,
  CoprocessorAction,
  CoprocessorStatus,
  ReloadReport,
  ServiceStatus,
} from '../../wire/control.ts';
import { encodeError } from '../../wire/control-reply.ts';
import { ControlConnection, REQUEST_TIMEOUT_MS } from './connection.ts';
import { ControlLines } from './control-line.ts';
import { ControlCounters, ControlLimits } from './counters.ts';
import { LineIndex } from './line-index.ts';
import { type ListeningSocket, openListeningSocket } from './listening-socket.ts';
import { failure, type RequestContext } from './requests.ts';
import { Turns } from './turns.ts';

/** Clients at a time; one more puts out one that has never asked anything or does not read, or is told so and turned away. */
export const MAX_CONNECTIONS = 64;

export interface ControlServerOptions {
  /** Of the socket. */
  readonly path: string;
  /** Who may connect besides this user: a group's name or number. */
  readonly group?: string | undefined;
  /** `read`: nothing is driven. */
  readonly access: 'read' | 'write';
  /** Of the service, for the greeting. */
  readonly version: string;
  readonly chips: () => readonly ChipLines[];
  /** What the `status` method tells, all but the control socket's own part. */
  readonly status: () => ServiceStatus;
  /** Applies a changed configuration; what it throws is told to the client. */
  readonly reload: () => Promise<ReloadReport>;
  /** Starts, stops or restarts a co-processor; what it throws is told to the client. */
  readonly coprocessor: (name: string, action: CoprocessorAction) => Promise<CoprocessorStatus>;
  /** How long a request may take from its first byte to its last; default 10 s. */
  readonly requestTimeoutMs?: number;
  readonly onLog: (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
}

/**
 * The control socket: people and scripts, as one consumer of lines. What they set stays when they disconnect, until it is
 * released. Protocol: docs/control.md.
 */
export class ControlServer implements LineConsumer {
  readonly name = 'command line';
  readonly #options: ControlServerOptions;
  readonly #counters = new ControlCounters();
  readonly #limits = new ControlLimits();
  readonly #turns = new Turns();
  readonly #lines: ControlLines;
  readonly #context: RequestContext;
  readonly #connections = new Set<ControlConnection>();
  #index: LineIndex | null = null;
  #isReloading = false;
  #listening: ListeningSocket | null = null;
  #server: Server | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#lines = new ControlLines(this, options.access);
    this.#context = {
      access: options.access,
      lines: this.#lines,
      index: () => this.#lineIndex(),
      status: () => ({ ...options.status(), control: this.status }),
      reload: () => this.#reload(),
      coprocessor: options.coprocessor,
    };
  }

  get status(): ControlStatus {
    return {
      connections: this.#connections.size,
      counters: { ...this.#counters },
      limits: { ...this.#limits },
    };
  }

  /** Lines that are open now. */
  get openLines(): number {
    return this.#lines.size;
  }

  /**
   * Listens.
   * @throws ControlSocketError when a service listens there already, or the socket cannot be made
   */
  async listen(): Promise<void> {
    const { path, group, onLog } = this.#options;
    const listening = openListeningSocket(path, group);
    // The client may have ended its side and still wait for answers.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ fd: listening.fd }, resolve);
      });
    } catch (error) {
      listening.remove();
      closeSync(listening.fd);
      throw error;
    }
    server.removeAllListeners('error');
    server.on('error', (error) => onLog('error', `control socket ${path}: ${error.message}`));
    this.#listening = listening;
    this.#server = server;
    // Closed while it began to listen.
    if (this.#closing !== null) await this.#stopListening();
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= MAX_CONNECTIONS && !this.#displace()) return this.#turnAway(socket);
    const { version, onLog } = this.#options;
    const connection = new ControlConnection({
      socket,
      version,
      context: this.#context,
      turns: this.#turns,
      counters: this.#counters,
      limits: this.#limits,
      requestTimeoutMs: this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      onFault: (error) =>
        onLog('error', `control socket: ${error instanceof Error ? error.stack : String(error)}`),
      onClosed: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
  }

  /** Puts the oldest connection out that nobody uses. @returns whether there was one */
  #displace(): boolean {
    for (const connection of this.#connections) {
      if (!connection.isIdle) continue;
      this.#limits.displacedConnections++;
      connection.dismiss('there are too many clients, and this one was not using the service', 'ERR_LIMIT');
      return true;
    }
    return false;
  }

  #turnAway(socket: Socket): void {
    const { refusedConnections } = this.#counters;
    this.#counters.refusedConnections++;
    if (refusedConnections === 0) {
      const message = `control socket: a client was turned away, as there are ${MAX_CONNECTIONS} already; further ones are only counted`;
      this.#options.onLog('warn', message);
    }
    socket.on('error', () => {});
    const reason = failure(
      'ERR_LIMIT',
      `the service has ${MAX_CONNECTIONS} clients already, which is the most it takes`,
    );
    socket.end(encodeError(null, reason), () => socket.destroy());
  }

  #lineIndex(): LineIndex {
    const chips = this.#options.chips();
    if (this.#index === null || !this.#index.isOf(chips)) this.#index = new LineIndex(chips);
    return this.#index;
  }

  async #reload(): Promise<ReloadReport> {
    if (this.#isReloading)
      throw Object.assign(new Error('busy: a reload is under way'), { code: 'ERR_BUSY' });
    this.#isReloading = true;
    try {
      return await this.#options.reload();
    } finally {
      this.#isReloading = false;
    }
  }

  interrupt(): void {
    // Watches edges; has no interrupt.
  }

  edge(handle: LineHandle, level: number, edge: Edge): void {
    const line = this.#lines.of(handle);
    if (line === null) return;
    line.seq++;
    this.#counters.edges++;
    const logical = line.operator.toLogical(level);
    let text: string | null = null;
    const { subscriptions } = line;
    for (let i = 0; i < subscriptions.length; i++) {
      const subscription = subscriptions[i]!;
      if (!subscription.wants(logical)) continue;
      text ??= line.text.encode(
        logical,
        line.seq,
        edge.timestampNs,
        edge.merged,
        line.line.direction === DIRECTION_OUT,
      );
      subscription.sink.edge(subscription, text);
    }
  }

  changed(handle: LineHandle): void {
    const line = this.#lines.of(handle);
    if (line !== null) this.#lines.tidy(line);
  }

  /** After a reload: lines of chips that are gone are closed, and what watched nothing else ends. */
  chipsChanged(): void {
    const chips = new Set(this.#options.chips());
    this.#lines.drop(
      ({ lines }) => !chips.has(lines),
      ({ lines }) => `chip ${lines.name} is gone`,
    );
  }

  /** Ends all connections, removes the socket, gives all lines back; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const stopped = this.#stopListening();
    for (const connection of [...this.#connections]) connection.dismiss('the service ends');
    this.#lines.drop(
      () => true,
      () => 'the service ends',
    );
    this.#turns.close();
    await stopped;
  }

  async #stopListening(): Promise<void> {
    const server = this.#server;
    this.#listening?.remove();
    this.#listening = null;
    this.#server = null;
    if (server !== null) await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
