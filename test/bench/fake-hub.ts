import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';

type Qos = 0 | 1;

/** What stands in for a broker, the service and its firmware in tests of the probe. */
export class FakeHub {
  readonly pinsPath: string;
  readonly port: number;
  readonly #broker: Aedes;
  readonly #servers: readonly Server[];
  readonly #seqs = new Map<string, number>();
  readonly #bursts: string[] = [];
  /** Which event of a line is published otherwise than it should be. */
  spoil: (event: {
    readonly line: string;
    readonly seq: number;
  }) => 'drop' | 'merge' | 'garble' | 'early' | null = () => null;
  /** Answers a `set` command: null for no answer. */
  answer: (payload: string) => object | null = () => ({ command: 'set', ok: true, level: 1 });
  readonly commands: string[] = [];

  private constructor(broker: Aedes, servers: readonly Server[], port: number, pinsPath: string) {
    this.#broker = broker;
    this.#servers = servers;
    this.port = port;
    this.pinsPath = pinsPath;
  }

  static async listen(pinsPath: string): Promise<FakeHub> {
    const broker = await Aedes.createBroker();
    const tcp = createServer((socket) => broker.handle(socket));
    const pins = createServer((socket) => hub.#serve(socket));
    tcp.listen(0, '127.0.0.1');
    pins.listen(pinsPath);
    await Promise.all([once(tcp, 'listening'), once(pins, 'listening')]);
    const address = tcp.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
    const hub = new FakeHub(broker, [tcp, pins], address.port, pinsPath);
    broker.on('publish', (packet, client) => {
      const line = /([^/]+)\/set$/.exec(packet.topic)?.[1];
      if (client === null || line === undefined) return;
      hub.commands.push(`${line} ${packet.payload}`);
      const answer = hub.answer(String(packet.payload));
      if (answer !== null) hub.#publish(packet.topic.replace(/set$/, 'result'), JSON.stringify(answer), 0);
    });
    return hub;
  }

  /** Commands to the firmware so far. */
  get bursts(): readonly string[] {
    return this.#bursts;
  }

  /** Publishes events of a line as the service does. */
  publishEvents(line: string, count: number, qos: Qos): void {
    for (let i = 0; i < count; i++) {
      const seq = this.#seqs.get(line) ?? 0;
      this.#seqs.set(line, seq + 1);
      const how = this.spoil({ line, seq });
      if (how === 'drop') continue;
      const timestampNs = how === 'early' ? 1n : process.hrtime.bigint();
      const level = seq % 2;
      const edge = level === 1 ? 'rising' : 'falling';
      const merged = how === 'merge' ? ',"merged":true' : '';
      const payload = `{"seq":${seq},"edge":"${edge}","level":${level},"timestampNs":"${timestampNs}"${merged}}`;
      this.#publish(`rproc-gpio/bench/hub/${line}/event`, how === 'garble' ? `x${payload}` : payload, qos);
    }
  }

  #publish(topic: string, payload: string, qos: Qos): void {
    const packet = { cmd: 'publish', topic, payload, qos, retain: false, dup: false } as const;
    this.#broker.publish(packet, () => undefined);
  }

  #serve(socket: Socket): void {
    let text = '';
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const lines = text.split('\n');
      text = lines.pop() as string;
      for (const line of lines) socket.write(`${this.#run(line)}\n`);
    });
  }

  #run(command: string): string {
    if (command === 'stats') return 'requests 0 refused 0 events 0 dropped 0 malformed 0';
    const [, name, count] = /^burst (\S+) (\d+)$/.exec(command) ?? [];
    if (name === undefined) return `error: ${command}`;
    this.#bursts.push(command);
    this.publishEvents(name, Number(count), 1);
    return 'ok';
  }

  async close(): Promise<void> {
    await new Promise<void>((settle) => this.#broker.close(() => settle()));
    for (const server of this.#servers) server.close();
  }
}
