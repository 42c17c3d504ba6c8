import type {
  ChipInfo,
  CoprocessorAction,
  CoprocessorStatus,
  LineInfo,
  LineOutcome,
  ParamsOf,
  ReloadReport,
  ServiceStatus,
} from '../wire/control.ts';
import { ChipClient, LineClient } from './chip-client.ts';
import { ClientConnection } from './client-connection.ts';
import { findControlSocket } from './control-socket.ts';
import { type EdgeOptions, EdgeStream } from './edge-stream.ts';

/** How long {@link connect} waits for the service's greeting. */
const CONNECT_TIMEOUT_MS = 5000;

export interface ConnectOptions {
  /** The service's control socket. Default: {@link findControlSocket}. */
  readonly socket?: string;
  /** How long to wait for the service's greeting; 5000 unless told otherwise. */
  readonly timeoutMs?: number;
}

/**
 * A connection to a running service. Lines are named `NAME` (unique over all chips), `CHIP/NAME` or `CHIP/#OFFSET`; levels are
 * logical, 1 is active. Calls reject with ControlError; those on several lines tell what became of each in its outcome.
 */
export class Client {
  /** Of the service. */
  readonly version: string;
  /** Where it listens. */
  readonly socket: string;
  readonly #connection: ClientConnection;

  /** Made by {@link connect}. */
  constructor(connection: ClientConnection) {
    this.#connection = connection;
    this.version = connection.version;
    this.socket = connection.path;
  }

  chips(): Promise<readonly ChipInfo[]> {
    return this.#connection.call('chips', {});
  }

  /** All lines, those of one chip (its name), or the named ones (a list). */
  lines(which?: string | readonly string[]): Promise<readonly LineInfo[]> {
    if (which === undefined) return this.#connection.call('lines', {});
    return this.#connection.call('lines', typeof which === 'string' ? { chip: which } : { lines: which });
  }

  get(lines: readonly string[]): Promise<readonly LineOutcome[]> {
    return this.#connection.call('get', { lines });
  }

  /** Sets levels; makes outputs of lines that are none. The service holds them until they are released. */
  set(values: readonly { readonly line: string; readonly level: 0 | 1 }[]): Promise<readonly LineOutcome[]> {
    return this.#connection.call('set', { values });
  }

  toggle(lines: readonly string[]): Promise<readonly LineOutcome[]> {
    return this.#connection.call('toggle', { lines });
  }

  /** Sets a level and, `durationMs` later, the other one. Resolves when the pulses have begun. */
  pulse(lines: readonly string[], level: 0 | 1, durationMs: number): Promise<readonly LineOutcome[]> {
    return this.#connection.call('pulse', { lines, level, durationMs });
  }

  /** Gives outputs up. */
  release(lines: readonly string[]): Promise<readonly LineOutcome[]> {
    return this.#connection.call('release', { lines });
  }

  setDirection(lines: readonly string[], direction: 'in' | 'out' | 'none'): Promise<readonly LineOutcome[]> {
    return this.#connection.call('direction', { lines, direction });
  }

  /** Level changes of the lines, of all there are without any. Begins at once; `ready` of the stream tells when it has. */
  edges(lines?: readonly string[], options?: EdgeOptions): EdgeStream {
    return this.#edges(lines === undefined ? {} : { lines }, options);
  }

  #edges(which: Omit<ParamsOf<'watch'>, 'edges'>, options: EdgeOptions = {}): EdgeStream {
    return new EdgeStream(this.#connection, which, options);
  }

  /** One chip. Nothing is asked yet. */
  chip(name: string): ChipClient {
    return new ChipClient(this, name, (options) => this.#edges({ chip: name }, options));
  }

  /** One line. Nothing is asked yet. */
  line(reference: string): LineClient {
    return new LineClient(this, reference);
  }

  status(): Promise<ServiceStatus> {
    return this.#connection.call('status', {});
  }

  /** Has the service apply its changed configuration. @throws ControlError with what is wrong in it */
  /**
   * Starts, stops or restarts a co-processor.
   * @throws ControlError ERR_COPROCESSOR when there is none of that name, or it cannot be done
   */
  coprocessor(name: string, action: CoprocessorAction): Promise<CoprocessorStatus> {
    return this.#connection.call('coprocessor', { name, action });
  }

  reload(): Promise<ReloadReport> {
    return this.#connection.call('reload', {});
  }

  /** Ends the connection; idempotent. Calls under way reject with ERR_CLOSED, streams end. */
  close(): void {
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * Connects to a running service: `await using client = await connect()`.
 * @param options the service's control socket, or more
 * @throws ControlError ERR_NOT_RUNNING nobody listens there, ERR_PERMISSION, ERR_TIMEOUT, ERR_PROTOCOL it is no service of this
 * version, ERR_LIMIT it has too many clients
 */
export async function connect(options: string | ConnectOptions = {}): Promise<Client> {
  const { socket, timeoutMs = CONNECT_TIMEOUT_MS } =
    typeof options === 'string' ? { socket: options } : options;
  return new Client(await ClientConnection.open(socket ?? findControlSocket(), timeoutMs));
}
