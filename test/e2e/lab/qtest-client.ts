import { LineLog } from './line-log.ts';
import { LineSocket } from './line-socket.ts';

/** QEMU's test protocol (system/qtest.c): drives inputs of emulated devices and watches their outputs. */
export class QtestClient {
  readonly #socket: LineSocket;
  readonly #answers = new LineLog('qtest answers');
  /** Lines `raise N` and `lower N`: changes of the intercepted device's outputs. */
  readonly outputs = new LineLog('intercepted outputs');

  private constructor(socket: LineSocket) {
    this.#socket = socket;
    socket.received.follow(
      (line) => {
        // Interrupts come at any time, also between a command and its answer.
        const irq = /^IRQ (raise|lower) (\d+)$/.exec(line);
        if (irq) this.outputs.push(`${irq[1]} ${irq[2]}`);
        else this.#answers.push(line);
      },
      (reason) => {
        this.outputs.end(reason);
        this.#answers.end(reason);
      },
    );
  }

  /** @throws WaitError */
  static async open(path: string, endedReason: () => string | undefined): Promise<QtestClient> {
    return new QtestClient(await LineSocket.open('qtest', path, { endedReason }));
  }

  /** Drives input `n` of the device at `path`. */
  async setLine(path: string, n: number, level: 0 | 1): Promise<void> {
    await this.#command(`set_irq_in ${path} unnamed-gpio-in ${n} ${level}`);
  }

  /**
   * Reports all changes of the outputs of the device at `path` in `outputs`. QEMU intercepts one device in a run.
   */
  async interceptOutputs(path: string): Promise<void> {
    await this.#command(`irq_intercept_out ${path}`);
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close();
  }

  async #command(text: string): Promise<void> {
    const from = this.#answers.lines.length;
    this.#socket.send(text);
    const answer = await this.#answers.waitFor(/^/, { from });
    if (!answer.startsWith('OK')) throw new Error(`qtest: ${text} was answered ${answer}`);
  }
}
