import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlServer } from '../../../src/exporters/control/control-server.ts';
import { RequestSplitter } from '../../../src/exporters/control/request-splitter.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import type { ControlMethod, ServiceStatus } from '../../../src/wire/control.ts';
import { decodeRequest } from '../../../src/wire/control-request.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { until } from '../until.ts';

const NAMES = ['LED', 'LED_SENSE', 'BUTTON', '', 'LED'];
/** Answers to one request: it has a bound, as a request has. */
const LONGEST_ANSWER = 1 << 20;
const NEWLINE = 0x0a;

const STATUS = {
  version: '1',
  pid: 1,
  startedAtMs: 0,
  configFile: null,
  coprocessors: [],
  chips: [],
  exports: [],
} as unknown as ServiceStatus;

type Message = Readonly<Record<string, unknown>>;

/** A client of the socket, which says what it is told to and keeps what it hears. */
class Client {
  readonly socket: Socket;
  readonly messages: Message[] = [];
  hasEnded = false;
  #partial = '';
  #longest = 0;

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.setEncoding('utf8');
    this.socket.on('error', () => {});
    this.socket.on('data', (text: string) => {
      const lines = (this.#partial + text).split('\n');
      this.#partial = lines.pop() as string;
      for (const line of lines) {
        this.#longest = Math.max(this.#longest, line.length);
        this.messages.push(JSON.parse(line) as Message);
      }
    });
    // Of a service that has not read all: the connection is reset behind the last answer.
    for (const event of ['end', 'close'])
      this.socket.on(event, () => {
        this.hasEnded = true;
      });
  }

  get answers(): Message[] {
    return this.messages.filter((message) => 'id' in message);
  }

  get longest(): number {
    return this.#longest;
  }
}

/** A service's control socket, for all executions. */
class Service {
  readonly folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-fuzz-'));
  readonly path = join(this.folder, 'control.sock');
  readonly lines = new ChipLines(new SimulatedChip('hub', NAMES.length, NAMES));
  readonly faults: string[] = [];
  readonly server = new ControlServer({
    path: this.path,
    access: 'write',
    version: '1',
    chips: () => [this.lines],
    status: () => STATUS,
    reload: () => Promise.resolve({ changed: [], unchanged: true }),
    coprocessor: (name) => Promise.reject(new Error(`there is no co-processor ${name}`)),
    onLog: (level, message) => this.faults.push(`${level}: ${message}`),
  });
  #honest: Client | null = null;
  #asked = 0;

  static async start(): Promise<Service> {
    const service = new Service();
    service.lines.learnDirections();
    await service.server.listen();
    return service;
  }

  /** Another client, of all executions: it is served whatever the others say. */
  async serves(): Promise<void> {
    this.#honest ??= new Client(this.path);
    const honest = this.#honest;
    const id = ++this.#asked;
    honest.socket.write(`${JSON.stringify({ id, method: 'get', params: { lines: ['hub/#2'] } })}\n`);
    const isServed = await until(() => honest.answers.some((answer) => answer.id === id));
    invariant(isServed, 'another client was not served');
    honest.messages.length = 0;
  }

