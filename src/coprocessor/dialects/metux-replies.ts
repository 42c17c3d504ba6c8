/** Most requests whose replies are waited for, or may yet come. */
const MAX_EXPECTED = 256;

/** A request that was sent and whose reply has not come. */
interface Expected<Owner> {
  readonly command: number;
  readonly line: number;
  /** Who takes the reply; null = nobody does any more. */
  owner: Owner | null;
  /** Until then something after it may still tell that its reply is lost. */
  readonly untilMs: number;
}

/** What a reply says of the requests before it. */
export interface Match<Owner> {
  /** Whose reply it is; null = of a request that was given up. */
  readonly owner: Owner | null;
  /** Whose replies are lost: replies come in the order of the requests. */
  readonly lost: readonly Owner[];
}

/**
 * The replies that are expected, in the order in which the requests were sent. A reply names only a command and a line, so no two
 * requests of the same are expected at a time: given up or not, each stays until its reply comes or that of a later one, which
 * says that it will not come any more.
 */
export class MetuxReplies<Owner> {
  /** Replies that never came, as a later one's did. */
  lost = 0;
  /** Replies of requests that were given up. */
  late = 0;
  readonly #order: Expected<Owner>[] = [];
  /** The commands expected of each line, as bits. */
  readonly #commands: Uint16Array;

  constructor(lineCount: number) {
    this.#commands = new Uint16Array(lineCount);
  }

  get size(): number {
    return this.#order.length;
  }

  /** Whether there is room for one more. */
  get hasRoom(): boolean {
    return this.#order.length < MAX_EXPECTED;
  }

  isExpected(command: number, line: number): boolean {
    return ((this.#commands[line] as number) & (1 << command)) !== 0;
  }

  /** A request was sent. */
  expect(command: number, line: number, owner: Owner | null, untilMs: number): void {
    this.#order.push({ command, line, owner, untilMs });
    (this.#commands[line] as number) |= 1 << command;
  }

  /** Whether a reply may yet come that settles everything that is expected. */
  isSettling(nowMs: number): boolean {
    const last = this.#order.at(-1);
    return last !== undefined && last.untilMs > nowMs;
  }

  /** The request is given up; its reply is still expected. */
  giveUp(owner: Owner): void {
    const expected = this.#order.find((entry) => entry.owner === owner);
    if (expected !== undefined) expected.owner = null;
  }

  /** A reply came. @returns null when nobody asked for it */
  take(command: number, line: number): Match<Owner> | null {
    if (line >= this.#commands.length || command > 15 || !this.isExpected(command, line)) return null;
    const at = this.#order.findIndex((entry) => entry.command === command && entry.line === line);
    const passed = this.#order.splice(0, at + 1);
    for (const entry of passed) (this.#commands[entry.line] as number) &= ~(1 << entry.command);
    const { owner } = passed.pop() as Expected<Owner>;
    if (owner === null) this.late++;
    this.lost += passed.length;
    return { owner, lost: passed.flatMap((entry) => (entry.owner === null ? [] : [entry.owner])) };
  }

  clear(): void {
    this.#order.length = 0;
    this.#commands.fill(0);
  }
}
