import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** The outside world of the host-built firmware: drives its inputs and reads its wires. Closed after the test. */
export class PinsClient {
  readonly #socket: Socket;
  #text = '';
  #onLine: () => void = () => {};

  constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (text: string) => {
      this.#text += text;
      this.#onLine();
    });
    // What has gone shows as an answer that does not come.
    this.#socket.on('error', () => {});
    onTestFinished(() => {
      this.#socket.destroy();
    });
  }

  /** Says something and expects no answer. */
  tell(command: string): void {
    this.#socket.write(`${command}\n`);
  }

  /** One command with an answer of one line. */
  ask(command: string): Promise<string> {
    this.tell(command);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to '${command}' in 5 s`)), 5000);
      this.#onLine = () => {
        const end = this.#text.indexOf('\n');
        if (end < 0) return;
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        clearTimeout(timer);
        resolve(line);
      };
      this.#onLine();
    });
  }
}
