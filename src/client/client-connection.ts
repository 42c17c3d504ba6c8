import { connect as connectSocket, type Socket } from 'node:net';
import {
  CONTROL_PROTOCOL,
  type ControlCode,
  type ControlMethod,
  type LineEdge,
  type ParamsOf,
  type ResultOf,
} from '../wire/control.ts';
import { type ControlReply, decodeReply } from '../wire/control-reply.ts';
import { ControlFault, encodeRequest } from '../wire/control-request.ts';
import { decodeResult } from '../wire/control-result.ts';
import { ControlError } from './control-error.ts';

/** `sun_path` of `struct sockaddr_un`, less the terminating NUL. What is longer, some versions of node cut, and connect elsewhere. */
const MAX_PATH_BYTES = 107;
/** Longest message of a service that is waited for. */
const MAX_MESSAGE_LENGTH = 64 * 1024 * 1024;

/** Takes what the service tells of a subscription. */
export interface SubscriptionListener {
  edges(edges: readonly LineEdge[]): void;
  lost(count: number): void;
  /** No more will come; `error` is null when this side has closed the connection. */
  ended(error: ControlError | null): void;
}

/** Takes the outcome of a call, in the turn in which it came: what the service says next is told later. */
export interface CallListener<M extends ControlMethod> {
  resolve(result: ResultOf<M>): void;
  reject(error: ControlError): void;
}

interface Call {
  readonly method: ControlMethod;
  readonly listener: CallListener<ControlMethod>;
}

function connectError(path: string, error: NodeJS.ErrnoException): ControlError {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTDIR':
      return new ControlError(
        'ERR_NOT_RUNNING',
        `no rproc-gpio service listens on ${path}; start it with \`rproc-gpio serve\` or \`npm start\``,
      );
    case 'EACCES':
    case 'EPERM':
      return new ControlError(
        'ERR_PERMISSION',
        `no permission to use ${path} (${error.code}); the service's user, root, and the group that its configuration names in control.group may`,
      );
    case 'EAGAIN':
      return new ControlError(
        'ERR_LIMIT',
        `more clients wait for the service on ${path} than it takes; try again`,
      );
    default:
      return new ControlError('ERR_CONNECT', `connect to ${path}: ${error.message}`);
  }
}

function isControlCode(code: string): code is ControlCode {
  return code.startsWith('ERR_');
}

/** The socket to a service: calls by id, subscriptions by number. Made by {@link open}. */
export class ClientConnection {
  readonly path: string;
  /** Of the service. */
  version = '';
  readonly #socket: Socket;
  readonly #calls = new Map<number, Call>();
  readonly #subscriptions = new Map<number, SubscriptionListener>();
  #lastId = 0;
  /** What came of a message whose newline did not yet. */
  #partial = '';
  /** Why nothing can be asked any more. */
  #failure: ControlError | null = null;
  /** What streams are told of that; null when this side has closed the connection. */
  #endOfStreams: ControlError | null = null;
  /** Told of the greeting, or why there is none. */
  #onOpen: ((error: ControlError | null) => void) | null = null;

  private constructor(path: string) {
    this.path = path;
    this.#socket = connectSocket({ path });
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (text: string) => this.#received(text));
    this.#socket.on('error', (error) => this.#fail(this.#socketError(error)));
    this.#socket.on('close', () => this.#fail(new ControlError('ERR_CLOSED', this.#goneText)));
  }

