import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Limit of a wait on a busy machine. */
const DEADLINE_MS = 10_000;

export type Message = Readonly<Record<string, unknown>>;

/** A client of the control socket that writes and reads text: what it sends need not be right. */
export class RawClient {
  readonly socket: Socket;
  /** Messages that were not taken yet. */
  readonly messages: Message[] = [];
  /** The other side has ended. */
  ended = false;
  closed = false;
  receivedBytes = 0;
  #partial = '';
  #onChange: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.receivedBytes += text.length;
      const lines = (this.#partial + text).split('\n');
      this.#partial = lines.pop() as string;
      this.messages.push(...lines.map((line) => JSON.parse(line) as Message));
      this.#onChange();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#onChange();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#onChange();
    });
  }

  /** Connects; the greeting is the first message. */
  static async open(path: string, options: { readonly allowHalfOpen?: boolean } = {}): Promise<RawClient> {
    const socket = connect({ path, ...options });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', resolve);
    });
    const client = new RawClient(socket);
    onTestFinished(() => {
      socket.destroy();
    });
    return client;
  }

  /** Connects, and takes the greeting. */
  static async greeted(path: string): Promise<RawClient> {
    const client = await RawClient.open(path);
    await client.next();
    return client;
  }

  /** Resolves when the condition holds; looked at when something arrives. */
  until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#onChange = () => {};
        reject(new Error(`${what}: not within ${DEADLINE_MS} ms; ${this.messages.length} messages wait`));
      }, DEADLINE_MS);
      this.#onChange = () => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#onChange = () => {};
        resolve();
      };
      this.#onChange();
    });
  }

  /** The next message. */
  async next(): Promise<Message> {
    await this.until(() => this.messages.length > 0, 'a message');
    return this.messages.shift() as Message;
  }

  /** Resolves when the service has ended the connection. */
  async untilEnded(): Promise<void> {
    await this.until(() => this.ended || this.closed, 'end of the connection');
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** Sends a request, without waiting. */
  ask(id: number, method: string, params: object = {}): this {
    return this.send(`${JSON.stringify({ id, method, params })}\n`);
  }

  /** The result, or the error, of a request; edges that come before it are dropped. */
  async answer(id: number, method: string, params: object = {}): Promise<Message> {
    this.ask(id, method, params);
    for (;;) {
      const message = await this.next();
      if (message.id === id) return message;
    }
  }

  async result<T = unknown>(method: string, params: object = {}): Promise<T> {
    const { result, error } = await this.answer(1, method, params);
    if (error !== undefined) throw new Error(JSON.stringify(error));
    return result as T;
  }

  async error(method: string, params: object = {}): Promise<{ code: string; message: string }> {
    const { error } = await this.answer(1, method, params);
    if (error === undefined) throw new Error(`${method} was not refused`);
    return error as { code: string; message: string };
  }
}
