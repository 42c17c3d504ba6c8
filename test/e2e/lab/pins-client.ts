import type { LineLog } from './line-log.ts';
import { LineSocket } from './line-socket.ts';
import type { Wires } from './wires.ts';

/**
 * The outside world of the host-built firmware: its `--pins` socket drives inputs and shows the levels on the
 * wires. Commands are answered in order, one line each; `watch` uses a connection of its own, because
 * changes come between answers.
 */
export class PinsClient implements Wires {
  readonly #path: string;
  readonly #socket: LineSocket;
  readonly #endedReason: () => string | undefined;
  readonly #watches: LineSocket[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(path: string, socket: LineSocket, endedReason: () => string | undefined) {
    this.#path = path;
    this.#socket = socket;
    this.#endedReason = endedReason;
  }

  /** @param endedReason tells why the firmware will never listen, undefined while it may. @throws WaitError */
  static async open(
    path: string,
    endedReason: () => string | undefined = () => undefined,
  ): Promise<PinsClient> {
    return new PinsClient(path, await LineSocket.open('pins', path, { endedReason }), endedReason);
  }

  /** Drives an input from outside. */
  async set(name: string, level: 0 | 1): Promise<void> {
    await this.#expectOk(`set ${name} ${level}`);
  }

  /** The level on the wire, of an input or an output. */
  async get(name: string): Promise<0 | 1> {
    return level(await this.#ask(`get ${name}`));
  }

  async waitForLevel(name: string, level: 0 | 1): Promise<void> {
    // Watch first, then look: a change in between is seen by one or the other.
    const watch = await this.#watch(name);
    try {
      if ((await this.get(name)) !== level) await watch.received.waitFor(new RegExp(`^${name} ${level}$`));
    } finally {
      watch.close();
    }
  }

  /** Toggles an input `count` times, as fast as the firmware can or with `periodUs` between. */
  async burst(name: string, count: number, periodUs?: number): Promise<void> {
    await this.#expectOk(`burst ${name} ${count}${periodUs === undefined ? '' : ` ${periodUs}`}`);
  }

  /** Lines `NAME LEVEL`, one for each change from now on; `name` may be `*`. */
  async watch(name: string): Promise<LineLog> {
    const socket = await this.#watch(name);
    this.#watches.push(socket);
    return socket.received;
  }

  /** Any other command with a one-line answer (`crash`, `hang`, `resume`). */
  command(text: string): Promise<string> {
    return this.#ask(text);
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close();
    for (const watch of this.#watches) watch.close();
  }

  async #watch(name: string): Promise<LineSocket> {
    const socket = await LineSocket.open(`watch ${name}`, this.#path, { endedReason: this.#endedReason });
    socket.send(`watch ${name}`);
    const answer = await socket.received.waitFor(/^/);
    if (answer === 'ok') return socket;
    socket.close();
    throw new Error(`pins: watch ${name} was answered ${answer}`);
  }

  async #expectOk(command: string): Promise<void> {
    const answer = await this.#ask(command);
    if (answer !== 'ok') throw new Error(`pins: ${command} was answered ${answer}`);
  }

  #ask(command: string): Promise<string> {
    return this.#exclusive(async () => {
      const from = this.#socket.received.lines.length;
      this.#socket.send(command);
      return this.#socket.received.waitFor(/^/, { from });
    });
  }

  /** One command at a time: an answer does not name its question. */
  #exclusive<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(body);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function level(text: string): 0 | 1 {
  if (text === '0') return 0;
  if (text === '1') return 1;
  throw new Error(`pins: expected a level, 0 or 1, got ${JSON.stringify(text)}`);
}
