import { type AddressInfo, createServer, type Server } from 'node:net';
import { Aedes, type AedesPublishPacket, type Client, type Subscription } from 'aedes';
import { BrokerConnection } from './broker-connection.ts';
import { BrokerStore } from './broker-store.ts';
import { MqttError } from './mqtt-error.ts';
import type { BrokerLimit } from './shared-tables.ts';

/** Connections at a time; one more puts out one without a CONNECT, or is closed at once. */
export const MAX_CONNECTIONS = 100;
/** Subscriptions of one client; more are refused (SUBACK 0x80). */
export const MAX_SUBSCRIPTIONS = 1000;
/** QoS 2 messages of one client that it has not released; more end its connection. */
const MAX_UNRELEASED = 100;
/** A client has this long for its CONNECT, and to read when its connection is full. */
const CONNECT_TIMEOUT_MS = 5000;
/** Unsent output of a client above which QoS 0 messages are not sent to it. */
const SLOW_BYTES = 1 << 20;
/** Unsent output of a client above which it is disconnected: it will find the retained messages when it is back. */
const STUCK_BYTES = 2 << 20;
/** How long the last messages have to go out when the broker is closed. */
const CLOSE_TIMEOUT_MS = 300;
/** aedes tells other brokers that it lives, and looks after their wills four times as rarely: there are none, so it ticks rarely. */
const HEARTBEAT_MS = 2 ** 29 - 1;

export interface EmbeddedBrokerOptions {
  /** 0 = a free one. */
  readonly port: number;
  /** Address to listen on. */
  readonly bind: string;
  readonly onLog: (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
  /** How long a client may take to say who it is; 5 s when absent. */
  readonly connectTimeoutMs?: number;
  /** How long a packet may take from its first byte to its last; 10 s when absent. */
  readonly packetTimeoutMs?: number;
  /** A client went beyond a limit; told for each time. */
  readonly onLimit?: (limit: BrokerLimit) => void;
}

/**
 * An MQTT broker in this process, for people who have none: aedes over TCP, MQTT 3.1 and 3.1.1 (aedes has no MQTT 5). It asks for no
 * password and keeps no sessions. Everything that a client can make it keep is bounded: connections, packets, subscriptions,
 * retained messages, unreleased QoS 2 messages, and unsent output. A client that does not read gets no more QoS 0 messages, and
 * is disconnected when that does not help: it holds nobody else up.
 */
export class EmbeddedBroker {
  readonly #server: Server;
  readonly #broker: Aedes;
  readonly #store: BrokerStore;
  readonly #onLog: EmbeddedBrokerOptions['onLog'];
  readonly #connections = new Set<BrokerConnection>();
  readonly #subscriptions = new WeakMap<Client, Set<string>>();
  readonly #unsent = new WeakMap<BrokerConnection, { count: number }>();
  /** Ended for others. */
  readonly #displaced = new WeakSet<BrokerConnection>();
  readonly #onLimit: (limit: BrokerLimit) => void;
  #isFullTold = false;
  #isVersionTold = false;
  #closing: Promise<void> | null = null;
  #port = 0;

  /**
   * @throws MqttError ERR_MQTT_LISTEN when the port is taken or the address is none of this machine
   */
  static async listen(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const store = new BrokerStore(
      once(() => options.onLog('warn', 'the embedded MQTT broker retains no more messages: it has too many')),
    );
    const broker = await Aedes.createBroker({
      persistence: store,
      heartbeatInterval: HEARTBEAT_MS,
      connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      drainTimeout: CONNECT_TIMEOUT_MS,
      maxInflightInbound: MAX_UNRELEASED,
    });
    const embedded = new EmbeddedBroker(broker, store, options);
    try {
      await embedded.#listen(options);
    } catch (error) {
      await embedded.close();
      throw listenError(options, error);
    }
    return embedded;
  }

