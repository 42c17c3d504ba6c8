import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type CommandOptions, CommandProcess, run, scratchFolder } from './command-process.ts';

type Params = Readonly<Record<string, unknown>>;

/** What a method answers: its result, or an Error with a `code`; undefined for no answer at all. */
export type Answers = Readonly<Record<string, (params: Params, client: FakeClient) => unknown>>;

/** A client of the fake. */
export class FakeClient {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(...messages: readonly object[]): void {
    this.#socket.write(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
  }

  /** As a service that ends, or crashes. */
  hangUp(): void {
    this.#socket.destroy();
  }
}

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: Params;
}

function answerTo({ id, method, params }: Request, answers: Answers, client: FakeClient): void {
  const answer = answers[method]?.(params, client);
  if (answer instanceof Error) {
    client.send({ id, error: { code: (answer as NodeJS.ErrnoException).code, message: answer.message } });
  } else if (answer !== undefined) {
    client.send({ id, result: answer });
  }
}

/** Speaks the control protocol (docs/control.md) as told, to play what a real service does seldom or never. */
export class FakeService {
  readonly socket: string;

  private constructor(socket: string) {
    this.socket = socket;
  }

  static async start(
    answers: Answers,
    greeting: object | null = { service: 'rproc-gpio', protocol: 1, version: '0.1.0' },
  ): Promise<FakeService> {
    const path = join(scratchFolder(), 'control.sock');
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      const client = new FakeClient(socket);
      if (greeting !== null) client.send(greeting);
      let partial = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        const lines = (partial + text).split('\n');
        partial = lines.pop() as string;
        for (const line of lines) answerTo(JSON.parse(line) as Request, answers, client);
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return new FakeService(path);
  }

  #environment(options: CommandOptions): CommandOptions {
    return { ...options, env: { RPROC_GPIO_SOCKET: this.socket, ...options.env } };
  }

  run(args: readonly string[], options: CommandOptions = {}): ReturnType<typeof run> {
    return run(args, this.#environment(options));
  }

  start(args: readonly string[], options: CommandOptions = {}): CommandProcess {
    return new CommandProcess(args, this.#environment(options));
  }
}
