import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { MqttExporter, type MqttExporterOptions } from '../../../src/exporters/mqtt/mqtt-exporter.ts';
import type { MqttOptions } from '../../../src/exporters/mqtt/mqtt-options.ts';
import type { Chip } from '../../../src/gpio/chip.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { selectLines } from '../../../src/gpio/line-selection.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';

/** Far more than anything takes: the machine may be busy. */
const PATIENCE_MS = 15_000;

/** Waits for a condition. Looks at it again whenever the loop turns, and gives up with its text. */
export async function until(isTrue: () => boolean, what: string | (() => string)): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!isTrue()) {
    if (performance.now() > end)
      throw new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Options as the configuration would make them. */
export function mqttOptions(broker: string, changes: Partial<MqttOptions> = {}): MqttOptions {
  return {
    broker,
    port: 0,
    bind: '127.0.0.1',
    baseTopic: 'rproc-gpio',
    gateway: 'gw',
    clientId: undefined,
    protocolVersion: 5,
    username: undefined,
    password: undefined,
    tls: undefined,
    keepaliveSeconds: 60,
    connectTimeoutMs: 5000,
    retry: { minMs: 10, maxMs: 50 },
    topics: {
      status: { qos: 1, retain: true },
      state: { qos: 1, retain: true },
      direction: { qos: 1, retain: true },
      event: { qos: 0, retain: false },
      result: { qos: 0, retain: false },
      diagnostics: { qos: 0, retain: true },
      commandQos: 1,
    },
    eventQueueLimit: 10_000,
    lines: [{ line: '*', access: 'write', role: 'any' }],
    homeAssistant: undefined,
    ...changes,
  };
}

/** The default policies with another QoS for events. */
export function withEventQos(qos: 0 | 1 | 2): MqttOptions['topics'] {
  const { topics } = mqttOptions('');
  return { ...topics, event: { qos, retain: false } };
}

export interface Running {
  readonly exporter: MqttExporter;
  readonly chip: ChipLines;
  readonly log: string[];
}

/** An exporter on the lines of a chip. */
export async function startExporter(
  options: MqttOptions,
  chip: Chip,
  more: Partial<MqttExporterOptions> = {},
): Promise<Running> {
  const lines = new ChipLines(chip);
  await new Promise<void>((resolve) => lines.learnDirections(() => resolve()));
  const log: string[] = [];
  const exporter = await MqttExporter.start({
    config: options,
    lines: selectLines([lines], options.lines, { uniqueNames: 'chip', mayBeEmpty: true }),
    chips: [lines],
    version: '0.1.0',
    onLog: (level, message) => log.push(`${level}: ${message}`),
    ...more,
  });
  return { exporter, chip: lines, log };
}

/** A simulated chip `hub` of four lines. */
export function hub(): SimulatedChip {
  return new SimulatedChip('hub', 4, ['INT', 'LED', 'BUTTON', 'RELAY']);
}

/** A real broker (MQTT 3.1.1), in this process. */
export class TestBroker {
  readonly aedes: Aedes;
  readonly server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(aedes: Aedes, server: Server) {
    this.aedes = aedes;
    this.server = server;
  }

  /** @param serverFor makes the server that carries it; plain TCP when absent */
  static async start(port = 0, serverFor?: (onStream: Aedes['handle']) => Server): Promise<TestBroker> {
    const aedes = await Aedes.createBroker();
    const server = serverFor?.(aedes.handle) ?? createServer((socket) => void aedes.handle(socket));
    const broker = new TestBroker(aedes, server);
    server.on('connection', (socket: Socket) => {
      broker.#sockets.add(socket);
      socket.on('close', () => broker.#sockets.delete(socket));
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return broker;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** Ends it as a power cut does. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
  }
}

export interface Received {
  readonly topic: string;
  readonly text: string;
  readonly packet: IPublishPacket;
}

/** Somebody who listens, and sends commands. */
export class TestClient {
  readonly client: MqttClient;
  readonly received: Received[] = [];

  private constructor(client: MqttClient) {
    this.client = client;
    client.on('message', (topic, payload, packet) => {
      this.received.push({ topic, text: payload.toString(), packet });
    });
  }

  static async connect(url: string, options: IClientOptions = {}, filter = '#'): Promise<TestClient> {
    const client = new TestClient(mqtt.connect(url, { reconnectPeriod: 0, ...options }));
    await new Promise<void>((resolve) => client.client.once('connect', () => resolve()));
    await client.client.subscribeAsync(filter, { qos: 1 });
    return client;
  }

  /** Messages of topics that end so, in order. */
  texts(topic: string): string[] {
    return this.received.filter((message) => message.topic.endsWith(topic)).map(({ text }) => text);
  }

  /** Waits for a message; those before it count, too. */
  async message(topic: string, text?: string): Promise<Received> {
    const find = () =>
      this.received.find(
        (message) => message.topic.endsWith(topic) && (text === undefined || message.text === text),
      );
    await until(
      () => find() !== undefined,
      () =>
        `${topic} ${text ?? ''} among ${this.received
          .slice(-30)
          .map((m) => `${m.topic}=${m.text}`)
          .join(' ')}`,
    );
    return find() as Received;
  }

  /** Sends a command and waits for the answer to it on the line's result topic. */
  async command(topic: string, payload: string | Buffer): Promise<Record<string, unknown>> {
    const result = topic.replace(/\/(set|direction\/set|get)$/, '/result');
    const before = this.texts(result).length;
    await this.client.publishAsync(topic, payload, { qos: 1 });
    await until(() => this.texts(result).length > before, `the answer to ${topic}`);
    return JSON.parse(this.texts(result)[before] as string) as Record<string, unknown>;
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}
