import type { IClientOptions } from 'mqtt';
import { clientIdOf, type MqttOptions, type Secret } from '../mqtt-options.ts';
import { readSecret, readText } from '../secrets.ts';
import { MAX_IN_FLIGHT } from './in-flight.ts';

/**
 * A broker keeps longer packets to itself (MQTT 5.0, section 3.1.2.11.4), and nobody hears of them. Far more than a command may
 * have, so that whoever sends a file by mistake gets an answer; and no more than one of them in memory hurts.
 */
export const MAX_INCOMING_BYTES = 2 << 20;

type Scheme = 'mqtt' | 'mqtts' | 'ws' | 'wss';

/** mqtt.js's packet identifiers, for subscriptions: above those of `InFlight`. */
class SubscriptionIds {
  #next = MAX_IN_FLIGHT + 1;

  allocate(): number {
    const id = this.#next;
    this.#next = id === 0xffff ? MAX_IN_FLIGHT + 1 : id + 1;
    return id;
  }

  getLastAllocated(): number {
    return this.#next - 1;
  }

  register(): boolean {
    return true;
  }

  deallocate(): void {
    // A connection makes a handful of them, and ends with them.
  }

  clear(): void {
    this.#next = MAX_IN_FLIGHT + 1;
  }
}

/**
 * Options of one connection. One mqtt.js client serves one connection: whatever state it has ends with it, and what has to be
 * said again is known here.
 * @param url the broker's; that of the embedded one when there is one
 * @param willTopic gets `offline` when the connection breaks
 * @throws MqttError ERR_MQTT_SECRET when a file or variable cannot be read
 */
export function connectOptions(url: URL, options: MqttOptions, willTopic: string): IClientOptions {
  const isVersion5 = options.protocolVersion === 5;
  const { status } = options.topics;
  // IPv6 addresses stand in brackets in URLs, and only there.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const protocol = url.protocol.slice(0, -1) as Scheme;
  const isWebSocket = protocol === 'ws' || protocol === 'wss';
  const tls = protocol === 'mqtts' || protocol === 'wss' ? tlsOptions(options, host) : {};
  const connection: IClientOptions = {
    protocol,
    host: isWebSocket ? url.hostname : host,
    hostname: isWebSocket ? url.hostname : host,
    protocolVersion: isVersion5 ? 5 : 4,
    protocolId: 'MQTT',
    clientId: clientIdOf(options),
    clean: true,
    keepalive: options.keepaliveSeconds,
    // One ping a keepalive period; with this, mqtt.js would set its timer anew for each confirmation.
    reschedulePings: false,
    timerVariant: 'native',
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    messageIdProvider: new SubscriptionIds(),
    will: { topic: willTopic, payload: Buffer.from('offline'), qos: status.qos, retain: status.retain },
    ...tls,
  };
  if (url.port !== '') connection.port = Number(url.port);
  if (isWebSocket) {
    connection.path = `${url.pathname}${url.search}`;
    connection.wsOptions = { ...tls, handshakeTimeout: options.connectTimeoutMs, perMessageDeflate: false };
  }
  if (options.username !== undefined) connection.username = nameOf(options.username);
  if (options.password !== undefined) connection.password = readSecret(options.password, 'password');
  // MQTT 3.1.1 knows a password only with a user name (section 3.1.2.9).
  if (connection.password !== undefined && connection.username === undefined && !isVersion5)
    connection.username = '';
  if (isVersion5) connection.properties = { maximumPacketSize: MAX_INCOMING_BYTES };
  return connection;
}

function nameOf(username: string | Secret): string {
  return typeof username === 'string' ? username : readSecret(username, 'user name');
}

function tlsOptions(options: MqttOptions, host: string): Partial<IClientOptions> {
  const { ca, cert, key, serverName } = options.tls ?? {};
  const tls: Partial<IClientOptions> = { rejectUnauthorized: true };
  if (ca !== undefined) tls.ca = readText(ca, 'file of mqtt.tls.ca');
  if (cert !== undefined) tls.cert = readText(cert, 'file of mqtt.tls.cert');
  if (key !== undefined) tls.key = readText(key, 'file of mqtt.tls.key');
  // An address is no server name (RFC 6066, section 3), but a certificate is checked against it.
  const name = serverName ?? (/^[\d.]+$|:/.test(host) ? undefined : host);
  if (name !== undefined) tls.servername = name;
  return tls;
}
