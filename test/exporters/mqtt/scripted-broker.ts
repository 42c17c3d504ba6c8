import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import mqttPacket, { type IConnectPacket, type IPublishPacket, type Packet } from 'mqtt-packet';
import { until } from './mqtt-fixture.ts';

/** What a broker does; each may be changed while it runs. */
export interface Script {
  /** Packet that answers a CONNECT; null = none. */
  connack: (connect: IConnectPacket) => Packet | Buffer | null;
  /** Whether a message is confirmed. */
  acknowledges: (publish: IPublishPacket) => boolean;
  /** Whether subscriptions are granted. */
  grants: (topic: string) => boolean;
  answersPings: boolean;
}

/** One connection of a client. */
export class ScriptedSession {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  protocolVersion = 4;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get connect(): IConnectPacket {
    return this.packets[0] as IConnectPacket;
  }

  get publishes(): IPublishPacket[] {
    return this.packets.filter((packet) => packet.cmd === 'publish') as IPublishPacket[];
  }

  /** `topic=payload` of each message, in order. */
  get messages(): string[] {
    return this.publishes.map(({ topic, payload }) => `${topic}=${payload.toString()}`);
  }

  send(packet: Packet | Buffer): void {
    const { protocolVersion } = this;
    this.socket.write(Buffer.isBuffer(packet) ? packet : mqttPacket.generate(packet, { protocolVersion }));
  }

  async sees(isTrue: (session: this) => boolean, what: string): Promise<void> {
    await until(
      () => isTrue(this),
      () => `${what}; seen: ${this.messages.slice(-30).join(' ')}`,
    );
  }

  /** The connection breaks, without a word. */
  cut(): void {
    this.socket.destroy();
  }
}

/** A broker that does what a test says, packet by packet, in MQTT 3.1.1 and 5. */
export class ScriptedBroker {
  readonly sessions: ScriptedSession[] = [];
  readonly script: Script;
  readonly #server: Server;

  private constructor(script: Partial<Script>) {
    this.script = {
      connack: () => ({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false }),
      acknowledges: () => true,
      grants: () => true,
      answersPings: true,
      ...script,
    };
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(script: Partial<Script> = {}, port = 0): Promise<ScriptedBroker> {
    const broker = new ScriptedBroker(script);
    broker.#server.listen(port, '127.0.0.1');
    await once(broker.#server, 'listening');
    return broker;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** The connection of that number, counted from 0, when its client has said CONNECT. */
  async session(at: number): Promise<ScriptedSession> {
    await until(() => (this.sessions[at]?.packets.length ?? 0) > 0, `connection ${at}`);
    return this.sessions[at] as ScriptedSession;
  }

  #accept(socket: Socket): void {
    const session = new ScriptedSession(socket);
    this.sessions.push(session);
    socket.on('error', () => {
      // Clients break connections, too.
    });
    let parser = mqttPacket.parser();
    const listen = (): void => {
      parser.on('packet', (packet) => {
        session.packets.push(packet);
        this.#packet(session, packet);
      });
    };
    listen();
    socket.once('data', (first) => {
      // The version is in the CONNECT, and the parser wants it before.
      const isVersion5 = first.includes(Buffer.from('MQTT\x05'));
      session.protocolVersion = isVersion5 ? 5 : 4;
      parser = mqttPacket.parser({ protocolVersion: session.protocolVersion });
      listen();
      parser.parse(first);
      socket.on('data', (data) => parser.parse(data));
    });
  }

  #packet(session: ScriptedSession, packet: Packet): void {
    const { script } = this;
    switch (packet.cmd) {
      case 'connect': {
        const connack = script.connack(packet);
        if (connack !== null) session.send(connack);
        return;
      }
      case 'publish': {
        const { qos } = packet;
        const messageId = packet.messageId as number;
        if (qos === 0 || !script.acknowledges(packet)) return;
        return session.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0 });
      }
      case 'pubrel':
        return session.send({ cmd: 'pubcomp', messageId: packet.messageId as number, reasonCode: 0 });
      case 'subscribe': {
        const granted = packet.subscriptions.map(({ topic, qos }) => (script.grants(topic) ? qos : 0x80));
        return session.send({
          cmd: 'suback',
          messageId: packet.messageId as number,
          granted: granted as number[],
        } as Packet);
      }
      case 'pingreq':
        if (script.answersPings) session.send({ cmd: 'pingresp' });
    }
  }

  async close(): Promise<void> {
    for (const { socket } of this.sessions) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
