/** The outside world of the host firmware: its pins socket (examples/sensor-hub/README.md). */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One connection; commands are answered in order. */
export class Pins {
  readonly #socket: Socket;
  readonly #asked: { settle: (line: string) => void; reject: (error: Error) => void }[] = [];
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    const lost = (): void => {
      for (const { reject } of this.#asked.splice(0))
        reject(new Error('the firmware closed its pins socket'));
    };
    socket.on('error', lost).on('close', lost);
  }

  static async connect(path: string): Promise<Pins> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Pins(socket);
  }

  /** The answer's line. @throws Error when the firmware goes away */
  ask(command: string): Promise<string> {
    return new Promise((settle, reject) => {
      this.#asked.push({ settle, reject });
      this.#socket.write(`${command}\n`);
    });
  }

  #take(text: string): void {
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop() as string;
    for (const line of lines) this.#asked.shift()?.settle(line);
  }

  close(): void {
    this.#socket.destroy();
  }
}
