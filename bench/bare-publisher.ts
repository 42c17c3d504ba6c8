/**
 * The yardstick of the MQTT figures: mqtt.js, publishing what the service publishes, with nothing else to do. A process of its
 * own; the bench sends it an order, it sends back what it spent.
 *
 * Of the ways that were tried (docs/performance.md) none was faster: publish a batch whenever that much of a window has been
 * confirmed, in a turn of its own.
 */
import mqtt from 'mqtt';

/** What to publish. */
export interface BareOrder {
  readonly port: number;
  readonly qos: 0 | 1;
  readonly topicPrefix: string;
  readonly lines: readonly string[];
  readonly events: number;
}

export interface BareAnswer {
  /** User and system time of the process while it published. */
  readonly cpuSeconds: number;
}

const WINDOW = 1000;
const BATCH = 100;

const client = { port: 0, connection: null as mqtt.MqttClient | null };
/** Of each topic. Runs go on counting, as the service does. */
const nextSeq = new Map<string, number>();

async function connected(port: number): Promise<mqtt.MqttClient> {
  if (client.connection !== null && client.port === port) return client.connection;
  await client.connection?.endAsync();
  client.connection = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  client.port = port;
  return client.connection;
}

async function publish({ port, qos, topicPrefix, lines, events }: BareOrder): Promise<BareAnswer> {
  const connection = await connected(port);
  const topics = lines.map((line) => `${topicPrefix}/${line}/event`);
  const seqs = topics.map((topic) => nextSeq.get(topic) ?? 0);
  const timeNs = Math.round(performance.now() * 1e6) + 1e15;
  const before = process.cpuUsage();
  await new Promise<void>((settle, reject) => {
    let sent = 0;
    let confirmed = 0;
    let isScheduled = false;
    const send = (): void => {
      isScheduled = false;
      for (; sent < events && sent - confirmed < WINDOW; sent++) {
        const line = sent % topics.length;
        const seq = seqs[line]!++;
        const edge = seq % 2 === 1 ? '"rising","level":1' : '"falling","level":0';
        const payload = `{"seq":${seq},"edge":${edge},"timestampNs":"${timeNs + sent}"}`;
        connection.publish(topics[line]!, payload, { qos }, confirm);
      }
    };
    const confirm = (error?: Error): void => {
      if (error) return reject(error);
      confirmed++;
      if (confirmed === events) return settle();
      if (isScheduled || sent - confirmed > WINDOW - BATCH) return;
      isScheduled = true;
      setImmediate(send);
    };
    send();
  });
  const { user, system } = process.cpuUsage(before);
  topics.forEach((topic, line) => {
    nextSeq.set(topic, seqs[line]!);
  });
  return { cpuSeconds: (user + system) / 1e6 };
}

process.on('message', (order: BareOrder) => {
  publish(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ fault: String(error) }),
  );
});
// The bench has ended.
process.on('disconnect', () => process.exit());
