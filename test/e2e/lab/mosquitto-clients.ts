import { LabProcess } from './lab-process.ts';
import { DEFAULT_LIMIT_MS } from './line-log.ts';
import { literal } from './literal.ts';
import type { Mosquitto } from './mosquitto.ts';
import { requireFile } from './prerequisites.ts';

/** A message as a subscriber got it. */
export interface ObservedMessage {
  readonly topic: string;
  readonly payload: string;
  /** The broker had kept it: it came because of the subscription. */
  readonly retained: boolean;
  readonly qos: number;
}

export type ProtocolVersion = 'mqttv5' | 'mqttv311';

/** Debian package mosquitto-clients. */
function program(name: string): string {
  return requireFile(`/usr/bin/${name}`, 'bash test/e2e/setup.sh');
}

function address(broker: Mosquitto | number, version: ProtocolVersion): string[] {
  const port = typeof broker === 'number' ? broker : broker.labPort;
  return ['-h', '127.0.0.1', '-p', String(port), '-V', version];
}

/** Commands are not observed: their payloads may be anything. */
const COMMANDS = 'rproc-gpio/+/+/+/set';

let observers = 0;

/** mosquitto_sub: sees what anybody who subscribes sees. It connects again after a restart of the broker. */
export class MosquittoSub {
  readonly #process: LabProcess;
  readonly clientId: string;

  private constructor(process: LabProcess, clientId: string) {
    this.#process = process;
    this.clientId = clientId;
  }

  /**
   * Subscribes with QoS 2, so that messages come as they were sent; resolves when the broker has taken it.
   *
   * @param options `durable`: the broker keeps messages of QoS 1 and 2 for it while it is away, and over its own restart
   * @throws WaitError
   */
  static async start(
    broker: Mosquitto,
    filter = '#',
    options: { readonly version?: ProtocolVersion; readonly durable?: boolean } = {},
  ): Promise<MosquittoSub> {
    observers += 1;
    const clientId = `observer${observers}`;
    const process = new LabProcess({
      name: `mosquitto_sub ${filter}`,
      command: [
        program('mosquitto_sub'),
        ...address(broker, options.version ?? 'mqttv5'),
        ...['-i', clientId, '-q', '2', '-F', '%r %q %t %p', '-t', filter, '-T', COMMANDS],
        ...(options.durable ? ['-c'] : []),
      ],
    });
    try {
      await broker.subscribed(clientId, filter);
    } catch (error) {
      await process.close();
      throw error;
    }
    return new MosquittoSub(process, clientId);
  }

  get messages(): readonly ObservedMessage[] {
    return this.#process.stdout.lines.map(parse);
  }

  /** How many messages have come: a place to begin waiting from. */
  get count(): number {
    return this.#process.stdout.lines.length;
  }

  /**
   * Payloads of a topic, in the order of their coming, from message number `from` on. Not those that the broker had kept:
   * mosquitto_sub gets them again whenever it connects again.
   */
  payloads(topic: string, from = 0): string[] {
    return this.messages
      .slice(from)
      .filter((message) => message.topic === topic && !message.retained)
      .map((message) => message.payload);
  }

  /** Resolves with the first such message, also one that is there already. @throws WaitError */
  async waitFor(
    topic: string,
    payload: string | RegExp,
    options: { readonly from?: number; readonly limitMs?: number } = {},
  ): Promise<ObservedMessage> {
    const source = typeof payload === 'string' ? `${literal(payload)}$` : fromStart(payload);
    const line = await this.#process.stdout.waitFor(new RegExp(`^[01] [012] ${literal(topic)} ${source}`), {
      from: options.from ?? 0,
      limitMs: options.limitMs ?? DEFAULT_LIMIT_MS,
    });
    return parse(line);
  }

  /** Resolves with the first message from number `from` on whose topic matches. @throws WaitError */
  async waitForTopic(pattern: RegExp, options: { readonly from?: number } = {}): Promise<ObservedMessage> {
    const line = await this.#process.stdout.waitFor(/^/, { from: options.from ?? 0 });
    const message = parse(line);
    if (pattern.test(message.topic)) return message;
    return this.waitForTopic(pattern, { from: (options.from ?? 0) + 1 });
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#process.close();
  }
}

/** The source of an expression that is tried from the place where the payload begins, and nowhere else. */
function fromStart({ source }: RegExp): string {
  return source.startsWith('^') ? `(?:${source.slice(1)})` : `.*(?:${source})`;
}

function parse(line: string): ObservedMessage {
  const match = /^([01]) ([012]) (\S+) (.*)$/.exec(line);
  if (!match) throw new Error(`mosquitto_sub printed what is no message of ours: ${line}`);
  const [, retained, qos, topic = '', payload = ''] = match;
  return { retained: retained === '1', qos: Number(qos), topic, payload };
}

async function succeed(process: LabProcess): Promise<string> {
  try {
    await process.exited;
    if (process.exitCode !== 0 || process.stderr.lines.length > 0) {
      throw new Error(`${process.ended}: ${process.stderr.text}`);
    }
    return process.stdout.text;
  } finally {
    await process.close();
  }
}

/** mosquitto_pub: publishes one message to a broker of the lab, or on a port, with QoS 1 when not told otherwise; resolves when the broker has it. @throws Error with its words */
export async function publish(
  broker: Mosquitto | number,
  topic: string,
  payload: string | { readonly file: string },
  options: {
    readonly retain?: boolean;
    readonly qos?: 0 | 1 | 2;
    readonly version?: ProtocolVersion;
  } = {},
): Promise<void> {
  const process = new LabProcess({
    name: `mosquitto_pub ${topic}`,
    command: [
      program('mosquitto_pub'),
      ...address(broker, options.version ?? 'mqttv5'),
      ...['-q', String(options.qos ?? 1), '-t', topic, ...(options.retain ? ['-r'] : [])],
      ...(typeof payload === 'string' ? ['-m', payload] : ['-f', payload.file]),
    ],
  });
  await succeed(process);
}

/** mosquitto_pub: publishes each line that is written to it with QoS 0, and asks for answers; the caller closes it. */
export function publishLines(broker: Mosquitto, topic: string, responseTopic: string): LabProcess {
  return new LabProcess({
    name: `mosquitto_pub -l ${topic}`,
    command: [
      program('mosquitto_pub'),
      ...address(broker, 'mqttv5'),
      ...['-q', '0', '-t', topic, '-l', '-D', 'publish', 'response-topic', responseTopic],
    ],
  });
}

/** What a requester of MQTT 5 got back. */
export interface Reply {
  readonly correlation: string;
  readonly payload: string;
}

/** mosquitto_rr: publishes a request with a response topic and correlation data, and takes the answer. @throws Error */
export async function request(
  broker: Mosquitto,
  topic: string,
  payload: string,
  correlation: string,
): Promise<Reply> {
  observers += 1;
  const process = new LabProcess({
    name: `mosquitto_rr ${topic}`,
    command: [
      program('mosquitto_rr'),
      ...address(broker, 'mqttv5'),
      ...['-q', '1', '-t', topic, '-m', payload, '-e', `lab/replies/${observers}`],
      ...['-D', 'publish', 'correlation-data', correlation, '-F', '%D %p', '-W', '60'],
    ],
  });
  const [, correlationData = '', answer = ''] = /^(\S*) (.*)\n$/.exec(await succeed(process)) ?? [];
  return { correlation: correlationData, payload: answer };
}
