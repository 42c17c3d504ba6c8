/** A condition was not met in time, or can no longer be met. The message holds the end of what was seen instead. */
export class WaitError extends Error {
  readonly code = 'E_LAB_WAIT';
}

interface Waiter {
  check(): boolean;
  fail(reason: string): void;
}

/** Times vary fourfold from run to run on a busy machine: limits only bound a test that has failed already. */
export const DEFAULT_LIMIT_MS = 60_000;

/** Lines that something printed, kept for ever, with waiting for one that fits a pattern. */
export class LineLog {
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #followers: { line(line: string): void; end(reason: string): void }[] = [];
  #rest = '';
  #endReason: string | undefined;

  /** @param name what the lines come from, for messages */
  constructor(name: string) {
    this.#name = name;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }

  /** Takes a piece of a stream; a line counts once its end has come. */
  write(chunk: string): void {
    const parts = (this.#rest + chunk).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) this.push(part.replace(/\r$/, ''));
  }

  push(line: string): void {
    this.#lines.push(line);
    for (const follower of this.#followers) follower.line(line);
    for (const waiter of [...this.#waiters]) {
      if (waiter.check()) this.#waiters.delete(waiter);
    }
  }

  /** Calls `line` for every line from now on, and `end` when nothing more will come. */
  follow(line: (line: string) => void, end: (reason: string) => void): void {
    this.#followers.push({ line, end });
  }

  /** Nothing more will come: those who still wait fail with `reason`. Idempotent. */
  end(reason: string): void {
    if (this.#endReason !== undefined) return;
    if (this.#rest !== '') this.write('\n');
    this.#endReason = reason;
    for (const waiter of this.#waiters) waiter.fail(reason);
    this.#waiters.clear();
    for (const follower of this.#followers) follower.end(reason);
  }

  /**
   * Resolves with the first line at or after index `from` that matches, also one that is there already.
   *
   * @throws WaitError after `limitMs`, or when the source ended without such a line.
   */
  waitFor(
    pattern: RegExp,
    options: { readonly from?: number; readonly limitMs?: number } = {},
  ): Promise<string> {
    let next = options.from ?? 0;
    return this.#wait(String(pattern), options.limitMs, () => {
      for (; next < this.#lines.length; next += 1) {
        const line = this.#lines[next] ?? '';
        if (pattern.test(line)) return line;
      }
      return undefined;
    });
  }

  /** Resolves with all lines from index `from` on once there are `count` of them. @throws WaitError as `waitFor` */
  waitForCount(
    count: number,
    options: { readonly from?: number; readonly limitMs?: number } = {},
  ): Promise<string[]> {
    const from = options.from ?? 0;
    return this.#wait(`${count} lines`, options.limitMs, () =>
      this.#lines.length - from >= count ? this.#lines.slice(from) : undefined,
    );
  }

  #wait<T>(what: string, limitMs: number | undefined, attempt: () => T | undefined): Promise<T> {
    const limit = limitMs ?? DEFAULT_LIMIT_MS;
    return new Promise((resolve, reject) => {
      const first = attempt();
      if (first !== undefined) return resolve(first);
      const fail = (reason: string) => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        reject(
          new WaitError(`${this.#name}: waited for ${what}, but ${reason}; last lines:\n${this.tail()}`),
        );
      };
      const timer = setTimeout(() => fail(`it did not come within ${limit} ms`), limit);
      const waiter: Waiter = {
        fail,
        check: () => {
          const found = attempt();
          if (found === undefined) return false;
          clearTimeout(timer);
          resolve(found);
          return true;
        },
      };
      if (this.#endReason !== undefined) fail(this.#endReason);
      else this.#waiters.add(waiter);
    });
  }

  /** The last lines, indented, for messages. */
  tail(count = 30): string {
    return this.#lines
      .slice(-count)
      .map((line) => `  | ${line}`)
      .join('\n');
  }
}