  async close(): Promise<void> {
    this.#honest?.socket.destroy();
    await this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let service: Promise<Service> | null = null;

/** What docs/control.md says of a stream: how many answers it gets, before the end of the connection. */
function expected(stream: Uint8Array): { readonly answers: number; readonly ids: (number | null)[] } {
  const splitter = new RequestSplitter();
  splitter.push(Buffer.from(stream));
  const ids: (number | null)[] = [];
  for (;;) {
    const line = splitter.next();
    if (line === null) break;
    ids.push(null);
    if (line === 'too long') return { answers: ids.length, ids };
    if (line === 'not UTF-8') continue;
    ids[ids.length - 1] = decodeRequest(line.text).id;
  }
  if (stream.length > 0 && stream.at(-1) !== NEWLINE) ids.push(null);
  return { answers: ids.length, ids };
}

/** The stream, put together from the input: any bytes, requests with fields changed, long lines. */
function stream(source: ByteSource): Uint8Array {
  const parts: Uint8Array[] = [];
  let budget = 300_000;
  while (source.remaining > 0 && parts.length < 60 && budget > 0) {
    const part = piece(source);
    parts.push(part);
    budget -= part.length;
  }
  return Uint8Array.from(Buffer.concat(parts));
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const PARAMS: readonly [ControlMethod, object][] = [
  ['chips', {}],
  ['lines', { chip: 'hub' }],
  ['get', { lines: ['hub/LED_SENSE', 'BUTTON'] }],
  ['set', { values: [{ line: 'hub/#0', level: 1 }] }],
  ['toggle', { lines: ['hub/#0', 'hub/#4'] }],
  ['pulse', { lines: ['BUTTON'], level: 1, durationMs: 1 }],
  ['release', { lines: ['hub/#0', 'hub/#2', 'hub/#4'] }],
  ['direction', { lines: ['BUTTON'], direction: 'in' }],
  ['watch', { lines: ['LED_SENSE'] }],
  ['unwatch', { subscription: 1 }],
  ['status', {}],
  ['coprocessor', { name: 'x', action: 'restart' }],
];

function piece(source: ByteSource): Uint8Array {
  const [method, params] = source.pick(PARAMS);
  const line = encode(`${JSON.stringify({ id: source.u8(), method, params })}\n`);
  switch (source.below(12)) {
    case 0:
      return source.bytes(source.below(40));
    case 1:
    case 2:
      line[source.below(line.length)] = source.u8();
      return line;
    case 3:
      // Cut, or gone on with.
      return line.subarray(0, source.below(line.length));
    case 4:
      return encode(
        `${source.pick(['[', '{"a":', '{"id":1,"params":[', '"', ' ', '\u0000'])}`.repeat(
          source.u16() % 20_000,
        ),
      );
    case 5: {
      const name = 'x'.repeat(source.below(600));
      return encode(`${JSON.stringify({ id: 1, method: 'get', params: { lines: [name, '__proto__'] } })}\n`);
    }
    case 6: {
      const lines = new Array(source.u16() % 5000).fill('hub/#0');
      return encode(
        `${JSON.stringify({ id: 2, method: source.pick(['get', 'watch', 'toggle']), params: { lines } })}\n`,
      );
    }
    case 7:
      return encode(
        source.pick([
          '{"id":1,"__proto__":{"method":"chips"}}\n',
          '{"id":1,"method":"__proto__"}\n',
          '{"id":1,"method":"constructor","params":{}}\n',
          '{"id":9007199254740993,"method":"chips"}\n',
          '{"id":1e400,"method":"chips"}\n',
          '{"id":-1,"method":"chips"}\n',
          '\n',
          '\r\n',
          'null\n',
        ]),
      );
    default:
      return line;
  }
}

async function attack(input: Uint8Array): Promise<string> {
  service ??= Service.start();
  const { path, server, faults } = await service;
  const source = new ByteSource(input);
  const chunkBytes = source.pick([1 << 20, 1, 7, 4096]);
  const ends = source.below(4);
  const bytes = stream(source);
  const { answers, ids } = expected(bytes);
  const client = new Client(path);
  await once(client.socket, 'connect');
  let written = 0;
  for (let at = 0; at < bytes.length && written < 400; at += chunkBytes, written++) {
    // Small pieces at the beginning, the rest at once.
    const end = written === 399 ? bytes.length : at + chunkBytes;
    client.socket.write(bytes.subarray(at, end));
    if (written % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
  }
  if (ends === 3) client.socket.destroy();
  else {
    client.socket.end();
    await (await service).serves();
    const isDone = await until(() => client.hasEnded);
    invariant(isDone, () => `the connection was not ended; ${client.answers.length} answers of ${answers}`);
    const heard = client.answers.map(({ id }) => id as number | null);
    invariant(heard.length === answers, () => `${heard.length} answers to ${answers} requests`);
    const sorted = (list: readonly (number | null)[]): string => list.map(String).sort().join();
    invariant(sorted(heard) === sorted(ids), () => `answers of [${sorted(heard)}] to [${sorted(ids)}]`);
    invariant(client.longest <= LONGEST_ANSWER, () => `an answer of ${client.longest} bytes`);
    client.socket.destroy();
  }
  await (await service).serves();
  invariant(faults.length === 0, () => faults.join('; '));
  const isForgotten = await until(() => server.status.connections <= 1);
  invariant(isForgotten, 'a connection was not forgotten');
  return outcome(client);
}

/** The kinds of answers. */
function outcome({ messages }: Client): string {
  const kinds = messages.map((message) => {
    const error = message.error as { code?: string; message?: string } | undefined;
    if (error === undefined) return Object.keys(message).join();
    return `${error.code} ${String(error.message)
      .replaceAll(/"(?:[^"\\]|\\.)*"?|\d+/g, 'N')
      .slice(0, 24)}`;
  });
  return [...new Set(kinds)].sort().slice(0, 4).join('; ');
}

export const control: FuzzTarget = {
  name: 'control',
  what: 'any bytes on the control socket: an answer a request line, the end after the last, other clients are served',
  timeoutMs: 4000,
  seeds: () => [
    Uint8Array.from([0, 0, 2, 1, 11, 3, 2, 11, 8, 3, 11, 4, 4, 11, 9, 5, 11]),
    Uint8Array.from([1, 0, 5, 1, 11, 8, 1, 11, 0, 1, 3, 60]),
    Uint8Array.from([2, 1, 1, 1, 1, 20, 65, 3, 1, 2, 9, 200, 0, 0, 0, 10, 123, 10, 10, 255, 10, 3]),
    Uint8Array.from([0, 0, 0, 0, 4, 1, 255, 77, 0, 0, 6, 1, 136, 19, 0, 0, 5, 9, 1, 2, 7, 3, 1, 2, 7, 0]),
  ],
  run: attack,
  close: async () => {
    await (await service)?.close();
    service = null;
  },
};