  private constructor(broker: Aedes, store: BrokerStore, options: EmbeddedBrokerOptions) {
    const { onLog, packetTimeoutMs, onLimit = () => {} } = options;
    this.#onLimit = onLimit;
    this.#broker = broker;
    this.#store = store;
    this.#onLog = onLog;
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    this.#server.on('connection', (socket) => {
      if (this.#connections.size >= MAX_CONNECTIONS && !this.#displace()) {
        this.#dropped();
        socket.destroy();
        return;
      }
      const connection = new BrokerConnection(socket, packetTimeoutMs);
      this.#connections.add(connection);
      connection.once('close', () => this.#closed(connection));
      broker.handle(connection);
    });
    broker.preConnect = (client, packet, done) => {
      (client.conn as BrokerConnection).isConnected = true;
      packet.clean = true;
      if (packet.protocolVersion === 5) this.#refusedVersion();
      done(null, true);
    };
    broker.authorizeSubscribe = (client, subscription, done) =>
      done(null, this.#maySubscribe(client, subscription) ? subscription : null);
    broker.authorizeForward = (client, packet) => (this.#maySend(client, packet) ? packet : null);
    broker.on('unsubscribe', (topics, client) => {
      const known = this.#subscriptions.get(client);
      for (const topic of topics) known?.delete(topic);
    });
    const onFault = (client: Client, error: Error) =>
      onLog('debug', `MQTT client ${printable(client.id)} is disconnected: ${printable(error.message)}`);
    broker.on('clientError', onFault);
    broker.on('connectionError', onFault);
    // Without a listener an event named "error" ends the process.
    broker.addListener(
      'error' as 'closed',
      ((error: Error) =>
        onLog('error', `the embedded MQTT broker: ${printable(error.message)}`)) as () => void,
    );
  }

  /** The port on which it listens. */
  get port(): number {
    return this.#port;
  }

  /** Number of connections. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Number of retained messages. */
  get retainedCount(): number {
    return this.#store.retainedCount;
  }

  /** Sends what clients have published already, then disconnects everybody. May be called again; takes at most about 0.3 s. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #listen({ port, bind }: EmbeddedBrokerOptions): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, bind, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', (error) => this.#onLog('warn', `the embedded MQTT broker: ${error.message}`));
    const { address, port: bound } = this.#server.address() as AddressInfo;
    this.#port = bound;
    if (!isLoopback(address)) {
      this.#onLog(
        'warn',
        `the embedded MQTT broker listens on ${hostPort(address, bound)} and asks for no password: anybody on the network may drive lines`,
      );
    }
  }

  async #close(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
    });
    // A message that was published takes a few turns of the loop until it is written to those who subscribed.
    for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    for (const connection of this.#connections) connection.endSoon();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    });
    await Promise.race([ended, timeout]);
    clearTimeout(timer);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([ended, new Promise<void>((resolve) => this.#broker.close(resolve))]);
    await this.#store.destroy();
  }

  /** Puts the oldest connection out that has not said who it is. @returns whether there was one */
  #displace(): boolean {
    for (const connection of this.#connections) {
      if (connection.isConnected) continue;
      this.#onLimit('displacedConnections');
      this.#displaced.add(connection);
      this.#connections.delete(connection);
      connection.destroy();
      return true;
    }
    return false;
  }

  #closed(connection: BrokerConnection): void {
    this.#connections.delete(connection);
    if (connection.endedFor !== null) this.#onLimit(`${connection.endedFor}Connections`);
    else if (!connection.isConnected && !this.#displaced.has(connection)) this.#onLimit('silentConnections');
    this.#isFullTold = false;
    const unsent = this.#unsent.get(connection);
    if (unsent === undefined) return;
    this.#onLog(
      'info',
      `${unsent.count} messages were not sent to a client of the embedded MQTT broker that read too slowly`,
    );
  }

  #dropped(): void {
    this.#onLimit('refusedConnections');
    if (this.#isFullTold) return;
    this.#isFullTold = true;
    this.#onLog('warn', `the embedded MQTT broker has ${MAX_CONNECTIONS} connections: more are closed`);
  }

  #refusedVersion(): void {
    if (this.#isVersionTold) return;
    this.#isVersionTold = true;
    this.#onLog('warn', 'a client wants MQTT 5, which the embedded broker does not speak: use 3.1.1');
  }

  #maySubscribe(client: Client, { topic }: Subscription): boolean {
    let known = this.#subscriptions.get(client);
    if (known === undefined) {
      known = new Set();
      this.#subscriptions.set(client, known);
    }
    if (!known.has(topic) && known.size >= MAX_SUBSCRIPTIONS) return false;
    known.add(topic);
    return true;
  }

  #maySend(client: Client, packet: AedesPublishPacket): boolean {
    const connection = client.conn as BrokerConnection;
    const unsentBytes = connection.writableLength;
    if (unsentBytes < SLOW_BYTES) return true;
    if (unsentBytes >= STUCK_BYTES) {
      if (!connection.destroyed) {
        this.#onLog('warn', `MQTT client ${printable(client.id)} does not read: it is disconnected`);
        this.#onLimit('unreadConnections');
        connection.destroy();
      }
      return false;
    }
    if (packet.qos > 0) return true;
    this.#onLimit('unsentMessages');
    const unsent = this.#unsent.get(connection);
    if (unsent !== undefined) {
      unsent.count++;
    } else {
      this.#unsent.set(connection, { count: 1 });
      this.#onLog(
        'warn',
        `MQTT client ${printable(client.id)} reads too slowly: it does not get all QoS 0 messages`,
      );
    }
    return false;
  }
}

/** What a client sent, for the log. */
function printable(text: string | null): string {
  return JSON.stringify((text ?? '').slice(0, 80));
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function listenError({ port, bind }: EmbeddedBrokerOptions, error: unknown): MqttError {
  const { code, message } = error as NodeJS.ErrnoException;
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} is in use: another broker runs there; use broker: mqtt://${hostPort(reachable(bind), port)}, or another port`,
    EADDRNOTAVAIL: `${bind} is no address of this machine; use bind: 127.0.0.1, or 0.0.0.0 for all of them`,
    ENOTFOUND: `${bind} is no address; use bind: 127.0.0.1, or 0.0.0.0 for all addresses of this machine`,
    EACCES: `port ${port} is for the system (EACCES); use a port from 1024 on`,
  };
  const text = texts[code ?? ''] ?? `cannot listen on ${hostPort(bind, port)}: ${message}`;
  return new MqttError('ERR_MQTT_LISTEN', `the embedded MQTT broker: ${text}`, error);
}

/** An address at which this machine finds what listens there. */
function reachable(bind: string): string {
  if (bind === '0.0.0.0' || bind === 'localhost') return '127.0.0.1';
  return bind === '::' ? '::1' : bind;
}
