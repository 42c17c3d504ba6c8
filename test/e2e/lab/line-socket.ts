import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { LineLog, WaitError } from './line-log.ts';

/** A client of a line-oriented protocol on a Unix socket (the firmware's pins, QEMU's qtest and QMP). */
export class LineSocket {
  readonly received: LineLog;
  readonly #socket: Socket;

  private constructor(name: string, socket: Socket) {
    this.received = new LineLog(name);
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (chunk: string) => this.received.write(chunk));
    // 'error' is followed by 'close'.
    socket.on('error', () => {});
    socket.on('close', () => this.received.end(`${name} was closed`));
  }

  /**
   * Connects, trying again while the other side has not begun to listen.
   *
   * @param options `endedReason` tells why no server will ever listen, undefined while one may
   * @throws WaitError after `limitMs` or as soon as `endedReason` names a reason
   */
  static async open(
    name: string,
    path: string,
    options: { readonly limitMs?: number; readonly endedReason?: () => string | undefined } = {},
  ): Promise<LineSocket> {
    const limitMs = options.limitMs ?? 30_000;
    const deadline = Date.now() + limitMs;
    for (;;) {
      const socket = await attempt(path);
      if (!(socket instanceof Error)) return new LineSocket(name, socket);
      const reason = options.endedReason?.();
      if (reason !== undefined) throw new WaitError(`${name}: no connection to ${path}: ${reason}`);
      if (Date.now() > deadline) {
        throw new WaitError(`${name}: no connection to ${path} within ${limitMs} ms: ${socket.message}`);
      }
      // Nothing tells when another process begins to listen: only trying again does.
      await delay(20);
    }
  }

  send(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }
}

function attempt(path: string): Promise<Socket | Error> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', resolve);
    socket.once('connect', () => {
      socket.off('error', resolve);
      resolve(socket);
    });
  });
}
