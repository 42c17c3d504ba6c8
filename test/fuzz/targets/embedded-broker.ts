import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { EmbeddedBroker } from '../../../src/exporters/mqtt/embedded-broker.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { until } from '../until.ts';

const HONEST_TOPIC = 'honest/topic';
const MAX_BYTES = 60_000;

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function text(value: string | Uint8Array): number[] {
  const bytes = typeof value === 'string' ? encode(value) : value;
  return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
}

/** A packet with its length. @param claimed what it says of its length instead */
function packet(head: number, body: readonly number[], claimed = body.length): number[] {
  const length: number[] = [];
  let rest = claimed;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0 && length.length < 5);
  return [head, ...length, ...body];
}

function connectPacket(id: string | Uint8Array, version: number, flags = 2): number[] {
  return packet(0x10, [...text('MQTT'), version, flags, 0, 60, ...(version === 5 ? [0] : []), ...text(id)]);
}

function publishPacket(topic: string | Uint8Array, payload: Uint8Array, head = 0x30): number[] {
  const id = (head & 6) === 0 ? [] : [0, 1];
  return packet(head, [...text(topic), ...id, ...payload]);
}

/** Somebody who keeps to the protocol (3.1.1), and gets what is sent on a topic. */
class Honest {
  readonly #socket: Socket;
  #heard = '';
  #count = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (chunk: string) => {
      this.#heard = (this.#heard + chunk).slice(-100_000);
    });
  }

  static async connect(port: number): Promise<Honest> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    const honest = new Honest(socket);
    honest.#write(connectPacket('honest-5f1e9c', 4));
    honest.#write(packet(0x82, [0, 1, ...text(HONEST_TOPIC), 0]));
    return honest;
  }

  #write(bytes: readonly number[]): void {
    this.#socket.write(Uint8Array.from(bytes));
  }

  /** Sends itself a message. @returns what came of it */
  async isServed(): Promise<'served' | 'not answered' | 'disconnected'> {
    const word = `number-${++this.#count}.`;
    this.#write(publishPacket(HONEST_TOPIC, encode(word)));
    if (!(await until(() => this.#heard.includes(word) || this.#socket.destroyed))) return 'not answered';
    if (!this.#heard.includes(word)) return 'disconnected';
    this.#heard = '';
    return 'served';
  }

  close(): void {
    this.#socket.destroy();
  }
}

interface Service {
  readonly broker: EmbeddedBroker;
  readonly honest: Honest;
  readonly log: string[];
}

async function start(): Promise<Service> {
  const log: string[] = [];
  const broker = await EmbeddedBroker.listen({
    port: 0,
    bind: '127.0.0.1',
    onLog: (level, message) => {
      if (log.length < 100) log.push(`${level} ${message}`);
    },
  });
  return { broker, honest: await Honest.connect(broker.port), log };
}

let service: Promise<Service> | null = null;

function piece(source: ByteSource): number[] {
  const topic = source.pick(['a', 'a/b', '', '#', '+/x', '$SYS/x', 'a/'.repeat(50), '\u0000', HONEST_TOPIC]);
  switch (source.below(12)) {
    case 0:
      return [...source.bytes(source.below(30))];
    case 1:
      return connectPacket(source.bytes(source.below(20)), source.pick([4, 5, 3, 0]), source.u8());
    case 2:
    case 3:
      return publishPacket(topic, source.bytes(source.below(40)), 0x30 | (source.u8() & 15));
    case 4:
      return packet(0x82, [0, 1, ...text(topic), source.u8() & 3]);
    case 5: {
      const filters: number[] = [0, 1];
      for (let left = source.u8(); left > 0; left--) filters.push(...text(`f/${left}`), 0);
      return packet(0x82, filters);
    }
    case 6:
      return packet(source.u8(), [...source.bytes(source.below(20))], source.u32() & 0x1fff_ffff);
    case 7:
      return packet((source.u8() & 0xf0) | 2, [0, source.u8()]);
    case 8: {
      const proper = publishPacket('a', encode('x'), 0x32);
      proper[source.below(proper.length)] = source.u8();
      return proper;
    }
    case 9:
      return publishPacket('r/'.repeat(source.below(100)), new Uint8Array(source.u16() % 20_000), 0x31);
    case 10:
      return packet(0xc0, []);
    default:
      return packet(0xa2, [0, 1, ...text(topic)]);
  }
}

function speech(source: ByteSource): Uint8Array {
  const bytes = source.below(8) < 7 ? connectPacket('attacker', source.pick([4, 5])) : [];
  for (let left = 40; left > 0 && source.remaining > 0 && bytes.length < MAX_BYTES; left--)
    bytes.push(...piece(source));
  return Uint8Array.from(bytes);
}

async function attack(input: Uint8Array): Promise<string> {
  service ??= start();
  const { broker, honest, log } = await service;
  const source = new ByteSource(input);
  const isSplit = source.below(4) === 0;
  const bytes = speech(source);
  const socket = connect({ host: '127.0.0.1', port: broker.port });
  const types = new Set<number>();
  let isClosed = false;
  socket.on('error', () => {});
  socket.on('close', () => {
    isClosed = true;
  });
  socket.on('data', (chunk: Buffer) => types.add((chunk[0] as number) >> 4));
  await once(socket, 'connect');
  for (let at = 0, step = isSplit ? 5 : bytes.length; at < bytes.length && at < 500 * step; at += step)
    socket.write(bytes.subarray(at, at + step));
  const during = await honest.isServed();
  invariant(during === 'served', () => `an honest client is ${during}; ${log.join('; ')}`);
  await new Promise((resolve) => setImmediate(resolve));
  const outcome = `${isClosed} ${[...types].sort((a, b) => a - b).join()}`;
  socket.destroy();
  const after = await honest.isServed();
  invariant(after === 'served', () => `an honest client is ${after} after another has left`);
  const logged = log.splice(0).map((line) => line.replaceAll(/\d+|"[^"]*"/g, 'N').slice(0, 50));
  return `${outcome} ${[...new Set(logged)].sort().join('; ').slice(0, 120)}`;
}

export const embeddedBroker: FuzzTarget = {
  name: 'mqtt-embedded-broker',
  what: "any bytes at the embedded broker's port: the process lives, an honest client is served",
  timeoutMs: 8000,
  seeds: () => [
    Uint8Array.from([1, 0, 0, 4, 1, 0, 2, 1, 3, 65, 66, 67, 0, 10]),
    Uint8Array.from([0, 1, 1, 5, 9, 8, 0, 5, 50, 9, 100, 1, 7, 6, 5, 4, 3, 2, 1]),
    Uint8Array.from([1, 7, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    Uint8Array.from([1, 0, 0, 9, 50, 200, 10, 4, 3, 0, 11, 1, 8, 3, 255]),
  ],
  run: attack,
  close: async () => {
    const started = await service;
    service = null;
    started?.honest.close();
    await started?.broker.close();
  },
};
