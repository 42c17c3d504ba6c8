import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClientConnection } from '../../../src/client/client-connection.ts';
import { ControlError } from '../../../src/client/control-error.ts';
import type { LineEdge } from '../../../src/wire/control.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const TIMEOUT_MS = 5000;
const SUBSCRIPTION = 1;
const GREETING = '{"service":"rproc-gpio","protocol":1,"version":"1"}';
const OUTCOME = '{"line":"hub/LED","chip":"hub","offset":0,"name":"LED","ok":true,"level":1}';
const EDGE =
  '{"chip":"hub","offset":0,"name":"LED","edge":"rising","level":1,"seq":1,"timestampNs":"12","direction":"in"}';

const MESSAGES = [
  `{"id":1,"result":{"lines":[${OUTCOME}]}}`,
  '{"id":2,"result":{"chips":[{"name":"hub","label":"simulated","lineCount":1,"available":true}]}}',
  '{"id":3,"error":{"code":"ERR_LINE","message":"no such line"}}',
  `{"subscription":1,"edges":[${EDGE}]}`,
  `{"subscription":1,${EDGE.slice(1)}`,
  '{"subscription":1,"dropped":5}',
  '{"subscription":1,"ended":"the chip is gone"}',
  '{"id":null,"error":{"code":"ERR_CLOSED","message":"the service ends"}}',
  GREETING,
] as const;

/** A service that says what the input says, to whoever connects. */
class HostileService {
  readonly folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-fuzz-'));
  readonly path = join(this.folder, 'control.sock');
  readonly server: Server;
  next: (socket: Socket) => void = () => {};

  constructor() {
    this.server = createServer((socket) => {
      socket.on('error', () => {});
      socket.resume();
      this.next(socket);
    });
  }

  static async start(): Promise<HostileService> {
    const service = new HostileService();
    await new Promise<void>((resolve) => service.server.listen(service.path, resolve));
    return service;
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let service: Promise<HostileService> | null = null;

function speech(source: ByteSource): Uint8Array {
  const parts: Uint8Array[] = [];
  while (source.remaining > 0 && parts.length < 40) {
    let message: Uint8Array = new TextEncoder().encode(`${source.pick(MESSAGES)}\n`);
    switch (source.below(8)) {
      case 0:
        message = source.bytes(source.below(40));
        break;
      case 1:
      case 2:
        for (let left = source.below(3); left >= 0; left--)
          message[source.below(message.length)] = source.u8();
        break;
      case 3:
        message = message.subarray(0, source.below(message.length));
        break;
      case 4:
        message = new TextEncoder().encode(source.pick(['[', '{"a":', '"', '{"id":1,']).repeat(source.u16()));
        break;
    }
    parts.push(message);
  }
  return Buffer.concat(parts);
}

/** What a caller relies on: a promise of it is kept once, with what its type says. */
class Caller {
  readonly outcomes: string[] = [];
  ended = 0;
  #open = 0;

  ask(connection: ClientConnection): void {
    this.#call((listener) => connection.request('get', { lines: ['LED'] }, listener), 'get');
    this.#call((listener) => connection.request('chips', {}, listener), 'chips');
    this.#call((listener) => connection.request('status', {}, listener), 'status');
    connection.subscribe(SUBSCRIPTION, {
      edges: (edges) => {
        for (const edge of edges) this.#edge(edge);
      },
      lost: (count) => invariant(Number.isSafeInteger(count) && count >= 0, () => `${count} edges lost`),
      ended: (error) => {
        this.ended++;
        if (error !== null) this.#failed(error);
      },
    });
  }

  #call(
    start: (listener: { resolve: (result: object) => void; reject: (error: ControlError) => void }) => void,
    method: string,
  ): void {
    this.#open++;
    let isDone = false;
    const done = (): void => {
      invariant(!isDone, `${method} was answered twice`);
      isDone = true;
      this.#open--;
    };
    start({
      resolve: (result) => {
        done();
        invariant(typeof result === 'object' && result !== null, `${method} resolved with no object`);
        this.outcomes.push(method);
      },
      reject: (error) => {
        done();
        this.#failed(error);
      },
    });
  }

  #failed(error: ControlError): void {
    invariant(error instanceof ControlError && error.code.startsWith('ERR_'), () => `rejected with ${error}`);
    this.outcomes.push(`${error.code} ${error.message.replaceAll(/"[^"]*"?|\d+|\/\S+/g, 'N').slice(0, 50)}`);
  }

  #edge({ level, seq, timestampNs, edge }: LineEdge): void {
    invariant(level === 0 || level === 1, () => `an edge to the level ${level}`);
    invariant(edge === 'rising' || edge === 'falling', () => `the edge ${edge}`);
    invariant(Number.isSafeInteger(seq), () => `an edge of the number ${seq}`);
    invariant(BigInt(timestampNs) >= 0n, () => `an edge at ${timestampNs}`);
    this.outcomes.push('edge');
  }

  check(): void {
    invariant(this.#open === 0, () => `${this.#open} calls were never settled`);
    invariant(this.ended === 1, () => `the subscription ended ${this.ended} times`);
  }
}

async function attack(input: Uint8Array): Promise<string> {
  service ??= HostileService.start();
  const { path } = await service;
  const source = new ByteSource(input);
  const greets = source.below(8) < 7;
  const bytes = speech(source);
  let isGone: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    isGone = resolve;
  });
  (await service).next = (socket) => {
    // By then the client has heard all, and ended its side as well.
    socket.on('close', isGone);
    if (greets) socket.write(`${GREETING}\n`);
    // After the greeting was taken, and the calls were made.
    setImmediate(() => setImmediate(() => socket.end(bytes)));
  };
  let connection: ClientConnection;
  try {
    connection = await ClientConnection.open(path, TIMEOUT_MS);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    invariant(error.code !== 'ERR_TIMEOUT', 'the connection was neither opened nor refused');
    return `${error.code} ${error.message.replaceAll(/"[^"]*"?|\d+|\/\S+/g, 'N').slice(0, 60)}`;
  }
  const caller = new Caller();
  caller.ask(connection);
  await gone;
  await new Promise((resolve) => setImmediate(resolve));
  connection.close();
  connection.close();
  await new Promise((resolve) => setImmediate(resolve));
  caller.check();
  return [...new Set(caller.outcomes)].sort().slice(0, 4).join('; ');
}

export const controlClient: FuzzTarget = {
  name: 'control-client',
  what: 'what a hostile service says to a client: each call settles once, edges are what their type says',
  timeoutMs: 8000,
  seeds: () => [
    Uint8Array.from([0, 0, 7, 1, 7, 2, 7, 3, 7, 5, 7]),
    Uint8Array.from([0, 3, 7, 3, 1, 1, 20, 50, 4, 7, 6, 7]),
    Uint8Array.from([7, 0, 7]),
    Uint8Array.from([0, 0, 4, 0, 0, 20, 7, 7, 8, 7]),
  ],
  run: attack,
  close: async () => {
    await (await service)?.close();
    service = null;
  },
};