  get #goneText(): string {
    return `the service on ${this.path} has closed the connection`;
  }

  /**
   * Connects, and waits for the greeting.
   * @throws ControlError ERR_NOT_RUNNING, ERR_PERMISSION, ERR_TIMEOUT, ERR_PROTOCOL, ERR_LIMIT, ERR_CONNECT
   */
  static open(path: string, timeoutMs: number): Promise<ClientConnection> {
    const sizeBytes = Buffer.byteLength(path);
    if (sizeBytes === 0 || sizeBytes > MAX_PATH_BYTES || path.includes('\0')) {
      const shown = JSON.stringify(path);
      const message = `${shown} is no path of a socket: it has ${sizeBytes} bytes, should have 1 to ${MAX_PATH_BYTES} and no NUL`;
      return Promise.reject(new ControlError('ERR_CONNECT', message));
    }
    return new Promise((resolve, reject) => {
      const connection = new ClientConnection(path);
      const timer = setTimeout(() => {
        connection.#fail(
          new ControlError('ERR_TIMEOUT', `the service on ${path} did not answer within ${timeoutMs} ms`),
        );
      }, timeoutMs);
      connection.#onOpen = (error) => {
        clearTimeout(timer);
        if (error === null) resolve(connection);
        else reject(error);
      };
    });
  }

  #socketError(error: NodeJS.ErrnoException): ControlError {
    if (this.#socket.connecting || this.#socket.bytesRead === 0) return connectError(this.path, error);
    return new ControlError('ERR_CLOSED', `${this.#goneText}: ${error.message}`);
  }

  /** Asks. The listener hears exactly once. */
  request<M extends ControlMethod>(method: M, params: ParamsOf<M>, listener: CallListener<M>): void {
    if (this.#failure !== null) return listener.reject(this.#failure);
    this.#lastId++;
    this.#calls.set(this.#lastId, { method, listener: listener as CallListener<ControlMethod> });
    this.#socket.write(encodeRequest(this.#lastId, method, params));
  }

  /** Asks. @throws ControlError when the service refuses, or is gone */
  call<M extends ControlMethod>(method: M, params: ParamsOf<M>): Promise<ResultOf<M>> {
    return new Promise((resolve, reject) => this.request(method, params, { resolve, reject }));
  }

  /** From now on the listener hears of a subscription; at once of its end, when the connection has ended. */
  subscribe(subscription: number, listener: SubscriptionListener): void {
    if (this.#failure !== null) return listener.ended(this.#endOfStreams);
    this.#subscriptions.set(subscription, listener);
  }

  /** Ends a subscription, here at once. */
  unsubscribe(subscription: number): void {
    if (!this.#subscriptions.delete(subscription)) return;
    // A connection that has failed has no subscriptions any more either.
    this.request('unwatch', { subscription }, { resolve: () => {}, reject: () => {} });
  }

  #received(text: string): void {
    let from = 0;
    let end = text.indexOf('\n');
    while (end >= 0) {
      const line = from === 0 ? this.#partial + text.slice(0, end) : text.slice(from, end);
      this.#partial = '';
      this.#message(line);
      if (this.#failure !== null) return;
      from = end + 1;
      end = text.indexOf('\n', from);
    }
    this.#partial += text.slice(from);
    if (this.#partial.length > MAX_MESSAGE_LENGTH) {
      this.#protocolError(`said more than ${MAX_MESSAGE_LENGTH} characters without a newline`);
    }
  }

  #protocolError(what: string): void {
    const who =
      this.#onOpen === null
        ? `the service on ${this.path}`
        : `no rproc-gpio service listens on ${this.path}: it`;
    this.#fail(new ControlError('ERR_PROTOCOL', `${who} ${what}`));
  }

  #message(line: string): void {
    const reply = decodeReply(line);
    if (reply instanceof ControlFault)
      return this.#protocolError(`sent a message that is not right: ${reply.message}`);
    if (this.#onOpen !== null) return this.#greeted(this.#onOpen, reply);
    switch (reply.kind) {
      case 'edges':
        return this.#subscriptions.get(reply.subscription)?.edges(reply.edges);
      case 'dropped':
        return this.#subscriptions.get(reply.subscription)?.lost(reply.dropped);
      case 'ended': {
        const listener = this.#subscriptions.get(reply.subscription);
        this.#subscriptions.delete(reply.subscription);
        return listener?.ended(new ControlError('ERR_UNAVAILABLE', reply.ended));
      }
      case 'greeting':
        return this.#protocolError('greeted twice');
      default:
        return this.#answered(reply);
    }
  }

  #greeted(onOpen: (error: ControlError | null) => void, reply: ControlReply): void {
    if (reply.kind === 'error') return this.#fail(errorOf(reply));
    if (reply.kind !== 'greeting') return this.#protocolError('did not greet');
    if (reply.protocol !== CONTROL_PROTOCOL) {
      const theirs = `the service on ${this.path} (rproc-gpio ${reply.version}) speaks control protocol ${reply.protocol}`;
      const message = `${theirs}, this client speaks ${CONTROL_PROTOCOL}; use the same version of both`;
      return this.#fail(new ControlError('ERR_PROTOCOL', message));
    }
    this.version = reply.version;
    this.#onOpen = null;
    onOpen(null);
  }

  #answered(reply: Extract<ControlReply, { kind: 'result' | 'error' }>): void {
    const { id } = reply;
    if (reply.kind === 'error' && id === null) return this.#fail(errorOf(reply));
    const call = id === null ? undefined : this.#calls.get(id);
    if (id === null || call === undefined)
      return this.#protocolError(`answered a request ${id} that was not made`);
    this.#calls.delete(id);
    if (reply.kind === 'error') return call.listener.reject(errorOf(reply));
    const result = decodeResult(id, call.method, reply.result);
    if (!(result instanceof ControlFault)) return call.listener.resolve(result);
    call.listener.reject(new ControlError('ERR_PROTOCOL', result.message));
  }

  /** Ends everything with an error: once, the first one counts. */
  #fail(error: ControlError): void {
    if (this.#failure !== null) return;
    this.#end(error, error);
  }

  #end(failure: ControlError, ofStreams: ControlError | null): void {
    this.#failure = failure;
    this.#endOfStreams = ofStreams;
    this.#socket.destroy();
    this.#partial = '';
    const onOpen = this.#onOpen;
    this.#onOpen = null;
    onOpen?.(failure);
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { listener } of calls) listener.reject(failure);
    const subscriptions = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    for (const listener of subscriptions) listener.ended(ofStreams);
  }

  /** Ends the connection; idempotent. Calls under way are rejected, streams end. */
  close(): void {
    if (this.#failure === null) this.#end(new ControlError('ERR_CLOSED', 'this client was closed'), null);
  }
}

function errorOf({ error }: Extract<ControlReply, { kind: 'error' }>): ControlError {
  return new ControlError(isControlCode(error.code) ? error.code : 'ERR_FAILED', error.message);
}
