/** CLOCK_MONOTONIC in nanoseconds: the clock of all processes of the test. Exact for 104 days of uptime. */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

interface Entry {
  readonly ns: number;
  readonly source: string;
  readonly text: string;
}

/** A party broke a rule: the test ends, with what happened before. */
export class Violation extends Error {
  readonly code = 'E_KILLING_VIOLATION';
}

const KEPT_ENTRIES = 20_000;

/** The last that were told. */
class Ring {
  #entries: Entry[] = [];

  push(entry: Entry): void {
    this.#entries.push(entry);
    if (this.#entries.length > 2 * KEPT_ENTRIES) this.#entries = this.#entries.slice(-KEPT_ENTRIES);
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }
}

/** What everybody said and did, to be read in the order of time after a violation. */
export class Journal {
  readonly #events = new Ring();
  /** Requests and answers: there are so many that nothing else would be left. */
  readonly #requests = new Ring();

  note(source: string, text: string, ns = nowNs()): void {
    const isRequest = text.startsWith('Q ') || text.startsWith('A ');
    (isRequest ? this.#requests : this.#events).push({ ns, source, text });
  }

  /** All that is kept, in the order of time, whoever's record was read first. */
  text(): string {
    const sorted = [...this.#events.entries, ...this.#requests.entries].sort((a, b) => a.ns - b.ns);
    const lines = sorted.map(({ ns, source, text }) => `${(ns / 1e9).toFixed(6)} ${source}: ${text}`);
    return `${lines.join('\n')}\n`;
  }
}

/** How often a condition that nobody announces is looked at. */
const LOOK_MS = 5;

/**
 * Waits for a condition.
 * @throws Violation after `limitMs`, with what is missing
 */
export async function until(
  what: string | (() => string),
  limitMs: number,
  isMet: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await isMet())) {
    if (performance.now() > endMs)
      throw new Violation(`not within ${limitMs} ms: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
