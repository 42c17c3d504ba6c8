import { LineSocket } from './line-socket.ts';

/** QEMU's machine protocol (docs/interop/qmp-spec), as far as the lab needs it: one command at a time, events ignored. */
export class QmpClient {
  readonly #socket: LineSocket;

  private constructor(socket: LineSocket) {
    this.#socket = socket;
  }

  /** Connects and leaves the negotiation mode. @throws WaitError */
  static async open(path: string, endedReason: () => string | undefined): Promise<QmpClient> {
    const client = new QmpClient(await LineSocket.open('QMP', path, { endedReason }));
    await client.execute('qmp_capabilities');
    return client;
  }

  /** @throws Error with QEMU's words when it refuses */
  async execute(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const from = this.#socket.received.lines.length;
    this.#socket.send(JSON.stringify({ execute: command, arguments: parameters }));
    const answer: unknown = JSON.parse(await this.#socket.received.waitFor(/^\{"(return|error)"/, { from }));
    if (isRecord(answer) && 'return' in answer) return answer.return;
    throw new Error(`QMP: ${command} ${JSON.stringify(parameters)} was answered ${JSON.stringify(answer)}`);
  }

  /** Names and types of an object's properties and children. */
  async list(path: string): Promise<{ name: string; type: string }[]> {
    const rows = await this.execute('qom-list', { path });
    if (!Array.isArray(rows)) throw new Error(`QMP: qom-list ${path} gave no list`);
    return rows.filter(isRecord).map((row) => ({ name: String(row.name), type: String(row.type) }));
  }

  get(path: string, property: string): Promise<unknown> {
    return this.execute('qom-get', { path, property });
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close();
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
